"""Finding the core metadata inside a wheel, an egg or an sdist."""

from __future__ import annotations

import errno
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from packaging.utils import canonicalize_name

from pypicloud_lite.archives.metadata import MAX_METADATA
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import FileName

_DIST_INFO = re.compile(r"\A(?P<name>[^/]+?)-[^/-]+\.dist-info/METADATA\Z")
_SDIST_INFO = re.compile(r"\A(?:\./)?[^/]+/PKG-INFO\Z")
#: How much of a compressed tar is inflated in search of its PKG-INFO, in bytes.
MAX_INFLATED = 512 << 20
_MAX_MEMBERS = 100_000

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
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
    with _naming(name):
        if name.is_wheel:
            return _wheel_metadata(file, name)
        if name.extension == ".egg":
            return _zip_member(file, lambda member: member == "EGG-INFO/PKG-INFO")
        if name.extension == ".zip":
            return _zip_member(file, _is_pkg_info)
        if name.packagetype == "sdist":
            return _tar_metadata(file, name)
    return None


@contextmanager
def _naming(name: FileName) -> Iterator[None]:
    """Turn whatever a broken archive makes the library raise into one sentence."""
    try:
        yield
    except InvalidArchive as exc:
        raise InvalidArchive(f"Invalid distribution file. {name.filename}: {exc}") from exc
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


def _is_pkg_info(member: str) -> bool:
    return _SDIST_INFO.match(member) is not None


def _wheel_metadata(file: IO[bytes], name: FileName) -> bytes:
    def belongs(member: str) -> bool:
        match = _DIST_INFO.match(member)
        return match is not None and canonicalize_name(match["name"]) == str(name.project)

    return _zip_member(file, belongs)


def _zip_member(file: IO[bytes], wanted: Callable[[str], bool]) -> bytes:
    with zipfile.ZipFile(file) as archive:
        if len(archive.filelist) > _MAX_MEMBERS:
            raise InvalidArchive(f"it has more than {_MAX_MEMBERS} members")
        found = [info for info in archive.infolist() if wanted(info.filename)]
        if not found:
            raise InvalidArchive("it holds no core metadata for the project and version it names")
        if len(found) > 1:
            raise InvalidArchive("it holds core metadata more than once")
        with archive.open(found[0]) as member:
            return _bounded(member)


def _tar_metadata(file: IO[bytes], name: FileName) -> bytes:
    compression = {".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tbz": "bz2"}
    mode = {".tar.xz": "xz", ".tar": ""} | compression
    with tarfile.open(fileobj=file, mode=f"r:{mode[name.extension]}") as archive:  # type: ignore[call-overload]
        for position, member in enumerate(archive):
            if member.isfile() and _is_pkg_info(member.name):
                extracted = archive.extractfile(member)
                assert extracted is not None
                return _bounded(extracted)
            if position > _MAX_MEMBERS or member.offset_data + member.size > MAX_INFLATED:
                raise InvalidArchive("it is too large to be searched for its PKG-INFO")
    raise InvalidArchive("it has no <name>-<version>/PKG-INFO")


def _bounded(member: IO[bytes]) -> bytes:
    content = member.read(MAX_METADATA + 1)
    if len(content) > MAX_METADATA:
        raise InvalidArchive(f"its core metadata is larger than {MAX_METADATA} bytes")
    return content
