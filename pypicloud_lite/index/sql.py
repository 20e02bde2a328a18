"""The index in a SQL database."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from pypicloud_lite.errors import IndexUnavailable
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.database import Database, Row, Session
from pypicloud_lite.index.generation import Generation
from pypicloud_lite.index.schema import CREATE, DROP, SCHEMA_VERSION, TABLES
from pypicloud_lite.model import (
    DistributionFile,
    Project,
    ProjectStatus,
    ProjectSummary,
    Stamp,
    iso_utc,
    parse_iso_utc,
)
from pypicloud_lite.names import ProjectName

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_BATCH = 500
#: The facts of a file, each in the column of its name.
_FACTS = tuple(field.name for field in fields(DistributionFile))
_TIME = _FACTS.index("upload_time")
_facts_of = attrgetter(*_FACTS)
_ACTIVE = ProjectStatus().status


def _columns(names: Iterable[str]) -> str:
    return ", ".join(names)


def _marks(values: Collection[Any]) -> str:
    """A list of as many parameters."""
    return f"({_columns('?' * len(values))})"


def _upsert(table: str, key: str, columns: Sequence[str], replaced: Sequence[str]) -> str:
    """Adds a row, or replaces some columns of the one that has the key."""
    changes = _columns(f"{name} = excluded.{name}" for name in replaced)
    return (
        f"INSERT INTO {table} ({_columns(columns)}) VALUES {_marks(columns)} "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


_FILE_COLUMNS = (*_FACTS, "serial", "folded")
_PUT_FILE = _upsert(
    "lite_files", "filename", _FILE_COLUMNS, [name for name in _FILE_COLUMNS if name != "filename"]
)
_PUT_PROJECT = _upsert(
    "lite_projects", "name", ("name", "serial", "status", "status_reason"), ["serial"]
)
_PUT_TOMBSTONE = _upsert("lite_tombstones", "filename", ("filename", "serial"), ["serial"])
_FILES = f"SELECT {_columns(_FACTS)} FROM lite_files"
_STAMPS = f"SELECT {_columns(Stamp._fields)} FROM lite_files"
_SUMMARIES = """
SELECT lite_files.project, max(lite_files.summary), lite_files.upload_time
FROM lite_files
JOIN (SELECT project, max(upload_time) AS upload_time FROM lite_files GROUP BY project) AS newest
  ON lite_files.project = newest.project AND lite_files.upload_time = newest.upload_time
GROUP BY lite_files.project, lite_files.upload_time
ORDER BY lite_files.project
"""
_FIRST_STATE = """
INSERT INTO lite_state (id, schema_version, serial, storage, synced, unsaved)
VALUES (1, ?, ?, '', 0, 0)
"""


class SqlIndex(Index):
    """The index on SQLite or PostgreSQL.

    Args:
        database: from :func:`pypicloud_lite.index.connect.open_database`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._prepared = False
        #: Of a database that other hosts use, too, only the database itself knows.
        self._generation = None if database.file is None else Generation(database.file, self.serial)
        try:
            with self._prepare():
                pass
        except IndexUnavailable as exc:
            LOG.error("%s The index is tried again with each request.", exc)

    @contextmanager
    def _reading(self, *, consistent: bool = False) -> Iterator[Session]:
        with self._prepare(), self._database.reading(consistent=consistent) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._prepare(), self._publishing() as session:
            yield session

    @contextmanager
    def _publishing(self) -> Iterator[Session]:
        """A transaction that the other processes are told of when it is committed."""
        with self._database.writing() as session:
            yield session
            given = session.given  # as soon as it is committed, another thread may have it
        if given is not None and self._generation is not None:
            self._generation.publish(given)

    @contextmanager
    def _prepare(self) -> Iterator[None]:
        """Make the tables first, if that has not been done.

        A database that was down may be back, and one that failed may have lost its tables.
        """
        try:
            if not self._prepared:
                if not self._has_tables():
                    self._make_tables()
                self._prepared = True
            yield
        except IndexUnavailable:
            self._prepared = False
            raise

    def _has_tables(self) -> bool:
        with self._database.reading(consistent=True) as session:
            return self._are_current(session, _our_tables(session))

    @staticmethod
    def _are_current(session: Session, there: set[str]) -> bool:
        """Whether the tables are those of this version.

        Raises:
            IndexUnavailable: they are of a newer one, whose servers may be using them.
        """
        if "lite_state" not in there:
            return False
        version = session.value("SELECT schema_version FROM lite_state") or 0
        if version > SCHEMA_VERSION:
            raise IndexUnavailable(
                "The index database is of a newer version of pypicloud-lite. Upgrade this server, "
                "or give it another db.url."
            )
        return bool(version == SCHEMA_VERSION) and there == set(TABLES)

    def _make_tables(self) -> None:
        """Make the tables, or replace those of another version of the schema."""
        # Of an index made anew, no page of the old one may be taken for current.
        serial = time.time_ns() // 1_000_000
        with self._publishing() as session:
            there = _our_tables(session)
            if self._are_current(session, there):
                return  # another process was faster
            if there:
                LOG.warning("the index has another schema or lost tables; it is built again")
            for statement in (*DROP, *CREATE):
                session.run(statement)
            session.run(_FIRST_STATE, (SCHEMA_VERSION, serial))
            session.given = serial

    # -- reading ---------------------------------------------------------------------------

    def ready(self, identity: str) -> bool:
        return bool(self._state("storage") == identity)

    def serial(self, project: ProjectName | None = None) -> int:
        if project is None:
            return self._state("serial") or 0
        with self._reading() as session:
            return session.value("SELECT serial FROM lite_projects WHERE name = ?", (project,)) or 0

    def generation(self) -> Hashable:
        return self.serial() if self._generation is None else self._generation.read()

    def known_generation(self) -> Hashable | None:
        return None if self._generation is None else self._generation.peek()

    def project(self, name: ProjectName) -> Project | None:
        with self._reading(consistent=True) as session:
            found = session.row(
                "SELECT serial, status, status_reason FROM lite_projects WHERE name = ?", (name,)
            )
            if found is None:
                return None
            rows = session.rows(f"{_FILES} WHERE project = ?", (name,))
        return Project(name, found[0], ProjectStatus(*found[1:]), tuple(map(_file, rows)))

    def file(self, project: ProjectName, filename: str) -> DistributionFile | None:
        with self._reading() as session:
            row = session.row(f"{_FILES} WHERE filename = ? AND project = ?", (filename, project))
        return None if row is None else _file(row)

    def status(self, project: ProjectName) -> ProjectStatus:
        with self._reading() as session:
            found = session.row(
                "SELECT status, status_reason FROM lite_projects WHERE name = ?", (project,)
            )
        return ProjectStatus() if found is None else ProjectStatus(*found)

    def spellings(self, filename: str) -> list[str]:
        with self._reading() as session:
            return session.values(
                "SELECT filename FROM lite_files WHERE folded = ?", (filename.lower(),)
            )

    def project_names(self) -> list[ProjectName]:
        with self._reading() as session:
            return session.values("SELECT DISTINCT project FROM lite_files ORDER BY project")

    def summaries(self) -> list[ProjectSummary]:
        with self._reading() as session:
            rows = session.rows(_SUMMARIES)
        return [
            ProjectSummary(ProjectName(name), summary, parse_iso_utc(when))
            for name, summary, when in rows
        ]

    def stamp(self, filename: str) -> Stamp | None:
        with self._reading() as session:
            row = session.row(f"{_STAMPS} WHERE filename = ?", (filename,))
        return None if row is None else Stamp._make(row)

    def stamps(self, below: str = "") -> Iterator[Stamp]:
        statement, parameters = _STAMPS, []
        if below:
            statement, parameters = f"{_STAMPS} WHERE substr(key, 1, ?) = ?", [len(below), below]
        return map(Stamp._make, self._stream(statement, parameters))

    def files(self) -> Iterator[DistributionFile]:
        return map(_file, self._stream(_FILES))

    def _stream(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows of a large result, without having all of them in memory."""
        with self._reading(consistent=True) as session:
            yield from session.stream(statement, parameters)

    def count(self) -> int:
        with self._reading() as session:
            return session.value("SELECT count(*) FROM lite_files") or 0

    def synced(self) -> int:
        return self._state("synced") or 0

    def unsaved(self) -> int:
        return self._state("unsaved") or 0

    def _state(self, column: str) -> Any:
        """A column of the state; ``None`` when the only row is lost."""
        with self._reading() as session:
            return session.value(f"SELECT {column} FROM lite_state")

    # -- changing --------------------------------------------------------------------------

    def put(self, file: DistributionFile) -> None:
        with self._writing() as session:
            self._put(session, [file])

    def remove(self, filename: str) -> None:
        with self._writing() as session:
            if not self._remove(session, [filename]):
                self._bury(session, [filename], self._touch(session, (), 0))

    def set_status(self, project: ProjectName, status: ProjectStatus) -> None:
        with self._writing() as session:
            self._set_status(session, project, status)
            self._drop_empty(session, {project})

    def begin_sync(self, identity: str) -> int:
        with self._writing() as session:
            if session.value("SELECT storage FROM lite_state") not in ("", identity):
                LOG.warning("the index was of another storage; it is built again")
                for table in ("lite_files", "lite_projects", "lite_tombstones"):
                    session.run(f"DELETE FROM {table}")
                session.run("UPDATE lite_state SET storage = '', unsaved = 0")
                self._touch(session, (), 0)
            return session.value("SELECT serial FROM lite_state") or 0

    def merge(
        self, mark: int, changed: Collection[DistributionFile], gone: Collection[str]
    ) -> None:
        for names in _batches(gone):
            with self._writing() as session:
                self._remove(session, sorted(set(names) - self._newer(session, names, mark)))
        for batch in _batches(changed):
            with self._writing() as session:
                newer = self._newer(session, [file.filename for file in batch], mark)
                self._put(session, [file for file in batch if file.filename not in newer])

    @staticmethod
    def _newer(session: Session, filenames: Collection[str], mark: int) -> set[str]:
        """Those of the names that someone put or removed after ``mark``."""
        found: set[str] = set()
        for table in ("lite_files", "lite_tombstones"):
            found.update(
                session.values(
                    f"SELECT filename FROM {table} "
                    f"WHERE filename IN {_marks(filenames)} AND serial > ?",
                    [*filenames, mark],
                )
            )
        return found

    def end_sync(self, identity: str, mark: int) -> None:
        with self._writing() as session:
            session.run("DELETE FROM lite_tombstones WHERE serial <= ?", (mark,))
            session.run(
                "UPDATE lite_state SET storage = ?, synced = ?", (identity, int(time.time()))
            )

    def merge_statuses(
        self, mark: int, statuses: Mapping[ProjectName, ProjectStatus | None]
    ) -> None:
        columns = "SELECT name, serial, status, status_reason FROM lite_projects"
        with self._writing() as session:
            rows = session.rows(f"{columns} WHERE status <> ?", (_ACTIVE,))
            for names in _batches(statuses):
                rows += session.rows(f"{columns} WHERE name IN {_marks(names)}", names)
            known = {row[0]: (row[1], ProjectStatus(*row[2:])) for row in rows}
            for project in known.keys() | statuses.keys():
                wanted = statuses.get(project, ProjectStatus())
                serial, current = known.get(project, (None, None))
                if wanted is None:
                    continue
                if serial is None or (current != wanted and serial <= mark):
                    self._set_status(session, project, wanted)
                    self._drop_empty(session, {project})

    def saved(self, unsaved: int) -> None:
        with self._writing() as session:
            session.run("UPDATE lite_state SET unsaved = unsaved - ?", (unsaved,))

    def leading(self) -> AbstractContextManager[bool]:
        return self._database.leadership()

    def _put(self, session: Session, batch: Collection[DistributionFile]) -> None:
        if not batch:
            return
        filled = {file.project for file in batch}
        names = [file.filename for file in batch]
        statement = f"SELECT project FROM lite_files WHERE filename IN {_marks(names)}"
        left = set(session.values(statement, names)) - filled
        serial = self._touch(session, filled | left, len(batch))
        session.run_for_each(_PUT_FILE, [_row(file, serial) for file in batch])
        if left:
            self._drop_empty(session, left)

    def _remove(self, session: Session, filenames: Collection[str]) -> bool:
        """Remove files; whether any was there."""
        if not filenames:
            return False
        wanted = f"lite_files WHERE filename IN {_marks(filenames)}"
        parameters = list(filenames)
        touched = set(session.values(f"SELECT project FROM {wanted}", parameters))
        if not touched:
            return False
        serial = self._touch(session, touched, len(filenames))
        session.run(f"DELETE FROM {wanted}", parameters)
        self._drop_empty(session, touched)
        self._bury(session, filenames, serial)
        return True

    @staticmethod
    def _bury(session: Session, filenames: Collection[str], serial: int) -> None:
        session.run_for_each(_PUT_TOMBSTONE, [(filename, serial) for filename in filenames])

    def _set_status(self, session: Session, project: ProjectName, status: ProjectStatus) -> None:
        self._touch(session, {project}, 0)
        session.run(
            "UPDATE lite_projects SET status = ?, status_reason = ? WHERE name = ?",
            (status.status, status.reason, project),
        )

    @staticmethod
    def _touch(session: Session, names: Collection[str], changes: int) -> int:
        """Give the projects, made where absent, a new serial, and count the changed files.

        Raises:
            IndexUnavailable: the index lost its state.
        """
        serial: int | None = session.value(
            "UPDATE lite_state SET serial = serial + 1, unsaved = unsaved + ? RETURNING serial",
            (changes,),
        )
        if serial is None:
            raise IndexUnavailable("The index database lost its state.")
        session.given = serial
        if names:
            rows = [(name, serial, _ACTIVE, "") for name in sorted(names)]
            session.run_for_each(_PUT_PROJECT, rows)
        return serial

    @staticmethod
    def _drop_empty(session: Session, names: Collection[str]) -> None:
        """Forget projects without files, unless a status must be remembered."""
        session.run(
            f"DELETE FROM lite_projects WHERE name IN {_marks(names)} AND status = ? AND NOT "
            "EXISTS (SELECT 1 FROM lite_files WHERE lite_files.project = lite_projects.name)",
            [*names, _ACTIVE],
        )

    # -- the rest --------------------------------------------------------------------------

    def look_for_damage(self) -> None:
        self._database.look_for_damage()

    def check(self) -> None:
        with self._reading() as session:
            if session.value("SELECT schema_version FROM lite_state") != SCHEMA_VERSION:
                raise IndexUnavailable("The index database lost its tables.")

    def __repr__(self) -> str:
        return repr(self._database)  # which hides the password

    def close(self) -> None:
        self._database.close()


def _our_tables(session: Session) -> set[str]:
    return session.tables() & set(TABLES)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _row(file: DistributionFile, serial: int) -> list[Any]:
    """The values of ``_FILE_COLUMNS``."""
    row = [*_facts_of(file), serial, file.filename.lower()]
    row[_TIME] = iso_utc(file.upload_time)
    return row


def _file(row: Row) -> DistributionFile:
    facts = dict(zip(_FACTS, row, strict=True))
    facts["upload_time"] = parse_iso_utc(row[_TIME])
    return DistributionFile(**facts)
