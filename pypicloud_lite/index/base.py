"""What an index does for the rest of the server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager

from pypicloud_lite.model import (
    DistributionFile,
    Project,
    ProjectStatus,
    ProjectSummary,
    Stamp,
)
from pypicloud_lite.names import ProjectName


class Index(ABC):
    """The distribution files by project, with a serial that grows with every change.

    A change is visible to every process that shares the database as soon as the call returns.
    Every method may raise ``IndexUnavailable``.
    """

    @abstractmethod
    def ready(self, identity: str) -> bool:
        """Whether the index was completed for the storage called ``identity``."""

    @abstractmethod
    def serial(self, project: ProjectName | None = None) -> int:
        """The serial of a project, or of the whole index; 0 for a project that isn't here."""

    @abstractmethod
    def generation(self) -> Hashable:
        """A value that is another one after every change of any process that has returned.

        What is asked of the index after reading it holds for as long as it stays.
        """

    def known_generation(self) -> Hashable | None:
        """What :meth:`generation` gives, if that is known without waiting for anything."""
        return None

    @abstractmethod
    def project(self, name: ProjectName) -> Project | None:
        """A project with its files, or ``None``. Read in one transaction with its serial."""

    @abstractmethod
    def file(self, project: ProjectName, filename: str) -> DistributionFile | None:
        """One file of one project."""

    @abstractmethod
    def status(self, project: ProjectName) -> ProjectStatus:
        """The status of a project; that of an unknown one is active."""

    @abstractmethod
    def spellings(self, filename: str) -> list[str]:
        """The names of files that differ from ``filename`` in case only, itself included."""

    @abstractmethod
    def project_names(self) -> list[ProjectName]:
        """Every project that has files, sorted."""

    @abstractmethod
    def summaries(self) -> list[ProjectSummary]:
        """Every project that has files, sorted, with its newest file's summary and time."""

    @abstractmethod
    def put(self, file: DistributionFile) -> None:
        """Add a file, or replace what is known of it."""

    @abstractmethod
    def remove(self, filename: str) -> None:
        """Forget a file, known or not: a synchronization under way won't bring it back."""

    @abstractmethod
    def set_status(self, project: ProjectName, status: ProjectStatus) -> None:
        """Set the status marker of a project, whether it has files or not."""

    @abstractmethod
    def merge_statuses(
        self, mark: int, statuses: Mapping[ProjectName, ProjectStatus | None]
    ) -> None:
        """Set the status markers of all projects but those that were changed since ``mark``.

        Args:
            statuses: of all projects that aren't simply active; ``None`` where it isn't known.
        """

    @abstractmethod
    def stamp(self, filename: str) -> Stamp | None:
        """What to compare with a listing, for one file of any project."""

    @abstractmethod
    def stamps(self, below: str = "") -> Iterator[Stamp]:
        """What to compare with a listing, for every file whose key begins with ``below``."""

    @abstractmethod
    def files(self) -> Iterator[DistributionFile]:
        """Every file, in no order, read in one transaction."""

    @abstractmethod
    def begin_sync(self, identity: str) -> int:
        """Begin to bring the index in step with the storage; an index of another is emptied.

        Returns:
            A mark: what is changed by others from now on wins over what the listing says.
        """

    @abstractmethod
    def merge(
        self, mark: int, changed: Collection[DistributionFile], gone: Collection[str]
    ) -> None:
        """Take over what a listing found, but for files that were changed since ``mark``.

        Args:
            changed: files that are new or differ.
            gone: filenames that are no longer there.
        """

    @abstractmethod
    def end_sync(self, identity: str, mark: int) -> None:
        """Mark the index as complete."""

    @abstractmethod
    def synced(self) -> int:
        """When the last synchronization ended, of whatever process, in seconds since the epoch."""

    @abstractmethod
    def unsaved(self) -> int:
        """How many files were changed since :meth:`saved` was called."""

    @abstractmethod
    def saved(self, unsaved: int) -> None:
        """So many changed files are in a snapshot now."""

    @abstractmethod
    def count(self) -> int:
        """The number of files."""

    @abstractmethod
    def leading(self) -> AbstractContextManager[bool]:
        """Whether this process is the one that synchronizes, of all that share the database, for
        as long as the block runs.
        """

    @abstractmethod
    def look_for_damage(self) -> None:
        """Read the whole database, where that was not done at the start; may take long.

        Raises:
            IndexUnavailable: it was damaged and has been put aside.
        """

    @abstractmethod
    def check(self) -> None:
        """Do nothing if the database answers, else raise ``IndexUnavailable``."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""
