"""How processes learn of each other's changes without asking the database."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path

import pytest

from pypicloud_lite.errors import IndexUnavailable
from pypicloud_lite.index.generation import RECHECK, Generation
from pypicloud_lite.index.remembered import Remembered


class Database:
    """What the database would say, and how often it was asked."""

    def __init__(self) -> None:
        self.serial, self.asked, self.time = 100, 0, 0.0

    def ask(self) -> int:
        self.asked += 1
        return self.serial

    def generation(self, folder: Path) -> Generation:
        return Generation(folder / "index.sqlite", self.ask, now=lambda: self.time)


@pytest.fixture
def database() -> Database:
    return Database()


def test_the_database_is_asked_once_in_a_while_only(tmp_path: Path, database: Database) -> None:
    generation = database.generation(tmp_path)
    assert len({generation.read() for _reading in range(100)}) == 1
    assert database.asked == 1
    database.time += RECHECK * 1.01
    generation.read()
    assert database.asked == 2


def test_a_change_is_seen_at_once_by_all(tmp_path: Path, database: Database) -> None:
    one, other = database.generation(tmp_path), database.generation(tmp_path)
    before = one.read(), other.read()
    other.publish(101)
    assert one.read() != before[0]
    assert other.read() != before[1]


def test_a_change_is_seen_by_another_process(tmp_path: Path, database: Database) -> None:
    generation = database.generation(tmp_path)
    before = generation.read()
    code = (
        "import sys; from pathlib import Path; "
        "from pypicloud_lite.index.generation import Generation; "
        "Generation(Path(sys.argv[1]), int).publish(101)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "index.sqlite")], check=True)
    assert generation.read() != before
    assert database.asked == 1


def test_publishing_late_and_in_another_order_hides_nothing(
    tmp_path: Path, database: Database
) -> None:
    one, other = database.generation(tmp_path), database.generation(tmp_path)
    seen: list[Hashable] = [one.read()]
    for serial in (102, 101, 103):
        other.publish(serial)
        seen.append(one.read())
    assert len(set(seen)) == 4


def test_a_writer_that_died_before_it_told_is_noticed(tmp_path: Path, database: Database) -> None:
    generation = database.generation(tmp_path)
    before = generation.read()
    database.serial += 1
    assert generation.read() == before
    database.time += RECHECK * 1.01
    assert generation.read() != before


def test_a_writer_that_died_after_another_told_is_noticed(
    tmp_path: Path, database: Database
) -> None:
    generation = database.generation(tmp_path)
    generation.read()
    database.serial = 101
    generation.publish(101)
    before = generation.read()
    database.serial = 102  # and nothing is told
    database.time += RECHECK * 1.01
    assert generation.read() != before


def test_a_lost_file_is_made_again_and_found_by_all(tmp_path: Path, database: Database) -> None:
    one, other = database.generation(tmp_path), database.generation(tmp_path)
    one.read()
    (tmp_path / ".index.sqlite.generation").unlink()
    other.read()
    database.time += RECHECK * 1.01
    before = one.read()
    other.publish(101)
    assert one.read() != before


def test_who_publishes_after_the_loss_makes_it_again(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = database.generation(tmp_path), database.generation(tmp_path)
    before = one.read(), other.read()
    (tmp_path / ".index.sqlite.generation").unlink()
    other.publish(101)
    assert other.read() != before[1]
    database.time += RECHECK * 1.01
    seen = one.read()
    assert seen != before[0]
    other.publish(102)
    assert one.read() != seen
    assert caplog.records == []


def test_who_may_write_the_database_may_write_the_file(tmp_path: Path, database: Database) -> None:
    (tmp_path / "index.sqlite").touch()
    (tmp_path / "index.sqlite").chmod(0o660)
    mask = os.umask(0o077)
    try:
        database.generation(tmp_path).read()
    finally:
        os.umask(mask)
    assert (tmp_path / ".index.sqlite.generation").stat().st_mode & 0o777 == 0o660


def test_where_no_file_can_be_the_database_is_asked_each_time(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".index.sqlite.generation").mkdir()
    generation = database.generation(tmp_path)
    with caplog.at_level(logging.WARNING):
        before = generation.read()
        database.serial += 1
        assert generation.read() != before
        for _long_after in range(3):
            database.time += RECHECK * 1.01
            generation.read()
    assert len(caplog.records) == 1
    assert ".index.sqlite.generation" in caplog.text


def test_a_database_that_fails_is_asked_again_at_once(tmp_path: Path) -> None:
    answers: list[int | None] = [None, None, 100]

    def ask() -> int:
        answer = answers.pop(0)
        if answer is None:
            raise IndexUnavailable("down")
        return answer

    generation = Generation(tmp_path / "index.sqlite", ask)
    for _twice in range(2):
        with pytest.raises(IndexUnavailable):
            generation.read()
    assert generation.read()[0] == 100


class FakeIndex:
    """Only what :class:`Remembered` wants of an index."""

    def __init__(self) -> None:
        self.current = 1

    def generation(self) -> Hashable:
        return self.current


def test_answers_are_kept_for_one_generation() -> None:
    index, asked = FakeIndex(), []
    remembered = Remembered(index)  # type: ignore[arg-type]

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert [remembered.get("k", ask) for _twice in range(2)] == [1, 1]
    index.current = 2
    assert [remembered.get("k", ask) for _twice in range(2)] == [2, 2]


def test_an_answer_that_was_late_is_not_taken_for_a_newer_one() -> None:
    index = FakeIndex()
    remembered = Remembered(index)  # type: ignore[arg-type]

    def slow() -> str:
        index.current = 2
        remembered.get("other", lambda: "x")  # another thread asks meanwhile
        return "old"

    assert remembered.get("k", slow) == "old"
    assert remembered.get("k", lambda: "new") == "new"


def test_only_so_many_answers_are_kept() -> None:
    remembered = Remembered(FakeIndex(), limit=10)  # type: ignore[arg-type]
    for number in range(1000):
        assert remembered.get(number, lambda number=number: number) == number
        assert len(remembered._kept[1]) <= 10
