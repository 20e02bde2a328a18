"""What S3 costs: rebuilding the index of a bucket, and redirecting to signed URLs.

    .venv/bin/python bench/s3.py [--objects 10000] [--latency 0.02]

Runs SeaweedFS on loopback. Each request to it is delayed, in this process, by the given latency.
Prints ratios of figures taken in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pypicloud_lite.access.identity import Identity
from pypicloud_lite.app import make_app
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.index.sync import sync
from pypicloud_lite.storage.s3.backend import S3Storage
from tests.support.dists import wheel
from tests.support.s3 import S3Server, new_bucket, open_storage, seaweedfs
from tests.support.server import app_settings


def delayed(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return function(*args, **kwargs)

    return call


def fill(server: S3Server, bucket: str, count: int) -> list[str]:
    """Objects as pypicloud writes them."""
    client = server.client(max_pool_connections=64)
    client.create_bucket(Bucket=bucket)
    keys = [f"{n % 65536:04x}/p{n // 10}/p{n // 10}-{n % 10}.tar.gz" for n in range(count)]

    def put(key: str) -> None:
        name, _dash, version = key.rpartition("/")[2].removesuffix(".tar.gz").partition("-")
        about = {"name": name, "version": version, "hash-sha256": "ab" * 32, "hash-md5": "cd" * 16}
        client.put_object(Bucket=bucket, Key=key, Body=b"x" * 100, Metadata=about)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(put, keys))
    return keys


def rebuild(server: S3Server, folder: Path, objects: int, latency: float) -> None:
    bucket = new_bucket()
    keys = fill(server, bucket, objects)
    storage = open_storage(server.settings(bucket))
    assert isinstance(storage, S3Storage)
    storage._client.meta.events.register("before-send.s3.*", lambda **_kw: time.sleep(latency))
    storage._heads._send = delayed(storage._heads._send, latency)
    index = SqlIndex(open_database(f"sqlite:///{folder / 'rebuild.sqlite'}"))
    begin = time.perf_counter()
    report = sync(storage, index)
    ours = time.perf_counter() - begin
    assert report.changed == objects
    begin = time.perf_counter()
    assert sync(storage, index).changed == 0
    again = time.perf_counter() - begin
    index.close()
    client = server.client()
    client.meta.events.register("before-send.s3.*", lambda **_kw: time.sleep(latency))
    begin = time.perf_counter()
    for key in keys:
        client.head_object(Bucket=bucket, Key=key)
    serial = time.perf_counter() - begin
    print(f"rebuild of {objects} objects, {latency * 1000:.0f} ms of latency per request:")
    print(
        f"  {ours:.1f} s; one HEAD after the other {serial:.1f} s; {serial / ours:.0f} times faster"
    )
    print(f"  a second synchronization without changes: {again:.2f} s")


def redirects(server: S3Server, folder: Path, rounds: int = 5, count: int = 2000) -> None:
    """Requests per second through the whole application, without a network."""
    path = "/api/package/demo/demo-1.0-py3-none-any.whl"
    s3 = make_app(
        app_settings(folder / "s3", storage__dir=None) | server.settings(new_bucket()), {}
    )
    disk = make_app(app_settings(folder / "disk"), {})
    for app in (s3, disk):
        publish(app)
    rates: dict[str, list[float]] = {"s3": [], "disk": []}
    for _round in range(rounds):
        for name, app in (("s3", s3), ("disk", disk)):
            begin = time.perf_counter()
            for _ in range(count):
                get(app, path)
            rates[name].append(count / (time.perf_counter() - begin))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"download requests per second, medians of {rounds} rounds in turn:")
    print(f"  redirect to a signed URL {medians['s3']:.0f}, small file from disk "
          f"{medians['disk']:.0f}: ratio {medians['s3'] / medians['disk']:.2f}")  # fmt: skip


def publish(app: Any) -> None:
    from pypicloud_lite.model import Digests
    from pypicloud_lite.publishing import Upload
    from tests.support.dists import sha256

    content = wheel()
    with app.registry.services.publishing.spool() as spool:
        spool.write(content)
        upload = Upload(
            "demo-1.0-py3-none-any.whl", spool, len(content), Digests(sha256(content), "0" * 32), {}
        )
        app.registry.services.publishing.publish(upload, Identity("writer"))


def get(app: Any, path: str) -> None:
    from webob import Request

    response = Request.blank(path).get_response(app)
    assert response.status_int in (200, 302)
    assert response.body is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweedfs() as server:
        for name in ("s3", "disk"):
            (Path(folder) / name).mkdir()
        redirects(server, Path(folder))
        rebuild(server, Path(folder), arguments.objects, arguments.latency)


if __name__ == "__main__":
    main()
