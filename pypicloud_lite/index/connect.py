"""From ``db.url`` to a database."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.index.database import Database
from pypicloud_lite.index.sqlite import SqliteDatabase

LOG = logging.getLogger(__name__)

#: Names for SQLite and PostgreSQL, with those of drivers that mean ours.
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"})

#: Passwords may have characters in them that libpq's own URLs would want escaped.
_SERVER = re.compile(
    r"((?P<user>[^:/@]*)(:(?P<password>[^@]*))?@)?"
    r"(?P<host>\[[^/?@]+\]|[^/:?@]*)(:(?P<port>\d+))?(/(?P<dbname>[^?]*))?(\?(?P<options>.*))?"
)


def open_database(url: str, *, kept: int = 16) -> Database:
    """The database that ``db.url`` names, in the form that SQLAlchemy gave such URLs.

    Args:
        kept: how many connections stay open when they are idle.

    Raises:
        SettingsError: not a URL of a database that can hold an index.
    """
    kind, separator, rest = url.partition("://")
    try:
        if not separator:
            raise ValueError("it is no URL")
        if kind in _SQLITE:
            return SqliteDatabase(_path(rest), kept)
        if kind in _POSTGRESQL:
            return _postgresql(rest, kept)
    except (ValueError, OSError) as exc:
        raise SettingsError([f"db.url can't be used: {exc}"]) from exc
    problem = f"db.url: {kind} is not supported; the index is derived from the storage, name"
    raise SettingsError([f"{problem} a sqlite:/// or postgresql:// URL and it is rebuilt there."])


def _path(rest: str) -> Path:
    """The file of a SQLite URL.

    Raises:
        SettingsError: it names no file.
        ValueError: it is more than a name.
    """
    host, _slash, path = rest.partition("/")
    if host:
        raise ValueError(f"sqlite://{rest} names a host; a path has three slashes before it")
    if path in ("", ":memory:"):
        raise SettingsError(["db.url: the index is shared by threads and processes; name a file."])
    name, mark, options = path.partition("?")
    if mark:
        LOG.warning(
            "db.url: ?%s is passed over; SQLite is opened as several processes need it", options
        )
    return Path(name).absolute()


def _postgresql(rest: str, kept: int) -> Database:
    try:
        from pypicloud_lite.index.postgresql import PostgresqlDatabase  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise SettingsError(
            [f"db.url: {exc}; install pypicloud-lite[postgresql] for PostgreSQL."]
        ) from exc
    return PostgresqlDatabase(_options(rest), kept)


def _options(rest: str) -> dict[str, str]:
    """What the URL of a PostgreSQL says, by libpq's names.

    Raises:
        ValueError: it is not of this form.
    """
    match = _SERVER.fullmatch(rest)
    if match is None:
        raise ValueError("write postgresql://user:password@host:port/database")
    parts = {name: unquote(part) for name, part in match.groupdict().items() if part}
    parts["host"] = parts.get("host", "").strip("[]")
    named = dict(parse_qsl(parts.pop("options", "")))
    return {name: part for name, part in (parts | named).items() if part}
