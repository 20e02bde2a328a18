"""A SQL database that holds an index, and sessions with it.

Statements are of the SQL that SQLite and PostgreSQL share, with ``?`` for their parameters. The
drivers are used as they are: a layer between them and the index cost ten times what SQLite itself
takes for a statement.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

from pypicloud_lite.errors import IndexUnavailable

#: At DEBUG it shows every statement, without its parameters.
STATEMENTS = logging.getLogger("pypicloud_lite.statements")
#: How many rows of a large result are in memory at a time.
STREAMED = 5000

Row = tuple[Any, ...]


class Session(ABC):
    """An open connection, which one thread uses at a time."""

    #: Names all tables, one in each row.
    _TABLES: ClassVar[str]

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        #: The serial that the transaction has given to what it changed.
        self.given: int | None = None

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of the result."""
        found: list[Row] = self._execute(statement, parameters).fetchall()
        return found

    def row(self, statement: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The only row, if there is one."""
        found = self.rows(statement, parameters)
        return found[0] if found else None

    def values(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.rows(statement, parameters)]

    def value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the only row; ``None`` without a row."""
        found = self.row(statement, parameters)
        return None if found is None else found[0]

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement without a result."""
        self._execute(statement, parameters)

    def run_for_each(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement without a result once for each of the parameters."""
        STATEMENTS.debug("%s", statement)
        self._connection.cursor().executemany(self._native(statement), rows)

    def tables(self) -> set[str]:
        """The names of all tables."""
        return set(self.values(self._TABLES))

    def close(self) -> None:
        """Leave the database; a transaction that was not committed is undone."""
        self._connection.close()

    @abstractmethod
    def stream(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows of a large result, which are not all in memory; within a transaction."""

    @abstractmethod
    def is_usable(self) -> bool:
        """Whether a connection that was idle still leads to the database."""

    def _execute(self, statement: str, parameters: Sequence[Any]) -> Any:
        STATEMENTS.debug("%s", statement)
        return self._connection.execute(self._native(statement), parameters)

    @staticmethod
    def _native(statement: str) -> Any:
        """The statement as the driver wants it."""
        return statement


class Database(ABC):
    """Sessions with one database, some of which stay open.

    Args:
        kept: how many connections stay open when they are idle.
    """

    #: What the driver raises when something fails.
    _ERRORS: ClassVar[type[Exception]]
    #: What begins a transaction that sees one state of the index.
    _BEGIN_READING: ClassVar[Sequence[str]]
    #: What begins a transaction that changes the index; writers take their turn.
    _BEGIN_WRITING: ClassVar[Sequence[str]]

    #: The file that the processes of this host share; ``None`` of a database that is a server.
    file: Path | None = None

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._idle: deque[Session] = deque()
        _OPEN.add(self)

    def reading(self, *, consistent: bool = False) -> AbstractContextManager[Session]:
        """A session to read in.

        Args:
            consistent: whether several statements shall see the same state of the index.

        Raises:
            IndexUnavailable: the database failed, now or in the block.
        """
        return self._session(self._BEGIN_READING if consistent else ())

    def writing(self) -> AbstractContextManager[Session]:
        """A transaction that writes, committed at the end of the block.

        Raises:
            IndexUnavailable: the database failed, now, in the block or at its end.
        """
        return self._session(self._BEGIN_WRITING)

    @abstractmethod
    def leadership(self) -> AbstractContextManager[bool]:
        """Whether this process leads, of all that share the database, while the block runs."""

    def look_for_damage(self) -> None:  # noqa: B027 - a server looks after its own files
        """Read a large database file whole, and put one aside that is damaged.

        Raises:
            IndexUnavailable: it was put aside.
        """

    def close(self) -> None:
        """Close what is open; whoever uses a connection now closes it."""
        self._kept = 0
        self._close_idle()

    @abstractmethod
    def _connect(self) -> Session:
        """A new session, whose statements are transactions of their own until one is begun."""

    def _on_failure(self, exc: Exception) -> None:  # noqa: B027 - not everyone can
        """Do what a failure of the database calls for."""

    @contextmanager
    def _session(self, begin: Sequence[str]) -> Iterator[Session]:
        try:
            session = self._take()
            try:
                for statement in begin:
                    session.run(statement)
                yield session
                if begin:
                    session.run("COMMIT")
            except BaseException:
                session.close()
                raise
        except self._ERRORS as exc:
            self._on_failure(exc)
            raise IndexUnavailable(
                f"The index database failed ({type(exc).__name__}). Try again later."
            ) from exc
        self._give_back(session)

    def _take(self) -> Session:
        while True:
            try:
                session = self._idle.pop()
            except IndexError:
                return self._connect()
            if session.is_usable():
                session.given = None
                return session
            session.close()

    def _give_back(self, session: Session) -> None:
        if len(self._idle) < self._kept:
            self._idle.append(session)
        else:
            session.close()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def leave_to_parent(self) -> None:
        """Forget connections without closing them: after a fork, they belong to the parent."""
        _LEFT.extend(self._idle)
        self._idle.clear()


_OPEN: WeakSet[Database] = WeakSet()
_LEFT: list[Session] = []


def _after_fork() -> None:
    for database in list(_OPEN):
        database.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
