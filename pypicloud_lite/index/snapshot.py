"""A copy of the index in the storage, so that a lost index costs a listing and one object.

Gzipped JSON lines: a head, then the facts of one file each. It is a hint: what it says of a file
counts only if the listing shows the same key with the same size and stamp, since that is how a
synchronization compares. So it may be old, cut off, or of another server of the same bucket.
"""

from __future__ import annotations

import gzip
import json
import logging
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from typing import IO, Any, cast

from pypicloud_lite.errors import InvalidName, Unavailable
from pypicloud_lite.index.base import Index
from pypicloud_lite.model import DistributionFile, is_storable, iso_utc, parse_iso_utc
from pypicloud_lite.names import project_name
from pypicloud_lite.storage.base import Storage

LOG = logging.getLogger(__name__)

_FORMAT = "pypicloud-lite index 1"
#: A snapshot is renewed when it lacks more files than this share of all, and than this number.
_SHARE, _FILES = 0.01, 100
_LEVEL = 3
_BATCH = 1000
#: Longest line that is believed to be facts, in bytes.
_MAX_LINE = 1 << 20
#: What a database keeps, in bytes.
_MAX_SIZE = (1 << 63) - 1
_FIELDS = tuple(field.name for field in fields(DistributionFile))
_BROKEN = (OSError, EOFError, zlib.error, ValueError, TypeError, OverflowError, RecursionError,
           Unavailable)  # fmt: skip
_REQUIRED = frozenset({"project", "version", "filename", "key", "size", "stamp", "upload_time"})


def is_due(storage: Storage, index: Index) -> bool:
    """Whether so much has changed since the last snapshot that a new one pays."""
    if not storage.keeps_snapshots:
        return False
    unsaved = index.unsaved()
    return unsaved >= _FILES and unsaved >= _SHARE * index.count()


def save(storage: Storage, index: Index) -> None:
    """Keep a snapshot of the index in the storage.

    Raises:
        StorageUnavailable, StorageFull, IndexUnavailable: the last one is still there.
    """
    unsaved = index.unsaved()
    with tempfile.TemporaryFile() as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as content:
            content.write(json.dumps({"format": _FORMAT}).encode() + b"\n")
            count = 0
            for count, facts in enumerate(index.files(), 1):  # noqa: B007 - counted
                content.write(_line(facts))
        file.seek(0)
        storage.save_snapshot(file)
    index.saved(unsaved)
    LOG.info("a snapshot of %d files was kept in the storage", count)


def restore(storage: Storage, index: Index, mark: int) -> int:
    """Fill an index from the snapshot in the storage; a synchronization must follow.

    Args:
        mark: of the synchronization; what was changed since wins.

    Returns:
        The number of files read. A snapshot that is broken ends where it breaks.

    Raises:
        IndexUnavailable: it could not be written.
    """
    try:
        stored = storage.open_snapshot()
    except Unavailable as exc:
        LOG.warning("the snapshot of the index can't be read: %s", exc)
        return 0
    if stored is None:
        return 0
    restored = 0
    with stored:
        found = _read(stored)
        while batch := list(islice(found, _BATCH)):
            index.merge(mark, batch, ())
            restored += len(batch)
    index.saved(index.unsaved())
    LOG.info("read %d files from the snapshot of the index", restored)
    return restored


def _line(file: DistributionFile) -> bytes:
    facts = {name: value for name in _FIELDS if (value := getattr(file, name)) is not None}
    facts["upload_time"] = iso_utc(file.upload_time)
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _read(stored: IO[bytes]) -> Iterator[DistributionFile]:
    try:
        with gzip.GzipFile(fileobj=stored, mode="rb") as content:
            head = json.loads(content.readline(_MAX_LINE))
            if not isinstance(head, dict) or head.get("format") != _FORMAT:
                raise ValueError("of another format")
            while line := content.readline(_MAX_LINE):
                yield _file(json.loads(line))
    except _BROKEN as exc:
        LOG.warning("the snapshot of the index is broken and read no further: %s", exc)


def _file(facts: Any) -> DistributionFile:
    """The facts of one line.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(facts, dict) or not _REQUIRED <= facts.keys() <= set(_FIELDS):
        raise ValueError("facts are missing, or unknown")
    if type(facts["size"]) is not int or not 0 <= facts["size"] <= _MAX_SIZE:
        raise ValueError("a size that is none")
    for name, value in facts.items():
        if name != "size" and not is_storable(value):
            raise ValueError("a fact that is no text")
    try:
        return DistributionFile(
            **cast("dict[str, Any]", {"sha256": None} | facts)
            | {
                "project": project_name(facts["project"]),
                "upload_time": parse_iso_utc(facts["upload_time"]),
            }
        )
    except InvalidName as exc:
        raise ValueError(str(exc)) from exc
