"""Archives that no installer should be given, and that no index should serve."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import logging
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pypicloud_lite.app import make_app
from pypicloud_lite.archives import Checked, Checks, check_archive
from pypicloud_lite.errors import ODDITIES, InvalidArchive, Oddity
from pypicloud_lite.names import parse_filename
from tests.conftest import Client, close
from tests.support.archives import (
    MODE,
    Part,
    deflate,
    descriptor,
    extra,
    pax,
    sdist_gz,
    sdist_tar,
    tar_file,
    tar_header,
    wheel_parts,
    without,
    zip64_end,
    zipped,
)
from tests.support.dists import metadata, sdist, wheel
from tests.support.server import app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"
ZIP = "demo-1.0.zip"
RECORD = b"demo-1.0.dist-info/RECORD"
NONE = 0xFFFFFFFF
V1_JSON = "application/vnd.pypi.simple.v1+json"
OTHER = b"demo/other.py"


def case(
    identifier: str,
    says: str,
    make: Callable[[], bytes],
    filename: str = WHEEL,
    *,
    code: str = "invalid-archive",
) -> object:
    return pytest.param(filename, make, says, code, id=identifier)


def good_sdist_zip(*more: Part) -> bytes:
    return zipped([Part(b"demo-1.0/PKG-INFO", metadata("demo", "1.0")), *more])


def first(**changes: object) -> Callable[[], bytes]:
    """A wheel whose first member is changed."""
    return lambda: zipped(wheel_parts(**changes))


def member(name: bytes) -> Callable[[], bytes]:
    """A wheel with one more member, which RECORD knows."""
    return lambda: zipped(wheel_parts(Part(name)))


def tarred(*more: bytes, **changes: object) -> Callable[[], bytes]:
    return lambda: sdist_gz(*more, **changes)


def record(change: Callable[[str], str]) -> Callable[[], bytes]:
    return lambda: zipped(wheel_parts(record=change))


def unstored(name: str) -> Callable[[], bytes]:
    return lambda: zipped(without(wheel_parts(), f"demo-1.0.dist-info/{name}"))


def scripts(name: str) -> Callable[[], bytes]:
    text = f"[console_scripts]\n{name} = demo:main\n".encode()
    return lambda: zipped(wheel_parts(files={"demo-1.0.dist-info/entry_points.txt": text}))


def polyglot_zip() -> bytes:
    """A wheel whose first local header is also the header of a tar."""
    padding = extra(0x9999, bytes(512))
    content = bytearray(zipped(wheel_parts(local_extra=padding)))
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    return bytes(content)


def polyglot_gzip() -> bytes:
    """An sdist whose gzip header holds a zip, the rest of the file being its comment."""
    packed = gzip.compress(sdist_tar(), mtime=0)
    behind = packed[10:]
    header = b"\x1f\x8b\x08\x04" + packed[4:10]
    inner = good_sdist_zip()[:-2] + struct.pack("<H", len(behind))
    return header + struct.pack("<H", len(inner)) + inner + behind


def bomb() -> bytes:
    """90 KB that would inflate to 90 MB."""
    return zipped(wheel_parts(Part(b"demo/bomb", bytes(90 << 20))))


def overlapping() -> bytes:
    """A member whose data is the whole of the next one."""
    inner = Part(b"demo/b.py", b"b", method=0)
    length = len(inner.local_record())
    outer = Part(
        b"demo/a.py",
        inner.local_record(),
        method=0,
        data=b"",
        central={"compressed": length},
        local={"compressed": length},
    )
    return zipped(wheel_parts(outer, inner))


def another_order() -> bytes:
    """A wheel whose directory is sorted by another key than its data."""
    parts = wheel_parts(Part(b"demo/a.py", b"a"))
    starts = [sum(len(other.local_record()) for other in parts[:at]) for at in range(len(parts))]
    body = [replace(part, in_directory=False) for part in parts]
    listed = [
        replace(part, in_file=False, central={"offset": start})
        for part, start in zip(parts, starts, strict=True)
    ]
    return zipped([*body, *reversed(listed)])


def unicode_path(name: bytes, other: bytes | None = None) -> bytes:
    """The extra field of Info-ZIP with a name, or another one."""
    checksum = struct.pack("<L", zlib.crc32(name))
    return extra(0x7075, b"\x01" + checksum + (other or name))


def unicode_name() -> bytes:
    parts = wheel_parts(
        Part("demo/é.txt".encode(), flags=1 << 11),
        record=lambda text: text.encode("latin-1").decode(),
    )
    return zipped(parts)


def million_lines() -> str:
    return "".join(f"{n:x},,\n" for n in range(10**6))


def base256(number: int) -> bytes:
    return (number & (1 << 96) - 1).to_bytes(12, "big")


ZIP_FRAMING = [
    case("A01-text", "not a zip", lambda: b"not a zip"),
    case("A01-truncated", "truncated", lambda: wheel()[:-30]),
    case("A02-zip-that-is-a-tar", "both a zip and a tar", polyglot_zip),
    case("A02-tar-that-is-a-zip", "both a zip and a tar", polyglot_gzip, SDIST),
    case("A02-tar-before-a-zip", "before its first member", lambda: sdist_tar() + wheel()),
    case("A03-trailing-data", "follows its end", lambda: wheel() + b"x"),
    case("A03-trailing-zip", "before its first", lambda: wheel() + good_sdist_zip()),
    case(
        "A03-comment-holding-a-zip",
        "more than one end",
        lambda: zipped(wheel_parts(), comment=good_sdist_zip()),
    ),
    case(
        "A03-comment-holding-an-end-record",
        "more than one end",
        lambda: zipped(wheel_parts(), comment=good_sdist_zip() + b"x"),
    ),
    case(
        "A03-comment",
        "archive comment",
        lambda: zipped(wheel_parts(), comment=b"hi"),
        code="odd-framing",
    ),
    case("A03-comment-of-a-member", "has a comment", first(comment=b"hi"), code="odd-framing"),
    case("A04-prefix", "before its first", lambda: b"#!/bin/sh\n" + wheel()),
    case(
        "A04-prefix-with-fitting-offset",
        "before its first",
        lambda: zipped([Part(b"x", in_directory=False), *wheel_parts()]),
    ),
    case(
        "A05-duplicate-in-directory",
        "more than once",
        lambda: zipped(wheel_parts(Part(OTHER, b"a"), Part(OTHER, b"b"))),
    ),
    case(
        "A05-file-and-folder-of-one-name",
        "more than once",
        lambda: zipped(wheel_parts(Part(OTHER), Part(OTHER + b"/", mode=MODE["folder"], method=0))),
    ),
    case(
        "A06-duplicate-in-local-headers",
        "data of no member",
        lambda: zipped(wheel_parts(Part(OTHER, b"a"), Part(OTHER, b"b", in_directory=False))),
    ),
    case(
        "A07-local-without-directory",
        "data of no member",
        lambda: zipped(wheel_parts(Part(b"demo/deleted.py", b"a", in_directory=False))),
    ),
    case(
        "A08-directory-without-local",
        "isn't where the directory says",
        lambda: zipped([*wheel_parts(), Part(b"demo/ghost.py", b"", in_file=False)]),
    ),
    case(
        "A08-claims-more-members", "fewer members", lambda: zipped(wheel_parts(), here=9, members=9)
    ),
    case(
        "A08-claims-fewer-members",
        "something else than its members",
        lambda: zipped(wheel_parts(), here=1, members=1),
    ),
    case("A09-local-name-differs", "contradicts", first(local_name=b"evil/__init__.py")),
    case(
        "A09-unicode-path-differs",
        "two names",
        first(central_extra=unicode_path(b"demo/__init__.py", b"evil.py")),
    ),
    case(
        "A09-unicode-path-differs-in-local-header",
        "two names",
        first(local_extra=unicode_path(b"demo/__init__.py", b"evil.py")),
    ),
    case(
        "A09-name-not-utf8", "utf-8", lambda: zipped(wheel_parts(Part(b"demo/\xff", flags=1 << 11)))
    ),
    case(
        "A09-name-of-an-unknown-encoding",
        "isn't UTF-8",
        lambda: zipped(
            wheel_parts(Part("demo/é".encode("cp437")), record=lambda t: t.replace("\x82", "é"))
        ),
        code="odd-framing",
    ),
    case("A10-local-size-differs", "contradicts", first(local={"size": 5})),
    case("A10-local-compressed-size-differs", "contradicts", first(local={"compressed": 5})),
    case("A10-local-crc-differs", "contradicts", first(local={"crc": 5})),
    case("A10-local-method-differs", "contradicts", first(local={"method": 0})),
    case(
        "A10-both-sizes-wrong",
        "isn't what the directory says",
        first(central={"size": 9}, local={"size": 9}),
    ),
    case(
        "A10-both-crcs-wrong",
        "isn't what the directory says",
        first(central={"crc": 9}, local={"crc": 9}),
    ),
    case("A10-two-sizes-of-a-stored-member", "two sizes", first(method=0, central={"size": 9})),
    case(
        "A10-data-behind-a-compressed-stream",
        "between two members",
        first(content=b"a", data=deflate(b"a") + b"hidden"),
    ),
    case(
        "A10-compressed-stream-without-end",
        "truncated",
        first(content=b"a" * 99, data=deflate(b"a" * 99)[:-1]),
    ),
    case(
        "A11-data-descriptor",
        "data descriptor",
        first(
            content=b"a",
            flags=8,
            behind=descriptor(b"a"),
            local={"crc": 0, "compressed": 0, "size": 0},
        ),
        code="odd-framing",
    ),
    case(
        "A12-zip64-too-short",
        "ZIP64 field",
        first(central_extra=extra(1, bytes(4)), central={"size": 0xFFFFFFFF}),
    ),
    case(
        "A12-zip64-too-long",
        "ZIP64 field",
        first(central_extra=extra(1, bytes(16)), central={"size": 0xFFFFFFFF}),
    ),
    case("A12-zip64-not-needed", "ZIP64 field", first(local_extra=extra(1, bytes(8)))),
    case("A12-zip64-missing", "ZIP64 field", first(central={"size": 0xFFFFFFFF})),
    case("A12-zip64-twice", "twice", first(central_extra=extra(1, b"") * 2)),
    case("A12-extra-field-truncated", "truncated", first(central_extra=extra(1, b"")[:3])),
    case("A12-extra-field-too-long", "truncated", first(local_extra=struct.pack("<2H", 9, 9))),
    case(
        "A13-locator-leads-elsewhere",
        "locator",
        lambda: zipped(wheel_parts(), behind_directory=zip64_end(offset=-1)),
    ),
    case(
        "A13-records-contradict",
        "contradicts",
        lambda: zipped(wheel_parts(), behind_directory=zip64_end(members=3, here=3)),
    ),
    case(
        "A13-records-contradict-in-the-start",
        "contradicts",
        lambda: zipped(wheel_parts(), behind_directory=zip64_end(start=0)),
    ),
    case(
        "A13-records-missing",
        "around its directory",
        lambda: zipped(wheel_parts(), start=0xFFFFFFFF),
    ),
    case(
        "A14-extensible-data",
        "locator",
        lambda: zipped(wheel_parts(), behind_directory=zip64_end(more=b"x" * 8)),
    ),
    case(
        "A14-extensible-data-that-fits",
        "data of its own",
        lambda: zipped(
            wheel_parts(),
            behind_directory=lambda *at: zip64_end()(*at).replace(
                struct.pack("<Q", 44), struct.pack("<Q", 45), 1
            ),
        ),
    ),
    case("A15-another-disk", "several disks", lambda: zipped(wheel_parts(), disk=1)),
    case(
        "A15-directory-on-another-disk",
        "several disks",
        lambda: zipped(wheel_parts(), first_disk=1),
    ),
    case("A15-members-on-another-disk", "several disks", lambda: zipped(wheel_parts(), here=1)),
    case("A15-a-member-on-another-disk", "several disks", first(central={"disk": 1})),
    case(
        "A15-zip64-of-two-disks",
        "locator",
        lambda: zipped(wheel_parts(), behind_directory=zip64_end(disks=2)),
    ),
    case("A16-encrypted", "encrypted", first(flags=1)),
    case("A16-strongly-encrypted", "encrypted", first(flags=1 << 6)),
    case("A16-encrypted-directory", "encrypted", first(flags=1 << 13)),
    case("A16-encrypted-in-local-header", "contradicts", first(local={"flags": 1})),
    case("A16-patched-data", "features", first(flags=1 << 5)),
    *(
        case(f"A17-{name}", f"method {method}", first(method=method, data=b"x"))
        for name, method in (("deflate64", 9), ("bzip2", 12), ("lzma", 14), ("zstd", 93))
    ),
    case("A18-bomb", "inflates to", bomb),
    case(
        "A18-bomb-that-understates-its-size",
        "isn't what the directory says",
        lambda: zipped(
            wheel_parts(Part(b"demo/bomb", bytes(90 << 20), central={"size": 9}, local={"size": 9}))
        ),
    ),
    case("A19-overlapping", "overlaps", overlapping),
    case(
        "A19-one-header-for-two-members",
        "overlaps",
        lambda: zipped(
            wheel_parts(Part(b"demo/two.py", b"", in_file=False, central={"offset": 0}))
        ),
    ),
    case(
        "A20-four-gigabytes-in-a-small-file",
        "overlaps",
        first(central={"compressed": 0xFFFFFFFE}, local={"compressed": 0xFFFFFFFE}),
    ),
    case("A20-size-of-the-directory", "directory is larger", lambda: zipped([], length=0xFFFFFFFE)),
    case(
        "A21-huge-metadata",
        "larger than",
        lambda: wheel(core=metadata("demo", "1.0", body="x" * (50 << 20))),
    ),
    case(
        "A21-huge-metadata-that-is-a-bomb",
        "inflates to",
        lambda: wheel(core=metadata("demo", "1.0", body="x" * (300 << 20))),
    ),
    case("A21-huge-record", "larger than", record(lambda text: text + "\n" * (17 << 20))),
    case(
        "A22-a-million-members",
        "more than 100000 members",
        lambda: zipped(
            [], behind_directory=zip64_end(members=10**6, here=10**6), here=0xFFFF, members=0xFFFF
        ),
    ),
]

PATHS = {
    "parent": "../evil.py",
    "parent-inside": "demo/../../evil.py",
    "parent-that-stays": "demo/../evil.py",
    "absolute": "/etc/evil",
    "drive": "C:/evil.py",
    "drive-relative": "C:evil.py",
    "backslash": "..\\evil.py",
    "backslash-inside": "demo\\..\\..\\evil.py",
    "empty-part": "demo//evil.py",
    "dot": "demo/./evil.py",
    "control": "demo/a\nb.py",
    "escape": "demo/\x1b[2J.py",
    "c1-control": "demo/\x9b2J.py",
    "long-part": "demo/" + "x" * 256,
    "long-path": "demo/" + "x/" * 600 + "x",
}

WHEELS = [
    *(
        case(
            f"A23-{name}",
            "path",
            lambda path=path: zipped(wheel_parts(Part(path.encode(), flags=1 << 11))),
        )
        for name, path in PATHS.items()
    ),
    case("A23-empty-name", "unsafe path", member(b"")),
    case("A23-nul", "unsafe path", member(b"demo/a\0.py")),
    case("A23-slash", "neither a file nor a folder", member(b"/")),
    case("A23-in-an-sdist", "unsafe path", lambda: good_sdist_zip(Part(b"demo-1.0/../x")), ZIP),
    case("A24-symlink", "neither a file nor a folder", first(mode=MODE["symlink"])),
    case("A24-device", "neither a file nor a folder", first(mode=0o020666)),
    case(
        "A24-folder-with-content",
        "neither a file",
        lambda: zipped(wheel_parts(Part(b"demo/x/", b"a", mode=MODE["folder"]))),
    ),
    case("A24-folder-by-its-mode-only", "neither a file", first(mode=MODE["folder"])),
    case("A25-two-dist-infos", "2 .dist-info", member(b"other-1.0.dist-info/METADATA")),
    case("A25-case-twin", "2 .dist-info", member(b"demo-1.0.DIST-INFO/METADATA")),
    case(
        "A25-only-upper-case",
        "another project",
        lambda: zipped(wheel_parts(dist_info="demo-1.0.DIST-INFO")),
    ),
    case(
        "A25-other-name",
        "another project",
        lambda: zipped(wheel_parts(dist_info="other-1.0.dist-info")),
    ),
    case(
        "A25-other-version",
        "another project or version",
        lambda: zipped(wheel_parts(dist_info="demo-2.0.dist-info")),
    ),
    case("A25-no-dist-info", "0 .dist-info", lambda: zipped([Part(b"demo.py")])),
    case("A25-empty", "0 .dist-info", lambda: zipped([])),
    case("A25-no-metadata", "no demo-1.0.dist-info/METADATA", unstored("METADATA")),
    case("A25-no-wheel-file", "no demo-1.0.dist-info/WHEEL", unstored("WHEEL")),
    case(
        "A25-wheel-of-the-future",
        "Wheel-Version",
        lambda: zipped(wheel_parts(files={"demo-1.0.dist-info/WHEEL": b"Wheel-Version: 2.0\n"})),
    ),
    case(
        "A25-wheel-file-without-version",
        "Wheel-Version",
        lambda: zipped(wheel_parts(files={"demo-1.0.dist-info/WHEEL": b"\xff\n"})),
    ),
    case("A26-no-record", "no demo-1.0.dist-info/RECORD", unstored("RECORD")),
    case(
        "A26-record-not-utf8",
        "RECORD can't be read",
        lambda: zipped([*wheel_parts()[:-1], Part(b"demo-1.0.dist-info/RECORD", b"\xff")]),
    ),
    case(
        "A26-record-with-a-huge-field",
        "RECORD can't be read",
        record(lambda text: text + "x" * 200_000),
    ),
    case(
        "A26-record-of-a-million-files",
        "more than 100000 files",
        lambda: zipped(
            wheel_parts(record=lambda text: million_lines()),
        ),
    ),
    case("A26-record-lists-a-parent", "unsafe path", record(lambda text: text + "../../etc,,\n")),
    case(
        "A26-record-lists-an-absolute-path",
        "unsafe path",
        record(lambda text: text + "/etc/passwd,,\n"),
    ),
    case(
        "A26-member-not-in-record",
        "not in RECORD",
        record(lambda text: text.split("\n", 1)[1]),
        code="odd-record",
    ),
    case(
        "A26-record-lists-more",
        "isn't in the wheel",
        record(lambda text: text + "demo/x.py,,\n"),
        code="odd-record",
    ),
    case(
        "A26-wrong-hash",
        "hash of 'demo/__init__.py'",
        record(lambda text: text.replace("sha256=", "sha256=x", 1)),
        code="odd-record",
    ),
    case(
        "A26-wrong-size",
        "size of 'demo/__init__.py'",
        record(lambda text: text.replace(",20\n", ",21\n", 1)),
        code="odd-record",
    ),
    case(
        "A26-no-hash",
        "no hash",
        record(lambda text: "demo/__init__.py,,\n" + text.split("\n", 1)[1]),
        code="odd-record",
    ),
    case(
        "A26-weak-hash",
        "no sha256",
        record(lambda text: text.replace("sha256=", "md5=", 1)),
        code="odd-record",
    ),
    case(
        "A26-listed-twice",
        "more than once",
        record(lambda text: text + text.split("\n", 1)[0]),
        code="odd-record",
    ),
    case(
        "A26-line-without-columns",
        "path,hash,size",
        record(lambda text: text.replace("RECORD,,", "RECORD")),
        code="odd-record",
    ),
    case(
        "A27-other-name",
        "metadata 'other'",
        lambda: wheel(core=metadata("other", "1.0")),
        code="invalid-metadata",
    ),
    case(
        "A27-other-version",
        "metadata '2.0'",
        lambda: wheel(core=metadata("demo", "2.0")),
        code="invalid-metadata",
    ),
    case(
        "A27-other-name-in-an-sdist",
        "metadata 'other'",
        lambda: sdist(core=metadata("other", "1.0")),
        SDIST,
        code="invalid-metadata",
    ),
    case(
        "A28-not-utf8",
        "isn't UTF-8",
        lambda: wheel(core=metadata("demo", "1.0") + b"\xff"),
        code="odd-layout",
    ),
    case(
        "A28-duplicate-name",
        "no usable Name",
        lambda: wheel(core=b"Name: demo\n" + metadata("demo", "1.0")),
        code="invalid-metadata",
    ),
    case(
        "A28-two-megabytes-of-headers",
        "larger than",
        lambda: wheel(core=metadata("demo", "1.0", "Summary: " + "x" * (2 << 20))),
    ),
    *(
        case(f"A29-entry-point-{name}", "unsafe name", scripts(text))
        for name, text in (
            ("parent", "../../bin/x"),
            ("absolute", "/bin/x"),
            ("dots", ".."),
            ("space", "a b"),
            ("backslash", "..\\x"),
        )
    ),
    case(
        "A29-gui-script",
        "unsafe name",
        lambda: zipped(
            wheel_parts(
                files={"demo-1.0.dist-info/entry_points.txt": b"[gui_scripts]\na/b = x:y\n"}
            )
        ),
    ),
    case(
        "A29-entry-points-unreadable",
        "can't be read",
        lambda: zipped(wheel_parts(files={"demo-1.0.dist-info/entry_points.txt": b"a\nb"})),
    ),
]

NO_LINK = tar_header("demo-1.0/link", kind=b"2", link="nowhere")
TARS = [
    case(
        "A30-gzip-bomb",
        "inflates to more",
        lambda: sdist_gz(tar_file("demo-1.0/x", bytes(90 << 20))),
        SDIST,
    ),
    case(
        "A30-gzip-bomb-behind-the-end", "inflates to more", lambda: sdist_gz(bytes(90 << 20)), SDIST
    ),
    *(
        case(f"A31-{name}", "path", tarred(pax(("path", path)), tar_file("x")), SDIST)
        for name, path in PATHS.items()
    ),
    case("A31-parent-in-the-header", "unsafe path", tarred(tar_file("../x")), SDIST),
    case("A31-parent-in-the-prefix", "unsafe path", tarred(tar_file("x", prefix=b"..")), SDIST),
    case(
        "A31-parent-in-a-long-name",
        "unsafe path",
        tarred(tar_file("L", b"../x\0", kind=b"L"), tar_file("x")),
        SDIST,
    ),
    case("A31-parent-folder", "unsafe path", tarred(tar_header("../x/", kind=b"5")), SDIST),
    case("A31-name-not-utf8", "utf-8", tarred(tar_file(b"demo-1.0/\xff")), SDIST),
    case(
        "A32-symlink-to-a-parent",
        "leads out",
        tarred(tar_header("demo-1.0/a", kind=b"2", link="../../etc")),
        SDIST,
    ),
    case(
        "A32-symlink-beside",
        "leads out",
        tarred(tar_header("demo-1.0/a", kind=b"2", link="../x/../other")),
        SDIST,
    ),
    case(
        "A32-symlink-absolute",
        "unsafe path",
        tarred(tar_header("demo-1.0/a", kind=b"2", link="/etc")),
        SDIST,
    ),
    case(
        "A32-symlink-at-the-top",
        "unsafe path",
        tarred(tar_header("a", kind=b"2", link="b")),
        SDIST,
    ),
    case("A32-symlink-in-pax", "leads out", tarred(pax(("linkpath", "../../x")), NO_LINK), SDIST),
    case(
        "A32-symlink-in-a-long-link",
        "leads out",
        tarred(tar_file("K", b"../../x", kind=b"K"), NO_LINK),
        SDIST,
    ),
    case(
        "A32-path-through-a-symlink",
        "through a link",
        tarred(NO_LINK, tar_file("demo-1.0/link/x")),
        SDIST,
    ),
    case(
        "A32-path-through-a-later-symlink",
        "through a link",
        tarred(tar_file("demo-1.0/link/x"), NO_LINK),
        SDIST,
    ),
    case(
        "A32-symlink-through-a-symlink",
        "through a link",
        tarred(NO_LINK, tar_header("demo-1.0/b", kind=b"2", link="link/../x")),
        SDIST,
    ),
    case(
        "A32-hard-link-to-a-parent",
        "hard link",
        tarred(tar_header("demo-1.0/a", kind=b"1", link="../x")),
        SDIST,
    ),
    case(
        "A32-hard-link-to-a-symlink",
        "hard link to a symbolic",
        tarred(
            tar_header("demo-1.0/a/b", kind=b"2", link="../x"),
            tar_header("demo-1.0/c", kind=b"1", link="demo-1.0/a/b"),
        ),
        SDIST,
    ),
    case(
        "A32-hard-link-to-nothing",
        "hard link",
        tarred(tar_header("demo-1.0/a", kind=b"1", link="demo-1.0/b")),
        SDIST,
    ),
    *(
        case(f"A32-{name}", "a device", tarred(tar_header("demo-1.0/x", kind=kind)), SDIST)
        for name, kind in (
            ("character-device", b"3"),
            ("block-device", b"4"),
            ("fifo", b"6"),
            ("contiguous", b"7"),
            ("unknown", b"Z"),
        )
    ),
    case("A33-gnu-sparse", "sparse", tarred(tar_header("demo-1.0/x", kind=b"S")), SDIST),
    case(
        "A33-pax-sparse",
        "GNU.sparse.major",
        tarred(pax(("GNU.sparse.major", "1")), tar_file("demo-1.0/x")),
        SDIST,
    ),
    case(
        "A33-negative-size", "a size that", tarred(tar_header("demo-1.0/x", base256(-512))), SDIST
    ),
    case(
        "A33-size-beyond-octal",
        "a size that",
        tarred(tar_header("demo-1.0/x", b"\x80" + base256(512)[1:])),
        SDIST,
    ),
    case(
        "A33-size-of-a-link",
        "a size that",
        tarred(tar_header("demo-1.0/x", 512, b"2", "y"), bytes(512)),
        SDIST,
    ),
    case(
        "A33-pax-record-of-no-length",
        "malformed",
        tarred(tar_file("x", b"0 a=b\n", kind=b"x")),
        SDIST,
    ),
    case(
        "A33-pax-record-too-long", "malformed", tarred(tar_file("x", b"99 a=b\n", kind=b"x")), SDIST
    ),
    case("A33-pax-record-too-short", "malformed", tarred(tar_file("x", b"2 \n", kind=b"x")), SDIST),
    case(
        "A33-pax-within-pax",
        "contradict",
        tarred(pax(("mtime", "1")) * 2, tar_file("demo-1.0/x")),
        SDIST,
    ),
    case(
        "A33-pax-of-gigabytes",
        "more than 65536",
        tarred(tar_header("x", 1 << 30, kind=b"x")),
        SDIST,
    ),
    case("A33-pax-of-no-member", "of no member", tarred(pax(("path", "x"))), SDIST),
    case(
        "A34-pax-size-differs",
        "two sizes",
        tarred(pax(("size", "512")), tar_file("demo-1.0/x", b"abc")),
        SDIST,
    ),
    case("A34-pax-size-for-all", "with 'size'", tarred(pax(("size", "0"), kind=b"g")), SDIST),
    case("A34-pax-path-for-all", "with 'path'", tarred(pax(("path", "x"), kind=b"g")), SDIST),
    case(
        "A34-pax-path-twice",
        "contradicts",
        tarred(pax(("path", "a"), ("path", "b")), tar_file("x")),
        SDIST,
    ),
    case(
        "A34-pax-path-and-long-name",
        "contradict",
        tarred(pax(("path", "a")), tar_file("L", b"b", kind=b"L"), tar_file("x")),
        SDIST,
    ),
    case(
        "A34-pax-path-with-nul",
        "contradicts",
        tarred(pax(("path", "demo-1.0/a\0b")), tar_file("x")),
        SDIST,
    ),
    case(
        "A34-gnu-header-with-prefix",
        "two names",
        tarred(tar_file("x", prefix=b"demo-1.0", magic=b"ustar  \0")),
        SDIST,
    ),
    case("A35-truncated-gzip", "truncated", lambda: sdist_gz()[:-9], SDIST),
    case("A35-truncated-checksum", "truncated", lambda: sdist_gz()[:-1], SDIST),
    case(
        "A35-wrong-checksum",
        "incorrect data check",
        lambda: sdist_gz()[:-5] + b"\0" + sdist_gz()[-4:],
        SDIST,
    ),
    case(
        "A35-truncated-tar",
        "truncated",
        tarred(tar_header("demo-1.0/x", 1000), b"x", end=b""),
        SDIST,
    ),
    case(
        "A35-truncated-header",
        "wrong checksum",
        tarred(tar_header("demo-1.0/x")[:300], end=b""),
        SDIST,
    ),
    case(
        "A35-wrong-header-checksum",
        "wrong checksum",
        tarred(tar_header("demo-1.0/x", checksum=1)),
        SDIST,
    ),
    case("A35-no-end-of-archive", "no end of archive", tarred(end=b""), SDIST, code="odd-framing"),
    case(
        "A35-data-behind-the-end",
        "follows its end",
        tarred(bytes(1024), tar_file("demo-1.0/x")),
        SDIST,
    ),
    case(
        "A35-second-gzip-stream",
        "more than one gzip",
        lambda: gzip.compress(sdist_tar()[:512]) + gzip.compress(sdist_tar()[512:]),
        SDIST,
        code="odd-framing",
    ),
    case("A35-trailing-garbage", "follows its compressed", lambda: sdist_gz() + b"garbage", SDIST),
    case(
        "A35-trailing-zeros",
        "zeros follow",
        lambda: sdist_gz() + bytes(9),
        SDIST,
        code="odd-framing",
    ),
    case(
        "A36-no-pkg-info",
        "no <name>",
        lambda: gzip.compress(tar_file("demo-1.0/setup.py") + bytes(1024)),
        SDIST,
    ),
    case("A36-empty", "no <name>", lambda: gzip.compress(bytes(1024)), SDIST),
    case("A36-two-pkg-infos", "more than once", tarred(tar_file("demo-2.0/PKG-INFO")), SDIST),
    case(
        "A36-two-pkg-infos-in-a-zip",
        "more than once",
        lambda: good_sdist_zip(Part(b"demo-2.0/PKG-INFO")),
        ZIP,
    ),
    case(
        "A36-no-pkg-info-in-a-zip",
        "no core metadata",
        lambda: zipped([Part(b"demo-1.0/setup.py")]),
        ZIP,
    ),
    case(
        "A36-pkg-info-is-a-link",
        "no <name>",
        lambda: gzip.compress(tar_header("demo-1.0/PKG-INFO", kind=b"2", link="x") + bytes(1024)),
        SDIST,
    ),
    case(
        "A36-two-top-folders",
        "2 files and folders",
        tarred(tar_file("other/x")),
        SDIST,
        code="odd-layout",
    ),
    case(
        "A36-two-top-folders-in-a-zip",
        "2 files and folders",
        lambda: good_sdist_zip(Part(b"x.py")),
        ZIP,
        code="odd-layout",
    ),
    case(
        "A36-a-member-twice",
        "more than once",
        tarred(tar_file("demo-1.0/x") * 2),
        SDIST,
        code="odd-layout",
    ),
    case("A37-bzip2-inside", "not a readable .tar.gz", lambda: bz2.compress(sdist_tar()), SDIST),
    case("A37-tar-inside", "not a readable .tar.gz", sdist_tar, SDIST),
    case("A37-wheel-inside", "both a zip and a tar", wheel, SDIST),
    case("A37-sdist-inside", "not a zip", sdist, WHEEL),
]

CASES = [*ZIP_FRAMING, *WHEELS, *TARS]
each = pytest.mark.parametrize(("filename", "make", "says", "code"), CASES)


def check(filename: str, content: bytes, *tolerated: Oddity) -> Checked:
    checks = Checks(tolerated=frozenset(tolerated))
    return check_archive(io.BytesIO(content), parse_filename(filename), checks)


def left(folder: Path) -> list[Path]:
    """Everything below the storage that isn't a lock."""
    files = (path for path in (folder / "packages").rglob("*") if path.is_file())
    return [path for path in files if path.parent.name != "lock"]


def running(folder: Path, **changes: str) -> Iterator[Client]:
    """An application for many refused uploads, each of which must leave it as it was."""
    app = make_app(app_settings(folder, **changes), {})
    yield Client(app).as_("writer")
    close(app)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strict")


@pytest.fixture(scope="module")
def strict(folder: Path) -> Iterator[Client]:
    """An application with the defaults."""
    yield from running(folder)


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An application that only warns of whatever it may warn of."""
    yield from running(tmp_path_factory.mktemp("lenient"), pypi__upload_checks="warn")


@each
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    strict: Client,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    filename: str,
    make: Callable[[], bytes],
    says: str,
    code: str,
) -> None:
    content = make()
    with caplog.at_level(logging.INFO, logger="pypicloud_lite"):
        caplog.clear()
        response = strict.upload(filename, content, status=400)

    assert says in response.text
    if code != "invalid-metadata":
        assert response.text.startswith(f"Invalid distribution file. {filename}")
    assert len(response.text) < 600
    assert response.text.strip().isprintable()
    (line,) = [record for record in caplog.records if record.name == "pypicloud_lite.audit"]
    said = json.loads(line.getMessage())
    assert (said["action"], said["result"], said["user"]) == ("upload", "rejected", "writer")
    assert said["code"] == code
    strict.page("demo", status=404)
    assert strict.get("/simple/", headers={"Accept": V1_JSON}).json["projects"] == []
    assert left(folder) == []


HARD = [case for case in CASES if case.values[3].removeprefix("odd-") not in ODDITIES]
ODD = [case for case in CASES if case not in HARD]


@pytest.mark.parametrize(("filename", "make", "says", "code"), HARD)
def test_no_setting_lets_what_is_dangerous_pass(
    lenient: Client, filename: str, make: Callable[[], bytes], says: str, code: str
) -> None:
    assert says in lenient.upload(filename, make(), status=400).text


@pytest.mark.parametrize(("filename", "make", "says", "code"), ODD)
def test_a_setting_lets_one_group_of_oddities_pass(
    filename: str, make: Callable[[], bytes], says: str, code: str
) -> None:
    group = code.removeprefix("odd-")
    checked = check(filename, make(), group)
    assert {oddity for oddity, _sentence in checked.oddities} == {group}
    assert says in checked.oddities[0][1]
    for other in set(ODDITIES) - {group}:
        with pytest.raises(InvalidArchive, match=says):
            check(filename, make(), other)


def test_what_was_let_pass_is_logged_and_answered(
    make_client: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    writer = make_client(pypi__upload_checks="strict framing=warn").as_("writer")
    content = zipped(wheel_parts(), comment=b"hi")
    with caplog.at_level(logging.WARNING, logger="pypicloud_lite"):
        document = writer.upload(WHEEL, content, status=200).json
    assert document["warnings"] == ["it has an archive comment"]
    assert caplog.messages == [
        f"accepted (odd-framing) {WHEEL} by writer: 'it has an archive comment'"
    ]
    assert writer.get(f"/api/package/demo/{WHEEL}").body == content


STREAMED = {"flags": 8, "local": {"crc": 0, "compressed": 0, "size": 0}}


@pytest.mark.parametrize(
    "make",
    [
        first(content=b"a", behind=descriptor(b"a", crc=1), **STREAMED),
        first(content=b"a", behind=descriptor(b"a", size=2), **STREAMED),
        first(content=b"a", behind=b"xxxx" + descriptor(b"a")[4:], **STREAMED),
        first(content=b"a", behind=descriptor(b"a") + b"x", **STREAMED),
        first(content=b"a", **STREAMED),
        first(content=b"a", method=0, behind=descriptor(b"a", compressed=1), **STREAMED),
    ],
    ids=["crc", "size", "signature", "longer", "missing", "of-a-stored-member"],
)
def test_a11_a_tolerated_data_descriptor_must_be_right(make: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidArchive, match=r"data descriptor|without its size") as refused:
        check(WHEEL, make(), "framing")
    assert refused.value.code == "invalid-archive"


def test_oddities_without_end_are_told_a_few_times() -> None:
    checked = check(WHEEL, zipped(wheel_parts(record=lambda text: "a,,\n" * 1000)), "record")
    assert 1 < len(checked.oddities) < 20


def test_files_in_the_storage_are_served_whatever_they_are(
    make_client: Callable[..., Client], tmp_path: Path
) -> None:
    folder = tmp_path / "packages" / "demo" / "1.0"
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(wheel() + b"x")
    (folder / SDIST).write_bytes(sdist_gz(tar_file("../x")))
    client = make_client()
    assert {file["filename"] for file in client.page("demo").json["files"]} == {WHEEL, SDIST}


GOOD = {
    "stored": (WHEEL, first(method=0)),
    "folders": (
        WHEEL,
        lambda: zipped(wheel_parts(Part(b"demo/data/", method=0, mode=MODE["folder"]))),
    ),
    "signed-record": (WHEEL, lambda: zipped([*wheel_parts(), Part(RECORD + b".jws", b"{}")])),
    "directory-in-another-order": (WHEEL, another_order),
    "zip64": (WHEEL, lambda: zipped(wheel_parts(), behind_directory=zip64_end())),
    "zip64-saturated": (
        WHEEL,
        lambda: zipped(
            wheel_parts(), behind_directory=zip64_end(), members=0xFFFF, here=0xFFFF, start=NONE
        ),
    ),
    "zip64-in-the-local-header": (
        WHEEL,
        first(
            content=b"a",
            local={"size": NONE, "compressed": NONE},
            local_extra=extra(1, struct.pack("<2Q", 1, len(deflate(b"a")))),
        ),
    ),
    "unicode-path-that-agrees": (WHEEL, first(local_extra=unicode_path(b"demo/__init__.py"))),
    "unicode-name": (WHEEL, unicode_name),
    "entry-points": (WHEEL, scripts("a-b.c_d1")),
    "nested-zip": (WHEEL, first(content=wheel(), method=0)),
    "sdist-zip": (ZIP, good_sdist_zip),
    "links-inside": (
        SDIST,
        tarred(
            tar_file("demo-1.0/a/x"),
            tar_header("demo-1.0/a/y", kind=b"2", link="../a/./x"),
            tar_header("demo-1.0/z", kind=b"1", link="demo-1.0/a/x"),
        ),
    ),
    "pax": (
        SDIST,
        tarred(
            pax(("comment", "0123"), kind=b"g"),
            pax(("mtime", "1.5"), ("path", "demo-1.0/" + "x" * 200), ("size", "3")),
            tar_file("demo-1.0/xxx", b"abc"),
        ),
    ),
    "gnu-long-names": (
        SDIST,
        tarred(
            tar_file("L", b"demo-1.0/" + b"y" * 150 + b"\0", kind=b"L", magic=b"ustar  \0"),
            tar_file("K", b"a" * 150, kind=b"K", magic=b"ustar  \0"),
            tar_header("demo-1.0/y", kind=b"2", link="a", magic=b"ustar  \0"),
        ),
    ),
    "dot-before-each-path": (
        SDIST,
        lambda: gzip.compress(
            tar_header("./", kind=b"5")
            + tar_file("./demo-1.0/PKG-INFO", metadata("demo", "1.0"))
            + bytes(1024)
        ),
    ),
    "before-posix": (
        SDIST,
        tarred(
            tar_file("demo-1.0/a/", kind=b"\0", magic=bytes(8)),
            tar_file("demo-1.0/a/b", b"x", kind=b"\0", magic=bytes(8)),
        ),
    ),
}


@pytest.mark.parametrize(("filename", "make"), GOOD.values(), ids=GOOD)
def test_what_is_unusual_but_right_is_taken(
    client: Client, filename: str, make: Callable[[], bytes]
) -> None:
    content = make()
    client.as_("writer").upload(filename, content, status=200)
    assert client.get(f"/api/package/demo/{filename}").body == content


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("pypi__max_archive_members", "3", "more than 3 members"),
        ("pypi__max_inflated_size", "200", "200"),
        ("pypi__max_member_path", "20", "longer than 20"),
        ("pypi__max_filename_length", "10", "longer than 10 characters"),
        ("pypi__max_project_name_length", "3", "longer than 3 characters"),
    ],
)
def test_each_limit_is_a_setting(
    make_client: Callable[..., Client], setting: str, value: str, says: str
) -> None:
    writer = make_client(**{setting: value}).as_("writer")
    assert says in writer.upload(WHEEL, wheel(), status=400).text
    assert says in writer.upload(SDIST, sdist(), status=400).text


def test_the_ratio_is_a_setting(make_client: Callable[..., Client]) -> None:
    content = bomb()
    make_client(pypi__max_inflated_ratio="5000").as_("writer").upload(WHEEL, content, status=200)


WITHOUT_WRITING = """
import sys, tracemalloc
from pypicloud_lite.archives import Checks, check_archive
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import parse_filename

changes = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.chmod", "shutil.", "tempfile.")
names = sys.argv[1::2]
files = [open(path, "r+b") for path in sys.argv[2::2]]

def watch(event, arguments):
    if event.startswith(changes) or (event == "open" and not isinstance(arguments[1], str | None)):
        raise SystemExit(f"{event} {arguments}")
    if event == "open" and arguments[1] and set(arguments[1]) & set("wax+"):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(watch)
tracemalloc.start()
for name, file in zip(names, files, strict=True):
    try:
        check_archive(file, parse_filename(name), Checks())
    except InvalidArchive:
        print("refused")
_now, peak = tracemalloc.get_traced_memory()
assert peak < 64 << 20, peak
"""


@pytest.mark.parametrize(
    ("filename", "make", "answer"),
    [
        *(
            pytest.param(*case.values[:2], "refused", id=f"A38-{case.id}")
            for case in CASES
            if case.id.startswith(("A18", "A20", "A21", "A22", "A30", "A32-path", "A33-pax-of"))
        ),
        pytest.param(
            WHEEL,
            lambda: zipped(wheel_parts(Part(b"demo/big", bytes(80 << 20), method=0))),
            "",
            id="A38-large-wheel",
        ),
        pytest.param(
            SDIST,
            lambda: gzip.compress(sdist_tar(tar_file("demo-1.0/big", bytes(80 << 20))), 0),
            "",
            id="A38-large-sdist",
        ),
    ],
)
def test_nothing_is_unpacked_to_disk_nor_to_memory(
    tmp_path: Path, filename: str, make: Callable[[], bytes], answer: str
) -> None:
    """In a process of its own, which would end at any attempt to write."""
    path = tmp_path / "archive"
    path.write_bytes(make())
    command = [sys.executable, "-c", WITHOUT_WRITING, filename, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (answer, "", 0)
