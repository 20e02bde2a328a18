"""Sdists. The first byte says how strictly they are checked, and whether the rest is the file, or
a tar that gets right checksums and is compressed.
"""

from __future__ import annotations

import gzip
import io
import tarfile

from pypicloud_lite.archives import Checks, read_core_metadata
from pypicloud_lite.archives.checks import Oddities
from pypicloud_lite.archives.tars import TarWalk
from pypicloud_lite.names import parse_filename
from tests.fuzz.targets.zips import STRICT, TOLERANT, checked_or_refused
from tests.support.archives import pax, sdist_gz, sdist_tar, tar_file, tar_header

WORDS = (
    b"ustar\x0000", b"ustar  \0", b"demo-1.0/", b"PKG-INFO", b"../", b"./", b"/", b"11 path=x\n",
    b"12 path=./x\n", b"8 size=1\n", b"linkpath=", b"GNU.sparse.major=1", b"0", b"1", b"2", b"5",
    b"x", b"g", b"L", b"K", b"S", bytes(512), b"00000000000\0", b"\x80",
)  # fmt: skip
_REPAIRED, _TOLERANT = 1, 4
_NAME = parse_filename("demo-1.0.tar.gz")
_MAX_HEADERS = 100


def seeds() -> dict[str, bytes]:
    members = {
        "plain": tar_file("demo-1.0/demo.py", b"x = 1\n"),
        "folder": tar_header("demo-1.0/demo/", kind=b"5"),
        "symlink": tar_header("demo-1.0/link", kind=b"2", link="demo/../PKG-INFO"),
        "hard-link": tar_header("demo-1.0/link", kind=b"1", link="demo-1.0/PKG-INFO"),
        "pax": pax(("path", "demo-1.0/ü"), ("mtime", "1.5")) + tar_file("x", b"x"),
        "global": pax(("comment", "0" * 40), kind=b"g"),
        "gnu-name": tar_file("././@LongLink", b"demo-1.0/" + b"n" * 120 + b"\0", kind=b"L")
        + tar_file("x", b"x", magic=b"ustar  \0"),
        "padding": pax(("path", "demo-1.0/x")).replace(b"x\n\0\0", b"x\n11 path=y\n", 1)
        + tar_file("x"),
        "number": tar_file("demo-1.0/x.py").replace(b"0000644\0", b"rw-r--r-", 1),
        "leading-dot": tar_file("./demo-1.0/x.py"),
        "device": tar_header("demo-1.0/null", kind=b"3"),
        "escape": tar_header("demo-1.0/link", kind=b"2", link="../../x"),
        "duplicate": tar_file("demo-1.0/PKG-INFO", b"Name: other\n"),
    }
    mode = bytes((_REPAIRED,))
    made = {name: mode + sdist_tar(member, end=bytes(512)) for name, member in members.items()}
    streams = gzip.compress(sdist_tar()[:1024], mtime=0) + gzip.compress(bytes(1024), mtime=0)
    return made | {
        "gzipped": b"\0" + sdist_gz(),
        "cut-off": b"\0" + sdist_gz()[:-9],
        "two-streams": bytes((_TOLERANT,)) + streams,
        "zeros": bytes((_TOLERANT,)) + sdist_gz() + bytes(20),
        "no-end": bytes((_REPAIRED | _TOLERANT,)) + sdist_tar(end=b""),
    }


def check(data: bytes) -> None:
    flags, content = (data[0], data[1:]) if data else (0, b"")
    if flags & _REPAIRED:
        content = gzip.compress(_repaired(content), 1, mtime=0)
    checks = TOLERANT if flags & _TOLERANT else STRICT
    checked = checked_or_refused(content, _NAME, checks)
    if checked is None:
        return
    assert read_core_metadata(io.BytesIO(content), _NAME) == checked.core_metadata
    paths: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            assert member.isfile() or member.isdir() or member.issym() or member.islnk()
            # What pip and uv ask before they unpack.
            assert tarfile.data_filter(member, "/unpacked/here") is not None
            paths.add(member.name.removeprefix("./").removesuffix("/"))
    assert paths - {"", "."} == _paths(content, checks)


def _paths(content: bytes, checks: Checks) -> set[str]:
    return TarWalk(io.BytesIO(content), _NAME, checks, Oddities(checks.tolerated)).paths


def _repaired(tar: bytes) -> bytes:
    """The same with the checksums that its headers should have."""
    made, at = bytearray(tar), 0
    for _number in range(_MAX_HEADERS):
        block = made[at : at + 512]
        if len(block) < 512 or not any(block):
            break
        block[148:156] = b" " * 8
        made[at + 148 : at + 156] = b"%06o\0 " % (sum(block) & 0o777777)
        digits = bytes(block[124:136]).strip(b" \0")
        size = int(digits, 8) if digits and not digits.strip(b"01234567") else 0
        at += 512 + -(-size // 512) * 512
    return bytes(made)
