"""What is in the members of a zip, verified against its directory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import IO

from pypicloud_lite.archives.inflate import RAW, inflated
from pypicloud_lite.archives.paths import shown
from pypicloud_lite.archives.reading import ReadAt, reader
from pypicloud_lite.archives.zips import Member
from pypicloud_lite.errors import InvalidArchive

_PIECE = 1 << 18
#: Members up to this size are inflated at once, in bytes.
_SMALL = 1 << 18


def content(read_at: ReadAt, member: Member) -> Iterator[bytes]:
    """The content of a member in pieces of at most a mebibyte, verified at its end.

    Raises:
        InvalidArchive: its size or CRC isn't what the directory says.
    """
    whole = at_once(read_at, member)
    return _pieces(read_at, member) if whole is None else iter((whole,))


def at_once(read_at: ReadAt, member: Member) -> bytes | None:
    """The content of a small member in one piece; ``None`` where :func:`content` must look."""
    if max(member.compressed, member.size) > _SMALL:
        return None
    data = read_at(member.start, member.compressed)
    if member.deflated:
        stream = zlib.decompressobj(RAW)
        try:
            data = stream.decompress(data, member.size + 1)
        except zlib.error:
            return None
        if stream.unused_data or not stream.eof:
            return None
    return data if (len(data), zlib.crc32(data)) == (member.size, member.crc) else None


def _pieces(read_at: ReadAt, member: Member) -> Iterator[bytes]:
    start, left, size, crc = member.start, member.compressed, 0, 0

    def read(most: int) -> bytes:
        nonlocal start, left
        data = read_at(start, min(most, left))
        start += len(data)
        left -= len(data)
        return data

    stream = _inflated(read) if member.deflated else iter(lambda: read(_PIECE), b"")
    for piece in stream:
        size += len(piece)
        if size > member.size:
            break
        crc = zlib.crc32(piece, crc)
        yield piece
    if (size, crc, left) != (member.size, member.crc, 0):
        raise InvalidArchive(f"the member {shown(member.name)} isn't what the directory says")


def _inflated(read: Callable[[int], bytes]) -> Iterator[bytes]:
    rest = yield from inflated(read, RAW)
    if rest:
        raise InvalidArchive("data lies between two members")


def read_member(file: IO[bytes], member: Member, most: int) -> bytes:
    """The whole content of a small member.

    Args:
        most: bytes.

    Raises:
        InvalidArchive: it is larger, or broken.
    """
    if member.size > most:
        raise InvalidArchive(f"the member {shown(member.name)} is larger than {most} bytes")
    return b"".join(content(reader(file), member))
