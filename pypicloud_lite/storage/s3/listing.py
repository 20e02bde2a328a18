"""From the keys in a bucket to distribution files, each with what lies beside it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pypicloud_lite.errors import InvalidFilename
from pypicloud_lite.model import Stamp, StoredFile
from pypicloud_lite.names import ProjectName, extension_of, parse_stored_filename, project_name
from pypicloud_lite.storage.base import Known, nothing_known
from pypicloud_lite.storage.s3.connect import OWN

LOG = logging.getLogger(__name__)

#: The facts that don't fit the object's metadata.
META = ".meta"
#: The core metadata (PEP 658), where clients look for it.
CORE_METADATA = ".metadata"
#: Suffixes of what lies beside a file.
SIDECARS = (CORE_METADATA, META)


def key_for(prefix: str, project: ProjectName, filename: str, *, prepend_hash: bool) -> str:
    """pypicloud's key of a file."""
    path = f"{project}/{filename}"
    if prepend_hash:
        digest = hashlib.md5(filename.encode(), usedforsecurity=False).hexdigest()
        path = f"{digest[:4]}/{path}"
    return prefix + path


@dataclass
class _Found:
    """An object of the listing that may still get sidecars."""

    key: str
    size: int
    etag: str
    modified: datetime
    beside: dict[str, str] = field(default_factory=dict)

    def stamp(self) -> Stamp:
        """What tells whether anything has changed, the facts beside it included."""
        facts = self.beside.get(META)
        stamp = self.etag if facts is None else f"{self.etag}+{facts}"
        return Stamp(self.key, self.key.rpartition("/")[2], self.size, stamp)

    def stored(self, stamp: Stamp) -> StoredFile | None:
        """The entry, or ``None`` for what isn't a distribution file."""
        *folders, filename = self.key.split("/")
        folder = folders[-1] if folders else None
        try:
            name = parse_stored_filename(filename, folder, _version(filename, folder))
        except InvalidFilename as exc:
            LOG.debug("%s is passed over: %s", self.key, exc)
            return None
        return StoredFile.listed(stamp, name, self.modified.astimezone(UTC), self.beside)


def _version(filename: str, folder: str | None) -> str | None:
    """What follows the project's name in an old file name, for versions that no longer count."""
    extension = extension_of(filename)
    if folder is None or extension is None or extension == ".whl":
        return None
    rest = filename.removesuffix(extension)[len(folder) :]
    return rest.lstrip("-_.") or None


def stored_files(
    objects: Iterable[dict[str, Any]], prefix: str, known: Known = nothing_known
) -> Iterator[StoredFile]:
    """The distribution files among listed objects, which come sorted by key.

    Sidecars sort behind their file, though not always right behind it.

    Args:
        known: see :meth:`pypicloud_lite.storage.base.Storage.scan`.
    """
    waiting: dict[str, _Found] = {}
    entries = _Entries(known)
    for listed in objects:
        key = listed["Key"]
        if key.startswith(prefix + OWN):
            continue
        for owner in [owner for owner in waiting if key > owner + CORE_METADATA]:
            yield from entries.of(waiting.pop(owner))
        suffix = next((suffix for suffix in SIDECARS if key.endswith(suffix)), None)
        if suffix is not None:
            found = waiting.get(key.removesuffix(suffix))
            # Core metadata that is older than its object is of one that was replaced.
            if found is not None and (suffix == META or listed["LastModified"] >= found.modified):
                found.beside[suffix] = listed["ETag"].strip('"')
        elif listed["Size"]:
            waiting[key] = _Found(
                key, listed["Size"], listed["ETag"].strip('"'), listed["LastModified"]
            )
        else:
            entries.passed_over += 1
    for found in waiting.values():
        yield from entries.of(found)
    if entries.passed_over:
        LOG.info("%d objects are no distribution files; passed over", entries.passed_over)


class _Entries:
    """Tells distribution files from all else, and counts the rest."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._seen: set[int] = set()  # of hashes, which take less memory than names
        self.passed_over = 0

    def of(self, found: _Found) -> Iterator[StoredFile]:
        stamp = found.stamp()
        name = hash(stamp.filename)
        if extension_of(stamp.filename) is None:
            self.passed_over += 1
        elif name in self._seen:
            LOG.warning("%s is there more than once; passed over", stamp.key)
            self.passed_over += 1
        elif self._known(stamp):
            self._seen.add(name)
        elif (stored := found.stored(stamp)) is None:
            self.passed_over += 1
        else:
            self._seen.add(name)
            yield stored


def snapshot_key(prefix: str) -> str:
    """Where a snapshot of the index is kept."""
    return f"{prefix}{OWN}index/snapshot.jsonl.gz"


def status_prefix(prefix: str) -> str:
    """Where the status of every project is kept that isn't simply active."""
    return f"{prefix}{OWN}status/"


def status_key(prefix: str, project: ProjectName) -> str:
    """Where the status of a project is kept."""
    return f"{status_prefix(prefix)}{project}.json"


def project_of_status_key(prefix: str, key: str) -> ProjectName:
    """The project whose status a key is.

    Raises:
        InvalidName: nobody's.
    """
    return project_name(key.removeprefix(status_prefix(prefix)).removesuffix(".json"))
