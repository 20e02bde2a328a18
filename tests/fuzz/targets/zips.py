"""Zips. The first byte says of which kind, how strictly they are checked, and whether the rest is
the file or a recipe: a good file whose records are changed one by one, which gets further than
bytes that don't know of checksums.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pypicloud_lite.archives import Checked, Checks, check_archive, read_core_metadata
from pypicloud_lite.errors import ODDITIES, InvalidArchive
from pypicloud_lite.names import FileName, parse_filename
from tests.fuzz.targets.cursor import Cursor
from tests.support.archives import (
    CENTRAL,
    END,
    LOCAL,
    MODE,
    Part,
    descriptor,
    extra,
    wheel_parts,
    zip64_end,
    zipped,
)
from tests.support.dists import metadata

WORDS = (
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08",
    b"\xff\xff\xff\xff", b"\xff\xff", b"\x01\x00", b"\x75\x70", b"demo-1.0.dist-info/", b"../",
    b"METADATA", b"RECORD", b"entry_points.txt", b"PKG-INFO", b"\x08\x00", b"/",
)  # fmt: skip
_RECIPE, _SDIST, _TOLERANT = 1, 2, 4
_WHEEL_NAME = parse_filename("demo-1.0-py3-none-any.whl")
_SDIST_NAME = parse_filename("demo-1.0.zip")
_LIMITS: dict[str, Any] = {"max_members": 50, "max_inflated": 1 << 20}
STRICT = Checks(**_LIMITS)
TOLERANT = Checks(**_LIMITS, tolerated=frozenset(ODDITIES))
_WIDE = frozenset({"crc", "compressed", "size", "attributes", "offset", "length", "start"})
_NAMES = (
    b"demo/x.py", b"demo/", b"demo/__init__.py", b"demo-1.0.dist-info/METADATA",
    b"demo-1.0.dist-info/entry_points.txt", b"demo-1.0.dist-info/RECORD.jws", b"demo-1.0/PKG-INFO",
    b"Demo-1.0.dist-info/METADATA", b"x-1.0.data/scripts/x", "ü".encode(),
)  # fmt: skip
_INTERESTING = (0, 1, 8, 20, 0x0800, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def seeds() -> dict[str, bytes]:
    wheel = zipped(wheel_parts())
    sdist = zipped(_sdist_parts())
    streamed = {"flags": 8, "behind": descriptor(b"__version__ = '1.0'\n")}
    recipes = {f"recipe-{kind}": bytes((_RECIPE, 0, 1, kind, 0, 1, 1, 4)) for kind in range(14)}
    return {
        "wheel": b"\0" + wheel,
        "sdist": bytes((_SDIST,)) + sdist,
        "tolerant": bytes((_TOLERANT,)) + wheel,
        "zip64": b"\0" + zipped(wheel_parts(), behind_directory=zip64_end()),
        "streamed": bytes((_TOLERANT,)) + zipped(wheel_parts(**streamed)),
        "comment": bytes((_TOLERANT,)) + zipped(wheel_parts(), comment=b"PK\5\6"),
        "not-a-zip": b"\0PK",
        "needs-25.5": b"\0" + zipped(wheel_parts(central={"needed": 255})),
        "recipe-member": bytes((_RECIPE, 1, 0, 1, 0, 0, 5)) + b"x = 1",
        "recipe-sdist": bytes((_RECIPE | _SDIST, 1, 0, 0, 0, 0, 5)) + b"x = 1",
    } | recipes


def check(data: bytes) -> None:
    flags, rest = (data[0], data[1:]) if data else (0, b"")
    name = _SDIST_NAME if flags & _SDIST else _WHEEL_NAME
    content = _made(Cursor(rest), name) if flags & _RECIPE else rest
    checks = TOLERANT if flags & _TOLERANT else STRICT
    checked = checked_or_refused(content, name, checks)
    if checked is not None:
        _check_accepted(content, name, checked, strict=checks is STRICT)


def checked_or_refused(content: bytes, name: FileName, checks: Checks) -> Checked | None:
    try:
        return check_archive(io.BytesIO(content), name, checks)
    except InvalidArchive as exc:
        assert name.filename in exc.message
        assert "\n" not in exc.message
        return None


def _check_accepted(content: bytes, name: FileName, checked: Checked, *, strict: bool) -> None:
    """Everyone who reads the archive finds the same in it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        members = {info.filename: archive.read(info) for info in infos}
    assert len(members) == len(infos)
    for path in members:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
    assert checked.core_metadata in members.values()
    assert read_core_metadata(io.BytesIO(content), name) == checked.core_metadata
    if strict:
        assert not checked.oddities
        assert dict(_streamed(content)) == members


def _streamed(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The members as one finds them who reads from the start and knows of no directory."""
    at = 0
    while content.startswith(b"PK\x03\x04", at):
        _needed, flags, method, _time, _date, _crc, *sizes, name_length, extra_length = (
            struct.unpack_from("<5H3L2H", content, at + 4)
        )
        compressed, size = sizes
        at += 30 + name_length
        name = content[at - name_length : at].decode("utf-8" if flags & 0x800 else "cp437")
        if 0xFFFFFFFF in sizes:
            wide = content.index(b"\x01\x00", at) + 4
            values = struct.unpack_from("<2Q" if compressed == size else "<Q", content, wide)
            compressed = values[-1] if compressed == 0xFFFFFFFF else compressed
        at += extra_length
        data = content[at : at + compressed]
        at += compressed
        if method == 8:
            stream = zlib.decompressobj(-15)
            data = stream.decompress(data)
            assert stream.eof
            assert not stream.unused_data
        yield name, data
    assert content.startswith(b"PK\x01\x02", at)


def _sdist_parts(*more: Part) -> list[Part]:
    return [Part(b"demo-1.0/PKG-INFO", metadata("demo", "1.0")), *more]


def _made(cursor: Cursor, name: FileName) -> bytes:
    """A file after a recipe."""
    more = [_part(cursor) for _number in range(cursor.number() % 4)]
    parts = wheel_parts(*more) if name.is_wheel else _sdist_parts(*more)
    around: dict[str, Any] = {}
    for _number in range(cursor.number() % 6):
        _change(cursor, parts, around)
    return zipped(parts, **around)


def _part(cursor: Cursor) -> Part:
    name = cursor.pick((*_NAMES, None)) or cursor.text()
    mode = cursor.pick((*MODE.values(), 0))
    method = cursor.pick((8, 0))
    content = b"" if name.endswith(b"/") else cursor.text()
    return Part(name, content, method, flags=0x800, mode=mode)


def _change(cursor: Cursor, parts: list[Part], around: dict[str, Any]) -> None:
    kind, at = cursor.number() % 14, cursor.number() % len(parts)
    part = parts[at]
    if kind == 0:
        parts[at] = replace(part, central=part.central | _fields(cursor, CENTRAL))
    elif kind == 1:
        parts[at] = replace(part, local=part.local | _fields(cursor, LOCAL))
    elif kind == 2:
        fields = _fields(cursor, LOCAL)
        parts[at] = replace(part, central=part.central | fields, local=part.local | fields)
    elif kind == 3:
        parts[at] = replace(part, name=cursor.pick(_NAMES))
    elif kind == 4:
        parts[at] = replace(part, local_name=cursor.text())
    elif kind == 5:
        field = extra(cursor.pick((1, 0x7075, 0x5455)), cursor.text())
        where = cursor.pick(
            (("central_extra",), ("local_extra",), ("central_extra", "local_extra"))
        )
        parts[at] = replace(part, **dict.fromkeys(where, field))
    elif kind == 6:
        behind = descriptor(part.content)[cursor.pick((0, 4)) :] + cursor.text()
        parts[at] = replace(part, flags=part.flags | 8, behind=behind)
    elif kind == 7:
        parts[at] = replace(part, in_file=False)
    elif kind == 8:
        parts[at] = replace(part, in_directory=False)
    elif kind == 9:
        around |= _fields(cursor, END)
    elif kind == 10:
        around[cursor.pick(("prefix", "comment", "suffix"))] = cursor.text()
    elif kind == 11:
        parts[at] = replace(part, data=cursor.text())
    elif kind == 12:
        parts.append(part)
    else:
        fields = _fields(cursor, ("offset", "disks", "here", "members", "length", "start"))
        around["behind_directory"] = zip64_end(**fields if cursor.number() else {})


def _fields(cursor: Cursor, names: tuple[str, ...]) -> dict[str, int]:
    name = cursor.pick(names)
    value = cursor.pick((*_INTERESTING, None))
    if value is None:
        value = cursor.number(4)
    return {name: value & (0xFFFFFFFF if name in _WIDE else 0xFFFF)}
