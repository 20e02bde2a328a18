"""Comparing index and storage, file by file (``pypicloud-lite fsck``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pypicloud_lite.errors import FileMissing
from pypicloud_lite.index.base import Index
from pypicloud_lite.model import DistributionFile, StoredFile
from pypicloud_lite.storage.base import Storage

_CHUNK = 1 << 20


def differences(storage: Storage, index: Index, *, read_all: bool = False) -> Iterator[str]:
    """A sentence for each file of which storage and index tell different stories.

    Args:
        read_all: also read every file and compare its digest with the one on record.
    """
    known = {stamp.key: stamp.filename for stamp in index.stamps()}
    for stored in storage.scan():
        known.pop(stored.key, None)
        yield from _of_file(storage, index, stored, read_all=read_all)
    for key, filename in sorted(known.items()):
        yield f"{filename}: in the index, but not in the storage ({key})"


def _of_file(
    storage: Storage, index: Index, stored: StoredFile, *, read_all: bool
) -> Iterator[str]:
    try:
        facts = storage.describe(stored)
    except FileMissing:
        return  # deleted just now
    indexed = index.file(facts.project, facts.filename)
    if indexed is None:
        yield f"{facts.filename}: in the storage, but not in the index ({stored.key})"
    elif indexed != facts:
        names = ", ".join(_differing(indexed, facts))
        yield f"{facts.filename}: index and storage differ in {names}"
    if read_all and facts.sha256 is not None and _sha256(storage, facts) != facts.sha256:
        yield f"{facts.filename}: its bytes are not those that were published ({stored.key})"


def _differing(left: DistributionFile, right: DistributionFile) -> list[str]:
    return [name for name in left.__slots__ if getattr(left, name) != getattr(right, name)]


def _sha256(storage: Storage, file: DistributionFile) -> str:
    digest = hashlib.sha256()
    with storage.open(file) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
