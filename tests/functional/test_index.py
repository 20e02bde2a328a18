"""The index behind the application: built in the background, rebuilt on demand, checked."""

from __future__ import annotations

import configparser
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.app import make_app
from pypicloud_lite.cli import main
from pypicloud_lite.errors import IndexBuilding, StorageUnavailable
from pypicloud_lite.index import follow
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.follow import Follower
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.storage.files import FileStorage
from tests.conftest import Client, close
from tests.support.dists import sdist, sha256, wheel
from tests.support.server import app_settings

WHEEL = "demo-1.0-py3-none-any.whl"


def drop(tmp_path: Path, *names: str) -> None:
    (tmp_path / "packages").mkdir(exist_ok=True)
    for name in names:
        (tmp_path / "packages" / name).write_bytes(
            wheel(version=name.split("-")[1]) if name.endswith("whl") else sdist()
        )


class TestBuilding:
    @pytest.fixture
    def stuck(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_client: Callable[..., Client]
    ) -> Any:
        """A server whose first synchronization takes long."""
        drop(tmp_path, WHEEL)
        go_on = threading.Event()
        original = FileStorage.describe

        def slow(self: FileStorage, stored: Any) -> Any:
            assert go_on.wait(30)
            return original(self, stored)

        monkeypatch.setattr(FileStorage, "describe", slow)
        monkeypatch.setattr(follow, "START_WAIT", 0.1)
        client = make_client(pypi__fallback="redirect")
        yield client, go_on
        go_on.set()

    @pytest.mark.parametrize(
        "path",
        ["/simple/", "/simple/demo/", "/simple/absent/", "/pypi/demo/json", "/api/package/demo/",
         f"/api/package/demo/{WHEEL}", "/api/package/"],
    )  # fmt: skip
    def test_pages_say_that_they_will_come_and_nothing_is_missing(
        self, stuck: Any, path: str
    ) -> None:
        client, _go_on = stuck
        response = client.get(path, status=503)
        assert "Retry-After" in response.headers
        assert "being built: 0 of 1 files" in response.text

    def test_health_says_how_far_it_is_and_the_landing_page_stays(self, stuck: Any) -> None:
        client, _go_on = stuck
        health = client.get("/health", status=503).json
        assert "0 of 1 files" in health["index"]
        assert health["sync"] == "0 of 1 files"
        client.get("/", status=200)

    def test_it_goes_on_by_itself(self, stuck: Any) -> None:
        client, go_on = stuck
        client.get("/simple/demo/", status=503)
        go_on.set()
        assert client.app.registry.services.follower.idle.wait(20)
        assert client.page("demo", status=200).json["files"][0]["filename"] == WHEEL
        assert "sync" not in client.get("/health", status=200).json

    def test_uploads_are_taken_meanwhile_and_kept(self, stuck: Any) -> None:
        client, go_on = stuck
        uploading = threading.Thread(
            target=lambda: client.as_("writer").upload("new-1.tar.gz", sdist("new", "1"))
        )
        uploading.start()
        go_on.set()
        uploading.join()
        assert client.app.registry.services.follower.idle.wait(20)
        assert client.page("new", status=200).json["files"]


class TestFollowing:
    def test_dropped_files_appear_within_the_interval(
        self, make_client: Callable[..., Client], tmp_path: Path
    ) -> None:
        client = make_client(pypi__sync_interval="1")
        client.page("demo", status=404)
        follower = client.app.registry.services.follower
        drop(tmp_path, WHEEL)
        for _ in range(100):
            follower.idle.clear()
            assert follower.idle.wait(20)
            if client.page("demo", status="*").status_int == 200:
                break
        assert client.page("demo", status=200).json["files"][0]["filename"] == WHEEL

    def test_trouble_is_shown_and_passes(
        self, make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = make_client()
        services = client.app.registry.services
        original = services.storage.scan

        def broken(*_args: Any) -> Any:
            raise StorageUnavailable("disk broken")

        monkeypatch.setattr(services.storage, "scan", broken)
        assert services.follower.request()
        assert services.follower.idle.wait(20)
        assert client.get("/health", status=503).json["index"] == "disk broken"
        client.get("/simple/", status=200)  # what is known is served
        monkeypatch.setattr(services.storage, "scan", original)
        services.follower.idle.clear()
        assert services.follower.idle.wait(20)  # it tries again by itself
        client.get("/health", status=200)

    def test_who_does_not_lead_serves_what_the_leader_made(self, tmp_path: Path) -> None:
        drop(tmp_path, WHEEL)
        storage = FileStorage(tmp_path / "packages")
        first, second = (
            SqlIndex(open_database(f"sqlite:///{tmp_path / 'index.sqlite'}")) for _ in range(2)
        )
        with first.leading() as leads:
            assert leads
            other = Follower(storage, second, interval=0)
            other.start()
            other.wait_for_first()
            with pytest.raises(IndexBuilding):
                other.require_ready()
            first.end_sync(storage.identity(), first.begin_sync(storage.identity()))
            other.require_ready()
        other.stop()
        first.close()
        second.close()

    def test_a_database_that_was_down_is_used_when_it_is_back(
        self, make_client: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drop(tmp_path, WHEEL)
        (tmp_path / "index.sqlite").mkdir()
        monkeypatch.setattr("pypicloud_lite.index.sqlite.prepare_file", lambda _path: None)
        monkeypatch.setattr(follow, "_RETRY", 0.1)
        client = make_client()
        client.get("/simple/demo/", status=503)
        assert client.get("/health", status=503).json["storage"] == "ok"
        (tmp_path / "index.sqlite").rmdir()
        follower = client.app.registry.services.follower
        for _ in range(200):
            follower.idle.clear()
            assert follower.idle.wait(20)
            if follower.state.problem is None:
                break
        assert client.page("demo", status=200).json["files"]


class TestRebuildView:
    @pytest.mark.parametrize("path", ["/admin/rebuild", "/admin/rebuild/"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_an_admin_rebuilds(
        self, make_client: Callable[..., Client], tmp_path: Path, path: str, method: str
    ) -> None:
        client = make_client()
        drop(tmp_path, WHEEL)
        document = client.as_("admin").request(path, method=method, status=200).json
        assert document == {"status": "done", "listed": 1, "changed": 1, "gone": 0}
        client.page("demo", status=200)

    def test_others_may_not(self, make_client: Callable[..., Client]) -> None:
        client = make_client()
        for method in ("GET", "POST"):
            client.request("/admin/rebuild", method=method, status=401)
            client.as_("writer").request("/admin/rebuild", method=method, status=403)


class TestCommands:
    @pytest.fixture
    def ini(self, tmp_path: Path) -> Path:
        parser = configparser.ConfigParser(interpolation=None)
        parser["app:main"] = {"use": "egg:pypicloud_lite", **app_settings(tmp_path)}
        path = tmp_path / "server.ini"
        with path.open("w") as file:
            parser.write(file)
        return path

    def files(self, tmp_path: Path) -> dict[str, str | None]:
        app = make_app(app_settings(tmp_path, pypi__sync_interval="0"), {})
        index = app.registry.services.index
        found = {
            file.filename: file.sha256
            for project in index.project_names()
            for file in index.project(project).files
        }
        close(app)
        return found

    @pytest.mark.parametrize("command", ["sync", "rebuild"])
    def test_the_index_is_brought_in_step(
        self, ini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        drop(tmp_path, WHEEL)
        assert main([command, str(ini)]) == 0
        assert "1 files, 1 new or changed, 0 gone" in capsys.readouterr().out
        assert self.files(tmp_path) == {WHEEL: sha256(wheel())}

    def test_a_great_loss_needs_force(
        self, ini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = [f"demo-{number}-py3-none-any.whl" for number in range(30)]
        drop(tmp_path, *names)
        main(["sync", str(ini)])
        for name in names:
            (tmp_path / "packages" / name).unlink()
        assert main(["sync", str(ini)]) == 1
        assert "--force" in capsys.readouterr().err
        assert main(["sync", "--force", str(ini)]) == 0
        assert self.files(tmp_path) == {}

    def test_fsck_finds_every_kind_of_difference_and_repairs_it(
        self, ini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = [f"demo-{number}-py3-none-any.whl" for number in range(3)]
        drop(tmp_path, *names)
        main(["sync", str(ini)])
        assert main(["fsck", "--hash", str(ini)]) == 0
        assert "agree" in capsys.readouterr().out
        drop(tmp_path, "demo-7-py3-none-any.whl")
        (tmp_path / "packages" / names[0]).unlink()
        (tmp_path / "packages" / names[1]).write_bytes(wheel(version="1", summary="other"))
        assert main(["fsck", str(ini)]) == 1
        text = capsys.readouterr().out
        assert "demo-7-py3-none-any.whl: in the storage, but not in the index" in text
        assert f"{names[0]}: in the index, but not in the storage" in text
        assert f"{names[1]}: index and storage differ in" in text
        assert main(["fsck", "--repair", str(ini)]) == 0
        assert "0 left after the repair" in capsys.readouterr().out
        assert main(["fsck", "--hash", str(ini)]) == 0

    def test_fsck_finds_bytes_that_rotted(
        self, ini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import os

        app = make_app(app_settings(tmp_path), {})
        Client(app).as_("writer").upload(WHEEL, wheel(), status=200)
        close(app)
        path = tmp_path / "packages" / "demo" / "1.0" / WHEEL
        before = path.stat()
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(bytes(content))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert main(["fsck", str(ini)]) == 0
        assert main(["fsck", "--hash", str(ini)]) == 1
        assert "its bytes are not those that were published" in capsys.readouterr().out

    def test_only_one_synchronizes_at_a_time(
        self, ini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        index = SqlIndex(open_database(f"sqlite:///{tmp_path / 'index.sqlite'}"))
        with index.leading():
            assert main(["sync", str(ini)]) == 1
        assert "Another process" in capsys.readouterr().err
        index.close()
