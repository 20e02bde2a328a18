"""The index on SQLite: the contract, and what is special about a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pypicloud_lite.errors import IndexUnavailable, SettingsError
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.database import Database, Session
from pypicloud_lite.index.schema import SCHEMA_VERSION
from pypicloud_lite.index.sql import SqlIndex
from tests.contracts.index import IndexContract, entry


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[Callable[[], SqlIndex]]:
    opened: list[SqlIndex] = []

    def make() -> SqlIndex:
        opened.append(SqlIndex(open_database(f"sqlite:///{tmp_path / 'index.sqlite'}")))
        return opened[-1]

    yield make
    for index in opened:
        index.close()


class TestSqliteIndex(IndexContract):
    @pytest.fixture
    def again(self, open_index: Callable[[], SqlIndex]) -> Callable[[], Index]:
        return open_index

    @pytest.fixture
    def index(self, open_index: Callable[[], SqlIndex]) -> Index:
        return open_index()


def test_a_database_of_pypicloud_keeps_its_tables(
    tmp_path: Path, open_index: Callable[[], SqlIndex]
) -> None:
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        database.execute("CREATE TABLE packages (filename TEXT)")
        database.execute("INSERT INTO packages VALUES ('x')")
    database.close()
    open_index().put(entry())
    database = sqlite3.connect(tmp_path / "index.sqlite")
    assert database.execute("SELECT * FROM packages").fetchall() == [("x",)]
    database.close()


def set_version(folder: Path, version: int) -> None:
    with sqlite3.connect(folder / "index.sqlite") as database:
        database.execute("UPDATE lite_state SET schema_version = ?", (version,))
    database.close()


def test_an_older_schema_is_built_anew(tmp_path: Path, open_index: Callable[[], SqlIndex]) -> None:
    index = open_index()
    index.end_sync("store", index.begin_sync("store"))
    set_version(tmp_path, SCHEMA_VERSION - 1)
    assert not open_index().ready("store")


def test_a_newer_schema_is_left_alone(tmp_path: Path, open_index: Callable[[], SqlIndex]) -> None:
    """Else two versions that run side by side would drop each other's tables in turn."""
    index = open_index()
    index.put(entry())
    set_version(tmp_path, SCHEMA_VERSION + 1)
    other = open_index()
    for _twice in range(2):
        with pytest.raises(IndexUnavailable, match="newer version"):
            other.count()
    set_version(tmp_path, SCHEMA_VERSION)
    assert other.count() == 1


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("nonsense", "can't be used"),
        ("oracle://x/y", "oracle"),
    ],
)
def test_an_unusable_url_is_a_sentence(url: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        open_database(url)


def test_options_of_a_url_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = SqlIndex(open_database(f"sqlite:///{tmp_path / 'index.sqlite'}?timeout=30"))
    index.put(entry())
    index.close()
    assert (tmp_path / "index.sqlite").exists()
    assert "?timeout=30 is passed over" in caplog.text


def test_statements_are_shown_to_who_asks(
    open_index: Callable[[], SqlIndex], caplog: pytest.LogCaptureFixture
) -> None:
    index = open_index()
    with caplog.at_level("DEBUG", "pypicloud_lite.statements"):
        index.count()
    assert caplog.messages == ["SELECT count(*) FROM lite_files"]


def test_a_change_is_told_of_though_its_connection_is_used_again_at_once(
    open_index: Callable[[], SqlIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pypicloud_lite.index.generation.RECHECK", float("inf"))
    index = open_index()
    before = index.generation()
    give_back = Database._give_back

    def taken_at_once(database: Database, session: Session) -> None:
        give_back(database, session)
        give_back(database, database._take())  # as another thread does

    monkeypatch.setattr(Database, "_give_back", taken_at_once)
    index.put(entry())
    assert index.generation() != before
