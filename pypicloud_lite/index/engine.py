"""SQLAlchemy engines as the index needs them."""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pypicloud_lite.errors import IndexUnavailable, SettingsError

LOG = logging.getLogger(__name__)

#: How long a writer waits for another one, in milliseconds.
BUSY_TIMEOUT = 5000
#: How long PostgreSQL may work on a statement, in milliseconds.
STATEMENT_TIMEOUT = 60_000
#: How long a connection may take, in seconds.
CONNECT_TIMEOUT = 5
_WRITING = "pypicloud_lite_writing"
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
        _prepare_sqlite(engine)
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
        _prepare_file(Path(url.database).absolute())
        return url
    if url.drivername in _POSTGRESQL:
        options["pool_pre_ping"] = True
        options["connect_args"] = {
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT}",
            "connect_timeout": CONNECT_TIMEOUT,
        }
        return url.set(drivername="postgresql+psycopg")
    known = url.get_backend_name()
    problem = f"db.url: {known} is not supported; the index is derived from the storage, name"
    raise SettingsError([f"{problem} a sqlite:/// URL and it is rebuilt there."])


def _prepare_file(path: Path) -> None:
    """Make the folder of a database; move a file aside that is no sound database.

    Nothing is lost with it: the index is derived.

    Raises:
        OSError: the file can't be made or moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory")
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT / 1000)) as database:
            sound = database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.OperationalError:  # locked, read-only: not for us to judge
        return
    except sqlite3.DatabaseError:
        sound = False
    if not sound:
        aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
        LOG.error("the index database %s is corrupt; moved to %s and built again", path, aside.name)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.rename(aside)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # A commit may be lost with the power, never the consistency; the storage is the truth.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A reader that turns writer half-way fails at once when another one was faster; who
        # means to write says so from the beginning, and waits.
        writing = connection.get_execution_options().get(_WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # Writers take their turn, so that none waits for a row of one that waits for its own.
        if connection.get_execution_options().get(_WRITING):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


@contextmanager
def leadership(engine: Engine) -> Iterator[bool]:
    """Whether this process leads, of all that share the database, while the block runs."""
    if engine.dialect.name == "sqlite":
        assert engine.url.database is not None
        with Path(f"{engine.url.database}.leader").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    with _translated(), engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        leads = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LEADER})").scalar())
        try:
            yield leads
        finally:
            if leads:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LEADER})")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one state of the index."""
    with _translated(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, committed at the end of the block."""
    with _translated(), engine.connect() as plain:
        connection = plain.execution_options(**{_WRITING: True})
        with connection.begin():
            yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as exc:
        raise IndexUnavailable(
            f"The index database failed ({type(exc).__name__}). Try again later."
        ) from exc
