"""Bringing the index to the state of the storage."""

from __future__ import annotations

import logging
import pickle
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from pypicloud_lite.errors import (
    FileMissing,
    FileRefused,
    StorageUnavailable,
    SyncRefused,
    Unavailable,
)
from pypicloud_lite.index import snapshot
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.workers import Workers
from pypicloud_lite.model import DistributionFile, Stamp, StoredFile
from pypicloud_lite.storage.base import Storage

LOG = logging.getLogger(__name__)

#: More files than this share, and than this number, never vanish at once unless something is wrong.
_MAX_GONE = 0.2
_MAX_GONE_FILES = 20
#: More files than this share are not odd by themselves: the storage fails.
_MAX_ODD = 0.5
#: How many files are described, and then written, at a time.
_BATCH = 1000


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

    #: Files listed, while ``total`` is ``None``; then those of ``total`` whose facts were read.
    done: int
    #: Files that are new or differ; known when all are listed.
    total: int | None

    def __str__(self) -> str:
        if self.total is None:
            return f"{self.done} files are listed so far"
        return f"{self.done} of {self.total} files"


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
    meanwhile wins over the listing. An index that was never complete begins with the snapshot in
    the storage, if there is one.

    Args:
        rebuild: look at every file, changed or not.
        force: also when so much is gone that a disk may not be mounted.
        progress: told how far it is.

    Raises:
        SyncRefused: so much is gone; no file was added, changed or dropped.
        StorageUnavailable, IndexUnavailable: what was done so far is kept.
    """
    started = time.monotonic()
    identity = storage.identity()
    was_complete = index.ready(identity)
    mark = index.begin_sync(identity)
    if not was_complete and not rebuild and snapshot.restore(storage, index, mark):
        mark = index.begin_sync(identity)  # what was restored gives way to the listing
    statuses = storage.project_statuses()
    with Workers(storage.concurrency) as workers:
        found = _compare(storage, index, everything=rebuild, progress=progress)
        limit = max(_MAX_GONE_FILES, int(_MAX_GONE * found.known))
        if force or not was_complete:
            limit = found.known
        gone = list(islice(_gone(storage, index, found, workers), limit + 1))
        if len(gone) > limit:
            raise SyncRefused(
                f"More than {limit} of {found.known} files are gone from the storage; is it "
                "mounted? The index is left as it is. If they are really gone, run "
                "`pypicloud-lite sync --force`."
            )
        index.merge_statuses(mark, statuses)
        changed = _merge(storage, index, mark, found, workers, progress=progress)
    index.merge(mark, [], gone)
    index.end_sync(identity, mark)
    report = SyncReport(found.listed, changed, len(gone), time.monotonic() - started)
    LOG.info(
        "index is in step with the storage: %d files, %d new or changed, %d gone, in %.1f s",
        report.listed,
        report.changed,
        report.gone,
        report.seconds,
    )
    return report


class _Packed:
    """Listed files, in little memory: a large storage lists more than one wants to hold."""

    def __init__(self) -> None:
        self._open: list[StoredFile] = []
        self._packed: list[bytes] = []
        self._length = 0

    def add(self, stored: StoredFile) -> None:
        self._open.append(stored)
        self._length += 1
        if len(self._open) == _BATCH:
            self._packed.append(zlib.compress(pickle.dumps(self._open), 1))
            self._open = []

    def __len__(self) -> int:
        return self._length

    def batches(self) -> Iterator[list[StoredFile]]:
        for packed in self._packed:
            yield pickle.loads(zlib.decompress(packed))  # noqa: S301 - our own, never left memory
        if self._open:
            yield self._open


@dataclass(frozen=True, slots=True)
class _Found:
    """A listing beside the index."""

    listed: int
    #: How many files the index had.
    known: int
    #: What to look at.
    fresh: _Packed
    #: Hashes of the file names that are new or differ.
    differing: frozenset[int]
    #: Hashes of the stamps that were not listed.
    unlisted: frozenset[int]


def _compare(
    storage: Storage,
    index: Index,
    *,
    everything: bool,
    progress: Callable[[Progress], None],
) -> _Found:
    """Compare by hashes, of which a million fits into memory where as many names would not."""
    unlisted = {hash(stamp) for stamp in index.stamps()}
    known = len(unlisted)
    differing: set[int] = set()
    fresh = _Packed()
    listed = 0

    def is_known(stamp: Stamp) -> bool:
        nonlocal listed
        listed += 1
        if listed % _BATCH == 0:
            progress(Progress(listed, None))
        token = hash(stamp)
        same = token in unlisted
        unlisted.discard(token)
        if known and not same:
            differing.add(hash(stamp.filename))
        return same and not everything

    for stored in storage.scan(is_known):
        fresh.add(stored)
    return _Found(listed, known, fresh, frozenset(differing), frozenset(unlisted))


def _gone(storage: Storage, index: Index, found: _Found, workers: Workers) -> Iterator[str]:
    """The names of files that are not in the storage any more.

    What was listed under the same name has changed or moved. What vanished from the listing may
    have been published since: the storage has the last word.
    """
    if not found.unlisted:
        return
    missing = [
        stamp
        for stamp in index.stamps()
        if hash(stamp) in found.unlisted and hash(stamp.filename) not in found.differing
    ]
    there = workers.map(lambda stamp: storage.stat(stamp.key) is not None, missing)
    for stamp, is_there in zip(missing, there, strict=True):
        if not is_there:
            yield stamp.filename


def _merge(
    storage: Storage,
    index: Index,
    mark: int,
    found: _Found,
    workers: Workers,
    *,
    progress: Callable[[Progress], None],
) -> int:
    """Read the facts of the files and write them to the index, batch by batch."""

    def describe(stored: StoredFile) -> DistributionFile | None:
        return describe_or_pass_over(storage, stored)

    changed = done = 0
    total = len(found.fresh)
    progress(Progress(0, total))
    for batch in found.fresh.batches():
        files = [file for file in workers.map(describe, batch) if file is not None]
        index.merge(mark, files, [])
        changed += len(files)
        done += len(batch)
        progress(Progress(done, total))
        if done - changed > max(_MAX_ODD * found.listed, 1):
            raise StorageUnavailable(f"{done - changed} of {found.listed} files can't be read.")
    return changed


def describe_or_pass_over(storage: Storage, stored: StoredFile) -> DistributionFile | None:
    """The facts of a listed file. One odd file stops nothing: ``None``.

    Raises:
        StorageUnavailable: the file is sound; an index without it would not be complete.
    """
    try:
        return storage.describe(stored)
    except FileMissing:
        LOG.info("%s vanished while it was being indexed", stored.key)
    except FileRefused as exc:
        LOG.error("%s can't be indexed and is passed over: %s", stored.key, exc)
    except Unavailable:
        raise
    except Exception:
        LOG.exception("%s can't be indexed and is passed over", stored.key)
    return None
