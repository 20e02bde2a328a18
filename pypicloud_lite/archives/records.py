"""RECORD: which files a wheel says it has, and their hashes (PyPA recorded projects)."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import IO

from pypicloud_lite.archives.checks import Oddities
from pypicloud_lite.archives.members import read_all
from pypicloud_lite.archives.paths import check_path, shown
from pypicloud_lite.archives.zips import Member
from pypicloud_lite.errors import InvalidArchive

#: Longest RECORD that is read, in bytes.
MAX_RECORD = 16 << 20
#: The specification demands sha256 or better, of what every Python has.
_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
#: Signatures of a RECORD can't be in it.
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True)
class Row:
    """What RECORD says of a file; empty texts where it says nothing."""

    algorithm: str = ""
    digest: str = ""
    size: str = ""

    @property
    def known(self) -> str | None:
        """The algorithm, if it is one that counts."""
        return self.algorithm if self.algorithm in _ALGORITHMS else None


def read_record(
    record: bytes, members: Mapping[str, Member], most: int, odd: Oddities
) -> dict[str, Row]:
    """The lines of RECORD by path.

    Args:
        members: those of the wheel, whose names are safe paths.
        most: files that it may list.

    Raises:
        InvalidArchive: it can't be read, or names a path outside of the wheel.
    """
    rows: dict[str, Row] = {}
    for line in filter(None, _lines(record)):
        path, hashed, size = (*line, "", "")[:3]
        if path not in members or path.endswith("/"):
            check_path(path, len(path))
        if len(line) != 3:
            odd.note("record", f"the line of {shown(path)} in RECORD isn't path,hash,size")
        if path in rows:
            odd.note("record", f"RECORD lists {shown(path)} more than once")
        algorithm, _equals, digest = hashed.partition("=")
        rows[path] = Row(algorithm, digest, size)
        if len(rows) > most:
            raise InvalidArchive(f"RECORD lists more than {most} files")
    return rows


def _lines(record: bytes) -> Iterator[list[str]]:
    """One at a time: a list of all could be a hundred times as large as RECORD itself."""
    text = io.TextIOWrapper(io.BytesIO(record), encoding="utf-8", newline="")
    try:
        yield from csv.reader(text)
    except (csv.Error, UnicodeDecodeError) as exc:
        raise InvalidArchive("its RECORD can't be read") from exc


def check_record(
    file: IO[bytes],
    members: Mapping[str, Member],
    dist_info: str,
    rows: Mapping[str, Row],
    odd: Oddities,
) -> None:
    """Compare every file in a wheel with the line that RECORD has of it.

    Raises:
        InvalidArchive: they disagree.
    """
    unrecorded = {f"{dist_info}/{name}" for name in _UNRECORDED}
    for path in rows.keys() - members.keys() - unrecorded:
        odd.note("record", f"RECORD lists {shown(path)}, which isn't in the wheel")
    wanted = [(member, rows.get(path, Row()).known) for path, member in members.items()]
    with closing(read_all(file, wanted)) as digests:
        for path, member in members.items():
            if not member.is_folder and path not in unrecorded and path not in rows:
                odd.note("record", f"{shown(path)} is not in RECORD")
            _check_content(member, rows.get(path, Row()), next(digests), odd)
    for path in rows.keys() & members.keys() - unrecorded:
        if not rows[path].digest:
            odd.note("record", f"RECORD has no hash of {shown(path)}")


def _check_content(member: Member, row: Row, digest: bytes | None, odd: Oddities) -> None:
    """Compare a member with its line, whether that has a hash or not."""
    if row.digest and digest is None:
        odd.note("record", f"RECORD has no sha256 or better of {shown(member.name)}")
    elif digest is not None:
        computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if computed != row.digest.rstrip("="):
            odd.note("record", f"the hash of {shown(member.name)} isn't that in RECORD")
    if row.size and row.size != str(member.size):
        odd.note("record", f"the size of {shown(member.name)} isn't that in RECORD")
