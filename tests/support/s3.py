"""Real S3 protocol servers on loopback."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from pypicloud_lite.settings.options import Section, Source
from pypicloud_lite.storage.base import Storage
from pypicloud_lite.storage.registry import storage_class
from tests.support.server import free_port

ACCESS_KEY, SECRET_KEY = "testing", "testingsecret"


@dataclass(frozen=True)
class S3Server:
    """An S3 server that is running."""

    url: str

    def client(self, **config: Any) -> Any:
        """A plain boto3 client, to look behind the scenes."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(signature_version="s3v4", **config),
        )

    def settings(self, bucket: str, **changes: str | None) -> dict[str, str]:
        """``storage.*`` for a bucket on this server."""
        settings: dict[str, str | None] = {
            "pypi.storage": "s3",
            "storage.bucket": bucket,
            "storage.endpoint_url": self.url,
            "storage.region_name": "us-east-1",
            "storage.access_key": ACCESS_KEY,
            "storage.secret_key": SECRET_KEY,
        }
        settings |= {name.replace("__", "."): value for name, value in changes.items()}
        return {name: value for name, value in settings.items() if value is not None}


_numbers = itertools.count()


def new_bucket() -> str:
    """A name that no other test uses."""
    return f"bucket-{next(_numbers)}-{uuid.uuid4().hex[:12]}"


def open_storage(settings: dict[str, str]) -> Storage:
    """The backend that an application with these settings would use."""
    source = Source(settings)
    storage = storage_class(settings["pypi.storage"]).from_settings(Section(source, "storage."))
    storage.prepare()
    return storage


@contextmanager
def moto() -> Iterator[S3Server]:
    """moto in this process: a broad API, but it verifies no signature."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Server(f"http://{host}:{port}")
    server.stop()


@contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """SeaweedFS: verifies signatures, expiry, checksums and conditions."""
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    grpc = {f"{name}.port.grpc": free_port() for name in ports}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            _tool("weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-volume.max=20000", "-master.volumeSizeLimitMB=32",
            f"-admin.port={free_port()}",
            f"-admin.port.grpc={free_port()}",
            *(f"-{name}.port={port}" for name, port in ports.items()),
            *(f"-{name}={port}" for name, port in grpc.items()),
        ]  # fmt: skip
        environ = os.environ | {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        with _process(command, environ, Path(folder) / "weed.log") as process:
            server = S3Server(f"http://127.0.0.1:{ports['s3']}")
            _wait(f"{server.url}/healthz", process, Path(folder) / "weed.log")
            yield server


@contextmanager
def juicefs() -> Iterator[S3Server]:
    """The juicefs gateway: an S3-compatible server that ignores If-None-Match."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "objects").mkdir()
        database = f"sqlite3://{folder}/meta.db"
        subprocess.run(
            [_tool("juicefs"), "format", "--storage", "file", "--bucket", f"{folder}/objects/",
             database, "vol"],
            check=True, capture_output=True,
        )  # fmt: skip
        port = free_port()
        command = [
            _tool("juicefs"), "gateway", "--multi-buckets", "--keep-etag", "--object-tag",
            "--object-meta", "--no-usage-report", f"--cache-dir={folder}/cache",
            "--metrics=127.0.0.1:0", database, f"127.0.0.1:{port}",
        ]  # fmt: skip
        environ = os.environ | {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "HOME": folder,
        }
        with _process(command, environ, Path(folder) / "juicefs.log") as process:
            server = S3Server(f"http://127.0.0.1:{port}")
            _wait(f"{server.url}/minio/health/live", process, Path(folder) / "juicefs.log")
            yield server


def _tool(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{path} is missing; `make test` installs it"
    return str(path)


@contextmanager
def _process(
    command: list[str], environ: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{process.args} did not start:\n{log.read_text(errors='replace')}")
