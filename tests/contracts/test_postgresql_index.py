"""The index on a real PostgreSQL: the same contract."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
from tests.contracts.index import IndexContract, entry


@pytest.fixture
def open_index(postgresql_database: str) -> Iterator[Callable[[], SqlIndex]]:
    opened: list[SqlIndex] = []
    lock = threading.Lock()

    def make() -> SqlIndex:
        index = SqlIndex(open_database(postgresql_database, kept=4))
        with lock:
            opened.append(index)
        return index

    yield make
    for index in opened:
        index.close()


class TestPostgresqlIndex(IndexContract):
    @pytest.fixture
    def again(self, open_index: Callable[[], SqlIndex]) -> Callable[[], Index]:
        return open_index

    @pytest.fixture
    def index(self, open_index: Callable[[], SqlIndex]) -> Index:
        return open_index()


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_name_of_the_driver_works(postgresql_database: str, driver: str) -> None:
    index = SqlIndex(open_database(f"{driver}://{postgresql_database.partition('://')[2]}"))
    index.put(entry())
    index.close()


@pytest.mark.parametrize("server", ["od/d%23#p?w%", "p%40ss", ""], ids=["raw", "escaped", "none"])
def test_passwords_need_no_more_escapes_than_before(postgresql_database: str, server: str) -> None:
    """SQLAlchemy, whose URLs these are, took almost everything; libpq's own URLs don't."""
    rest = postgresql_database.partition("@")[2]
    index = SqlIndex(open_database(f"postgresql://postgres:{server}@{rest}"))
    index.check()
    assert server not in repr(index) or not server
    index.close()


def test_connections_that_the_server_ended_are_not_used_again(postgresql_database: str) -> None:
    index = SqlIndex(open_database(postgresql_database))
    index.put(entry())
    with psycopg.connect(postgresql_database, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    time.sleep(0.2)
    assert index.count() == 1
    index.put(entry())
    index.close()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql://host:port/x", "write postgresql://user"),
        ("postgresql://u:hunter2@host/x?charset=utf8", "charset"),
    ],
)
def test_an_unusable_url_is_a_sentence(url: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint) as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)


def test_writers_of_the_same_files_in_another_order_do_not_lock_each_other_out(
    open_index: Callable[[], SqlIndex],
) -> None:
    names = [f"p{number}-1.0.tar.gz" for number in range(30)]
    failures: list[BaseException] = []

    def work(order: list[str]) -> None:
        own = open_index()
        try:
            for name in order:
                own.put(entry(name))
                own.remove(name)
        except BaseException as exc:
            failures.append(exc)

    threads = [
        threading.Thread(target=work, args=(order,)) for order in (names, names[::-1], names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
