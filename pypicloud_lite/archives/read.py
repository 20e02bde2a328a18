"""Finding the core metadata inside a wheel, an egg or an sdist."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, cast

from packaging.utils import canonicalize_name

from pypicloud_lite.archives.metadata import MAX_METADATA
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import FileName

_DIST_INFO = re.compile(r"\A(?P<name>[^/]+?)-[^/-]+\.dist-info/METADATA\Z")
EGG_INFO = "EGG-INFO/PKG-INFO"
_SDIST_INFO = re.compile(r"\A(?:\./)?[^/]+/PKG-INFO\Z")
#: How much of a compressed tar is inflated in search of its PKG-INFO, in bytes.
MAX_INFLATED = 512 << 20
_MAX_MEMBERS = 100_000
#: Longest directory of a zip that is read, in bytes.
_MAX_DIRECTORY = 32 << 20
#: Most that tarfile gets in one piece: pax and long-name headers are read whole.
_MAX_READ = 2 << 20
#: The end of a zip where its end-of-directory records lie, the longest comment included.
_EOCD_AREA = (1 << 16) + 200
_EOCD = struct.Struct("<4s4H2LH")
_EOCD64 = struct.Struct("<4sQ2H2L4Q")
_ZIP64_MEMBERS, _ZIP64_LENGTH = 0xFFFF, 0xFFFFFFFF

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    KeyError,
)


def read_core_metadata(file: IO[bytes], name: FileName) -> bytes | None:
    """The core metadata file of the distribution, byte for byte.

    ``None`` for formats without one (wininst, msi, rpm).

    Args:
        file: seekable; read from its start.

    Raises:
        InvalidArchive: not an archive of the kind that its name says, or without metadata.
    """
    file.seek(0)
    with naming(name):
        if name.is_wheel:
            return _wheel_metadata(file, name)
        if name.extension == ".egg":
            return _zip_member(file, lambda member: member == EGG_INFO)
        if name.extension == ".zip":
            return _zip_member(file, is_pkg_info)
        if name.packagetype == "sdist":
            return _tar_metadata(file, name)
    return None


@contextmanager
def naming(name: FileName) -> Iterator[None]:
    """Turn whatever a broken archive makes a library raise into one sentence.

    Raises:
        InvalidArchive: in place of the library's exception.
    """
    try:
        yield
    except InvalidArchive as exc:
        sentence = f"Invalid distribution file. {name.filename}: {exc}"
        raise InvalidArchive(sentence, exc.oddity) from exc
    except MemoryError as exc:
        raise InvalidArchive(f"Invalid distribution file. {name.filename} is broken.") from exc
    except OSError as exc:
        if exc.errno not in (None, errno.EINVAL):  # EINVAL: an offset before the beginning
            raise
        raise _unreadable(name, exc) from exc
    except _BROKEN as exc:
        raise _unreadable(name, exc) from exc


def _unreadable(name: FileName, exc: Exception) -> InvalidArchive:
    return InvalidArchive(
        f"Invalid distribution file. {name.filename} is not a readable {name.extension} archive: "
        f"{str(exc)[:200]}"
    )


def is_pkg_info(member: str) -> bool:
    """Whether a member of an sdist is its core metadata."""
    return _SDIST_INFO.match(member) is not None


def _wheel_metadata(file: IO[bytes], name: FileName) -> bytes:
    def belongs(member: str) -> bool:
        match = _DIST_INFO.match(member)
        return match is not None and canonicalize_name(match["name"]) == str(name.project)

    return _zip_member(file, belongs)


def _zip_member(file: IO[bytes], wanted: Callable[[str], bool]) -> bytes:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        found = [info for info in archive.infolist() if wanted(info.filename)]
        if not found:
            raise InvalidArchive("it holds no core metadata for the project and version it names")
        if len(found) > 1:
            raise InvalidArchive("it holds core metadata more than once")
        with archive.open(found[0]) as member:
            return _bounded(member)


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a zip whose directory is too large to be read into memory, before it is read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _EOCD_AREA))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _EOCD.size > len(tail):
        return  # zipfile finds the right words
    _signature, _disk, _start, _here, members, length, _offset, _comment = _EOCD.unpack_from(
        tail, at
    )
    if members == _ZIP64_MEMBERS or length == _ZIP64_LENGTH:
        found = tail.rfind(b"PK\x06\x06", 0, at)
        if found < 0 or found + _EOCD64.size > len(tail):
            raise InvalidArchive("its ZIP64 directory can't be found")
        *_rest, members, length, _offset = _EOCD64.unpack_from(tail, found)
    if members > _MAX_MEMBERS or length > _MAX_DIRECTORY:
        raise InvalidArchive(f"it has more than {_MAX_MEMBERS} members, or a directory as large")


def _tar_metadata(file: IO[bytes], name: FileName) -> bytes:
    with OPENERS[name.extension](file) as stream:
        limited = cast("IO[bytes]", _Limited(stream))
        with tarfile.open(fileobj=limited, mode="r:") as archive:
            for position, member in enumerate(archive):
                if member.isfile() and is_pkg_info(member.name):
                    extracted = archive.extractfile(member)
                    assert extracted is not None
                    return _bounded(extracted)
                if position > _MAX_MEMBERS:
                    raise InvalidArchive(f"it has more than {_MAX_MEMBERS} members")
    raise InvalidArchive("it has no <name>-<version>/PKG-INFO")


class _Limited:
    """A decompressed stream that is read in small pieces, and not without end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        """Some bytes; a header that claims to be large is not believed."""
        if not 0 <= size <= _MAX_READ:
            raise InvalidArchive("it has a header that is too large")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go forward by reading, in small pieces."""
        if whence == os.SEEK_SET:
            self._check(offset)
        return self._stream.seek(offset, whence)

    @staticmethod
    def _check(position: int) -> None:
        if position > MAX_INFLATED:
            raise InvalidArchive("it is too large to be searched for its PKG-INFO")


def _bounded(member: IO[bytes]) -> bytes:
    content = member.read(MAX_METADATA + 1)
    if len(content) > MAX_METADATA:
        raise InvalidArchive(f"its core metadata is larger than {MAX_METADATA} bytes")
    return content


def _gzip(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))


def _bz2(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", bz2.BZ2File(file))


def _xz(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", lzma.LZMAFile(file))


#: How each kind of tar is opened, by its extension.
OPENERS: dict[str, Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]]] = {
    ".tar.gz": _gzip,
    ".tgz": _gzip,
    ".tar.bz2": _bz2,
    ".tbz": _bz2,
    ".tar.xz": _xz,
    ".tar": nullcontext,
}
