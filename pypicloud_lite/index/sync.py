"""Bringing the index to the state of the storage."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pypicloud_lite.errors import FileMissing
from pypicloud_lite.index.base import Index
from pypicloud_lite.model import DistributionFile, StoredFile
from pypicloud_lite.storage.base import Storage

LOG = logging.getLogger(__name__)

_REPORT_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronization found."""

    listed: int
    changed: int
    gone: int
    seconds: float


def sync(storage: Storage, index: Index) -> SyncReport:
    """List the storage and bring the index to its state, looking only at what changed.

    Readers see the old state until the new one is complete.

    Raises:
        StorageUnavailable, IndexUnavailable: nothing was changed then.
    """
    started = time.monotonic()
    known = dict(index.stamps()) if index.ready(storage.identity()) else {}
    fresh: list[StoredFile] = []
    listed = 0
    for stored in storage.scan():
        listed += 1
        if known.pop(stored.key, None) != (stored.filename, stored.size, stored.stamp):
            fresh.append(stored)
    kept = {stored.filename for stored in fresh}
    # What vanished from the listing may have been published since: the storage has the last word.
    gone = [
        filename
        for key, (filename, _size, _stamp) in known.items()
        if filename not in kept and storage.stat(key) is None
    ]
    index.apply(
        storage.identity(),
        changed=list(_described(storage, fresh)),
        gone=gone,
        statuses=storage.project_statuses(),
    )
    report = SyncReport(listed, len(fresh), len(gone), time.monotonic() - started)
    LOG.info(
        "index is in step with the storage: %d files, %d new or changed, %d gone, in %.1f s",
        report.listed,
        report.changed,
        report.gone,
        report.seconds,
    )
    return report


def _described(storage: Storage, fresh: list[StoredFile]) -> Iterator[DistributionFile]:
    """The facts of the files, as many at once as the storage likes."""

    def describe(stored: StoredFile) -> DistributionFile | None:
        try:
            return storage.describe(stored)
        except FileMissing:
            LOG.info("%s vanished while it was being indexed", stored.key)
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
