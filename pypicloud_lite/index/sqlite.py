"""What makes a SQLite file an index that processes share, and that heals when the file is lost."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pypicloud_lite.index.database import Database, Row, Session

LOG = logging.getLogger(__name__)

#: How long a writer waits for another one, in seconds.
BUSY_TIMEOUT = 5
#: A file up to this size is read whole before it is served from, in bytes; a larger one behind.
CHECKED_AT_START = 4 << 20
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FileId = tuple[int, int]


class SqliteSession(Session):
    """A session with a SQLite file."""

    _TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection)
        self._path = path
        self._file = _file_id(path)

    def stream(self, statement: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        yield from self._execute(statement, parameters)

    def is_usable(self) -> bool:
        # Who has a file open that was removed or put aside would go on with it for ever.
        return self._file == _file_id(self._path)


class SqliteDatabase(Database):
    """A file that the processes of a host share.

    Raises:
        OSError: the file can't be made or moved.
    """

    _ERRORS = sqlite3.Error
    _BEGIN_READING = ("BEGIN",)
    # A reader that turns writer half-way fails at once when another one was faster; who means to
    # write says so from the beginning, and waits.
    _BEGIN_WRITING = ("BEGIN IMMEDIATE",)

    file: Path

    def __init__(self, path: Path, kept: int) -> None:
        super().__init__(kept)
        self.file = path
        prepare_file(path)

    def _connect(self) -> SqliteSession:
        with _alone(self.file.parent):
            if _file_id(self.file) is None:
                _make_anew(self.file)
            connection = sqlite3.connect(
                self.file,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,  # we begin transactions ourselves
                check_same_thread=False,
            )
            session = SqliteSession(connection, self.file)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit may be lost with the power, never the consistency; the storage is the truth.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            session.close()
            raise
        return session

    @contextmanager
    def leadership(self) -> Iterator[bool]:
        with self.file.with_name(f"{self.file.name}.leader").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                try:
                    yield True
                finally:  # closing is not enough: the child of a fork may have it open, too
                    fcntl.flock(lock, fcntl.LOCK_UN)

    def look_for_damage(self) -> None:
        with self.reading() as session:
            if self.file.stat().st_size <= CHECKED_AT_START:
                return
            answer = session.value("PRAGMA quick_check(1)")
            if answer != "ok":
                damage = sqlite3.DatabaseError(answer)
                damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damage

    def _on_failure(self, exc: Exception) -> None:
        code = getattr(exc, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DAMAGE:  # the rest of the code is detail
            self._put_aside()

    def _put_aside(self) -> None:
        """Give a damaged file another name, once for all processes; who has it open notices."""
        identity = _file_id(self.file)
        self._close_idle()
        # Some other process may have put it aside, and what lies there now is new and sound.
        if identity is not None and not _is_sound(self.file):
            _move_aside(self.file, identity)

    def __repr__(self) -> str:
        return f"sqlite:///{self.file}"


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
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as database:
            answer: tuple[str] = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # locked, read-only: not for us to judge
        return True
    except sqlite3.DatabaseError:
        return False
    return answer == ("ok",)


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
