"""The entries of a zip's directory (APPNOTE.TXT 4.3.12, 4.5)."""

from __future__ import annotations

import stat
import struct
import zlib
from dataclasses import dataclass

from pypicloud_lite.archives.checks import Oddities
from pypicloud_lite.archives.paths import check_path, shown
from pypicloud_lite.errors import InvalidArchive

#: Without signature, version made by, time and internal attributes.
_CENTRAL = struct.Struct("<6xBx2H4x3L4H2x2L")
_EXTRA = struct.Struct("<2H")
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_SATURATED = 0xFFFFFFFF

STORED, DEFLATED = 0, 8
#: The member's sizes and CRC follow its data.
STREAMED = 1 << 3
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_UTF8 = 1 << 11
#: How hard the compressor tried; says nothing to who inflates.
COMPRESSOR_FLAGS = 0b110
#: The newest version of the format, 6.3; zipfile opens no archive with a member that needs more.
_NEWEST = 63
_KNOWN_FLAGS = COMPRESSOR_FLAGS | STREAMED | _UTF8


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of a member."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    #: Bytes, before and after inflating.
    compressed: int
    size: int
    #: Where its local header begins.
    offset: int


def read_entries(
    directory: bytes, members: int, longest_path: int, oddities: Oddities
) -> list[Entry]:
    """Read a directory that has exactly this many members.

    Raises:
        InvalidArchive: it has not, or one of them is unsafe or can be read in two ways.
    """
    entries: list[Entry] = []
    names: set[str] = set()
    at = 0
    while at < len(directory):
        if len(entries) == members or not directory.startswith(b"PK\x01\x02", at):
            raise InvalidArchive("its directory holds something else than its members")
        entry, at = _read_entry(directory, at, oddities)
        check_path(entry.name.removesuffix("/"), longest_path)
        if entry.name.removesuffix("/") in names:
            raise InvalidArchive(f"it has the member {shown(entry.name)} more than once")
        names.add(entry.name.removesuffix("/"))
        entries.append(entry)
    if len(entries) != members:
        raise InvalidArchive("its directory has fewer members than it says")
    return entries


def _read_entry(directory: bytes, at: int, oddities: Oddities) -> tuple[Entry, int]:
    fields = _CENTRAL.unpack_from(directory, at)
    needed, flags, method, crc, compressed, size, *lengths, disk, attributes, offset = fields
    name_length, extra_length, comment_length = lengths
    at += _CENTRAL.size
    raw_name = directory[at : at + name_length]
    at += name_length
    extra = directory[at : at + extra_length]
    at += extra_length + comment_length
    if at > len(directory):
        raise InvalidArchive("its directory is truncated")
    name = _decode(raw_name, flags, oddities)
    _check_features(name, needed, flags, method, oddities)
    _check_type(name, attributes >> 16, size)
    if disk != 0:
        raise InvalidArchive("it is part of a zip of several disks")
    if comment_length:
        oddities.note("framing", f"the member {shown(name)} has a comment")
    size, compressed, offset = resolve(extra, raw_name, (size, compressed, offset))
    if method == STORED and size != compressed:
        raise InvalidArchive(f"the member {shown(name)} has two sizes")
    return Entry(name, raw_name, flags, method, crc, compressed, size, offset), at


def _decode(raw_name: bytes, flags: int, oddities: Oddities) -> str:
    if flags & _UTF8:
        return raw_name.decode("utf-8")
    if not raw_name.isascii():
        oddities.note("framing", f"the name of the member {shown(repr(raw_name))} isn't UTF-8")
    return raw_name.decode("cp437")


def _check_features(name: str, needed: int, flags: int, method: int, oddities: Oddities) -> None:
    if flags & _ENCRYPTED:
        raise InvalidArchive(f"the member {shown(name)} is encrypted")
    if flags & ~_KNOWN_FLAGS or needed > _NEWEST:
        raise InvalidArchive(f"the member {shown(name)} needs features that installers lack")
    if method not in (STORED, DEFLATED):
        raise InvalidArchive(
            f"the member {shown(name)} is compressed by method {method}; installers know only "
            "stored and deflated"
        )
    if flags & STREAMED:
        oddities.note("framing", f"the member {shown(name)} has a data descriptor")


def _check_type(name: str, mode: int, size: int) -> None:
    kind = stat.S_IFMT(mode)
    is_folder = name.endswith("/")
    if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG) or (is_folder and size):
        raise InvalidArchive(f"the member {shown(name)} is neither a file nor a folder")


def resolve(extra: bytes, raw_name: bytes, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes (and offset) of a header, with those in its extra fields.

    Raises:
        InvalidArchive: the extra fields are malformed, or say another name.
    """
    if not extra and _SATURATED not in sizes:
        return sizes
    fields = _extra_fields(extra)
    wide = fields.get(_ZIP64, b"")
    count = sizes.count(_SATURATED)
    if len(wide) != 8 * count:
        raise InvalidArchive("a ZIP64 field hasn't the length that it should have")
    other_name = fields.get(_UNICODE_PATH)
    if (
        other_name is not None
        and other_name != b"\x01" + struct.pack("<L", zlib.crc32(raw_name)) + raw_name
    ):
        raise InvalidArchive(f"the member {shown(repr(raw_name))} has two names")
    values = iter(struct.unpack(f"<{count}Q", wide))
    return tuple(next(values) if size == _SATURATED else size for size in sizes)


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        if at + _EXTRA.size > len(extra):
            raise InvalidArchive("a member has an extra field that is truncated")
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if at + length > len(extra) or kind in fields:
            raise InvalidArchive("a member has an extra field that is truncated, or twice")
        fields[kind] = extra[at : at + length]
        at += length
    return fields
