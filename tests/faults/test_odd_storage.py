"""Synchronizing with a storage that is odd, fails, or is not there: what is known stays."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.errors import FileRefused, StorageUnavailable, SyncRefused
from pypicloud_lite.index import follow
from pypicloud_lite.index.sync import sync
from pypicloud_lite.model import ProjectStatus
from pypicloud_lite.names import project_name
from pypicloud_lite.services import Services
from pypicloud_lite.storage.files import FileStorage
from tests.conftest import Client
from tests.support.dists import sdist, wheel

DEMO = project_name("demo")
QUARANTINED = ProjectStatus("quarantined", "looked at")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    for number in range(30):
        (folder / f"demo-{number}.tar.gz").write_bytes(sdist(version=str(number)))
    return folder


@pytest.fixture
def client(folder: Path, make_client: Callable[..., Client]) -> Client:
    client = make_client(pypi__sync_interval="0")
    assert client.app.registry.services.follower.idle.wait(20)
    return client


@pytest.fixture
def services(client: Client) -> Services:
    found: Services = client.app.registry.services
    return found


class TestOddFiles:
    """One odd file stops nothing else."""

    @pytest.fixture(autouse=True)
    def _another(self, folder: Path) -> None:
        (folder / "other-1.0.tar.gz").write_bytes(sdist("other", "1.0"))

    def test_a_file_that_we_may_not_read(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = FileStorage.describe

        def refuse(self: FileStorage, stored: Any) -> Any:
            if stored.filename == "demo-3.tar.gz":
                raise FileRefused("no right")
            return original(self, stored)

        monkeypatch.setattr(FileStorage, "describe", refuse)
        report = sync(services.storage, services.index, rebuild=True)
        assert (report.listed, report.changed) == (31, 30)
        assert services.index.project_names() == ["demo", "other"]

    def test_most_files_that_we_may_not_read_are_no_oddity(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_self: FileStorage, _stored: Any) -> Any:
            raise FileRefused("no right")

        monkeypatch.setattr(FileStorage, "describe", refuse)
        with pytest.raises(StorageUnavailable, match="can't be read"):
            sync(services.storage, services.index, rebuild=True)

    def test_names_that_are_no_text(self, services: Services, folder: Path) -> None:
        place = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
        place.mkdir()
        (place / "hidden-1.0.tar.gz").write_bytes(sdist("hidden", "1.0"))
        place.with_name(place.name + "-1.0.tar.gz").write_bytes(sdist())
        assert sync(services.storage, services.index, rebuild=True).changed == 31
        assert services.index.project_names() == ["demo", "other"]

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
    def test_facts_that_no_database_holds(
        self, services: Services, folder: Path, text: str
    ) -> None:
        meta = {"summary": text, "hash_sha256": "ab" * 32, "hash_md5": "cd" * 16}
        (folder / "other-1.0.tar.gz.meta").write_text(json.dumps(meta))
        (folder / "other-1.0.tar.gz").write_bytes(b"not read, since its digests are known")
        assert sync(services.storage, services.index).changed == 1
        (file,) = services.index.project(project_name("other")).files  # type: ignore[union-attr]
        assert file.summary == "ab"


class TestFailingStorage:
    @pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.EMFILE])
    @pytest.mark.parametrize("where", ["", "sub"])
    def test_what_can_not_be_listed_is_not_gone(
        self,
        services: Services,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: int,
        where: str,
    ) -> None:
        (folder / "sub").mkdir()
        original = os.scandir

        def broken(path: Any = ".") -> Any:
            if str(path) == str(folder / where).rstrip("/"):
                raise OSError(error, os.strerror(error))
            return original(path)

        monkeypatch.setattr(os, "scandir", broken)
        with pytest.raises(StorageUnavailable):
            sync(services.storage, services.index)
        assert services.index.count() == 30

    def test_a_refused_listing_lifts_no_quarantine(
        self, services: Services, folder: Path, tmp_path: Path
    ) -> None:
        services.storage.set_project_status(DEMO, QUARANTINED)
        services.index.set_status(DEMO, QUARANTINED)
        folder.rename(tmp_path / "unmounted")
        with pytest.raises(StorageUnavailable):
            sync(services.storage, services.index)
        FileStorage(folder)  # as at a start: makes an empty one
        with pytest.raises(SyncRefused):
            sync(services.storage, services.index)
        assert services.index.status(DEMO) == QUARANTINED

    def test_a_status_that_can_not_be_read_stays_as_it_was(
        self, services: Services, folder: Path
    ) -> None:
        services.storage.set_project_status(DEMO, QUARANTINED)
        services.index.set_status(DEMO, QUARANTINED)
        (folder / ".pypicloud-lite" / "status" / "demo.meta").write_text('{"status": "quara')
        sync(services.storage, services.index, rebuild=True)
        assert services.index.status(DEMO) == QUARANTINED

    def test_a_great_loss_is_noticed_early(
        self, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []
        original = services.storage.stat

        def counting(key: str) -> Any:
            asked.append(key)
            return original(key)

        monkeypatch.setattr(services.storage, "stat", counting)
        for number in range(28):
            (folder / f"demo-{number}.tar.gz").unlink()
        with pytest.raises(SyncRefused):
            sync(services.storage, services.index)
        assert len(asked) == 21

    def test_fsck_does_not_take_an_empty_folder_for_the_truth(
        self, client: Client, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from pypicloud_lite.cli import main
        from tests.support.server import app_settings

        lines = [f"{name} = {value}" for name, value in app_settings(tmp_path).items()]
        ini = tmp_path / "server.ini"
        ini.write_text("[app:main]\nuse = egg:pypicloud_lite\n" + "\n".join(lines))
        folder.rename(tmp_path / "unmounted")
        assert main(["fsck", "--repair", str(ini)]) == 1
        assert "--force" in capsys.readouterr().err
        assert client.app.registry.services.index.count() == 30
        assert main(["fsck", "--repair", "--force", str(ini)]) == 0
        assert client.app.registry.services.index.count() == 0


class TestBuilding:
    """While the index is not complete, nothing is missing."""

    def test_nothing_is_said_to_be_missing_to_who_deletes_or_yanks(
        self, client: Client, services: Services
    ) -> None:
        services.index.begin_sync("another storage")
        writer = client.as_("writer")
        services.follower.request = lambda **_kwargs: False  # type: ignore[method-assign]
        path = "/api/package/demo"
        writer.delete(f"{path}/demo-1.tar.gz", status=503)
        writer.post_json(f"{path}/yank", {"version": "1"}, status=503)
        writer.post_json(f"{path}/status", {"status": "archived"}, status=503)


def test_a_request_during_a_synchronization_is_remembered(
    client: Client, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, go_on = threading.Event(), threading.Event()
    original = services.storage.project_statuses

    def late() -> Any:
        listed.set()
        assert go_on.wait(20)
        return original()

    monkeypatch.setattr(services.storage, "project_statuses", late)
    assert services.follower.request()
    assert listed.wait(20)
    (folder / "late-1.0-py3-none-any.whl").write_bytes(wheel("late"))
    assert services.follower.request()
    assert not services.follower.request()  # one waits already
    go_on.set()
    assert services.follower.idle.wait(20)
    client.page("late", status=200)


def test_failures_are_tried_again_in_growing_intervals(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> Any:
        raise StorageUnavailable("down")

    monkeypatch.setattr(services.storage, "scan", broken)
    pauses = [services.follower._once(rebuild=False, force=False) for _ in range(12)]
    assert pauses[0] == follow._RETRY
    assert pauses == sorted(pauses)  # type: ignore[type-var]
    assert pauses[-1] == follow._MAX_RETRY
    monkeypatch.undo()
    services.follower._once(rebuild=False, force=False)
    monkeypatch.setattr(services.storage, "scan", broken)
    assert services.follower._once(rebuild=False, force=False) == follow._RETRY


FORK = """
import os, sys, time
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
index = SqlIndex(open_database(sys.argv[1]))
with index.leading() as leads:
    assert leads
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
with index.leading() as leads:
    print(leads)
os.kill(child, 9)
os.waitpid(child, 0)
"""


def test_a_fork_keeps_no_lock_of_its_parent(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    done = subprocess.run(
        [sys.executable, "-c", FORK, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr
