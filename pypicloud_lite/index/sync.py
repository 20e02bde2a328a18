"""Bringing the index to the state of the storage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from pypicloud_lite.errors import FileMissing, SyncRefused, Unavailable
from pypicloud_lite.index.base import Index
from pypicloud_lite.model import DistributionFile, StoredFile
from pypicloud_lite.storage.base import Storage

LOG = logging.getLogger(__name__)

#: More files than this share, and than this number, never vanish at once unless something is wrong.
_MAX_GONE = 0.2
_MAX_GONE_FILES = 20
#: How many files are described, and then written, at a time.
_BATCH = 1000
_Known = Mapping[str, tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronization found."""

    listed: int
    changed: int
    gone: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a synchronization is."""

    #: Files whose facts were read, of those that are new or differ.
    done: int
    total: int


def sync(
    storage: Storage,
    index: Index,
    *,
    rebuild: bool = False,
    force: bool = False,
    progress: Callable[[Progress], None] = lambda _progress: None,
) -> SyncReport:
    """List the storage and bring the index to its state, looking only at what changed.

    Readers see every file that they saw before until its change is known. What others change
    meanwhile wins over the listing.

    Args:
        rebuild: look at every file, changed or not.
        force: also when so much is gone that a disk may not be mounted.
        progress: told how far it is.

    Raises:
        SyncRefused: so much is gone; nothing was changed.
        StorageUnavailable, IndexUnavailable: what was done so far is kept.
    """
    started = time.monotonic()
    identity = storage.identity()
    mark = index.begin_sync(identity)
    known = index.stamps()
    listed, fresh, gone = _compare(storage.scan(), known, everything=rebuild)
    # What vanished from the listing may have been published since: the storage has the last word.
    gone = {key for key in gone if storage.stat(key) is None}
    if not force and len(gone) > max(_MAX_GONE_FILES, _MAX_GONE * len(known)):
        raise SyncRefused(
            f"{len(gone)} of {len(known)} files are gone from the storage; is it mounted? The "
            "index is left as it is. If they are really gone, run `pypicloud-lite sync --force`."
        )
    changed = _merge(storage, index, mark, fresh, progress)
    # A file that moved has been taken over by its name; what is gone is gone by name.
    moved = {stored.filename for stored in fresh}
    index.merge(mark, [], {known[key][0] for key in gone} - moved)
    index.end_sync(identity, mark, storage.project_statuses())
    report = SyncReport(listed, changed, len(gone), time.monotonic() - started)
    LOG.info(
        "index is in step with the storage: %d files, %d new or changed, %d gone, in %.1f s",
        report.listed,
        report.changed,
        report.gone,
        report.seconds,
    )
    return report


def _compare(
    stored_files: Iterable[StoredFile], known: _Known, *, everything: bool
) -> tuple[int, list[StoredFile], set[str]]:
    """The number of files listed, those that are new or differ, and the keys that are gone."""
    gone = set(known)
    fresh = []
    listed = 0
    for stored in stored_files:
        listed += 1
        gone.discard(stored.key)
        same = known.get(stored.key) == (stored.filename, stored.size, stored.stamp)
        if everything or not same:
            fresh.append(stored)
    return listed, fresh, gone


def _merge(
    storage: Storage,
    index: Index,
    mark: int,
    fresh: list[StoredFile],
    progress: Callable[[Progress], None],
) -> int:
    """Read the facts of the files and write them to the index, batch by batch."""
    changed = 0
    described = iter(_described(storage, fresh))
    progress(Progress(0, len(fresh)))
    done = 0
    while batch := list(islice(described, _BATCH)):
        files = [file for file in batch if file is not None]
        index.merge(mark, files, [])
        changed += len(files)
        done += len(batch)
        progress(Progress(done, len(fresh)))
    return changed


def _described(storage: Storage, fresh: list[StoredFile]) -> Iterator[DistributionFile | None]:
    """The facts of the files, as many at once as the storage likes. One odd file stops nothing."""

    def describe(stored: StoredFile) -> DistributionFile | None:
        try:
            return storage.describe(stored)
        except FileMissing:
            LOG.info("%s vanished while it was being indexed", stored.key)
        except Unavailable:
            raise  # the file is sound; an index without it would not be complete
        except Exception:
            LOG.exception("%s can't be indexed and is passed over", stored.key)
        return None

    if storage.concurrency == 1:
        yield from map(describe, fresh)
        return
    with ThreadPoolExecutor(storage.concurrency, "describe") as pool:
        for begin in range(0, len(fresh), _BATCH):
            yield from pool.map(describe, fresh[begin : begin + _BATCH])
