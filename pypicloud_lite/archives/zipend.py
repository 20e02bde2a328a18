"""The end of a zip: where its directory lies (APPNOTE.TXT 4.3.14 to 4.3.16)."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import IO

from pypicloud_lite.archives.checks import Oddities
from pypicloud_lite.errors import InvalidArchive

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_SIGNATURE = re.compile(rb"PK\x05\x06")
_MAX_COMMENT = 0xFFFF
#: Longest directory that is read, in bytes.
MAX_DIRECTORY = 32 << 20


@dataclass(frozen=True, slots=True)
class Directory:
    """The central directory: how many members, and its first and last byte (excluded)."""

    members: int
    start: int
    end: int


def find_directory(file: IO[bytes], oddities: Oddities) -> Directory:
    """Find the central directory by the record that ends the file, and by no other.

    Raises:
        InvalidArchive: no zip, more than one way to read it, or data before or behind it.
    """
    size = file.seek(0, os.SEEK_END)
    base = max(0, size - _MAX_COMMENT - _END.size - _LOCATOR.size - _END64.size)
    file.seek(base)
    tail = file.read()
    at = _last_record(tail, oddities)
    _sig, disk, first_disk, here, members, length, start, _comment = _END.unpack_from(tail, at)
    end = base + at
    claims = (disk, first_disk, here, members, length, start)
    if at >= _LOCATOR.size and tail.startswith(b"PK\x06\x07", at - _LOCATOR.size):
        end -= _LOCATOR.size + _END64.size
        members, length, start = _zip64(tail, at - _LOCATOR.size, end, claims)
    elif (disk, first_disk, here) != (0, 0, members):
        raise InvalidArchive("it is part of a zip of several disks")
    if length > MAX_DIRECTORY:
        raise InvalidArchive(f"its directory is larger than {MAX_DIRECTORY} bytes")
    if start + length != end:
        raise InvalidArchive("data lies before its first member, or around its directory")
    return Directory(members, start, end)


def looks_like_zip(file: IO[bytes]) -> bool:
    """Whether some reader of zips would find a directory in the file."""
    size = file.seek(0, os.SEEK_END)
    base = max(0, size - _MAX_COMMENT - _END.size)
    file.seek(base)
    tail = file.read()
    for match in _SIGNATURE.finditer(tail):
        if match.start() + _END.size > len(tail):
            continue
        *_rest, members, length, _start, _comment = _END.unpack_from(tail, match.start())
        file.seek(max(0, base + match.start() - length))
        if tail.startswith(b"PK\x06\x07", max(0, match.start() - _LOCATOR.size)):
            return True
        if members and file.read(4) == b"PK\x01\x02":
            return True
    return False


def _last_record(tail: bytes, oddities: Oddities) -> int:
    """Where the end record is: the one whose comment ends with the file."""
    found = [match.start() for match in _SIGNATURE.finditer(tail)]
    fitting = [at for at in found if _comment_end(tail, at) == len(tail)]
    if not fitting:
        raise InvalidArchive(
            "data follows its end of directory" if found else "it is not a zip, or is truncated"
        )
    at = fitting[-1]
    if len(fitting) > 1 or found[-1] != at:
        raise InvalidArchive("it has more than one end of directory")
    if at + _END.size < len(tail):
        oddities.note("framing", "it has an archive comment")
    return at


def _comment_end(tail: bytes, at: int) -> int:
    if at + _END.size > len(tail):
        return -1
    return at + _END.size + int(_END.unpack_from(tail, at)[-1])


def _zip64(tail: bytes, locator: int, record: int, claims: tuple[int, ...]) -> tuple[int, int, int]:
    """Members, length and start by the ZIP64 records, which agree with the classic one."""
    _sig, disk, offset, disks = _LOCATOR.unpack_from(tail, locator)
    at = locator - _END64.size
    if at < 0 or not tail.startswith(b"PK\x06\x06", at) or (disk, offset, disks) != (0, record, 1):
        raise InvalidArchive("its ZIP64 locator doesn't lead to the record before it")
    _sig, length_of_record, _made, _needed, *wide = _END64.unpack_from(tail, at)
    if length_of_record != _END64.size - 12:
        raise InvalidArchive("its ZIP64 end of directory has data of its own")
    saturated = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    if any(a not in (b, most) for a, b, most in zip(claims, wide, saturated, strict=True)):
        raise InvalidArchive("its ZIP64 end of directory contradicts the other one")
    disk, first_disk, here, members, length, start = wide
    if (disk, first_disk, here) != (0, 0, members):
        raise InvalidArchive("it is part of a zip of several disks")
    return members, length, start
