"""The application on S3: redirects, streams, and pages that carry URLs."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pypicloud_lite.app import make_app
from tests.conftest import Client, close
from tests.support.dists import metadata, sdist, sha256, wheel
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
PATH = f"/api/package/demo/{WHEEL}"
CORE = metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")


@pytest.fixture
def make_s3_client(seaweed_server: S3Server, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Make an application on a bucket of its own."""
    made: list[Any] = []
    bucket = new_bucket()

    def make(**changes: str | None) -> Client:
        ini = app_settings(tmp_path, storage__dir=None) | seaweed_server.settings(bucket, **changes)
        made.append(make_app(ini, {}))
        return Client(made[-1])

    yield make
    for app in made:
        close(app)


@pytest.fixture
def client(make_s3_client: Callable[..., Client]) -> Client:
    client = make_s3_client()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    return client


def fetch(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        content: bytes = response.read()
    return content


def test_a_download_is_redirected_to_a_url_that_works(client: Client) -> None:
    response = client.get(PATH, status=302)
    location = response.headers["Location"]
    assert fetch(location) == wheel()
    assert fetch(location, Range="bytes=5-9") == wheel()[5:10]
    assert response.headers["Cache-Control"].startswith("private, max-age=")
    assert client.get(PATH).headers["Location"] == location


def test_core_metadata_is_redirected_too(client: Client) -> None:
    assert fetch(client.get(f"{PATH}.metadata", status=302).headers["Location"]) == CORE


def test_head_is_answered_here(client: Client) -> None:
    headers = client.head(PATH, status=200).headers
    assert headers["Content-Length"] == str(len(wheel()))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"] == f'"{sha256(wheel())}"'
    assert client.head(f"{PATH}.metadata", status=200).headers["Content-Length"] == str(len(CORE))


def test_pages_link_to_this_server_and_offer_core_metadata(client: Client) -> None:
    (entry,) = client.page("demo").json["files"]
    assert entry["url"] == f"../../api/package/demo/{WHEEL}"
    assert entry["core-metadata"] == {"sha256": sha256(CORE)}
    assert entry["hashes"] == {"sha256": sha256(wheel())}


def test_pages_may_carry_the_urls_themselves(make_s3_client: Callable[..., Client]) -> None:
    client = make_s3_client(storage__redirect_urls="false")
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    (entry,) = client.page("demo").json["files"]
    assert fetch(entry["url"]) == wheel()
    assert "core-metadata" not in entry
    html = client.get("/simple/demo/").text
    assert "data-core-metadata" not in html
    assert f"#sha256={sha256(wheel())}" in html


def test_files_may_be_streamed_through_this_server(make_s3_client: Callable[..., Client]) -> None:
    client = make_s3_client(pypi__stream_files="true")
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert client.get(PATH, status=200).body == wheel()
    response = client.get(PATH, headers={"Range": "bytes=-7"}, status=206)
    assert response.body == wheel()[-7:]
    assert client.get(f"{PATH}.metadata", status=200).body == CORE
    assert client.get(PATH, headers={"If-None-Match": response.headers["ETag"]}, status=304)


def test_nobody_is_redirected_to_the_same_host_with_credentials(
    client: Client, seaweed_server: S3Server
) -> None:
    host = urlsplit(seaweed_server.url).netloc
    assert client.get(PATH, headers={"Host": host}, status=200).body == wheel()


def test_a_url_is_given_only_to_who_may_read(make_s3_client: Callable[..., Client]) -> None:
    client = make_s3_client(pypi__default_read="writers")
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    for path in (PATH, f"{PATH}.metadata"):
        client.get(path, status=401)
        client.as_("reader").get(path, status=403)
        client.as_("writer").get(path, status=302)


def test_everything_survives_the_loss_of_the_index(
    client: Client, make_s3_client: Callable[..., Client], tmp_path: Path
) -> None:
    writer = client.as_("writer")
    writer.upload("demo-2.0.tar.gz", sdist(version="2.0"), status=200)
    writer.post("/api/package/demo/yank", {"version": "1.0", "reason": "größer"}, status=200)
    writer.post("/api/package/demo/status", {"status": "deprecated"}, status=200)
    before = client.page("demo").json
    fresh = make_s3_client(db__url=f"sqlite:///{tmp_path / 'fresh.sqlite'}")
    assert fresh.page("demo").json == before


def test_overwriting_and_deleting_work(make_s3_client: Callable[..., Client]) -> None:
    client = make_s3_client(pypi__allow_overwrite_groups="writers")
    writer = client.as_("writer")
    writer.upload(WHEEL, wheel(), status=200)
    writer.upload(WHEEL, wheel(summary="other"), status=200)
    assert fetch(client.get(PATH, status=302).headers["Location"]) == wheel(summary="other")
    assert client.page("demo").json["files"][0]["hashes"]["sha256"] == sha256(
        wheel(summary="other")
    )
    writer.delete(PATH, status=200)
    client.page("demo", status=404)
    client.get(PATH, status=404)


def test_an_object_without_a_digest_is_served_without_one(
    make_s3_client: Callable[..., Client], seaweed_server: S3Server
) -> None:
    client = make_s3_client()
    storage = client.app.registry.services.storage
    seaweed_server.client().put_object(
        Bucket=storage._settings.bucket, Key="old/old-1.0.tar.gz", Body=sdist("old")
    )
    restarted = make_s3_client()
    (entry,) = restarted.page("old").json["files"]
    assert entry["hashes"] == {}
    assert fetch(restarted.get("/api/package/old/old-1.0.tar.gz").headers["Location"])
    assert "#sha256" not in restarted.get("/simple/old/").text


def test_another_host_with_its_own_index_follows_at_its_next_start(
    client: Client, make_s3_client: Callable[..., Client], tmp_path: Path
) -> None:
    other = {"db__url": f"sqlite:///{tmp_path / 'other.sqlite'}"}
    make_s3_client(**other)
    client.as_("writer").post("/api/package/demo/yank", {"version": "1.0"}, status=200)
    client.as_("writer").upload("new-1.0.tar.gz", sdist("new"), status=200)
    again = make_s3_client(**other)
    # What it knows already is served meanwhile.
    assert again.app.registry.services.follower.idle.wait(30)
    assert again.page("demo").json["files"][0]["yanked"] is True
    assert again.page("new").json["versions"] == ["1.0"]


def test_health_is_red_when_the_bucket_is_gone(client: Client, seaweed_server: S3Server) -> None:
    assert client.get("/health").json["storage"] == "ok"
    storage = client.app.registry.services.storage
    s3 = seaweed_server.client()
    for item in s3.list_objects_v2(Bucket=storage._settings.bucket)["Contents"]:
        s3.delete_object(Bucket=storage._settings.bucket, Key=item["Key"])
    s3.delete_bucket(Bucket=storage._settings.bucket)
    assert "the bucket does not exist" in client.get("/health", status=503).json["storage"]
