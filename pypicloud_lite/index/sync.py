"""Bringing the index to the state of the storage."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pypicloud_lite.errors import FileMissing, SyncRefused
from pypicloud_lite.index.base import Index
from pypicloud_lite.model import DistributionFile, StoredFile
from pypicloud_lite.storage.base import Storage

LOG = logging.getLogger(__name__)

_REPORT_EVERY = 5.0
#: More files than this share, and than this number, never vanish at once unless something is wrong.
_MAX_GONE = 0.2
_MAX_GONE_FILES = 20
_Known = Mapping[str, tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronization found."""

    listed: int
    changed: int
    gone: int
    seconds: float


def sync(storage: Storage, index: Index, *, force: bool = False) -> SyncReport:
    """List the storage and bring the index to its state, looking only at what changed.

    Readers see the old state until the new one is complete.

    Args:
        force: also when so much is gone that a disk may not be mounted.

    Raises:
        SyncRefused: so much is gone; nothing was changed.
        StorageUnavailable, IndexUnavailable: nothing was changed.
    """
    started = time.monotonic()
    known = index.stamps() if index.ready(storage.identity()) else {}
    listed, fresh, gone = _compare(storage.scan(), known)
    # What vanished from the listing may have been published since: the storage has the last word.
    gone = {key for key in gone if storage.stat(key) is None}
    if not force and len(gone) > max(_MAX_GONE_FILES, _MAX_GONE * len(known)):
        raise SyncRefused(
            f"{len(gone)} of {len(known)} files are gone from the storage; is it mounted? The "
            "index is left as it is. If they are really gone, remove the index database and start "
            "again."
        )
    changed = list(_described(storage, fresh))
    if changed:
        changed = _still_true(storage, changed)
    kept = {file.filename for file in changed}
    index.apply(
        storage.identity(),
        changed=changed,
        gone={known[key][0] for key in gone} - kept,
        statuses=storage.project_statuses(),
    )
    report = SyncReport(listed, len(changed), len(gone), time.monotonic() - started)
    LOG.info(
        "index is in step with the storage: %d files, %d new or changed, %d gone, in %.1f s",
        report.listed,
        report.changed,
        report.gone,
        report.seconds,
    )
    return report


def _compare(
    stored_files: Iterable[StoredFile], known: _Known
) -> tuple[int, list[StoredFile], set[str]]:
    """The number of files listed, those that are new or differ, and the keys that are gone."""
    gone = set(known)
    fresh = []
    listed = 0
    for stored in stored_files:
        listed += 1
        gone.discard(stored.key)
        if known.get(stored.key) != (stored.filename, stored.size, stored.stamp):
            fresh.append(stored)
    return listed, fresh, gone


def _described(storage: Storage, fresh: list[StoredFile]) -> Iterator[DistributionFile]:
    """The facts of the files, as many at once as the storage likes. One odd file stops nothing."""

    def describe(stored: StoredFile) -> DistributionFile | None:
        try:
            return storage.describe(stored)
        except FileMissing:
            LOG.info("%s vanished while it was being indexed", stored.key)
        except Exception:
            LOG.exception("%s can't be indexed and is passed over", stored.key)
        return None

    reported = time.monotonic()
    with ThreadPoolExecutor(storage.concurrency, "describe") as pool:
        found = pool.map(describe, fresh) if storage.concurrency > 1 else map(describe, fresh)
        for count, file in enumerate(found, 1):
            if file is not None:
                yield file
            if time.monotonic() - reported > _REPORT_EVERY:
                reported = time.monotonic()
                LOG.info("indexing: %d of %d files", count, len(fresh))


def _still_true(storage: Storage, changed: list[DistributionFile]) -> list[DistributionFile]:
    """Look again at what changed while the facts were being read, and leave out what is gone."""
    found = {file.key: file for file in changed}
    known = {key: (file.filename, file.size, file.stamp) for key, file in found.items()}
    listed = (stored for stored in storage.scan() if stored.key in known)
    _count, differing, gone = _compare(listed, known)
    for key in gone:
        del found[key]
    found |= {file.key: file for file in _described(storage, differing)}
    return list(found.values())
