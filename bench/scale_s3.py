"""What the first start with a large bucket costs, with and without a snapshot in the bucket."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pypicloud_lite.index import snapshot
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.index.sync import sync
from pypicloud_lite.storage.s3.backend import S3Storage
from pypicloud_lite.storage.s3.connect import OWN
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, new_bucket, open_storage, seaweedfs

_FILLERS, _THREADS = 2, 8


@dataclass(frozen=True)
class Start:
    """One synchronization: seconds, and the requests that it sent by their names."""

    seconds: float
    requests: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.requests.values())


@dataclass(frozen=True)
class Bucket:
    """Starts with a bucket; the snapshots are what lies below our own prefix, in bytes."""

    objects: int
    latency: float
    #: Objects written per second, to have something to measure.
    rate: float
    without: Start
    snapshot_size: int
    with_snapshot: Start
    unchanged: Start


def measure_bucket(objects: int, latency: float, folder: Path) -> Bucket:
    """Synchronize empty indexes with a bucket of SeaweedFS."""
    with seaweedfs() as server:
        bucket = new_bucket()
        rate = _fill(server, bucket, objects)
        _delete_own(server, bucket)
        first, second = folder / "first.sqlite", folder / "second.sqlite"
        without = _start(server, bucket, first, latency, new=objects)
        snapshot_size = sum(size for _key, size in _own_objects(server, bucket))
        with_snapshot = _start(server, bucket, second, latency, new=0)
        unchanged = _start(server, bucket, second, latency, new=0)
    return Bucket(objects, latency, rate, without, snapshot_size, with_snapshot, unchanged)


def _start(server: S3Server, bucket: str, database: Path, latency: float, *, new: int) -> Start:
    storage = open_storage(server.settings(bucket))
    assert isinstance(storage, S3Storage)
    requests = _Requests(latency)
    requests.watch(storage)
    index = SqlIndex(open_database(f"sqlite:///{database}"))
    begin = time.perf_counter()
    report = sync(storage, index)
    seconds = time.perf_counter() - begin
    assert report.changed == new, report
    counts = dict(requests.counts)
    if snapshot.is_due(storage, index):  # as a server does behind its first synchronization
        snapshot.save(storage, index)
    index.close()
    return Start(seconds, counts)


@dataclass
class _Requests:
    """Delays the requests of a storage, and counts them."""

    latency: float
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, storage: S3Storage) -> None:
        storage._client.meta.events.register("before-send.s3.*", self._on_request)
        storage._heads._send = self._watched(storage._heads._send)

    def _on_request(self, event_name: str, **_details: Any) -> None:
        self._count(event_name.rpartition(".")[2])

    def _watched(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self._count("HeadObject")
            return send(*args)

        return call

    def _count(self, name: str) -> None:
        with self.lock:
            self.counts[name] += 1
        time.sleep(self.latency)


def _own_objects(server: S3Server, bucket: str) -> Iterator[tuple[str, int]]:
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=OWN)
    for page in pages:
        for listed in page.get("Contents", ()):
            yield listed["Key"], listed["Size"]


def _delete_own(server: S3Server, bucket: str) -> None:
    client = server.client()
    for key, _size in list(_own_objects(server, bucket)):
        client.delete_object(Bucket=bucket, Key=key)


def _fill(server: S3Server, bucket: str, count: int) -> float:
    """Write objects as pypicloud does; how many per second."""
    server.client().create_bucket(Bucket=bucket)
    begin = time.perf_counter()
    with ProcessPoolExecutor(_FILLERS) as pool:
        parts = [range(part, count, _FILLERS) for part in range(_FILLERS)]
        list(pool.map(_fill_part, [server] * _FILLERS, [bucket] * _FILLERS, parts))
    return count / (time.perf_counter() - begin)


def _fill_part(server: S3Server, bucket: str, numbers: range) -> None:
    shares = [numbers[thread::_THREADS] for thread in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(_put_all, [server] * _THREADS, [bucket] * _THREADS, shares))


def _put_all(server: S3Server, bucket: str, numbers: range) -> None:
    """One connection without boto3's client, which would take most of the time."""
    signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1")
    with _connection(server) as connection:
        for number in numbers:
            project, version = f"p{number // 10:06}", f"1.{number % 10}"
            key = f"{number % 65536:04x}/{project}/{project}-{version}.tar.gz"
            about = {
                "name": project, "version": version,
                "hash-sha256": "ab" * 32, "hash-md5": "cd" * 16,
            }  # fmt: skip
            headers = {f"x-amz-meta-{name}": value for name, value in about.items()}
            request = AWSRequest("PUT", f"{server.url}/{bucket}/{key}", headers, b"x" * 100)
            signer.add_auth(request)
            connection.request("PUT", f"/{bucket}/{key}", request.data, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content


@contextmanager
def _connection(server: S3Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    try:
        yield connection
    finally:
        connection.close()
