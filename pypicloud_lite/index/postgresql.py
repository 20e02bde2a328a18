"""PostgreSQL, as an index that hosts share."""

from __future__ import annotations

import logging
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pypicloud_lite.index.database import STATEMENTS, STREAMED, Database, Row, Session

LOG = logging.getLogger(__name__)

#: How long PostgreSQL may work on a statement, in milliseconds.
STATEMENT_TIMEOUT = 60_000
#: How long a connection may take, in seconds.
CONNECT_TIMEOUT = 5
#: Keys of advisory locks, which are shared by everyone who uses the database.
_WRITERS, _LEADER = 0x7079_7069_0001, 0x7079_7069_0002


class PostgresqlSession(Session):
    """A session with a PostgreSQL."""

    _TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"

    def stream(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        STATEMENTS.debug("%s", statement)
        with self._connection.cursor(name="streamed") as cursor:
            cursor.itersize = STREAMED
            cursor.execute(self._native(statement), parameters)
            yield from cursor

    def is_usable(self) -> bool:
        # What the server said to an idle connection is that it ends it.
        if self._connection.closed:
            return False
        poll = select.poll()
        poll.register(self._connection.pgconn.socket, select.POLLIN)
        return not poll.poll(0)

    @staticmethod
    @lru_cache
    def _native(statement: str) -> bytes:
        return statement.replace("?", "%s").encode()


class PostgresqlDatabase(Database):
    """A database that hosts share.

    Args:
        options: how to connect, by libpq's names.
        kept: how many connections stay open when they are idle.

    Raises:
        ValueError: libpq has no such option.
    """

    _ERRORS = psycopg.Error
    _BEGIN_READING = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
    # Else one would wait for a row of another that waits for its own.
    _BEGIN_WRITING = ("BEGIN", f"SELECT pg_advisory_xact_lock({_WRITERS})")

    def __init__(self, options: dict[str, str], kept: int) -> None:
        super().__init__(kept)
        self._options = options
        limit = f"-c statement_timeout={STATEMENT_TIMEOUT}"
        ours: dict[str, Any] = {
            "options": f"{options.get('options', '')} {limit}".lstrip(),
            "connect_timeout": CONNECT_TIMEOUT,
            # A connection that only holds a lock must not be dropped for being idle.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        try:
            self._conninfo = make_conninfo(**(options | ours))
        except psycopg.Error as exc:
            raise ValueError(str(exc).strip()) from exc

    def _connect(self) -> PostgresqlSession:
        return PostgresqlSession(psycopg.connect(self._conninfo, autocommit=True))

    @contextmanager
    def leadership(self) -> Iterator[bool]:
        with self.reading() as session:
            leads = bool(session.value(f"SELECT pg_try_advisory_lock({_LEADER})"))
            try:
                yield leads
            finally:
                if leads:
                    _unlock(session)

    def __repr__(self) -> str:
        user, host, name = (self._options.get(part, "") for part in ("user", "host", "dbname"))
        return f"postgresql://{user}:***@{host}/{name}"


def _unlock(session: Session) -> None:
    try:
        session.value(f"SELECT pg_advisory_unlock({_LEADER})")
    except psycopg.Error as exc:  # with the connection, the lock is gone
        LOG.warning("the connection that held the leadership broke: %s", exc)
        session.close()
