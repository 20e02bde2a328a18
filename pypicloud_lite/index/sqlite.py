"""What makes a SQLite file an index that processes share, and that heals when the file is lost."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

LOG = logging.getLogger(__name__)

#: How long a writer waits for another one, in milliseconds.
BUSY_TIMEOUT = 5000
#: A file up to this size is read whole before it is served from, in bytes; a larger one behind.
CHECKED_AT_START = 4 << 20
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FILE = "pypicloud_lite_file"
_FileId = tuple[int, int]


def prepare_file(path: Path) -> None:
    """Make the folder of a database; put a file aside that is no sound database.

    Nothing is lost with it: the index is derived.

    Raises:
        OSError: the file can't be made or moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory")
    try:
        found = path.stat()
    except FileNotFoundError:  # not made yet, or just put aside by another process
        return
    if 0 < found.st_size <= CHECKED_AT_START and not _is_sound(path):
        _move_aside(path, (found.st_dev, found.st_ino))


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT / 1000)) as database:
            answer: tuple[str] = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # locked, read-only: not for us to judge
        return True
    except sqlite3.DatabaseError:
        return False
    return answer == ("ok",)


def prepare_engine(engine: Engine, writing: str) -> None:
    """See to it that every connection works as several processes need it.

    Args:
        writing: the execution option of transactions that write.
    """
    path = path_of(engine)

    @event.listens_for(engine, "do_connect")
    def on_do_connect(dialect: Any, record: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        with _alone(path.parent):
            if _file_id(path) is None:
                _make_anew(path)
            connection = dialect.loaded_dbapi.connect(*args, **kwargs)
            record.info[_FILE] = _file_id(path)
        return connection

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # A commit may be lost with the power, never the consistency; the storage is the truth.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def on_checkout(_connection: Any, record: Any, _proxy: Any) -> None:
        # Who has a file open that was removed or put aside would go on with it for ever.
        if record.info.get(_FILE) != _file_id(path):
            raise DisconnectionError(f"{path} is another file now")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A reader that turns writer half-way fails at once when another one was faster; who
        # means to write says so from the beginning, and waits.
        immediate = connection.get_execution_options().get(writing)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def path_of(engine: Engine) -> Path:
    """The database file."""
    assert engine.url.database is not None
    return Path(engine.url.database).absolute()


def quick_check(connection: Connection) -> None:
    """Read a whole database that was too large for it at the start.

    Raises:
        DBAPIError: it is damaged.
    """
    if path_of(connection.engine).stat().st_size <= CHECKED_AT_START:
        return
    answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if answer != "ok":
        damage = sqlite3.DatabaseError(answer)
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise DBAPIError("PRAGMA quick_check", None, damage)


def is_damage(exc: SQLAlchemyError) -> bool:
    """Whether the file itself is broken."""
    code = getattr(getattr(exc, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE  # the rest of an extended code is detail


def put_aside(engine: Engine) -> None:
    """Give a damaged file another name, once for all processes; who has it open notices."""
    path = path_of(engine)
    identity = _file_id(path)
    engine.dispose()
    # Some other process may have put it aside, and what lies there now is new and sound.
    if identity is not None and not _is_sound(path):
        _move_aside(path, identity)


def _move_aside(path: Path, identity: _FileId | None) -> None:
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    with _alone(path.parent):
        if _file_id(path) != identity:
            return
        LOG.error("the index database %s is corrupt; moved to %s and built again", path, aside.name)
        _remove_log(path)
        path.rename(aside)


def _make_anew(path: Path) -> None:
    """Make a database where there is none, or an empty file.

    It gets its name when it is whole. Who has a file of that name open keeps the log that belongs
    to it, by inode, and nobody opens that log together with the new file.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA user_version = 1")
    _remove_log(path)
    new.rename(path)


def _remove_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing is not enough: the child of a fork may have it open, too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _file_id(path: Path) -> _FileId | None:
    """Which file it is; ``None`` when it is lost, or lost all that was in it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_size else None
