"""SQLAlchemy engines as the index needs them."""

from __future__ import annotations

import importlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pypicloud_lite.errors import IndexUnavailable, SettingsError

LOG = logging.getLogger(__name__)

#: How long a writer waits for another one, in milliseconds.
BUSY_TIMEOUT = 5000
_WRITING = "pypicloud_lite_writing"


def make_engine(url: str, *, pool_size: int = 16, poolclass: str | None = None) -> Engine:
    """An engine for ``db.url``.

    Raises:
        SettingsError: not a URL of a database that can hold an index.
    """
    options: dict[str, Any] = {"pool_pre_ping": True}
    try:
        parsed = make_url(url)
        if poolclass is not None:
            module, _dot, name = poolclass.rpartition(".")
            options["poolclass"] = getattr(importlib.import_module(module), name)
        else:
            options |= {"pool_size": pool_size, "max_overflow": pool_size}
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise SettingsError(
                    ["db.url: the index is shared by threads and processes; name a file."]
                )
            _prepare_file(Path(parsed.database).absolute())
            options["pool_pre_ping"] = False
        elif parsed.get_backend_name() != "postgresql":
            raise SettingsError(
                [(f"db.url: {parsed.get_backend_name()} is not supported; the index is derived "
                 "from the storage, name a sqlite:/// URL and it is rebuilt there.")]
            )  # fmt: skip
        engine = create_engine(parsed, **options)
    except SettingsError:
        raise
    except (SQLAlchemyError, ImportError, AttributeError, ValueError, OSError) as exc:
        raise SettingsError([f"db.url or db.poolclass can't be used: {exc}"]) from exc
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


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
