"""The snapshot of the index in a bucket: a cold start costs a listing and one object."""

from __future__ import annotations

import configparser
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.cli import main
from pypicloud_lite.index import snapshot
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.index.sync import SyncReport, sync
from pypicloud_lite.model import DistributionFile
from tests.conftest import Client
from tests.support.s3 import S3Server, new_bucket, open_storage
from tests.support.server import app_settings

KEY = ".pypicloud-lite/index/snapshot.jsonl.gz"
COUNT = 14


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_FILES", 10)


@pytest.fixture
def bucket() -> str:
    return new_bucket()


class Site:
    """A bucket, looked at by servers that come and go."""

    def __init__(self, server: S3Server, bucket: str, folder: Path) -> None:
        self.s3 = server.client()
        self.bucket = bucket
        self.storage = open_storage(server.settings(bucket))
        self.folder = folder
        self.opened: list[SqlIndex] = []
        self.requests: Counter[str] = Counter()
        inner: Any = self.storage
        inner._client.meta.events.register("before-send.s3.*", self._count)
        send = inner._heads._send
        inner._heads._send = lambda request: (self.requests.update(["HeadObject"]), send(request))[
            1
        ]

    def _count(self, event_name: str, **_kwargs: Any) -> None:
        self.requests[event_name.rpartition(".")[2]] += 1

    def put(self, name: str, content: bytes = b"x", **metadata: str) -> None:
        about = {"name": name.partition("-")[0], "hash-sha256": "ab" * 32} | metadata
        key = f"0000/{about['name']}/{name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, Metadata=about)

    def cold(self) -> tuple[SqlIndex, SyncReport]:
        """A server without an index starts; the requests of its first synchronization."""
        index = SqlIndex(open_database(f"sqlite:///{self.folder / f'{len(self.opened)}.sqlite'}"))
        self.opened.append(index)
        self.requests.clear()
        return index, sync(self.storage, index)


@pytest.fixture
def site(moto_server: S3Server, bucket: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(moto_server, bucket, tmp_path)
    for number in range(COUNT):
        site.put(f"demo-{number}.tar.gz", summary=f"number {number}")
    yield site
    for index in site.opened:
        index.close()


@pytest.fixture
def kept(site: Site) -> Site:
    """A site with a snapshot of all its files."""
    index, _report = site.cold()
    assert snapshot.is_due(site.storage, index)
    snapshot.save(site.storage, index)
    return site


def facts(index: SqlIndex) -> dict[str, DistributionFile]:
    return {file.filename: file for file in index.files()}


def test_a_cold_start_asks_for_no_file(kept: Site) -> None:
    index, report = kept.cold()
    assert (report.listed, report.changed, report.gone) == (COUNT, 0, 0)
    assert index.ready(kept.storage.identity())
    assert facts(index) == facts(kept.opened[0])
    assert kept.requests["HeadObject"] == 1  # of the snapshot itself
    assert sum(kept.requests.values()) <= 5


def test_what_differs_from_the_snapshot_is_looked_at_and_nothing_else(kept: Site) -> None:
    kept.put("demo-3.tar.gz", b"other bytes", **{"hash-sha256": "cd" * 32})
    kept.put("new-1.0.tar.gz")
    kept.s3.delete_object(Bucket=kept.bucket, Key="0000/demo/demo-5.tar.gz")
    index, report = kept.cold()
    assert (report.changed, report.gone) == (2, 1)
    assert kept.requests["HeadObject"] == 3
    known = facts(index)
    assert known["demo-3.tar.gz"].sha256 == "cd" * 32
    assert "new-1.0.tar.gz" in known
    assert "demo-5.tar.gz" not in known


def test_a_snapshot_that_lacks_most_files_is_no_reason_to_refuse(kept: Site) -> None:
    for number in range(COUNT - 2):
        kept.s3.delete_object(Bucket=kept.bucket, Key=f"0000/demo/demo-{number}.tar.gz")
    index, _report = kept.cold()
    assert len(facts(index)) == 2


def test_files_without_every_fact_are_restored_too(site: Site) -> None:
    """As the aws command puts them."""
    site.s3.put_object(Bucket=site.bucket, Key="0000/bare/bare-1.0.tar.gz", Body=b"x")
    index, _report = site.cold()
    snapshot.save(site.storage, index)
    again, report = site.cold()
    assert report.changed == 0
    assert facts(again)["bare-1.0.tar.gz"].sha256 is None
    assert facts(again) == facts(index)


def damaged(content: bytes) -> list[bytes]:
    lines = gzip.decompress(content).splitlines(keepends=True)
    half = lines[: len(lines) // 2]
    return [
        b"",
        b"not gzip at all",
        content[: len(content) // 2],
        gzip.compress(b""),
        gzip.compress(b'{"format": "of the future"}\n' + b"".join(lines[1:])),
        gzip.compress(b"".join([*half, b"{]\n", *lines[len(half) :]])),
        gzip.compress(b"".join([*half, b'{"filename": "x"}\n'])),
        gzip.compress(b"".join([*half, lines[-1].replace(b'"size":1', b'"size":"1"')])),
        gzip.compress(b"".join([*half, lines[-1].replace(b'"sha256":"', b'"sha256":1,"x":"')])),
        gzip.compress(b"".join([*half, lines[-1].replace(b'"size":1', b'"size":1' + b"0" * 30)])),
        gzip.compress(b"".join([*half, lines[-1].replace(b'"sha256":"', b'"sha256":"\\ud800')])),
        gzip.compress(b"".join([*half, lines[-1].replace(b'"sha256":"', b'"sha256":"\\u0000')])),
        gzip.compress(lines[0] + b"[" * 100_000 + b"\n"),
        gzip.compress(lines[0] + b"x" * (3 << 20)),
    ]


@pytest.mark.parametrize("which", range(14))
def test_a_broken_snapshot_costs_requests_but_never_a_file(kept: Site, which: int) -> None:
    content = kept.s3.get_object(Bucket=kept.bucket, Key=KEY)["Body"].read()
    kept.s3.put_object(Bucket=kept.bucket, Key=KEY, Body=damaged(content)[which])
    index, _report = kept.cold()
    assert facts(index) == facts(kept.opened[0])


def test_what_a_snapshot_says_of_other_bytes_is_not_believed(kept: Site) -> None:
    content = kept.s3.get_object(Bucket=kept.bucket, Key=KEY)["Body"].read()
    lines = []
    for line in gzip.decompress(content).splitlines():
        record = json.loads(line)
        if "stamp" in record:
            record |= {"stamp": "0" * 32, "sha256": "ef" * 32}
        lines.append(json.dumps(record).encode())
    kept.s3.put_object(Bucket=kept.bucket, Key=KEY, Body=gzip.compress(b"\n".join(lines)))
    index, _report = kept.cold()
    assert facts(index) == facts(kept.opened[0])


def test_a_rebuild_looks_at_every_file(kept: Site) -> None:
    index, _report = kept.cold()
    kept.requests.clear()
    assert sync(kept.storage, index, rebuild=True).changed == COUNT
    assert kept.requests["HeadObject"] == COUNT


def test_it_is_renewed_when_enough_has_changed(kept: Site) -> None:
    index, _report = kept.cold()
    assert not snapshot.is_due(kept.storage, index)
    for number in range(9):
        kept.put(f"more-{number}.tar.gz")
    sync(kept.storage, index)
    assert not snapshot.is_due(kept.storage, index)
    kept.put("more-9.tar.gz")
    sync(kept.storage, index)
    assert snapshot.is_due(kept.storage, index)


def test_a_folder_keeps_none(tmp_path: Path, make_client: Callable[..., Client]) -> None:
    services = make_client().app.registry.services
    assert not snapshot.is_due(services.storage, services.index)


def test_fsck_compares_a_bucket_too(
    site: Site, moto_server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    settings = app_settings(tmp_path, storage__dir=None) | moto_server.settings(site.bucket)
    parser["app:main"] = {"use": "egg:pypicloud_lite", **settings}
    ini = tmp_path / "server.ini"
    with ini.open("w") as file:
        parser.write(file)
    assert main(["sync", str(ini)]) == 0
    assert main(["fsck", str(ini)]) == 0
    site.put("demo-3.tar.gz", b"other bytes")
    site.put("new-1.0.tar.gz")
    site.s3.delete_object(Bucket=site.bucket, Key="0000/demo/demo-5.tar.gz")
    capsys.readouterr()
    assert main(["fsck", str(ini)]) == 1
    text = capsys.readouterr().out
    assert "demo-3.tar.gz: index and storage differ in size, stamp" in text
    assert "new-1.0.tar.gz: in the storage, but not in the index" in text
    assert "demo-5.tar.gz: in the index, but not in the storage" in text
    assert main(["fsck", "--hash", "--repair", str(ini)]) == 1  # these bytes have another digest
    assert "demo-3.tar.gz: its bytes are not those" in capsys.readouterr().out
    assert main(["fsck", str(ini)]) == 0


class TestServer:
    @pytest.fixture
    def settings(self, site: Site, moto_server: S3Server) -> dict[str, str]:
        return moto_server.settings(site.bucket)

    def test_a_server_keeps_one_after_it_synchronized(
        self, site: Site, settings: dict[str, str], make_client: Callable[..., Client]
    ) -> None:
        client = make_client(storage__dir=None, **settings)
        services = client.app.registry.services
        assert services.follower.idle.wait(60)
        assert site.s3.head_object(Bucket=site.bucket, Key=KEY)["ContentLength"] > 100
        _index, report = site.cold()
        assert report.changed == 0

    def test_trouble_with_it_is_logged_and_harms_nothing(
        self,
        site: Site,
        settings: dict[str, str],
        make_client: Callable[..., Client],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        from pypicloud_lite.errors import StorageUnavailable
        from pypicloud_lite.storage.s3.backend import S3Storage

        def refuse(*_args: Any) -> Any:
            raise StorageUnavailable("no room")

        monkeypatch.setattr(S3Storage, "save_snapshot", refuse)
        monkeypatch.setattr(S3Storage, "open_snapshot", refuse)
        client = make_client(storage__dir=None, **settings)
        assert client.app.registry.services.follower.idle.wait(60)
        assert len(client.page("demo", status=200).json["files"]) == COUNT
        client.get("/health", status=200)
        assert "no snapshot of the index was kept: no room" in caplog.text
        assert "the snapshot of the index can't be read: no room" in caplog.text
