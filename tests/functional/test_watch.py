"""``pypi.watch = true``: what someone does to the folder by hand is there at once."""

from __future__ import annotations

import builtins
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.index import listen
from pypicloud_lite.storage import watch
from tests.conftest import Client
from tests.functional.test_events import listed, until
from tests.support.dists import sdist, sha256, wheel

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """An application that watches its folder, and would otherwise look once a week."""
    client = make_client(pypi__watch="true", pypi__sync_interval="604800")
    until(lambda: client.get("/health", status="*").json["events"] == "ok")
    time.sleep(2 * watch._TICK / 1000)  # by now the first look is over
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packages"


def test_files_come_change_and_go(client: Client, folder: Path) -> None:
    (folder / "demo").mkdir()
    path = folder / "demo" / WHEEL
    path.write_bytes(wheel())
    until(lambda: listed(client) == [WHEEL])
    changed = wheel(summary="edited by hand")
    path.write_bytes(changed)
    until(lambda: client.page("demo").json["files"][0]["hashes"]["sha256"] == sha256(changed))
    path.unlink()
    until(lambda: client.page("demo", status="*").status_int == 404)


def test_whole_folders_come_and_go(client: Client, folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made" / "demo"
    for version in ("1.0", "2.0"):
        (made / version).mkdir(parents=True)
        (made / version / f"demo-{version}.tar.gz").write_bytes(sdist(version=version))
    made.rename(folder / "demo")
    until(lambda: listed(client) == ["demo-1.0.tar.gz", "demo-2.0.tar.gz"])
    (folder / "demo" / "1.0").rename(tmp_path / "taken-away")
    until(lambda: listed(client) == ["demo-2.0.tar.gz"])
    shutil.rmtree(folder / "demo")
    until(lambda: client.page("demo", status="*").status_int == 404)


def test_a_file_that_moves_stays_listed(client: Client, folder: Path) -> None:
    (folder / WHEEL).write_bytes(wheel())
    until(lambda: listed(client) == [WHEEL])
    (folder / "archive").mkdir()
    (folder / WHEEL).rename(folder / "archive" / WHEEL)
    found = client.app.registry.services.index.stamp
    until(lambda: (stamp := found(WHEEL)) and stamp.key == f"archive/{WHEEL}")
    assert client.get(f"/api/package/demo/{WHEEL}", status=200).body == wheel()


def test_a_file_that_is_still_being_written_is_waited_for(client: Client, folder: Path) -> None:
    content = wheel()
    size = len(content)
    with (folder / WHEEL).open("wb") as file:
        for begin in range(0, size, size // 4 + 1):
            file.write(content[begin : begin + size // 4 + 1])
            file.flush()
            time.sleep(0.3)
            assert listed(client) == []
    until(lambda: listed(client) == [WHEEL])
    assert client.page("demo").json["files"][0]["hashes"]["sha256"] == sha256(content)


def test_an_old_file_that_is_copied_with_its_time_is_there(
    client: Client, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / WHEEL).write_bytes(wheel())
    os.utime(tmp_path / WHEEL, (1, 1))
    shutil.copy2(tmp_path / WHEEL, folder)
    until(lambda: listed(client) == [WHEEL])


def test_what_another_server_does_is_followed(
    client: Client, make_client: Callable[..., Client], tmp_path: Path
) -> None:
    other = make_client(db__url=f"sqlite:///{tmp_path / 'other.sqlite'}").as_("writer")
    other.upload(WHEEL, wheel(), status=200)
    until(lambda: listed(client) == [WHEEL])
    until(lambda: client.page("demo").json["files"][0].get("core-metadata"))
    path = "/api/package/demo"
    other.post_json(f"{path}/yank", {"filename": WHEEL, "reason": "broken"}, status=200)
    until(lambda: client.page("demo").json["files"][0]["yanked"] == "broken")
    other.post_json(f"{path}/status", {"status": "archived"}, status=200)
    until(lambda: client.page("demo").json["project-status"]["status"] == "archived")
    other.delete(f"{path}/{WHEEL}", status=200)
    until(lambda: listed(client) == [])


def test_our_own_uploads_are_no_news(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        name = f"demo-{number}.tar.gz"
        client.as_("writer").upload(name, sdist(version=str(number)), status=200)
    client.as_("writer").delete("/api/package/demo/demo-0.tar.gz", status=200)
    time.sleep(3 * watch._TICK / 1000 + watch._SETTLED)
    assert listed(client) == ["demo-1.tar.gz", "demo-2.tar.gz"]
    assert "by others" not in caplog.text
    assert "is gone from the storage" not in caplog.text


def test_an_unmounted_disk_is_no_empty_index(client: Client, folder: Path, tmp_path: Path) -> None:
    (folder / WHEEL).write_bytes(wheel())
    until(lambda: listed(client) == [WHEEL])
    folder.rename(tmp_path / "elsewhere")
    time.sleep(3 * watch._TICK / 1000)
    assert listed(client) == [WHEEL]
    (tmp_path / "elsewhere").rename(folder)


def test_a_folder_that_was_exchanged_is_watched_again(
    client: Client, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a disk is mounted there."""
    monkeypatch.setattr(listen, "_PAUSE", 0.1)
    shutil.copytree(folder, tmp_path / "other")
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "other").rename(folder)
    time.sleep(2 * watch._TICK / 1000)
    (folder / WHEEL).write_bytes(wheel())
    until(lambda: listed(client) == [WHEEL])


def test_trouble_with_watching_is_shown_and_passes(
    make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    original = watch.watch

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watch, "watch", refuse)
    monkeypatch.setattr(listen, "_MAX_PAUSE", 0.1)
    monkeypatch.setattr(listen, "_PAUSE", 0.1)
    client = make_client(pypi__watch="true", pypi__sync_interval="0")
    until(lambda: "watch limit" in client.get("/health", status="*").json["events"])
    (folder / WHEEL).write_bytes(wheel())
    client.page("demo", status=404)
    monkeypatch.setattr(watch, "watch", original)
    until(lambda: listed(client) == [WHEEL])  # what was missed meanwhile is looked for
    assert client.get("/health", status=200).json["events"] == "ok"


def test_without_the_extra_the_start_says_what_to_install(
    make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in ("watchfiles", "pypicloud_lite.storage.watch"):
            raise ModuleNotFoundError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"pypicloud-lite\[watch\]"):
        make_client(pypi__watch="true")
