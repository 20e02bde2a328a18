"""Archives built byte by byte, so that each record can say something else than it should."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.dists import metadata, record_hash

END = ("disk", "first_disk", "here", "members", "length", "start", "comment_length")
LOCAL = ("needed", "flags", "method", "time", "date", "crc", "compressed", "size")
LOCAL += ("name_length", "extra_length")
CENTRAL = ("made", *LOCAL, "comment_length", "disk", "internal", "attributes", "offset")
MODE = {"file": 0o100644, "folder": 0o040755, "symlink": 0o120777}


@dataclass(frozen=True)
class Part:
    """A member of a zip; ``central`` and ``local`` override fields of its records."""

    name: bytes
    content: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = MODE["file"]
    comment: bytes = b""
    central_extra: bytes = b""
    local_extra: bytes = b""
    local_name: bytes | None = None
    #: What follows the data.
    behind: bytes = b""
    #: The data itself, if it isn't the content compressed.
    data: bytes | None = None
    in_file: bool = True
    in_directory: bool = True
    central: dict[str, int] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)

    @property
    def packed(self) -> bytes:
        if self.data is not None:
            return self.data
        return deflate(self.content) if self.method == 8 else self.content

    @property
    def fields(self) -> dict[str, int]:
        return {
            "made": 3 << 8 | 20,
            "needed": 20,
            "flags": self.flags,
            "method": self.method,
            "time": 0,
            "date": 0x5821,
            "crc": zlib.crc32(self.content),
            "compressed": len(self.packed),
            "size": len(self.content),
            "disk": 0,
            "internal": 0,
            "attributes": self.mode << 16,
        }

    def local_record(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        values = self.fields | {"name_length": len(name), "extra_length": len(self.local_extra)}
        head = struct.pack("<4s5H3L2H", b"PK\x03\x04", *_pick(LOCAL, values | self.local))
        return head + name + self.local_extra + self.packed + self.behind

    def central_record(self, offset: int) -> bytes:
        lengths = {
            "name_length": len(self.name),
            "extra_length": len(self.central_extra),
            "comment_length": len(self.comment),
            "offset": offset,
        }
        values = self.fields | lengths | self.central
        head = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *_pick(CENTRAL, values))
        return head + self.name + self.central_extra + self.comment


def zipped(
    parts: Sequence[Part],
    *,
    prefix: bytes = b"",
    behind_directory: Callable[[int, int, int], bytes] = lambda *_: b"",
    comment: bytes = b"",
    suffix: bytes = b"",
    **end: int,
) -> bytes:
    """A zip of these members; ``end`` overrides fields of its last record.

    Args:
        behind_directory: makes what comes before the last record, out of the number of members,
            the start of the directory and its end.
    """
    body, directory, members = prefix, b"", 0
    for part in parts:
        if part.in_directory:
            directory += part.central_record(len(body) - len(prefix))
            members += 1
        if part.in_file:
            body += part.local_record()
    start = len(body) - len(prefix)
    values = {
        "disk": 0,
        "first_disk": 0,
        "here": members,
        "members": members,
        "length": len(directory),
        "start": start,
        "comment_length": len(comment),
    }
    more = behind_directory(members, start, len(body) + len(directory))
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", *_pick(END, values | end))
    return body + directory + more + last + comment + suffix


def zip64_end(
    *, offset: int = 0, disks: int = 1, more: bytes = b"", **other: int
) -> Callable[[int, int, int], bytes]:
    """The two ZIP64 records; ``offset`` is added to the right one."""

    def make(members: int, start: int, end: int) -> bytes:
        values = {"here": members, "members": members, "length": end - start, "start": start}
        wide = [(values | other)[name] for name in ("here", "members", "length", "start")]
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44 + len(more), 45, 45, 0, 0, *wide)
        return record + more + struct.pack("<4sLQL", b"PK\x06\x07", 0, end + offset, disks)

    return make


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def descriptor(content: bytes, **changes: int) -> bytes:
    values = {"crc": zlib.crc32(content), "compressed": len(deflate(content)), "size": len(content)}
    return b"PK\x07\x08" + struct.pack("<3L", *(values | changes).values())


def extra(kind: int, content: bytes) -> bytes:
    return struct.pack("<2H", kind, len(content)) + content


def _pick(names: Sequence[str], values: dict[str, int]) -> list[int]:
    return [values[name] for name in names]


def wheel_parts(
    *more: Part,
    files: dict[str, bytes] | None = None,
    record: Callable[[str], str] = lambda text: text,
    dist_info: str = "demo-1.0.dist-info",
    **changes: Any,
) -> list[Part]:
    """The members of a good wheel of demo 1.0, and more of them.

    Args:
        files: added, or with an empty name to leave one of .dist-info out.
        record: changes the text of RECORD, which is right for all of the rest.
        changes: of the first member.
    """
    members = {
        "demo/__init__.py": b"__version__ = '1.0'\n",
        f"{dist_info}/METADATA": metadata("demo", "1.0", "Summary: A demo"),
        f"{dist_info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nTag: py3-none-any\n",
        **(files or {}),
    }
    parts = [Part(name.encode(), content) for name, content in members.items()]
    parts[0] = replace(parts[0], **changes)
    parts += more
    lines = "".join(
        f"{part.name.decode('latin-1')},sha256={record_hash(part.content)},{len(part.content)}\n"
        for part in parts
        if not part.name.endswith(b"/")
    )
    name = f"{dist_info}/RECORD"
    return [*parts, Part(name.encode(), record(f"{lines}{name},,\n").encode())]


def without(parts: Sequence[Part], name: str) -> list[Part]:
    """These members but for one."""
    return [part for part in parts if part.name != name.encode()]


def tar_header(
    name: str | bytes,
    size: int | bytes = 0,
    kind: bytes = b"0",
    link: str = "",
    *,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: int | None = None,
) -> bytes:
    """One header block."""
    raw_name = name.encode() if isinstance(name, str) else name
    raw_size = b"%011o\0" % size if isinstance(size, int) else size
    block = b"".join(
        (
            raw_name.ljust(100, b"\0"),
            b"0000644".ljust(24, b"\0"),
            raw_size,
            b"14544144400\0",
            b" " * 8,
            kind,
            link.encode().ljust(100, b"\0"),
            magic,
            bytes(80),
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    total = sum(block) if checksum is None else checksum
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def tar_file(name: str | bytes, content: bytes = b"", **changes: Any) -> bytes:
    """A header and its data."""
    return tar_header(name, len(content), **changes) + padded(content)


def pax(*records: tuple[str, str], kind: bytes = b"x") -> bytes:
    """An extended header for the member that follows it."""
    content = b"".join(pax_record(keyword, value) for keyword, value in records)
    return tar_file("PaxHeader", content, kind=kind)


def pax_record(keyword: str, value: str) -> bytes:
    rest = f" {keyword}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def sdist_tar(*more: bytes, end: bytes = bytes(1024), core: bytes | None = None) -> bytes:
    """The tar of a good sdist of demo 1.0, and more members."""
    core = metadata("demo", "1.0", "Summary: A demo") if core is None else core
    return b"".join((tar_file("demo-1.0/PKG-INFO", core), *more, end))


def sdist_gz(*more: bytes, **changes: Any) -> bytes:
    """The same, compressed."""
    return gzip.compress(sdist_tar(*more, **changes), mtime=0)
