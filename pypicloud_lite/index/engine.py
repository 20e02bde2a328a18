"""SQLAlchemy engines as the index needs them."""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pypicloud_lite.errors import IndexUnavailable, SettingsError
from pypicloud_lite.index import sqlite

LOG = logging.getLogger(__name__)

#: How long PostgreSQL may work on a statement, in milliseconds.
STATEMENT_TIMEOUT = 60_000
#: How long a connection may take, in seconds.
CONNECT_TIMEOUT = 5
#: Set for transactions that write.
WRITING = "pypicloud_lite_writing"
#: Keys of PostgreSQL's advisory locks, which are shared by everyone who uses the database.
_WRITERS, _LEADER = 0x7079_7069_0001, 0x7079_7069_0002
#: Names for PostgreSQL that mean the driver that we bring.
_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"})


def make_engine(url: str, *, pool_size: int = 16, poolclass: str | None = None) -> Engine:
    """An engine for ``db.url``.

    Raises:
        SettingsError: not a URL of a database that can hold an index.
    """
    try:
        options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": pool_size}
        if poolclass is not None:
            module, _dot, name = poolclass.rpartition(".")
            options = {"poolclass": getattr(importlib.import_module(module), name)}
        engine = create_engine(_known_backend(make_url(url), options), **options)
    except SettingsError:
        raise
    except ModuleNotFoundError as exc:
        raise SettingsError(
            [f"db.url: {exc}; install pypicloud-lite[postgresql] for PostgreSQL."]
        ) from exc
    except (SQLAlchemyError, ImportError, AttributeError, ValueError, OSError) as exc:
        raise SettingsError([f"db.url or db.poolclass can't be used: {exc}"]) from exc
    if engine.dialect.name == "sqlite":
        sqlite.prepare_engine(engine, WRITING)
    else:
        _prepare_postgresql(engine)
    # A connection belongs to one process: a server that forks leaves them to the parent.
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    return engine


def _known_backend(url: URL, options: dict[str, Any]) -> URL:
    """The URL with our own driver, and what its database needs in ``options``.

    Raises:
        SettingsError: a database that can't hold an index.
        OSError: a file that can't be made.
    """
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError(
                ["db.url: the index is shared by threads and processes; name a file."]
            )
        sqlite.prepare_file(Path(url.database).absolute())
        return url
    if url.drivername in _POSTGRESQL:
        options["pool_pre_ping"] = True
        options["connect_args"] = {
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT}",
            "connect_timeout": CONNECT_TIMEOUT,
            # A connection that only holds a lock must not be dropped for being idle.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        return url.set(drivername="postgresql+psycopg")
    known = url.get_backend_name()
    problem = f"db.url: {known} is not supported; the index is derived from the storage, name"
    raise SettingsError([f"{problem} a sqlite:/// or postgresql:// URL and it is rebuilt there."])


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # Writers take their turn, so that none waits for a row of one that waits for its own.
        if connection.get_execution_options().get(WRITING):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def database_file(engine: Engine) -> Path | None:
    """The file that the processes of this host share; ``None`` of a database that is a server."""
    return sqlite.path_of(engine) if engine.dialect.name == "sqlite" else None


@contextmanager
def leadership(engine: Engine) -> Iterator[bool]:
    """Whether this process leads, of all that share the database, while the block runs."""
    if engine.dialect.name == "sqlite":
        path = sqlite.path_of(engine)
        with path.with_name(f"{path.name}.leader").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                try:
                    yield True
                finally:  # closing is not enough: the child of a fork may have it open, too
                    fcntl.flock(lock, fcntl.LOCK_UN)
        return
    with _translated(engine), engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        leads = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LEADER})").scalar())
        try:
            yield leads
        finally:
            if leads:
                _unlock(connection)


def _unlock(connection: Connection) -> None:
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LEADER})")
    except SQLAlchemyError as exc:  # with the connection, the lock is gone
        LOG.warning("the connection that held the leadership broke: %s", exc)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one state of the index."""
    with _translated(engine), engine.connect() as plain:
        if engine.dialect.name == "sqlite":  # where all transactions are like that
            yield plain
        else:
            yield plain.execution_options(isolation_level="REPEATABLE READ")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, committed at the end of the block."""
    with _translated(engine), engine.connect() as plain:
        connection = plain.execution_options(**{WRITING: True})
        with connection.begin():
            yield connection


def look_for_damage(engine: Engine) -> None:
    """Read the whole database file and put one aside that is damaged; PostgreSQL does so itself.

    Raises:
        IndexUnavailable: it was put aside.
    """
    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            sqlite.quick_check(connection)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as exc:
        if engine.dialect.name == "sqlite" and sqlite.is_damage(exc):
            sqlite.put_aside(engine)
        raise IndexUnavailable(
            f"The index database failed ({type(exc).__name__}). Try again later."
        ) from exc
