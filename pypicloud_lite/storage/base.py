"""What a storage backend does, and the values that it hands out.

The storage is the truth: whatever must survive the loss of the index database is kept here. A
backend is built once from its settings and shared by all requests and threads; it knows nothing
of HTTP requests. What a client shall get is a value: serve this local file, or go to that URL.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.model import DistributionFile, ProjectStatus, Stamp, StoredFile
from pypicloud_lite.names import ProjectName
from pypicloud_lite.settings.options import Section
from pypicloud_lite.storage.oserrors import os_translated


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Serve the bytes of the file of this key, below this folder."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.key


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """Send the client to this URL, which is valid for at least ``seconds``."""

    url: str
    seconds: int


Location = LocalFile | RemoteUrl


@dataclass(frozen=True, slots=True)
class Spool:
    """A temporary file that an upload is received into, in the place best for publishing it."""

    #: ``None`` for a file without a name, which nothing can leave behind.
    path: Path | None
    #: Open for writing and reading.
    file: IO[bytes]

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            StorageFull, StorageUnavailable: the disk doesn't take them.
        """
        with os_translated("spool", may_be_missing=False):
            self.file.write(chunk)

    def flush(self) -> None:
        """Bring all bytes to the file; raises as :meth:`write` does."""
        with os_translated("spool", may_be_missing=False):
            self.file.flush()


#: Whether a file is known as it is listed.
Known = Callable[[Stamp], bool]


def nothing_known(_stamp: Stamp) -> bool:
    """To list every file."""
    return False


@dataclass(frozen=True, slots=True)
class Hints:
    """What may have changed in the storage. Whether it has, a look at the storage tells."""

    #: Of distribution files, with what lies beside them.
    keys: Collection[str] = ()
    #: Beginnings of keys, below which files may be gone.
    below: Collection[str] = ()
    #: Whether the status of a project may have changed.
    statuses: bool = False
    #: Whether anything may have changed, since some hints may be lost.
    everything: bool = False


#: Yields hints until the event is set. Going on to the next ones says that the last were taken
#: care of. May raise ``Unavailable``; it is then called again later.
HintSource = Callable[[threading.Event], Iterator[Hints]]


class Storage(ABC):
    """Where the distribution files lie, with their facts beside them.

    Every method may raise ``StorageUnavailable`` or ``StorageFull``, from the library's own
    exception.
    """

    @classmethod
    @abstractmethod
    def from_settings(cls, section: Section) -> Self:
        """Build the backend from ``storage.*``.

        Read all settings and call ``section.finish()``. What may be down for a while belongs into
        :meth:`prepare`.

        Raises:
            SettingsError: the settings can't work, each problem in a sentence.
        """

    def prepare(self) -> None:  # noqa: B027 - not everyone has something to do
        """Find out at the start whether everything outside is there, and make what is missing.

        A server that has a complete index starts all the same when this fails.

        Raises:
            SettingsError: with a sentence that says which setting to look at.
        """

    @abstractmethod
    def spool(self) -> AbstractContextManager[Spool]:
        """A temporary file for one upload; it is gone when the context ends."""

    @abstractmethod
    def changing(self, filename: str) -> AbstractContextManager[None]:
        """Hold this while a file of this name is changed, in the storage and in the index.

        Nobody else on this host changes it meanwhile. Reentrant in a thread.
        """

    @abstractmethod
    def key_for(self, project: ProjectName, version: str, filename: str) -> str:
        """The key under which a new file will be kept."""

    @abstractmethod
    def put(
        self, file: DistributionFile, spool: Spool, core_metadata: bytes | None, *, replace: bool
    ) -> DistributionFile:
        """Publish the spooled bytes and the facts: whole or not at all.

        Of two concurrent calls for one key without ``replace`` exactly one publishes, across
        processes and hosts. When the same bytes are there already, nothing changes and the file
        that is there is returned.

        Returns:
            The published file, with ``key``, ``size`` and ``stamp`` as a listing would show them.

        Raises:
            FileExists: other bytes are there, and ``replace`` is false.
        """

    @abstractmethod
    def scan(self, known: Known = nothing_known) -> Iterator[StoredFile]:
        """List every distribution file, without reading any of them.

        Temporary files, sidecars and whatever is not a distribution file are passed over.

        Args:
            known: called once with the stamp of each file; those for which it says true are left
                out, and nothing else is made of them.
        """

    @abstractmethod
    def stat(self, key: str) -> StoredFile | None:
        """The listing's entry for one key, or ``None`` when nothing is there."""

    @abstractmethod
    def describe(self, stored: StoredFile) -> DistributionFile:
        """All facts of a listed file: from what lies beside it, else from its content.

        Raises:
            FileMissing: it vanished since it was listed.
        """

    @abstractmethod
    def annotate(self, file: DistributionFile) -> DistributionFile:
        """Keep changed facts (yanked, provenance …) of a published file.

        Raises:
            FileMissing: the file isn't there.
        """

    @abstractmethod
    def delete(self, file: DistributionFile) -> None:
        """Remove the file and what lies beside it; nothing happens when it is gone already."""

    @abstractmethod
    def open(self, file: DistributionFile) -> IO[bytes]:
        """Open the bytes for reading; seekable.

        Raises:
            FileMissing: the file isn't there.
            FileChanged: the bytes aren't those that ``file`` describes any more.
        """

    def verify(self, file: DistributionFile) -> None:
        """Do nothing if the bytes are still there, sooner than :meth:`open` where that is possible.

        Raises:
            FileMissing, FileChanged: as there.
        """
        self.open(file).close()

    @abstractmethod
    def core_metadata(self, file: DistributionFile) -> bytes:
        """The distribution's core metadata, byte for byte (PEP 658).

        Raises:
            FileMissing: the file isn't there, or has none.
        """

    @abstractmethod
    def locate(self, file: DistributionFile) -> Location:
        """How a client gets the bytes."""

    def locate_core_metadata(self, file: DistributionFile) -> RemoteUrl | None:
        """Where a client is sent for the core metadata; ``None``: :meth:`core_metadata`."""
        return None

    def page_url(self, file: DistributionFile) -> str | None:
        """The URL that index pages carry; ``None``: this server's own download URL."""
        return None

    def page_epoch(self) -> Hashable | None:
        """Changes whenever the URLs that :meth:`page_url` gives do; ``None`` if it gives none."""
        return None

    #: Whether :meth:`locate` names files of this host, which a web server may send.
    is_folder = False
    #: How many calls of :meth:`describe` may run at once.
    concurrency = 1
    #: Whether a snapshot of the index is worth keeping, since :meth:`describe` costs a request.
    keeps_snapshots = False

    def open_snapshot(self) -> IO[bytes] | None:
        """The snapshot that was kept last, from its start; ``None`` when there is none."""
        return None

    def save_snapshot(self, content: IO[bytes]) -> None:  # noqa: B027 - see keeps_snapshots
        """Keep a snapshot of the index instead of the last one; read from its start."""

    def watch(self) -> HintSource:
        """What tells of changes that others make, for ``pypi.watch = true``.

        Raises:
            SettingsError: this storage can't be watched, or what it takes isn't installed.
        """
        raise SettingsError(["pypi.watch = true: only pypi.storage = file can be watched."])

    def event_queue(self, url: str) -> HintSource:
        """What tells of changes that others make, for ``pypi.s3_events_queue``.

        Args:
            url: of the queue.

        Raises:
            SettingsError: this storage has no events, or the URL is none of a queue.
        """
        raise SettingsError(["pypi.s3_events_queue: only a bucket (s3, cloudfront) has events."])

    @abstractmethod
    def project_statuses(self) -> dict[ProjectName, ProjectStatus | None]:
        """The status of every project that isn't simply active; ``None`` for one whose status
        is there but can't be read.
        """

    @abstractmethod
    def set_project_status(self, project: ProjectName, status: ProjectStatus) -> None:
        """Keep the status of a project."""

    @abstractmethod
    def check(self) -> None:
        """Do nothing if the storage works, else raise ``StorageUnavailable`` with the reason."""

    def identity(self) -> str:
        """A text that names this store, so that an index of another store is noticed."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def default_index_url(self) -> str:
        """The URL of the index database when the settings name none."""
        return f"sqlite:///{Path('pypicloud-lite-index.sqlite').absolute()}"
