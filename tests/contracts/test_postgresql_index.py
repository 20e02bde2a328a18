"""The index on a real PostgreSQL: the same contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import make_url

from pypicloud_lite.index.base import Index
from pypicloud_lite.index.engine import make_engine
from pypicloud_lite.index.sql import SqlIndex
from tests.contracts.index import IndexContract, entry


@pytest.fixture
def open_index(postgresql_database: str) -> Iterator[Callable[[], SqlIndex]]:
    opened: list[SqlIndex] = []
    lock = threading.Lock()

    def make() -> SqlIndex:
        index = SqlIndex(make_engine(postgresql_database, pool_size=4))
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
    url = make_url(postgresql_database).set(drivername=driver).render_as_string(hide_password=False)
    index = SqlIndex(make_engine(url))
    index.put(entry())
    index.close()


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
