"""The index in a SQL database, through SQLAlchemy Core."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Row,
    Select,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)

from pypicloud_lite.errors import IndexUnavailable
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.engine import database_file, leadership, look_for_damage, reading, writing
from pypicloud_lite.index.generation import Generation
from pypicloud_lite.index.schema import SCHEMA_VERSION, files, metadata, projects, state, tombstones
from pypicloud_lite.model import (
    DistributionFile,
    Project,
    ProjectStatus,
    ProjectSummary,
    Stamp,
    Status,
    iso_utc,
    parse_iso_utc,
)
from pypicloud_lite.names import ProjectName

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_STATE_ROW = 1
_BATCH = 500
_STAMP = [files.c[name] for name in Stamp._fields]
#: How many rows of a large result are in memory at a time.
_STREAMED = 5000
#: Columns that aren't facts of the file.
_OWN = ("folded", "serial")
#: Where a connection keeps the serial that its transaction has given.
_GIVEN = "pypicloud_lite_serial"


class SqlIndex(Index):
    """The index on SQLite, or any database whose SQLAlchemy dialect knows upserts.

    Args:
        engine: from :func:`pypicloud_lite.index.engine.make_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Made once, since making them takes longer than executing them.
        # Only the one that the engine has loaded: the other takes 20 ms of a start.
        dialect = import_module(f"sqlalchemy.dialects.{engine.dialect.name}")
        upsert = partial(_upsert, dialect)
        self._upsert_files = upsert(files, [c.name for c in files.c if not c.primary_key])
        self._upsert_projects = upsert(projects, ["serial"])
        self._upsert_tombstones = upsert(tombstones, ["serial"])
        self._prepared = False
        path = database_file(engine)
        #: Of a database that other hosts use, too, only the database itself knows.
        self._generation = None if path is None else Generation(path, self.serial)
        try:
            with self._prepare():
                pass
        except IndexUnavailable as exc:
            LOG.error("%s The index is tried again with each request.", exc)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._prepare(), reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._prepare(), self._publishing(writing(self._engine)) as connection:
            yield connection

    @contextmanager
    def _publishing(self, transaction: AbstractContextManager[Connection]) -> Iterator[Connection]:
        """Tell the other processes of a change when it is committed."""
        with transaction as connection:
            given = connection.info
            given.pop(_GIVEN, None)
            yield connection
            serial = given.pop(_GIVEN, None)
        if serial is not None and self._generation is not None:
            self._generation.publish(serial)

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
        with reading(self._engine) as connection:
            return self._are_current(connection, _our_tables(connection))

    @staticmethod
    def _are_current(connection: Connection, there: set[str]) -> bool:
        """Whether the tables are those of this version.

        Raises:
            IndexUnavailable: they are of a newer one, whose servers may be using them.
        """
        if state.name not in there:
            return False
        version = connection.scalar(select(state.c.schema_version)) or 0
        if version > SCHEMA_VERSION:
            raise IndexUnavailable(
                "The index database is of a newer version of pypicloud-lite. Upgrade this server, "
                "or give it another db.url."
            )
        return version == SCHEMA_VERSION and there == set(metadata.tables)

    def _make_tables(self) -> None:
        """Make the tables, or replace those of another version of the schema."""
        # Of an index made anew, no page of the old one may be taken for current.
        serial = time.time_ns() // 1_000_000
        with self._publishing(writing(self._engine)) as connection:
            there = _our_tables(connection)
            if self._are_current(connection, there):
                return  # another process was faster
            if there:
                LOG.warning("the index has another schema or lost tables; it is built again")
                metadata.drop_all(connection)
            metadata.create_all(connection)
            connection.execute(
                insert(state).values(
                    id=_STATE_ROW,
                    schema_version=SCHEMA_VERSION,
                    serial=serial,
                    storage="",
                    synced=0,
                    unsaved=0,
                )
            )
            connection.info[_GIVEN] = serial

    # -- reading ---------------------------------------------------------------------------

    def ready(self, identity: str) -> bool:
        with self._reading() as connection:
            return connection.scalar(select(state.c.storage)) == identity

    def serial(self, project: ProjectName | None = None) -> int:
        statement = select(state.c.serial)
        if project is not None:
            statement = select(projects.c.serial).where(projects.c.name == project)
        with self._reading() as connection:
            return connection.scalar(statement) or 0

    def generation(self) -> Hashable:
        return self.serial() if self._generation is None else self._generation.read()

    def project(self, name: ProjectName) -> Project | None:
        with self._reading() as connection:
            found = connection.execute(
                select(projects).where(projects.c.name == name)
            ).one_or_none()
            if found is None:
                return None
            rows = connection.execute(select(files).where(files.c.project == name)).all()
        return Project(name, found.serial, _status(found), tuple(_file(row) for row in rows))

    def file(self, project: ProjectName, filename: str) -> DistributionFile | None:
        statement = select(files).where(files.c.filename == filename, files.c.project == project)
        with self._reading() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _file(row)

    def status(self, project: ProjectName) -> ProjectStatus:
        with self._reading() as connection:
            found = connection.execute(
                select(projects).where(projects.c.name == project)
            ).one_or_none()
        return ProjectStatus() if found is None else _status(found)

    def spellings(self, filename: str) -> list[str]:
        statement = select(files.c.filename).where(files.c.folded == filename.lower())
        with self._reading() as connection:
            return list(connection.scalars(statement))

    def project_names(self) -> list[ProjectName]:
        statement = select(files.c.project).distinct().order_by(files.c.project)
        with self._reading() as connection:
            return cast("list[ProjectName]", list(connection.scalars(statement)))

    def summaries(self) -> list[ProjectSummary]:
        newest = (
            select(files.c.project, func.max(files.c.upload_time).label("upload_time"))
            .group_by(files.c.project)
            .subquery()
        )
        statement = (
            select(files.c.project, func.max(files.c.summary), files.c.upload_time)
            .join(
                newest,
                (files.c.project == newest.c.project)
                & (files.c.upload_time == newest.c.upload_time),
            )
            .group_by(files.c.project, files.c.upload_time)
            .order_by(files.c.project)
        )
        with self._reading() as connection:
            return [
                ProjectSummary(ProjectName(name), summary, parse_iso_utc(when))
                for name, summary, when in connection.execute(statement)
            ]

    def stamp(self, filename: str) -> Stamp | None:
        statement = select(*_STAMP).where(files.c.filename == filename)
        with self._reading() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Stamp._make(row)

    def stamps(self, below: str = "") -> Iterator[Stamp]:
        statement = select(*_STAMP)
        if below:
            statement = statement.where(files.c.key.startswith(below, autoescape=True))
        return map(Stamp._make, self._stream(statement))

    def files(self) -> Iterator[DistributionFile]:
        for row in self._stream(select(files)):
            yield _file(row)

    def _stream(self, statement: Select[Any]) -> Iterator[Row[Any]]:
        """The rows of a large result, without having all of them in memory."""
        with self._reading() as connection:
            yield from connection.execution_options(yield_per=_STREAMED).execute(statement)

    def count(self) -> int:
        with self._reading() as connection:
            return connection.scalar(select(func.count()).select_from(files)) or 0

    def synced(self) -> int:
        with self._reading() as connection:
            return connection.scalar(select(state.c.synced)) or 0

    def unsaved(self) -> int:
        with self._reading() as connection:
            return connection.scalar(select(state.c.unsaved)) or 0

    # -- changing --------------------------------------------------------------------------

    def put(self, file: DistributionFile) -> None:
        with self._writing() as connection:
            self._put(connection, [file])

    def remove(self, filename: str) -> None:
        with self._writing() as connection:
            if not self._remove(connection, [filename]):
                self._bury(connection, [filename], self._touch(connection, (), 0))

    def set_status(self, project: ProjectName, status: ProjectStatus) -> None:
        with self._writing() as connection:
            self._set_status(connection, project, status)
            self._drop_empty(connection, {project})

    def begin_sync(self, identity: str) -> int:
        with self._writing() as connection:
            if connection.scalar(select(state.c.storage)) not in ("", identity):
                LOG.warning("the index was of another storage; it is built again")
                for table in (files, projects, tombstones):
                    connection.execute(delete(table))
                connection.execute(update(state).values(storage="", unsaved=0))
                self._touch(connection, (), 0)
            return connection.scalar(select(state.c.serial)) or 0

    def merge(
        self, mark: int, changed: Collection[DistributionFile], gone: Collection[str]
    ) -> None:
        for names in _batches(gone):
            with self._writing() as connection:
                self._remove(connection, sorted(set(names) - self._newer(connection, names, mark)))
        for batch in _batches(changed):
            with self._writing() as connection:
                newer = self._newer(connection, [file.filename for file in batch], mark)
                self._put(connection, [file for file in batch if file.filename not in newer])

    @staticmethod
    def _newer(connection: Connection, filenames: Collection[str], mark: int) -> set[str]:
        """Those of the names that someone put or removed after ``mark``."""
        found: set[str] = set()
        for table in (files, tombstones):
            found |= set(
                connection.scalars(
                    select(table.c.filename).where(
                        table.c.filename.in_(list(filenames)), table.c.serial > mark
                    )
                )
            )
        return found

    def end_sync(self, identity: str, mark: int) -> None:
        with self._writing() as connection:
            connection.execute(delete(tombstones).where(tombstones.c.serial <= mark))
            connection.execute(update(state).values(storage=identity, synced=int(time.time())))

    def merge_statuses(
        self, mark: int, statuses: Mapping[ProjectName, ProjectStatus | None]
    ) -> None:
        odd = projects.c.status != ProjectStatus().status
        with self._writing() as connection:
            known = {
                row.name: row
                for row in connection.execute(
                    select(projects).where(odd | projects.c.name.in_(list(statuses)))
                )
            }
            for project in known.keys() | statuses.keys():
                wanted, row = statuses.get(project, ProjectStatus()), known.get(project)
                if wanted is None:
                    continue
                if row is None or (_status(row) != wanted and row.serial <= mark):
                    self._set_status(connection, project, wanted)
                    self._drop_empty(connection, {project})

    def saved(self, unsaved: int) -> None:
        with self._writing() as connection:
            connection.execute(update(state).values(unsaved=state.c.unsaved - unsaved))

    def leading(self) -> AbstractContextManager[bool]:
        return leadership(self._engine)

    def _put(self, connection: Connection, batch: Collection[DistributionFile]) -> None:
        if not batch:
            return
        filled = {file.project for file in batch}
        statement = select(files.c.project).where(
            files.c.filename.in_([file.filename for file in batch])
        )
        left = set(connection.scalars(statement)) - filled
        serial = self._touch(connection, filled | left, len(batch))
        rows = [_row(file) | {"serial": serial} for file in batch]
        connection.execute(self._upsert_files, rows)
        if left:
            self._drop_empty(connection, left)

    def _remove(self, connection: Connection, filenames: Collection[str]) -> bool:
        """Remove files; whether any was there."""
        wanted = files.c.filename.in_(list(filenames))
        touched = set(connection.scalars(select(files.c.project).where(wanted)))
        if not touched:
            return False
        serial = self._touch(connection, touched, len(filenames))
        connection.execute(delete(files).where(wanted))
        self._drop_empty(connection, touched)
        self._bury(connection, filenames, serial)
        return True

    def _bury(self, connection: Connection, filenames: Collection[str], serial: int) -> None:
        connection.execute(
            self._upsert_tombstones,
            [{"filename": filename, "serial": serial} for filename in filenames],
        )

    def _set_status(
        self, connection: Connection, project: ProjectName, status: ProjectStatus
    ) -> None:
        self._touch(connection, {project}, 0)
        connection.execute(
            update(projects)
            .where(projects.c.name == project)
            .values(status=status.status, status_reason=status.reason)
        )

    def _touch(self, connection: Connection, names: Collection[str], changes: int) -> int:
        """Give the projects, made where absent, a new serial, and count the changed files."""
        serial: int = connection.scalar(
            update(state)
            .values(serial=state.c.serial + 1, unsaved=state.c.unsaved + changes)
            .returning(state.c.serial)
        )
        connection.info[_GIVEN] = serial
        rows = [
            {"name": name, "serial": serial, "status": ProjectStatus().status, "status_reason": ""}
            for name in sorted(names)
        ]
        if rows:
            connection.execute(self._upsert_projects, rows)
        return serial

    @staticmethod
    def _drop_empty(connection: Connection, names: Collection[str]) -> None:
        """Forget projects without files, unless a status must be remembered."""
        with_files = select(files.c.project).where(files.c.project == projects.c.name).exists()
        connection.execute(
            delete(projects).where(
                projects.c.name.in_(list(names)),
                projects.c.status == ProjectStatus().status,
                ~with_files,
            )
        )

    # -- the rest --------------------------------------------------------------------------

    def look_for_damage(self) -> None:
        look_for_damage(self._engine)

    def check(self) -> None:
        with self._reading() as connection:
            if connection.scalar(select(state.c.schema_version)) != SCHEMA_VERSION:
                raise IndexUnavailable("The index database lost its tables.")

    def __repr__(self) -> str:
        return str(self._engine.url)  # which hides the password

    def close(self) -> None:
        self._engine.dispose()


def _upsert(dialect: Any, table: Table, columns: Collection[str]) -> Executable:
    """Adds rows, or replaces these columns of those that are there."""
    statement = dialect.insert(table)
    return cast(
        Executable,
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={name: statement.excluded[name] for name in columns},
        ),
    )


def _our_tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) & set(metadata.tables)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _status(row: Row[Any]) -> ProjectStatus:
    return ProjectStatus(cast(Status, row.status), row.status_reason)


def _row(file: DistributionFile) -> dict[str, Any]:
    row = {column.name: getattr(file, column.name) for column in files.c if column.name not in _OWN}
    row["folded"] = file.filename.lower()
    row["upload_time"] = iso_utc(file.upload_time)
    return row


def _file(row: Row[Any]) -> DistributionFile:
    values = row._asdict()
    for name in _OWN:
        del values[name]
    values["upload_time"] = parse_iso_utc(values["upload_time"])
    return DistributionFile(**values)
