"""The index in a SQL database, through SQLAlchemy Core."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, Row, delete, func, insert, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pypicloud_lite.errors import IndexUnavailable
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.engine import reading, writing
from pypicloud_lite.index.schema import SCHEMA_VERSION, files, metadata, projects, state
from pypicloud_lite.model import (
    DistributionFile,
    Project,
    ProjectStatus,
    ProjectSummary,
    Status,
    iso_utc,
    parse_iso_utc,
)
from pypicloud_lite.names import ProjectName

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_STATE_ROW = 1
_BATCH = 500


class SqlIndex(Index):
    """The index on SQLite, or any database whose SQLAlchemy dialect knows upserts.

    Args:
        engine: from :func:`pypicloud_lite.index.engine.make_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._prepare()

    def _prepare(self) -> None:
        """Make the tables, or replace those of another version of the schema."""
        with writing(self._engine) as connection:
            there = set(inspect(connection).get_table_names()) & set(metadata.tables)
            if there == set(metadata.tables):
                version = connection.scalar(select(state.c.schema_version))
                if version == SCHEMA_VERSION:
                    return
            if there:
                LOG.warning("the index has another schema or lost tables; it is built again")
                metadata.drop_all(connection)
            metadata.create_all(connection)
            connection.execute(
                insert(state).values(
                    id=_STATE_ROW,
                    schema_version=SCHEMA_VERSION,
                    # Of an index made anew, no page of the old one may be taken for current.
                    serial=time.time_ns() // 1_000_000,
                    storage="",
                )
            )

    # -- reading ---------------------------------------------------------------------------

    def ready(self, identity: str) -> bool:
        with reading(self._engine) as connection:
            return connection.scalar(select(state.c.storage)) == identity

    def serial(self, project: ProjectName | None = None) -> int:
        statement = select(state.c.serial)
        if project is not None:
            statement = select(projects.c.serial).where(projects.c.name == project)
        with reading(self._engine) as connection:
            return connection.scalar(statement) or 0

    def project(self, name: ProjectName) -> Project | None:
        with reading(self._engine) as connection:
            found = connection.execute(
                select(projects).where(projects.c.name == name)
            ).one_or_none()
            if found is None:
                return None
            rows = connection.execute(select(files).where(files.c.project == name)).all()
        return Project(name, found.serial, _status(found), tuple(_file(row) for row in rows))

    def file(self, project: ProjectName, filename: str) -> DistributionFile | None:
        statement = select(files).where(files.c.filename == filename, files.c.project == project)
        with reading(self._engine) as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _file(row)

    def status(self, project: ProjectName) -> ProjectStatus:
        with reading(self._engine) as connection:
            found = connection.execute(
                select(projects).where(projects.c.name == project)
            ).one_or_none()
        return ProjectStatus() if found is None else _status(found)

    def spellings(self, filename: str) -> list[str]:
        statement = select(files.c.filename).where(files.c.folded == filename.lower())
        with reading(self._engine) as connection:
            return list(connection.scalars(statement))

    def project_names(self) -> list[ProjectName]:
        statement = select(files.c.project).distinct().order_by(files.c.project)
        with reading(self._engine) as connection:
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
        with reading(self._engine) as connection:
            return [
                ProjectSummary(ProjectName(name), summary, parse_iso_utc(when))
                for name, summary, when in connection.execute(statement)
            ]

    def stamps(self) -> Mapping[str, tuple[str, int, str]]:
        statement = select(files.c.key, files.c.filename, files.c.size, files.c.stamp)
        with reading(self._engine) as connection:
            return {
                row.key: (row.filename, row.size, row.stamp)
                for row in connection.execute(statement)
            }

    # -- changing --------------------------------------------------------------------------

    def put(self, file: DistributionFile) -> None:
        with writing(self._engine) as connection:
            self._put(connection, [file])

    def remove(self, filename: str) -> None:
        with writing(self._engine) as connection:
            self._remove(connection, [filename])

    def set_status(self, project: ProjectName, status: ProjectStatus) -> None:
        with writing(self._engine) as connection:
            self._set_status(connection, project, status)
            self._drop_empty(connection, {project})

    def apply(
        self,
        identity: str,
        *,
        changed: Iterable[DistributionFile],
        gone: Collection[str],
        statuses: Mapping[ProjectName, ProjectStatus],
    ) -> None:
        with writing(self._engine) as connection:
            if connection.scalar(select(state.c.storage)) not in ("", identity):
                LOG.warning("the index was of another storage; it is built again")
                connection.execute(delete(files))
                connection.execute(delete(projects))
            for names in _batches(gone):
                self._remove(connection, names)
            for batch in _batches(changed):
                self._put(connection, batch)
            known = {
                row.name: _status(row)
                for row in connection.execute(
                    select(projects).where(projects.c.status != ProjectStatus().status)
                )
            }
            for project in known.keys() | statuses.keys():
                wanted = statuses.get(project, ProjectStatus())
                if known.get(project, ProjectStatus()) != wanted:
                    self._set_status(connection, project, wanted)
                    self._drop_empty(connection, {project})
            connection.execute(update(state).values(storage=identity))

    def _put(self, connection: Connection, batch: Collection[DistributionFile]) -> None:
        old = connection.scalars(
            select(files.c.project).where(files.c.filename.in_([file.filename for file in batch]))
        )
        touched = set(old) | {file.project for file in batch}
        self._touch(connection, touched)
        rows = [_row(file) for file in batch]
        upsert = self._insert(files)
        columns = {
            column.name: upsert.excluded[column.name]
            for column in files.c
            if not column.primary_key
        }
        connection.execute(
            upsert.on_conflict_do_update(index_elements=[files.c.filename], set_=columns), rows
        )
        self._drop_empty(connection, touched)

    def _remove(self, connection: Connection, filenames: Collection[str]) -> None:
        wanted = files.c.filename.in_(list(filenames))
        touched = set(connection.scalars(select(files.c.project).where(wanted)))
        if touched:
            connection.execute(delete(files).where(wanted))
            self._touch(connection, touched)
            self._drop_empty(connection, touched)

    def _set_status(
        self, connection: Connection, project: ProjectName, status: ProjectStatus
    ) -> None:
        self._touch(connection, {project})
        connection.execute(
            update(projects)
            .where(projects.c.name == project)
            .values(status=status.status, status_reason=status.reason)
        )

    def _touch(self, connection: Connection, names: Collection[str]) -> None:
        """Give the projects, made where absent, a new serial."""
        serial = connection.scalar(
            update(state).values(serial=state.c.serial + 1).returning(state.c.serial)
        )
        rows = [
            {"name": name, "serial": serial, "status": ProjectStatus().status, "status_reason": ""}
            for name in sorted(names)
        ]
        upsert = self._insert(projects)
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[projects.c.name], set_={"serial": upsert.excluded.serial}
            ),
            rows,
        )

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

    def check(self) -> None:
        with reading(self._engine) as connection:
            if connection.scalar(select(state.c.schema_version)) != SCHEMA_VERSION:
                raise IndexUnavailable("The index database lost its tables.")

    def __repr__(self) -> str:
        return str(self._engine.url)  # which hides the password

    def close(self) -> None:
        self._engine.dispose()


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _status(row: Row[Any]) -> ProjectStatus:
    return ProjectStatus(cast(Status, row.status), row.status_reason)


def _row(file: DistributionFile) -> dict[str, Any]:
    row = {column.name: getattr(file, column.name) for column in files.c if column.name != "folded"}
    row["folded"] = file.filename.lower()
    row["upload_time"] = iso_utc(file.upload_time)
    return row


def _file(row: Row[Any]) -> DistributionFile:
    values = row._asdict()
    del values["folded"]
    values["upload_time"] = parse_iso_utc(values["upload_time"])
    return DistributionFile(**values)
