"""Snapshots of the index: gzipped as they are, or, behind a zero byte, lines to be gzipped."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

from pypicloud_lite.index import snapshot
from pypicloud_lite.model import DistributionFile
from pypicloud_lite.names import project_name

WORDS = (
    b'{"format":"pypicloud-lite index 1"}\n', b"\n", b'"project":"demo"', b'"version":"1.0"',
    b'"filename":"demo-1.0.tar.gz"', b'"key":"k"', b'"size":1', b'"stamp":"s"', b"\\ud800",
    b'"upload_time":"2026-01-02T03:04:05.000006Z"', b"9223372036854775808", b"-1", b"true", b"null",
    b"0001-01-01T00:00:00+23:59", b"\\u0000", b'"yanked":""', b"1e400", b"NaN", b"[", b"{",
)  # fmt: skip
_HEAD = json.dumps({"format": snapshot._FORMAT}).encode() + b"\n"
_FACTS = DistributionFile(
    project=project_name("demo"),
    version="1.0",
    filename="demo-1.0.tar.gz",
    key="demo/1.0/demo-1.0.tar.gz",
    size=1,
    stamp="s",
    sha256="00" * 32,
    yanked="",
    upload_time=datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
)


def seeds() -> dict[str, bytes]:
    head = _HEAD
    line = snapshot._line(_FACTS)
    lines = head + 3 * line
    return {
        "lines": b"\0" + lines,
        "gzipped": gzip.compress(lines, mtime=0),
        "cut-off": gzip.compress(lines, mtime=0)[:-9],
        "without-digest": b"\0" + lines + snapshot._line(replace(_FACTS, sha256=None)),
        "other-format": b"\0" + line,
        "surrogate": b"\0" + head + line.replace(b'"s"', b'"\\ud800"'),
        "nul": b"\0" + head + line.replace(b'"s"', b'"\\u0000"'),
        "large": b"\0" + head + line.replace(b":1,", b":9223372036854775808,"),
        "negative": b"\0" + head + line.replace(b":1,", b":-1,"),
        "no-time": b"\0" + head + line.replace(b"2026-01-02", b"0000-00-00"),
        "early": b"\0" + lines.replace(b"2026-01-02", b"0026-01-02"),
        "deep": b"\0" + head + b"[" * 2000,
        "empty": b"",
    }


def check(data: bytes) -> None:
    stored = gzip.compress(data[1:], 1, mtime=0) if data[:1] == b"\0" else data
    for file in _files(stored):
        # What an index can keep, SQLite as well as PostgreSQL.
        assert 0 <= file.size < 1 << 63
        assert project_name(file.project) == file.project
        assert file.upload_time.tzinfo is UTC
        line = snapshot._line(file)
        assert b"\\u0000" not in line
        assert _files(gzip.compress(_HEAD + line, 1)) == [file]


def _files(stored: bytes) -> list[DistributionFile]:
    return list(snapshot._read(io.BytesIO(stored)))
