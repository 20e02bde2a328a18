"""Zips: every byte of the file belongs to one member or to the directory, and both agree.

Some installers read a zip by its directory and others from its start; they must find the same.
The layout of the records is that of APPNOTE.TXT 6.3.10, section 4.3.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import IO

from pypicloud_lite.archives.checks import Checks, Oddities
from pypicloud_lite.archives.paths import shown
from pypicloud_lite.archives.reading import ReadAt, reader
from pypicloud_lite.archives.zipend import find_directory
from pypicloud_lite.archives.zipentries import (
    COMPRESSOR_FLAGS,
    DEFLATED,
    STREAMED,
    Entry,
    read_entries,
    resolve,
)
from pypicloud_lite.errors import InvalidArchive

#: Without signature, version and time.
_LOCAL = struct.Struct("<6x2H4x3L2H")
#: Data descriptors by their length: 32 or 64 bits, without or with a signature.
_DESCRIPTORS = {12: "<3L", 16: "<4x3L", 20: "<L2Q", 24: "<4xL2Q"}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a zip that the directory and its own header agree on."""

    name: str
    deflated: bool
    crc: int
    #: Where its data begins.
    start: int
    #: Bytes, before and after inflating.
    compressed: int
    size: int

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder."""
        return self.name.endswith("/")


def walk_zip(file: IO[bytes], checks: Checks, oddities: Oddities) -> dict[str, Member]:
    """All members by name, in the order of the file, after a check of the whole framing.

    Nothing is inflated.

    Raises:
        InvalidArchive: the zip can be read in more than one way, or holds what none should.
    """
    file_size = file.seek(0, os.SEEK_END)
    directory = find_directory(file, oddities)
    if directory.members > checks.max_members:
        raise InvalidArchive(f"it has more than {checks.max_members} members")
    file.seek(directory.start)
    content = file.read(directory.end - directory.start)
    entries = read_entries(content, directory.members, checks.max_path, oddities)
    total, most = sum(entry.size for entry in entries), checks.inflated_from(file_size)
    if total > most:
        raise InvalidArchive(f"it inflates to {total} bytes, which is more than {most}")
    entries.sort(key=lambda entry: entry.offset)
    ends = [*(entry.offset for entry in entries), directory.start]
    if ends[0] != 0:
        raise InvalidArchive("data lies before its first member")
    read_at = reader(file)
    members = (
        _read_local(read_at, entry, end) for entry, end in zip(entries, ends[1:], strict=True)
    )
    return {member.name: member for member in members}


def _read_local(read_at: ReadAt, entry: Entry, end: int) -> Member:
    """The member whose local header is at the entry's offset, and that ends at ``end``."""
    header = read_at(entry.offset, _LOCAL.size + len(entry.raw_name))
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise InvalidArchive(f"the member {shown(entry.name)} isn't where the directory says")
    flags, method, crc, compressed, size, name_length, extra_length = _LOCAL.unpack_from(header)
    raw_name = header[_LOCAL.size :]
    if name_length != len(raw_name):
        raise InvalidArchive(f"the header of {shown(entry.name)} contradicts the directory")
    extra = read_at(entry.offset + len(header), extra_length) if extra_length else b""
    size, compressed = resolve(extra, raw_name, (size, compressed))
    said = (crc, compressed, size)
    expected = (entry.crc, entry.compressed, entry.size)
    if (
        (raw_name, method) != (entry.raw_name, entry.method)
        or (flags ^ entry.flags) & ~COMPRESSOR_FLAGS
        or (said != expected and not (flags & STREAMED and said == (0, 0, 0)))
    ):
        raise InvalidArchive(f"the header of {shown(entry.name)} contradicts the directory")
    start = entry.offset + _LOCAL.size + name_length + extra_length
    after = start + entry.compressed
    if flags & STREAMED:
        after += _descriptor_length(read_at, entry, after, end)
    if after != end:
        what = "overlaps the next" if after > end else "is followed by data of no member"
        raise InvalidArchive(f"the member {shown(entry.name)} {what}")
    deflated = entry.method == DEFLATED
    return Member(entry.name, deflated, entry.crc, start, entry.compressed, entry.size)


def _descriptor_length(read_at: ReadAt, entry: Entry, at: int, end: int) -> int:
    """The length of the data descriptor that fills the place up to ``end``."""
    if entry.method != DEFLATED and entry.size:
        # Who reads from the start can't tell where it ends.
        raise InvalidArchive(f"the member {shown(entry.name)} is stored without its size")
    layout = _DESCRIPTORS.get(end - at)
    if layout is not None:
        content = read_at(at, end - at)
        values = struct.unpack(layout, content)
        signed = "x" not in layout or content.startswith(b"PK\x07\x08")
        if signed and values == (entry.crc, entry.compressed, entry.size):
            return end - at
    raise InvalidArchive(f"the data descriptor of {shown(entry.name)} contradicts the directory")
