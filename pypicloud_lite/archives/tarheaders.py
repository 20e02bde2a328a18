"""Headers of tar archives: ustar, GNU and pax (POSIX.1-2024, pax)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pypicloud_lite.archives.paths import shown
from pypicloud_lite.errors import InvalidArchive

BLOCK = 512
REGULAR, HARD_LINK, SYMLINK, FOLDER = b"0", b"1", b"2", b"5"
PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK = b"x", b"g", b"L", b"K"
_KINDS = frozenset({REGULAR, HARD_LINK, SYMLINK, FOLDER, PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK})
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*\Z")
_PAX_LENGTH = re.compile(rb"([1-9][0-9]{0,9}) ")
#: Mode, owner, group, time and device as ranges of bytes. They don't count here, but where one of
#: them is no number, tarfile takes the header for the end of the archive.
_NUMBERS = ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345))
_BASE_256 = (b"\x80", b"\xff")
#: What a header for all following members must not say.
_PER_MEMBER = frozenset({"path", "linkpath", "size"})


@dataclass(frozen=True, slots=True)
class Header:
    """One header block."""

    name: str
    kind: bytes
    #: Bytes of data that follow, without padding.
    size: int
    link: str


def read_header(block: bytes) -> Header:
    """Read a block that isn't zero.

    Raises:
        InvalidArchive: no header, or of something that isn't a file, a folder or a link.
    """
    if not looks_like_tar(block):
        raise InvalidArchive("it has a header with a wrong checksum, or data of no member")
    kind = block[156:157]
    name, prefix = _text(block[0:100]), _text(block[345:500])
    if kind == b"\0":  # before POSIX
        kind = FOLDER if name.endswith("/") else REGULAR
    if kind not in _KINDS:
        raise InvalidArchive(
            f"the member {shown(name)} is of type {shown(kind.decode('latin-1'))}: a device, "
            "sparse, or unknown"
        )
    if prefix and block[257:263] != b"ustar\0":
        raise InvalidArchive(f"the member {shown(name)} has two names")
    size = _number(block[124:136])
    if size is None or (size and kind in (HARD_LINK, SYMLINK, FOLDER)):
        raise InvalidArchive(f"the member {shown(name)} has a size that it can't have")
    if not all(_is_number(block[start:end]) for start, end in _NUMBERS):
        raise InvalidArchive(f"the header of {shown(name)} has a field that is no number")
    return Header(f"{prefix}/{name}" if prefix else name, kind, size, _text(block[157:257]))


def looks_like_tar(block: bytes) -> bool:
    """Whether the block is a tar header, by its checksum."""
    if len(block) < BLOCK:
        return False
    return _number(block[148:156]) == sum(block[:148]) + 8 * ord(" ") + sum(block[156:BLOCK])


def read_pax(content: bytes, *, for_all: bool) -> Mapping[str, str]:
    """The records of an extended header.

    Args:
        for_all: it is about all members that follow.

    Raises:
        InvalidArchive: malformed, contradicting itself, or of a sparse file.
    """
    records: dict[str, str] = {}
    at = 0
    while at < len(content):
        match = _PAX_LENGTH.match(content, at)
        end = at + int(match[1]) if match else 0
        if match is None or end > len(content) or content[end - 1 : end] != b"\n":
            raise InvalidArchive("it has a malformed extended header")
        keyword, equals, value = content[match.end() : end - 1].decode("utf-8").partition("=")
        if not equals or keyword in records or "\0" in value:
            raise InvalidArchive(f"an extended header contradicts itself in {shown(keyword)}")
        if keyword.startswith("GNU.sparse") or (for_all and keyword in _PER_MEMBER):
            raise InvalidArchive(f"it has an extended header with {shown(keyword)}")
        records[keyword] = value
        at = end
    return records


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8")


def _is_number(field: bytes) -> bool:
    """Whether everyone can read a number that we don't need."""
    text = field.partition(b"\0")[0].strip()
    return field.startswith(_BASE_256) or _number(text) is not None


def _number(field: bytes) -> int | None:
    """An octal number; the base-256 form only stands for what is too large, or negative."""
    match = _OCTAL.match(field)
    return None if match is None else int(match[1] or b"0", 8)
