"""Reading core metadata out of archives, without trusting them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from pypicloud_lite.archives import parse_core_metadata, read_core_metadata
from pypicloud_lite.errors import InvalidArchive, InvalidMetadata
from pypicloud_lite.names import parse_filename
from tests.support.dists import metadata, sdist, wheel

CORE = metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")


def read(filename: str, content: bytes) -> bytes | None:
    return read_core_metadata(io.BytesIO(content), parse_filename(filename))


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("filename", "pack"),
    [
        ("demo-1.0.tar.gz", gzip.compress),
        ("demo-1.0.tgz", gzip.compress),
        ("demo-1.0.tar.bz2", bz2.compress),
        ("demo-1.0.tar.xz", lzma.compress),
        ("demo-1.0.tar", bytes),
    ],
)
def test_every_kind_of_tar_is_read(filename: str, pack: Callable[[bytes], bytes]) -> None:
    raw = gzip.decompress(sdist())
    assert read(filename, pack(raw)) == CORE


def test_wheels_eggs_and_zips_are_read() -> None:
    assert read("demo-1.0-py3-none-any.whl", wheel()) == CORE
    assert read("demo-1.0-py3.11.egg", zipped(**{"EGG-INFO/PKG-INFO": CORE})) == CORE
    assert read("demo-1.0.zip", zipped(**{"demo-1.0/PKG-INFO": CORE})) == CORE
    assert read("demo-1.0.win32.exe", b"MZ") is None


@pytest.mark.parametrize(
    "members",
    [
        {"_x-1.0.dist-info/METADATA": CORE},
        {"demo-1.0.dist-info/METADATA": CORE, "Demo-1.0.dist-info/METADATA": CORE},
        {"a/demo-1.0.dist-info/METADATA": CORE},
        {"other-1.0.dist-info/METADATA": CORE},
        {},
    ],
)
def test_a_wheel_must_have_the_metadata_of_its_name_once(members: dict[str, bytes]) -> None:
    with pytest.raises(InvalidArchive, match="core metadata"):
        read("demo-1.0-py3-none-any.whl", zipped(**members))


def test_vendored_metadata_is_passed_over() -> None:
    members = {"demo-1.0.dist-info/METADATA": CORE, "other-2.0.dist-info/METADATA": b"x"}
    assert read("demo-1.0-py3-none-any.whl", zipped(**members)) == CORE


def test_a_zip_with_a_huge_directory_is_refused_before_it_is_read() -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, 1 << 31, 0, 0)
    with pytest.raises(InvalidArchive, match="directory"):
        read("demo-1.0-py3-none-any.whl", b"\0" * 100 + end)


def test_a_zip_with_a_million_members_is_refused_before_it_is_read() -> None:
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, 100, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 100, 0, 0)
    with pytest.raises(InvalidArchive, match="members"):
        read("demo-1.0-py3-none-any.whl", end64 + locator + end)


def test_a_header_of_a_tar_that_claims_to_be_huge_is_not_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 200 << 20
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as stream:
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _mebibyte in range(200):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArchive, match="a header that is too large"):
            read_core_metadata(packed, parse_filename("demo-1.0.tar.gz"))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


def test_a_tar_that_inflates_without_end_is_given_up() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo("demo-1.0/big")
        info.size = 600 << 20
        archive.addfile(info, _Zeros())  # type: ignore[arg-type]
        info = tarfile.TarInfo("demo-1.0/PKG-INFO")
        info.size = len(CORE)
        archive.addfile(info, io.BytesIO(CORE))
    with pytest.raises(InvalidArchive, match="too large"):
        read("demo-1.0.tar.gz", buffer.getvalue())


class _Zeros:
    def read(self, size: int) -> bytes:
        return bytes(size)


@pytest.mark.parametrize(
    "core",
    [
        b"",
        b"Name: demo\n\n",
        b"Metadata-Version: 2.1\nName: demo\nVersion: not a version\n\n",
        b"Metadata-Version: 2.1\nName: -bad-\nVersion: 1\n\n",
        b"Metadata-Version: 2.1\nName: demo\nName: demo\nVersion: 1\n\n",
        b"Metadata-Version: 2.1\nName: demo\nVersion: " + b"1" * 5000 + b"\n\n",
        b"Metadata-Version: 2.1\nName: demo\nVersion: 1\nRequires-Python: soon\n\n",
    ],
)
def test_broken_metadata_is_refused(core: bytes) -> None:
    with pytest.raises(InvalidMetadata):
        parse_core_metadata(core)


def test_newer_metadata_is_read() -> None:
    core = parse_core_metadata(
        b"Metadata-Version: 9.9\nName: De_mo\nVersion: 1.0.0\nNew-Field: x\nSummary: a\n  b\n\n"
    )
    assert (core.name, core.display_name, core.version, core.summary) == (
        "de-mo",
        "De_mo",
        "1.0.0",
        "a b",
    )
