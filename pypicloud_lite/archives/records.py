"""RECORD: which files a wheel says it has, and their hashes (PyPA recorded projects)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from pypicloud_lite.archives.checks import Oddities
from pypicloud_lite.archives.paths import check_path, shown
from pypicloud_lite.archives.zips import Member, contents
from pypicloud_lite.errors import InvalidArchive

#: Longest RECORD that is read, in bytes.
MAX_RECORD = 16 << 20
#: The specification demands sha256 or better, of what every Python has.
_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
#: Signatures of a RECORD can't be in it.
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True)
class _Row:
    """What RECORD says of a file; empty texts where it says nothing."""

    algorithm: str
    digest: str
    size: str


def check_record(
    file: IO[bytes], members: Mapping[str, Member], dist_info: str, record: bytes, odd: Oddities
) -> None:
    """Compare every file in a wheel with the line that RECORD has of it.

    Raises:
        InvalidArchive: they disagree, or RECORD names a path outside of the wheel.
    """
    unrecorded = {f"{dist_info}/{name}" for name in _UNRECORDED}
    rows = _read(record, odd)
    for path in rows.keys() - members.keys() - unrecorded:
        odd.note("record", f"RECORD lists {shown(path)}, which isn't in the wheel")
    for path, member in members.items():
        if not member.is_folder and path not in unrecorded and path not in rows:
            odd.note("record", f"{shown(path)} is not in RECORD")
        _check_content(file, member, rows.get(path, _Row("", "", "")), odd)
    for path in rows.keys() & members.keys() - unrecorded:
        if not rows[path].digest:
            odd.note("record", f"RECORD has no hash of {shown(path)}")


def _read(record: bytes, odd: Oddities) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    try:
        lines = list(csv.reader(io.StringIO(record.decode("utf-8"), newline="")))
    except (csv.Error, UnicodeDecodeError) as exc:
        raise InvalidArchive("its RECORD can't be read") from exc
    for line in filter(None, lines):
        path, hashed, size = (*line, "", "")[:3]
        check_path(path, len(path))
        if len(line) != 3:
            odd.note("record", f"the line of {shown(path)} in RECORD isn't path,hash,size")
        if path in rows:
            odd.note("record", f"RECORD lists {shown(path)} more than once")
        algorithm, _equals, digest = hashed.partition("=")
        rows[path] = _Row(algorithm, digest, size)
    return rows


def _check_content(file: IO[bytes], member: Member, row: _Row, odd: Oddities) -> None:
    """Read a member to its end, whether RECORD has a hash of it or not."""
    digest = hashlib.new(row.algorithm) if row.algorithm in _ALGORITHMS else None
    for piece in contents(file, member):
        if digest is not None:
            digest.update(piece)
    if row.digest and digest is None:
        odd.note("record", f"RECORD has no sha256 or better of {shown(member.name)}")
    elif digest is not None:
        computed = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        if computed != row.digest.rstrip("="):
            odd.note("record", f"the hash of {shown(member.name)} isn't that in RECORD")
    if row.size and row.size != str(member.size):
        odd.note("record", f"the size of {shown(member.name)} isn't that in RECORD")
