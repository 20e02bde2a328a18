"""Reading the index: the use cases of everyone who browses or installs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import closing
from typing import IO

from pypicloud_lite.access.identity import Identity
from pypicloud_lite.access.rules import Rules
from pypicloud_lite.errors import FileChanged, FileMissing, ProjectMissing
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.remembered import Remembered
from pypicloud_lite.model import DistributionFile, Project, ProjectSummary
from pypicloud_lite.names import ProjectName
from pypicloud_lite.simple.cache import PageCache, Rendered, render
from pypicloud_lite.simple.negotiation import Format
from pypicloud_lite.simple.pages import ProjectListPage, project_page
from pypicloud_lite.simple.serialize import (
    project_html,
    project_json,
    project_list_html,
    project_list_json,
)
from pypicloud_lite.storage.base import Location, RemoteUrl, Storage

#: From a page at ``/simple/<project>/`` to the root of this server.
_ROOT_FROM_PAGE = "../../"
#: How often, and for how many seconds, to wait for the index while a file is overwritten.
_CHANGES, _MOMENT = 5, 0.05
#: Files up to this size are kept in memory like pages, in bytes.
_SMALL = 1 << 15


class Catalog:
    """What the index shows. Who may see it is for the caller to decide.

    Args:
        look_again: brings one file of the index in step, by its key.
        gate: raises while the index isn't complete: then no page is made, and nothing is missing.
    """

    def __init__(
        self,
        index: Index,
        storage: Storage,
        rules: Rules,
        pages: PageCache,
        *,
        gate: Callable[[], None] = lambda: None,
        look_again: Callable[[str], object] = lambda _key: None,
    ) -> None:
        self._index = index
        self._remembered = Remembered(index)
        self._storage = storage
        self._rules = rules
        self._pages = pages
        self._gate = gate
        self._look_again = look_again

    def moment(self) -> Hashable | None:
        """Equal values: all pages and files are the same. ``None`` if finding out may take time."""
        if self._storage.page_epoch() is not None:
            return None
        return self._index.known_generation()

    def has(self, project: ProjectName) -> bool:
        """Whether the index knows the project."""
        return self._serial(project) > 0

    def _serial(self, project: ProjectName) -> int:
        """That of a project; 0 only where it is missing from a complete index."""

        def ask() -> int:
            serial = self._index.serial(project)
            if not serial:
                self._gate()
                serial = self._index.serial(project)  # it may have been completed in between
            return serial

        return self._remembered.get(("serial", project), ask)

    def project(self, name: ProjectName) -> Project:
        """A project with its files.

        Raises:
            ProjectMissing: it has no files here.
        """
        self._gate()
        found = self._index.project(name)
        if found is None:
            raise ProjectMissing(f"No project {name!r} in this index.")
        return found

    def project_page(self, name: ProjectName, format_: Format) -> Rendered:
        """The ready page of a project.

        Raises:
            ProjectMissing: it has no files here.
        """
        serial = self._serial(name)
        if not serial:
            raise ProjectMissing(f"No project {name!r} in this index.")

        def make() -> Rendered:
            page = project_page(self.project(name), self._storage.page_url, root=_ROOT_FROM_PAGE)
            return render(project_json(page) if format_.is_json else project_html(page))

        key = ("project", name, format_.is_json)
        return self._pages.get(key, (serial, self._storage.page_epoch()), make)

    def project_list_page(self, identity: Identity, format_: Format) -> Rendered:
        """The ready page of all projects that ``identity`` may read."""

        def make() -> Rendered:
            page = ProjectListPage(self.readable_projects(identity))
            return render(project_list_json(page) if format_.is_json else project_list_html(page))

        key = ("projects", self._rules.reader_class(identity), format_.is_json)
        return self._pages.get(key, self._remembered.get("serial", self._index.serial), make)

    def count_readable(self, identity: Identity) -> int:
        """How many projects ``identity`` may read."""
        return self._remembered.get(
            ("count", self._rules.reader_class(identity)),
            lambda: len(self.readable_projects(identity)),
        )

    def readable_projects(self, identity: Identity) -> Sequence[ProjectName]:
        """The names of all projects that ``identity`` may read, sorted."""
        self._gate()
        return self._rules.readable(identity, self._index.project_names())

    def readable_summaries(self, identity: Identity) -> Sequence[ProjectSummary]:
        """One line for each project that ``identity`` may read, sorted by name."""
        self._gate()
        summaries = self._index.summaries()
        readable = set(self._rules.readable(identity, [summary.name for summary in summaries]))
        return [summary for summary in summaries if summary.name in readable]

    def file(self, project: ProjectName, filename: str) -> DistributionFile:
        """A file of this very project.

        Raises:
            FileMissing: the project has no such file, or doesn't offer it (PEP 792 quarantine).
        """

        def ask() -> DistributionFile:
            found = self._index.file(project, filename)
            if found is None:
                self._gate()
                found = self._index.file(project, filename)  # completed in between
            if found is None or not self._index.status(project).offers_files:
                raise FileMissing(f"No file {filename[:200]!r} in the project {project!r}.")
            return found

        return self._remembered.get(("file", project, filename), ask)

    def locate(self, file: DistributionFile) -> Location:
        """How a client gets the file's bytes."""
        return self._storage.locate(file)

    def open(self, file: DistributionFile) -> tuple[DistributionFile, IO[bytes]]:
        """The bytes, for sending them through this server, and the facts of just these bytes.

        Raises:
            FileMissing: it was deleted.
            StorageUnavailable: the storage fails, or was changed behind the index.
        """
        for _attempt in range(_CHANGES):
            try:
                return file, self._opened(file)
            except FileChanged:  # overwritten: the index has its new facts, or will in a moment
                time.sleep(_MOMENT)
                file = self.file(file.project, file.filename)
        self._look_again(file.key)
        raise FileChanged(
            f"{file.filename} was replaced in the storage by others. Its page has the new facts."
        )

    def _opened(self, file: DistributionFile) -> IO[bytes]:
        """The bytes; of a small file on a disk those in memory, if the disk still has the same."""
        if file.size > _SMALL or not self._storage.is_folder:
            return self._storage.open(file)
        self._storage.verify(file)

        def read() -> Rendered:
            with closing(self._storage.open(file)) as stream:
                return Rendered(stream.read(), "", None, "")

        return io.BytesIO(self._pages.get(("file", file.key), file.stamp, read).body)

    def core_metadata(self, file: DistributionFile) -> bytes:
        """The core metadata that is offered (PEP 658).

        Raises:
            FileMissing: the file has none.
        """
        digest = self._core_metadata_digest(file)

        def make() -> Rendered:
            return Rendered(self._storage.core_metadata(file), f'"{digest}"', None, "")

        key = ("core metadata", file.filename)
        return self._pages.get(key, (digest, file.stamp), make).body

    def locate_core_metadata(self, file: DistributionFile) -> RemoteUrl | None:
        """Where a client gets it; ``None``: here, by :meth:`core_metadata`.

        Raises:
            FileMissing: the file has none.
        """
        self._core_metadata_digest(file)
        return self._storage.locate_core_metadata(file)

    @staticmethod
    def _core_metadata_digest(file: DistributionFile) -> str:
        if file.core_metadata_sha256 is None:
            raise FileMissing(f"The file {file.filename!r} has no core metadata.")
        return file.core_metadata_sha256

    def any_core_metadata(self, file: DistributionFile) -> bytes | None:
        """The core metadata of any kind of file, offered to clients or not."""
        try:
            return self._storage.core_metadata(file)
        except FileMissing:
            return None
