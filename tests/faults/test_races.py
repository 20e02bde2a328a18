"""Changes of one name at the same moment: the order of things is held still by the tests.

Where a test's name begins with a number, the list of hostile inputs that we keep has it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.errors import StorageUnavailable, SyncRefused
from pypicloud_lite.index.sync import sync
from pypicloud_lite.services import Services, build_services
from tests.conftest import Client
from tests.support.dists import sdist, sha256, wheel
from tests.support.server import app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
FIRST, SECOND = wheel(summary="first."), wheel(summary="second")


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client(pypi__allow_overwrite_groups="writers")


@pytest.fixture
def services(client: Client) -> Services:
    found: Services = client.app.registry.services
    return found


class Pause:
    """Holds a call still until it is told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()


@contextmanager
def paused(
    monkeypatch: pytest.MonkeyPatch, target: Any, name: str, *, after: bool = False
) -> Iterator[Pause]:
    """The next call of ``target.name`` waits, before or after its work."""
    pause = Pause()
    original = getattr(target, name)
    first = [True]

    def waiting(*args: Any, **kwargs: Any) -> Any:
        mine, first[0] = first[0], False
        if mine and not after:
            pause.reached.set()
            assert pause.go_on.wait(20)
        result = original(*args, **kwargs)
        if mine and after:
            pause.reached.set()
            assert pause.go_on.wait(20)
        return result

    monkeypatch.setattr(target, name, waiting)
    yield pause
    pause.go_on.set()


def in_background(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def consistent(services: Services, tmp_path: Path) -> None:
    """Index and folder tell the same story, and so does an index made from the folder alone."""
    for project in services.index.project_names():
        found = services.index.project(project)
        assert found is not None
        for file in found.files:
            content = (tmp_path / "packages" / file.key).read_bytes()
            assert sha256(content) == file.sha256
    listed = {stored.key: (stored.size, stored.stamp) for stored in services.storage.scan()}
    known = {stamp.key: (stamp.size, stamp.stamp) for stamp in services.index.stamps()}
    assert known == listed
    fresh = build_services(
        app_settings(tmp_path, db__url=f"sqlite:///{tmp_path / 'fresh.sqlite'}"), {}
    )
    assert fresh.follower.idle.wait(30)
    for project in services.index.project_names():
        assert set(services.index.project(project).files) == set(  # type: ignore[union-attr]
            fresh.index.project(project).files  # type: ignore[union-attr]
        )
    fresh.follower.stop()
    fresh.index.close()


def test_a_yank_beside_an_overwrite_never_mixes_facts_and_bytes(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writer = client.as_("writer")
    writer.upload(WHEEL, FIRST, status=200)
    with paused(monkeypatch, services.storage, "annotate") as pause:
        yank = in_background(
            lambda: client.as_("writer").post("/api/package/demo/yank", {"filename": WHEEL})
        )
        assert pause.reached.wait(20)
        overwrite = in_background(lambda: client.as_("writer").upload(WHEEL, SECOND, status=200))
        overwrite.join(0.3)
        assert overwrite.is_alive()  # it waits for its turn
        pause.go_on.set()
        yank.join()
        overwrite.join()
    consistent(services, tmp_path)
    assert client.get(f"/api/package/demo/{WHEEL}").body == SECOND


def test_c03_an_upload_beside_a_delete_leaves_one_story(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    with paused(monkeypatch, services.storage, "delete", after=True) as pause:
        delete = in_background(
            lambda: client.as_("writer").delete(f"/api/package/demo/{WHEEL}", status=200)
        )
        assert pause.reached.wait(20)
        client.page("demo", status=404)  # what is being deleted is on no page
        again = in_background(lambda: client.as_("writer").upload(WHEEL, FIRST, status=200))
        again.join(0.3)
        assert again.is_alive()
        pause.go_on.set()
        delete.join()
        again.join()
    assert client.get(f"/api/package/demo/{WHEEL}").body == FIRST
    consistent(services, tmp_path)


def test_c03_many_uploads_and_deletes_at_once_leave_one_story(
    client: Client, services: Services, tmp_path: Path
) -> None:
    statuses: set[int] = set()
    path = f"/api/package/demo/{WHEEL}"

    def work(number: int) -> None:
        own = client.as_("writer")
        for turn in range(12):
            if (turn + number) % 3 == 0:
                statuses.add(own.delete(path, expect_errors=True).status_int)
            else:
                content = FIRST if number % 2 else SECOND
                statuses.add(own.upload(WHEEL, content, status="*").status_int)

    threads = [in_background(lambda number=number: work(number)) for number in range(6)]
    for thread in threads:
        thread.join()
    assert statuses <= {200, 404}
    consistent(services, tmp_path)


def test_c04_readers_get_the_bytes_that_their_headers_promise(
    client: Client, services: Services
) -> None:
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    done = threading.Event()
    wrong: list[str] = []
    statuses: set[int] = set()

    def read() -> None:
        own = Client(client.app)
        while not done.is_set():
            response = own.get(f"/api/package/demo/{WHEEL}", expect_errors=True)
            statuses.add(response.status_int)
            if response.status_int == 200 and sha256(response.body) not in response.headers["ETag"]:
                wrong.append(response.headers["ETag"])

    readers = [in_background(read) for _ in range(3)]
    for number in range(25):
        client.as_("writer").upload(WHEEL, (FIRST, SECOND)[number % 2], status=200)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert statuses == {200}


def test_c04_a_download_is_not_resumed_with_other_bytes(client: Client) -> None:
    writer, path = client.as_("writer"), f"/api/package/demo/{WHEEL}"
    writer.upload(WHEEL, FIRST, status=200)
    begun = client.get(path, headers={"Range": "bytes=0-99"}, status=206)
    resuming = {"Range": "bytes=100-", "If-Range": begun.headers["ETag"]}
    assert begun.body + client.get(path, headers=resuming, status=206).body == FIRST
    writer.upload(WHEEL, SECOND, status=200)
    again = client.get(path, headers=resuming, status=200)
    assert again.body == SECOND
    assert again.headers["ETag"] != begun.headers["ETag"]


def test_c11_of_many_deletions_one_succeeds(client: Client, services: Services) -> None:
    path = f"/api/package/demo/{WHEEL}"
    for _turn in range(5):
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        barrier = threading.Barrier(6)
        statuses: list[int] = []

        def remove(barrier: threading.Barrier = barrier, to: list[int] = statuses) -> None:
            own = client.as_("writer")
            barrier.wait()
            to.append(own.delete(path, status="*").status_int)

        threads = [in_background(remove) for _ in range(6)]
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] + [404] * 5
        assert services.index.project_names() == []


def test_c01_the_same_bytes_from_many_at_once_all_succeed(client: Client, tmp_path: Path) -> None:
    statuses: list[int] = []
    barrier = threading.Barrier(6)

    def send() -> None:
        own = client.as_("writer")
        barrier.wait()
        statuses.append(own.upload(WHEEL, FIRST, status="*").status_int)

    threads = [in_background(send) for _ in range(6)]
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    (entry,) = client.page("demo").json["files"]
    assert entry["hashes"] == {"sha256": sha256(FIRST)}
    assert len(list((tmp_path / "packages").rglob(WHEEL))) == 1


def test_an_upload_is_believed_to_be_there_only_if_it_is(client: Client, tmp_path: Path) -> None:
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    (tmp_path / "packages" / "demo" / "1.0" / WHEEL).unlink()
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    assert client.get(f"/api/package/demo/{WHEEL}").body == FIRST


def test_a_delete_that_fails_leaves_the_file_listed(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.as_("writer").upload(WHEEL, FIRST, status=200)

    def broken(_file: Any) -> None:
        raise StorageUnavailable("disk broken")

    monkeypatch.setattr(services.storage, "delete", broken)
    client.as_("writer").delete(f"/api/package/demo/{WHEEL}", status=503)
    assert client.page("demo").json["files"][0]["filename"] == WHEEL


class TestSync:
    def test_a_file_deleted_meanwhile_is_not_brought_back(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, client: Client, tmp_path: Path
    ) -> None:
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        with paused(monkeypatch, services.storage, "describe", after=True) as pause:
            syncing = in_background(lambda: sync(services.storage, services.index, rebuild=True))
            assert pause.reached.wait(20)
            client.as_("writer").delete(f"/api/package/demo/{WHEEL}", status=200)
            pause.go_on.set()
            syncing.join()
        client.page("demo", status=404)
        consistent(services, tmp_path)

    def test_facts_changed_meanwhile_are_not_overwritten(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, client: Client, tmp_path: Path
    ) -> None:
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        with paused(monkeypatch, services.storage, "describe", after=True) as pause:
            syncing = in_background(lambda: sync(services.storage, services.index, rebuild=True))
            assert pause.reached.wait(20)
            yank = {"filename": WHEEL, "reason": "bad"}
            client.as_("writer").post("/api/package/demo/yank", yank, status=200)
            pause.go_on.set()
            syncing.join()
        assert client.page("demo").json["files"][0]["yanked"] == "bad"
        consistent(services, tmp_path)

    def test_a_file_seen_before_its_facts_gets_them_at_the_next_look(
        self, services: Services, client: Client, tmp_path: Path
    ) -> None:
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        meta = tmp_path / "packages" / "demo" / "1.0" / f"{WHEEL}.meta"
        content = meta.read_bytes()
        meta.unlink()  # as between the link and its facts
        sync(services.storage, services.index)
        assert "uploader" not in client.get("/api/package/demo/").json["packages"][0]["metadata"]
        meta.write_bytes(content)
        sync(services.storage, services.index)
        (document,) = client.get("/api/package/demo/").json["packages"]
        assert document["metadata"]["uploader"] == "writer"

    def test_a_yank_elsewhere_is_seen(self, services: Services, client: Client) -> None:
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        (stored,) = services.storage.scan()
        services.storage.annotate(replace(services.storage.describe(stored), yanked="bad"))
        sync(services.storage, services.index)
        assert client.page("demo").json["files"][0]["yanked"] == "bad"

    def test_an_unmounted_disk_is_no_empty_index(
        self, services: Services, client: Client, tmp_path: Path
    ) -> None:
        for number in range(30):
            client.as_("writer").upload(
                f"demo-{number}.tar.gz", sdist(version=str(number)), status=200
            )
        (tmp_path / "packages" / "demo").rename(tmp_path / "elsewhere")
        with pytest.raises(SyncRefused, match="is it mounted"):
            sync(services.storage, services.index)
        assert len(client.page("demo").json["files"]) == 30
        sync(services.storage, services.index, force=True)
        client.page("demo", status=404)

    def test_a_restart_without_the_disk_serves_what_it_knows(
        self, client: Client, make_client: Callable[..., Client], tmp_path: Path
    ) -> None:
        for number in range(30):
            client.as_("writer").upload(
                f"demo-{number}.tar.gz", sdist(version=str(number)), status=200
            )
        (tmp_path / "packages").rename(tmp_path / "elsewhere")
        restarted = make_client(pypi__fallback="redirect")
        assert len(restarted.page("demo", status=200).json["files"]) == 30

    @pytest.mark.parametrize(
        "meta",
        [
            '{"uploader": 5, "summary": ["x"]}',
            '{"hash_sha256": 1}',
            (
                f'{{"pypicloud_lite": {{"size": {len(FIRST)}, '
                '"upload_time": "0001-01-01T00:00+14:00"}}'
            ),
        ],
    )
    def test_one_odd_file_stops_nothing(
        self, services: Services, client: Client, tmp_path: Path, meta: str
    ) -> None:
        root = tmp_path / "packages"
        (root / WHEEL).write_bytes(FIRST)
        (root / f"{WHEEL}.meta").write_text(meta)
        (root / "loop").symlink_to(root)
        (root / "self.whl").symlink_to("self.whl")
        odd = "odd-1.0-py3-none-any.whl"
        (root / odd).write_bytes(wheel("odd", core=b"\xff"))
        sync(services.storage, services.index)
        assert client.page("demo").json["files"][0]["hashes"]["sha256"] == sha256(FIRST)
        assert client.page("odd").json["files"][0]["filename"] == odd

    def test_replaced_bytes_of_the_same_size_are_noticed(
        self, services: Services, client: Client, tmp_path: Path
    ) -> None:
        assert len(FIRST) == len(SECOND)
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        path = tmp_path / "packages" / "demo" / "1.0" / WHEEL
        path.write_bytes(SECOND)
        os.utime(path, (1, 1))
        sync(services.storage, services.index)
        assert client.get(f"/api/package/demo/{WHEEL}").body == SECOND
        assert client.page("demo").json["files"][0]["hashes"]["sha256"] == sha256(SECOND)

    def test_a_copied_folder_keeps_its_facts(
        self, services: Services, client: Client, tmp_path: Path
    ) -> None:
        client.as_("writer").upload(WHEEL, FIRST, status=200)
        os.utime(tmp_path / "packages" / "demo" / "1.0" / WHEEL, (1, 1))
        sync(services.storage, services.index)
        (document,) = client.get("/api/package/demo/").json["packages"]
        assert document["metadata"]["uploader"] == "writer"


@pytest.mark.parametrize(
    "left",
    [b"Metadata-Version: 2.1\nName: demo\nVersion: 6\n\n", b"", bytes(100)],
    ids=["of another file", "emptied by a power loss", "zeroed by a power loss"],
)
def test_core_metadata_of_other_bytes_is_not_served(
    client: Client, services: Services, tmp_path: Path, left: bytes
) -> None:
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    beside = tmp_path / "packages" / "demo" / "1.0" / f"{WHEEL}.metadata.meta"
    beside.write_bytes(left)
    served = client.get(f"/api/package/demo/{WHEEL}.metadata").body
    assert sha256(served) == client.page("demo").json["files"][0]["core-metadata"]["sha256"]


def test_leftovers_of_a_deletion_do_not_decorate_the_next_file(
    services: Services, client: Client, tmp_path: Path
) -> None:
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    client.as_("writer").post("/api/package/demo/yank", {"filename": WHEEL, "reason": "old"})
    (tmp_path / "packages" / "demo" / "1.0" / WHEEL).unlink()  # and died there
    sync(services.storage, services.index)
    client.as_("writer").upload(WHEEL, FIRST, status=200)
    assert client.page("demo").json["files"][0]["yanked"] is False
