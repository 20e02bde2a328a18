"""Looking at single files of the storage that may have changed."""

from __future__ import annotations

import logging

from pypicloud_lite.index.base import Index
from pypicloud_lite.index.sync import describe_or_pass_over
from pypicloud_lite.index.workers import Workers
from pypicloud_lite.model import Stamp
from pypicloud_lite.storage.base import Hints, Storage

LOG = logging.getLogger(__name__)


def refresh(storage: Storage, index: Index, hints: Hints) -> int:
    """Look at what may have changed, and take over what has.

    Hints may come late, twice, in any order, or be wrong: what counts is what the storage shows.

    Returns:
        The number of files that had changed.

    Raises:
        StorageUnavailable, IndexUnavailable: the same hints may be given again.
    """
    keys = set(hints.keys)
    for below in hints.below:
        keys.update(stamp.key for stamp in index.stamps(below))
    changed = 0
    if keys or hints.statuses:
        storage.check()  # where a disk isn't mounted, nothing is gone
    if keys:
        with Workers(min(len(keys), storage.concurrency)) as workers:
            changed = sum(workers.map(lambda key: _look(storage, index, key), sorted(keys)))
    if hints.statuses:
        mark = index.serial()
        index.merge_statuses(mark, storage.project_statuses())
    return changed


def _look(storage: Storage, index: Index, key: str) -> bool:
    """Bring one file in step; whether it wasn't."""
    filename = key.rpartition("/")[2]
    with storage.changing(filename):
        mark = index.serial()
        stored = storage.stat(key)
        known = index.stamp(filename)
        if stored is None:
            if known is None or known.key != key:
                return False
            index.merge(mark, [], [filename])
            LOG.info("%s is gone from the storage", filename)
            return True
        if known == Stamp.of(stored):
            return False
        if known is not None and known.key != key and storage.stat(known.key) is not None:
            LOG.warning("%s is there more than once; passed over", key)
            return False
        file = describe_or_pass_over(storage, stored)
        if file is None:
            return False
        index.merge(mark, [file], [])
    LOG.info("%s was changed in the storage by others", filename)
    return True
