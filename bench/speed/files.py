"""Goal 5: small files, their core metadata, and redirects to signed URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.scale_data import project_of
from bench.speed.context import Case, Context
from bench.speed.data import SMALL, SMALL_FILE
from bench.speed.load import Ask
from bench.speed.results import Need, Section
from bench.speed.servers import Process, Settings, index, ours, tool
from tests.support.dists import wheel, wheel_name
from tests.support.keys import pem, rsa_key
from tests.support.s3 import S3Server

#: Projects in the bucket, of one file each; they are asked for in turn.
_IN_BUCKET = 50


def measure_files(context: Context) -> Section:
    path = f"/api/package/{SMALL}/{SMALL_FILE}"
    with ours(context.stores.store()) as server:
        server.wait_until_idle()
        small = Case(
            "5", "small file", (Ask(path, {}),), (Need(0.75), Need(5, "pypicloud")),
            {name: peer.file(SMALL, SMALL_FILE) for name, peer in context.peers.items()},
        )  # fmt: skip
        core = Case("5", "core metadata", (Ask(f"{path}.metadata", {}),), (Need(0.75),))
        lines = context.compare(server, [small] if context.pace.quick else [small, core])
    return Section("Small files", "A wheel of less than a kilobyte, and its core metadata.", lines)


def measure_redirects(context: Context) -> Section:
    """Redirects to signed URLs; moto is the S3 server."""
    lines = []
    with _bucket(context.folder) as bucket:
        signing = {
            "storage.cloud_front_domain": "https://d111111abcdef8.cloudfront.net",
            "storage.cloud_front_key_id": "K2JCJMDEHXQW5F",
            "storage.cloud_front_key_string": pem(rsa_key()).replace("\n", "\\n"),
        }
        every: dict[str, Settings] = {
            "S3, SigV4": bucket,
            "CloudFront, RSA-2048": {**bucket, **signing, "pypi.storage": "cloudfront"},
        }
        asks = tuple(
            Ask(f"/api/package/{project_of(number)}/{_filename(number)}", {}, 302)
            for number in range(_IN_BUCKET)
        )
        if context.pace.quick:
            del every["CloudFront, RSA-2048"]
        for number, (label, settings) in enumerate(every.items()):
            folder = context.folder / f"redirects-{number}"
            folder.mkdir()
            index(folder, "rebuild", settings)
            with ours(folder, settings) as server:
                server.wait_until_idle()
                case = Case("5", f"redirect, {label}", asks, (Need(0.8),))
                lines += context.compare(server, [case])
    return Section(
        "Redirects",
        f"The URL of a file that lies elsewhere, signed; {_IN_BUCKET} files are asked for in turn.",
        lines,
    )


def _filename(number: int) -> str:
    return wheel_name(project_of(number), "1.0")


@contextmanager
def _bucket(folder: Path) -> Iterator[Settings]:
    """Settings for a bucket with a few files."""
    command = [tool("moto_server"), "-H", "127.0.0.1", "-p", "{port}"]
    with Process("moto", command, ready="/moto-api/", log=folder / "moto.log") as process:
        server = S3Server(f"http://127.0.0.1:{process.port}")
        client = server.client()
        client.create_bucket(Bucket="bench")
        for number in range(_IN_BUCKET):
            project = project_of(number)
            key = f"{project}/{_filename(number)}"
            client.put_object(Bucket="bench", Key=key, Body=wheel(project))
        yield {**server.settings("bench"), "storage.dir": None}
