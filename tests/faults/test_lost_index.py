"""The index database lost, spoilt or replaced under servers that run: they heal by themselves.

Pages are complete or 503 meanwhile, never 404: to an installer that means that it may look
elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.database import Session
from pypicloud_lite.index.schema import DROP, SCHEMA_VERSION
from tests.faults.test_processes import demo
from tests.faults.test_shared_index import SLOWLY, START, Starter, drop
from tests.support.asking import ask, eventually, page, publish
from tests.support.dists import sha256
from tests.support.server import Server, app_settings

#: How long servers may take to be whole again, in seconds.
PATIENCE = 30


def published(server: Server, count: int = 5) -> dict[str, str]:
    """Files that are in the index; filename to sha256."""
    contents = dict(map(demo, range(count)))
    for filename, content in contents.items():
        assert publish(server, filename, content).status == 200
    return {filename: sha256(content) for filename, content in contents.items()}


def heals(servers: tuple[Server, ...], expected: dict[str, str]) -> None:
    """Every page is complete or 503, until all are complete and all servers healthy."""
    end = time.monotonic() + PATIENCE
    while True:
        answers = [page(server) for server in servers]
        for answer in answers:
            assert answer.status in (200, 503), answer.body
            if answer.status == 200:
                assert answer.files == expected
            else:
                assert int(answer.headers["Retry-After"]) > 0
        assert all(page(server, "absent").status in (404, 503) for server in servers)
        answers += [ask(server, "/health") for server in servers]
        if all(answer.status == 200 for answer in answers):
            return
        assert time.monotonic() < end, [answer.body for answer in answers]
        time.sleep(0.2)


def serves(servers: tuple[Server, ...], expected: dict[str, str]) -> None:
    """What is published through one server comes to the pages of all."""
    for number, server in enumerate(servers, len(expected)):
        filename, content = demo(number)
        eventually(partial(takes, server, filename, content), PATIENCE)
        expected[filename] = sha256(content)
        for each in servers:
            eventually(partial(shows, each, expected), PATIENCE)
    assert all(page(server, "absent").status == 404 for server in servers)


def takes(server: Server, filename: str, content: bytes) -> bool:
    answer = publish(server, filename, content)
    assert answer.status in (200, 503)
    return answer.status == 200


def shows(server: Server, expected: dict[str, str]) -> bool:
    answer = page(server)
    assert answer.status in (200, 503)
    return answer.status == 200 and answer.files == expected


def remove(folder: Path) -> None:
    """Delete the database with all that belongs to it."""
    for path in folder.glob("index.sqlite*"):
        path.unlink()


def spoil(folder: Path) -> None:
    """Write over the database in place."""
    for path in (folder / "index.sqlite", folder / "index.sqlite-wal"):
        with path.open("r+b") as file:
            file.write(b"garbage!" * (path.stat().st_size // 8))


def truncate(folder: Path) -> None:
    """Empty the database in place."""
    for name in ("index.sqlite", "index.sqlite-wal"):
        with (folder / name).open("r+b") as file:
            file.truncate(0)


@pytest.mark.parametrize("harm", [remove, spoil, truncate])
def test_servers_heal_from_a_database_file_that_is_lost(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    with Server(tmp_path) as first, Server(tmp_path) as second:
        expected = published(first)
        assert page(second).files == expected
        harm(tmp_path)
        heals((first, second), expected)
        serves((first, second), expected)
        with Server(tmp_path) as third:
            heals((first, second, third), expected)
            serves((first, second, third), expected)


@pytest.mark.parametrize("harm", [remove, spoil])
def test_a_server_that_starts_on_a_lost_database_takes_the_others_along(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    with Server(tmp_path) as first, Server(tmp_path) as second:
        expected = published(first)
        harm(tmp_path)
        second.stop()
        second.start()
        heals((first, second), expected)
        serves((first, second), expected)


def test_ten_processes_that_start_at_once_on_a_spoilt_database_make_one_index(
    tmp_path: Path,
) -> None:
    dropped = drop(tmp_path, 20)
    (tmp_path / "index.sqlite").write_bytes(b"garbage!" * 10_000)
    settings, code = app_settings(tmp_path), SLOWLY + START
    starters = [Starter(settings, tmp_path / f"{number}.log", code) for number in range(10)]
    try:
        for starter in starters:
            starter.hear()
        for starter in starters:
            starter.tell("go")
        for starter in starters:
            assert starter.hear() == "up", starter.log.read_text()
        for starter in starters:
            eventually(partial(starter.shows, "/simple/demo/", dropped))
    finally:
        statuses = [starter.end() for starter in starters]
    assert statuses == [0] * 10
    assert len(list(tmp_path.glob("index.sqlite.corrupt-*"))) == 1  # a sound one stays


def older_version(session: Session) -> None:
    session.run("UPDATE lite_state SET schema_version = ?", (SCHEMA_VERSION - 1,))


def other_columns(session: Session) -> None:
    """As another version may have them."""
    older_version(session)
    session.run("ALTER TABLE lite_files RENAME COLUMN stamp TO seal")


def no_state(session: Session) -> None:
    session.run("DELETE FROM lite_state")


def no_tables(session: Session) -> None:
    for statement in DROP:
        session.run(statement)


HARMS = [
    older_version,
    other_columns,
    no_state,
    no_tables,
]


def do(settings: dict[str, str], harm: Callable[[Session], None]) -> None:
    """Change the database of servers with these settings behind their back."""
    database = open_database(settings["db.url"].replace("%%", "%"))
    with database.writing() as session:
        harm(session)
    database.close()


@pytest.mark.parametrize("harm", HARMS)
def test_servers_heal_from_another_schema(
    tmp_path: Path, shared: dict[str, str], harm: Callable[[Session], None]
) -> None:
    with Server(tmp_path, shared) as first, Server(tmp_path, shared) as second:
        expected = published(first)
        do(shared, harm)
        heals((first, second), expected)
        serves((first, second), expected)


@pytest.mark.parametrize("harm", HARMS)
def test_a_start_heals_another_schema(
    tmp_path: Path, shared: dict[str, str], harm: Callable[[Session], None]
) -> None:
    with Server(tmp_path, shared) as server:
        expected = published(server)
    do(shared, harm)
    with Server(tmp_path, shared) as server:
        heals((server,), expected)
        serves((server,), expected)
