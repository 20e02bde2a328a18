"""The application while S3 fails: nothing acknowledged is lost, nothing partial is listed."""

from __future__ import annotations

import base64
import http.client
import os
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest

from pypicloud_lite.app import make_app
from pypicloud_lite.errors import PypicloudLiteError
from pypicloud_lite.index import follow
from tests.conftest import Client, close
from tests.faults.test_processes import demo, download, files, upload
from tests.support.dists import metadata, sha256, wheel
from tests.support.faultproxy import (
    Action,
    FaultProxy,
    broken_off,
    calling,
    error,
    reset,
    short,
    stall,
)
from tests.support.s3 import SECRET_KEY, S3Server, new_bucket
from tests.support.server import PASSWORDS, Server, app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
PATH = f"/api/package/demo/{WHEEL}"
KEY = f"d80f/demo/{WHEEL}"
CORE = metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")
#: Rules for one kind of request each.
PUT_FILE: dict[str, str] = {"method": "PUT", "path": r"\.whl$"}
PUT_CORE: dict[str, str] = {"method": "PUT", "path": r"\.whl\.metadata$"}
PUT_FACTS: dict[str, str] = {"method": "PUT", "path": r"\.whl\.meta$"}
GET_FILE: dict[str, str] = {"method": "GET", "path": r"\.whl$"}
HEAD_FILE: dict[str, str] = {"method": "HEAD", "path": r"\.whl$"}
LISTING: dict[str, str] = {"method": "GET", "query": "list-type=2"}
CREATE: dict[str, str] = {"method": "POST", "query": "uploads"}
PART: dict[str, str] = {"method": "PUT", "query": "partNumber="}
COMPLETE: dict[str, str] = {"method": "POST", "query": "uploadId="}
ABORT: dict[str, str] = {"method": "DELETE", "query": "uploadId="}

IN_PARTS = {"storage__multipart_threshold": "1"}
IMPATIENT = {"storage__read_timeout": "1"}
OVERWRITING = {"pypi__allow_overwrite_groups": "writers"}
STREAMING = {"pypi__stream_files": "true"}

FAILED = error(500, "InternalError")
SLOW_DOWN = error(503, "SlowDown")
CONFLICT = error(409, "ConditionalRequestConflict")
EXPIRED = error(400, "ExpiredToken")
DENIED = error(403, "AccessDenied")
SKEWED = error(403, "RequestTimeTooSkewed")
FAILED_WITH_200 = error(200, "InternalError")


class Site:
    """A place in a bucket behind a proxy that fails, and applications on it."""

    def __init__(self, proxy: FaultProxy, server: S3Server, bucket: str, folder: Path) -> None:
        self.proxy = proxy
        self.folder = folder
        self.bucket = bucket
        self.prefix = f"{uuid.uuid4().hex}/"
        self.s3 = server.client()
        self.spool = folder / "spool"
        self.spool.mkdir()
        self._made: list[Any] = []

    def settings(self, **changes: str | None) -> dict[str, str]:
        ours = {
            "storage__prefix": self.prefix,
            "storage__retries": "total_max_attempts = 2",
            "storage__spool_dir": str(self.spool),
        }
        return app_settings(self.folder, storage__dir=None) | S3Server(self.proxy.url).settings(
            self.bucket, **(ours | changes)
        )

    def open(self, **changes: str | None) -> Client:
        """An application; a second one with the same settings is what a restart gives."""
        app = make_app(self.settings(**changes), {})
        self._made.append(app)
        assert app.registry.services.follower.idle.wait(
            20
        )  # its first look into the bucket is over
        return Client(app)

    def afresh(self, **changes: str | None) -> Client:
        """An application with an index database of its own, empty at first."""
        url = f"sqlite:///{self.folder / f'fresh-{len(self._made)}.sqlite'}"
        return self.open(db__url=url, **changes)

    def close(self) -> None:
        for app in self._made:
            close(app)

    def objects(self) -> list[str]:
        """The keys after the prefix, those of a start's probe left out."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix).get("Contents", [])
        keys = [item["Key"].removeprefix(self.prefix) for item in found]
        return [key for key in keys if "/probe/" not in key]

    def content(self, key: str) -> bytes:
        found = self.s3.get_object(Bucket=self.bucket, Key=self.prefix + key)
        body: bytes = found["Body"].read()
        return body

    def uploads(self) -> list[Any]:
        """The uploads in parts that were neither completed nor aborted."""
        found = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix)
        uploads: list[Any] = found.get("Uploads", [])
        return uploads


@pytest.fixture(scope="module")
def bucket(seaweed_server: S3Server) -> str:
    """A bucket that has had an object: the first one takes SeaweedFS a moment."""
    name = new_bucket()
    client = seaweed_server.client()
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="warm-up", Body=b"x")
    return name


@pytest.fixture
def proxy(seaweed_server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(seaweed_server.url) as proxy:
        yield proxy


@pytest.fixture
def site(
    proxy: FaultProxy,
    seaweed_server: S3Server,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    # botocore waits up to a second, by chance, before it tries again.
    quick = SimpleNamespace(time=time.time, sleep=lambda _seconds: None)
    monkeypatch.setattr(botocore.endpoint, "time", quick)
    site = Site(proxy, seaweed_server, bucket, tmp_path)
    yield site
    site.close()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        content: bytes = response.read()
    return content


def digests(client: Client, project: str = "demo") -> dict[str, str]:
    """What the project's page lists: file names to sha256; nothing for no page."""
    page = client.page(project, status="*")
    if page.status_int == 404:
        return {}
    return {entry["filename"]: entry["hashes"]["sha256"] for entry in page.json["files"]}


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what the application does by itself; asked often, since it tells nobody."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A synchronization that failed is tried again sooner."""
    monkeypatch.setattr(follow, "_RETRY", 0.2)


def assert_sorry(response: Any) -> None:
    """It says that it can't, that it may later, and nothing that is none of anyone's business."""
    assert response.status_int == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.text.startswith("The storage failed: ")
    assert len(response.text) < 300
    assert SECRET_KEY not in response.text


def assert_published(site: Site, client: Client, content: bytes, core: bytes = CORE) -> None:
    """The wheel is listed and whole, with its core metadata, and nothing else is there."""
    (entry,) = client.page("demo", status=200).json["files"]
    assert entry["hashes"] == {"sha256": sha256(content)}
    assert entry["core-metadata"] == {"sha256": sha256(core)}
    assert fetch(client.get(PATH, status=302).headers["Location"]) == content
    assert fetch(client.get(f"{PATH}.metadata", status=302).headers["Location"]) == core
    assert site.objects() == [KEY, f"{KEY}.metadata"]
    assert site.uploads() == []
    assert list(site.spool.iterdir()) == []


def published(site: Site, **changes: str | None) -> Client:
    """An application that has the wheel."""
    client = site.open(**changes)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    return client


def named(**cases: Any) -> Any:
    return pytest.mark.parametrize(
        "fault", [pytest.param(case, id=name) for name, case in cases.items()]
    )


# -- uploads in one request ----------------------------------------------------------------


@named(
    error_500=FAILED,
    slow_down=SLOW_DOWN,
    conflict=CONFLICT,
    reset=reset(),
    lost_answer=reset(after=True),
    error_after_the_effect=error(500, "InternalError", after=True),
)
def test_an_upload_survives_a_fault_that_passes(site: Site, fault: Action) -> None:
    client = site.open()
    rule = site.proxy.on(fault, **PUT_FILE, times=1)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert rule.hits == 1
    assert_published(site, client, wheel())


@named(before=stall(), after=stall(after=True))
def test_an_upload_survives_an_answer_that_never_comes(site: Site, fault: Action) -> None:
    client = site.open(**IMPATIENT)
    rule = site.proxy.on(fault, **PUT_FILE, times=1)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert rule.hits == 1
    assert_published(site, client, wheel())


@named(
    error_500=(FAILED, "S3 failed"),
    slow_down=(SLOW_DOWN, "slow down"),
    conflict=(CONFLICT, "ConditionalRequestConflict"),
    reset=(reset(), "storage.endpoint_url"),
    timeout=(stall(), "storage.endpoint_url"),
    lost_answers=(reset(after=True), "storage.endpoint_url"),
    untrue_412=(error(412, "PreconditionFailed"), "vanished"),
    expired_token=(EXPIRED, "storage.aws_session_token"),
    denied=(DENIED, "permissions"),
    wrong_clock=(SKEWED, "clock"),
)
def test_an_upload_that_fails_is_answered_503_and_works_later(
    site: Site, fault: tuple[Action, str]
) -> None:
    action, reason = fault
    client = site.open(**IMPATIENT)
    rule = site.proxy.on(action, **PUT_FILE)
    response = client.as_("writer").upload(WHEEL, wheel(), status="*")
    assert rule.hits >= 1
    assert response.status_int == 503
    assert int(response.headers["Retry-After"]) > 0
    assert reason in response.text
    assert len(response.text) < 300
    assert SECRET_KEY not in response.text
    assert digests(client) == {}
    assert list(site.spool.iterdir()) == []
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert_published(site, client, wheel())


def test_an_upload_whose_answers_were_all_lost_is_whole_after_a_restart(site: Site) -> None:
    client = site.open()
    site.proxy.on(reset(after=True), **PUT_FILE)
    assert_sorry(client.as_("writer").upload(WHEEL, wheel(), status="*"))
    assert site.objects() == [KEY]
    site.proxy.clear()
    assert_published(site, site.open(), wheel())


def test_what_another_host_published_is_never_overwritten(site: Site) -> None:
    client, other = site.open(), site.afresh()
    theirs = wheel(summary="theirs")
    other.as_("writer").upload(WHEEL, theirs, status=200)
    rule = site.proxy.on(reset(after=True), **PUT_FILE, times=1)
    response = client.as_("writer").upload(WHEEL, wheel(), status=409)
    assert rule.hits == 1
    assert "already exists" in response.text
    assert site.content(KEY) == theirs
    assert digests(other) == {WHEEL: sha256(theirs)}
    assert sha256(wheel()) not in digests(client).values()


def test_what_another_host_published_may_be_uploaded_again(site: Site) -> None:
    client, other = site.open(), site.afresh()
    other.as_("writer").upload(WHEEL, wheel(), status=200)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert_published(site, client, wheel())
    assert_published(site, other, wheel())


def test_a_lookup_that_fails_never_lets_an_upload_through(site: Site) -> None:
    client = published(site)
    rule = site.proxy.on(FAILED, **LISTING)
    for content in (wheel(), wheel(summary="other")):
        assert_sorry(client.as_("writer").upload(WHEEL, content, status="*"))
    assert rule.hits >= 2
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(summary="other"), status=409)
    assert_published(site, client, wheel())


# -- uploads in parts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        pytest.param(CREATE, FAILED, id="create-500"),
        pytest.param(CREATE, reset(), id="create-reset"),
        pytest.param(PART, SLOW_DOWN, id="part-slow_down"),
        pytest.param(PART, reset(), id="part-reset"),
        pytest.param(COMPLETE, FAILED, id="complete-500"),
    ],
)
def test_an_upload_in_parts_survives_a_fault_that_passes(
    site: Site, step: dict[str, str], fault: Action
) -> None:
    client = site.open(**IN_PARTS)
    rule = site.proxy.on(fault, **step, times=1)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert rule.hits == 1
    assert_published(site, client, wheel())


@named(
    conflict=CONFLICT,
    error_in_a_200=FAILED_WITH_200,
    error_in_a_200_after_the_effect=error(200, "InternalError", after=True),
    lost_answer=reset(after=True),
)
def test_completing_an_upload_survives_a_fault_that_passes(site: Site, fault: Action) -> None:
    client = site.open(**IN_PARTS)
    rule = site.proxy.on(fault, **COMPLETE, times=1)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert rule.hits == 1
    assert_published(site, client, wheel())


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        pytest.param(CREATE, FAILED, id="create-500"),
        pytest.param(PART, SLOW_DOWN, id="part-slow_down"),
        pytest.param(PART, reset(after=True), id="part-lost_answer"),
        pytest.param(COMPLETE, FAILED_WITH_200, id="complete-error_in_a_200"),
        pytest.param(COMPLETE, CONFLICT, id="complete-conflict"),
        pytest.param(COMPLETE, reset(), id="complete-reset"),
    ],
)
def test_an_upload_in_parts_that_fails_leaves_nothing_and_works_later(
    site: Site, step: dict[str, str], fault: Action
) -> None:
    client = site.open(**IN_PARTS)
    rule = site.proxy.on(fault, **step)
    assert_sorry(client.as_("writer").upload(WHEEL, wheel(), status="*"))
    assert rule.hits >= 1
    assert (site.proxy.count(**ABORT) > 0) == (step is not CREATE)
    assert (digests(client), site.objects(), site.uploads()) == ({}, [], [])
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert_published(site, client, wheel())


@named(
    error_in_a_200=error(200, "InternalError", after=True),
    lost_answers=reset(after=True),
)
def test_an_upload_in_parts_whose_completion_is_never_confirmed_is_not_lost(
    site: Site, fault: Action
) -> None:
    client = site.open(**IN_PARTS)
    site.proxy.on(fault, **COMPLETE)
    assert_sorry(client.as_("writer").upload(WHEEL, wheel(), status="*"))
    assert (digests(client), site.uploads()) == ({}, [])
    assert site.content(KEY) == wheel()
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert_published(site, client, wheel())


def test_of_many_parts_one_may_be_sent_twice(site: Site) -> None:
    content = wheel(files={"big.bin": os.urandom(17 << 20)})
    client = site.open(**IN_PARTS)
    rule = site.proxy.on(reset(after=True), method="PUT", query="partNumber=2", times=1)
    client.as_("writer").upload(WHEEL, content, status=200)
    assert rule.hits == 1
    assert_published(site, client, content)


# -- what lies beside a file ---------------------------------------------------------------


@named(error_500=FAILED, reset=reset(), lost_answers=reset(after=True))
def test_an_upload_cut_off_before_its_core_metadata_is_completed_by_a_retry(
    site: Site, fault: Action
) -> None:
    client = site.open()
    rule = site.proxy.on(fault, **PUT_CORE)
    assert_sorry(client.as_("writer").upload(WHEEL, wheel(), status="*"))
    assert rule.hits == 2
    assert digests(client) == {}
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert_published(site, client, wheel())


def test_or_by_a_restart(site: Site) -> None:
    client = site.open()
    site.proxy.on(FAILED, **PUT_CORE)
    assert_sorry(client.as_("writer").upload(WHEEL, wheel(), status="*"))
    site.proxy.clear()
    assert_published(site, site.afresh(), wheel())


def test_core_metadata_that_cannot_be_brought_back_is_not_advertised(site: Site) -> None:
    client = site.open()
    site.proxy.on(FAILED, **PUT_CORE)
    assert_sorry(client.as_("writer").upload(WHEEL, wheel(), status="*"))
    (entry,) = site.afresh().page("demo").json["files"]
    assert entry["hashes"] == {"sha256": sha256(wheel())}
    assert "core-metadata" not in entry


def test_facts_that_fit_no_header_are_completed_by_a_retry(site: Site) -> None:
    content = wheel(summary="größer " * 300)
    client = site.open()
    rule = site.proxy.on(FAILED, **PUT_FACTS)
    assert_sorry(client.as_("writer").upload(WHEEL, content, status="*"))
    assert rule.hits == 2
    site.proxy.clear()
    response = client.as_("writer").upload(WHEEL, content, status=200)
    assert response.json["summary"] == ("größer " * 300).strip()
    (found,) = site.afresh().get("/api/package/demo/").json["packages"]
    assert found["summary"] == ("größer " * 300).strip()


@named(error_500=FAILED, reset=reset())
def test_a_yank_that_fails_changes_nothing_and_works_later(site: Site, fault: Action) -> None:
    client = published(site)
    rule = site.proxy.on(fault, **PUT_FACTS)
    yank = {"filename": WHEEL, "reason": "broken"}
    response = client.as_("writer").post("/api/package/demo/yank", yank, status="*")
    assert_sorry(response)
    assert rule.hits == 2
    assert client.page("demo").json["files"][0]["yanked"] is False
    site.proxy.clear()
    client.as_("writer").post("/api/package/demo/yank", yank, status=200)
    for reader in (client, site.afresh()):
        assert reader.page("demo").json["files"][0]["yanked"] == "broken"


def test_a_status_that_cannot_be_kept_is_not_shown(site: Site) -> None:
    client = published(site)
    rule = site.proxy.on(SLOW_DOWN, method="PUT", path="/status/")
    response = client.as_("writer").post(
        "/api/package/demo/status", {"status": "archived"}, status="*"
    )
    assert_sorry(response)
    assert rule.hits == 2
    assert client.get("/api/package/demo/").json["status"] == "active"


# -- overwriting ---------------------------------------------------------------------------


@pytest.fixture
def after_a_failed_overwrite(site: Site) -> Client:
    """An application whose yanked wheel someone tried to overwrite."""
    client = published(site, **OVERWRITING)
    writer = client.as_("writer")
    writer.post("/api/package/demo/yank", {"filename": WHEEL, "reason": "broken"}, status=200)
    rule = site.proxy.on(FAILED, **PUT_FILE)
    assert_sorry(writer.upload(WHEEL, wheel(summary="other"), status="*"))
    assert rule.hits == 2
    site.proxy.clear()
    return client


def test_an_overwrite_that_fails_leaves_the_old_file(
    site: Site, after_a_failed_overwrite: Client
) -> None:
    for reader in (after_a_failed_overwrite, site.afresh()):
        assert digests(reader) == {WHEEL: sha256(wheel())}
        assert fetch(reader.get(PATH, status=302).headers["Location"]) == wheel()


def test_an_overwrite_that_fails_leaves_the_old_file_yanked(
    site: Site, after_a_failed_overwrite: Client
) -> None:
    for reader in (after_a_failed_overwrite, site.afresh()):
        assert reader.page("demo").json["files"][0]["yanked"] == "broken"


def test_an_overwrite_that_fails_leaves_the_core_metadata_that_is_advertised(
    after_a_failed_overwrite: Client,
) -> None:
    (entry,) = after_a_failed_overwrite.page("demo").json["files"]
    assert entry["core-metadata"] == {"sha256": sha256(CORE)}
    location = after_a_failed_overwrite.get(f"{PATH}.metadata", status=302).headers["Location"]
    assert fetch(location) == CORE


def test_an_overwrite_cut_off_after_the_object_offers_no_core_metadata_of_the_old_one(
    site: Site,
) -> None:
    client = published(site, **OVERWRITING)
    other = wheel(summary="other")
    core = metadata("demo", "1.0", "Summary: other", "Requires-Python: >=3.8")
    second = int(time.time())
    eventually(lambda: int(time.time()) > second)  # S3 knows the time of an object in seconds
    rule = site.proxy.on(FAILED, **PUT_CORE)
    assert_sorry(client.as_("writer").upload(WHEEL, other, status="*"))
    assert rule.hits == 2
    site.proxy.clear()
    fresh = site.afresh()
    (entry,) = fresh.page("demo").json["files"]
    assert entry["hashes"] == {"sha256": sha256(other)}
    assert entry["core-metadata"] == {"sha256": sha256(core)}
    assert fetch(fresh.get(f"{PATH}.metadata", status=302).headers["Location"]) == core
    client.as_("writer").upload(WHEEL, other, status=200)
    assert_published(site, client, other, core)


def test_an_overwrite_whose_answer_got_lost_has_the_new_bytes_everywhere(site: Site) -> None:
    client = published(site, **OVERWRITING)
    rule = site.proxy.on(reset(after=True), **PUT_FILE, times=1)
    other = wheel(files={"demo/more.py": b"x = 1\n"})
    client.as_("writer").upload(WHEEL, other, status=200)
    assert rule.hits == 1
    assert_published(site, client, other)
    assert_published(site, site.afresh(), other)


# -- deleting ------------------------------------------------------------------------------


@named(error_500=FAILED, slow_down=SLOW_DOWN, reset=reset(), denied=DENIED)
def test_a_file_that_cannot_be_deleted_stays_listed_and_whole(site: Site, fault: Action) -> None:
    client = published(site)
    rule = site.proxy.on(fault, method="DELETE")
    assert_sorry(client.as_("writer").delete(PATH, status="*"))
    assert rule.hits >= 1
    assert_published(site, client, wheel())
    site.proxy.clear()
    client.as_("writer").delete(PATH, status=200)
    assert (digests(client), site.objects()) == ({}, [])


@named(lost_answer=reset(after=True), slow_down=SLOW_DOWN)
def test_a_deletion_survives_a_fault_that_passes(site: Site, fault: Action) -> None:
    client = published(site)
    rule = site.proxy.on(fault, method="DELETE", times=1)
    client.as_("writer").delete(PATH, status=200)
    assert rule.hits == 1
    assert (digests(client), site.objects()) == ({}, [])


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        pytest.param(FAILED, r"\.metadata$", id="core_metadata_stays"),
        pytest.param(reset(after=True), r"\.whl$", id="lost_answers"),
    ],
)
def test_a_file_that_is_gone_is_not_listed_though_its_deletion_failed(
    site: Site, fault: Action, path: str
) -> None:
    client = published(site)
    rule = site.proxy.on(fault, method="DELETE", path=path)
    client.as_("writer").delete(PATH, status="*")
    assert rule.hits == 2
    site.proxy.clear()
    assert KEY not in site.objects()
    assert digests(client) == {}


# -- downloads through the server ----------------------------------------------------------


def get(server: Server, path: str, *, timeout: float = 20) -> tuple[int, bytes]:
    """The status and the whole body; raises what http.client does when it isn't whole."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def large(site: Site) -> bytes:
    """A published wheel that is larger than all buffers on the way."""
    content = wheel(files={"big.bin": os.urandom(20 << 20)})
    site.open().as_("writer").upload(WHEEL, content, status=200)
    return content


def test_a_download_that_breaks_off_is_seen_to_be_broken(site: Site, large: bytes) -> None:
    with Server(site.folder, site.settings(**STREAMING)) as server:
        broken = site.proxy.on(broken_off(1 << 20), **GET_FILE)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            get(server, PATH)
        assert broken.hits >= 1
        site.proxy.clear()
        # An answer that is too short and says so: whole in the end, or broken, but never short.
        cut = site.proxy.on(short(1 << 20), **GET_FILE)
        try:
            assert get(server, PATH) == (200, large)
        except (http.client.IncompleteRead, ConnectionResetError):
            pass
        assert cut.hits >= 1
        site.proxy.clear()
        before = site.proxy.count(**GET_FILE)
        assert get(server, PATH) == (200, large)
        assert site.proxy.count(**GET_FILE) - before == 1


def test_a_download_that_stalls_at_its_begin_stops_nobody_else(site: Site) -> None:
    published(site)
    with Server(site.folder, site.settings(**STREAMING)) as server, ThreadPoolExecutor(1) as pool:
        arrived = threading.Event()
        stalling = stall()

        def fault(exchange: Any) -> Any:
            arrived.set()
            return stalling(exchange)

        site.proxy.on(fault, **GET_FILE, times=1)
        slow = pool.submit(get, server, PATH)
        try:
            assert arrived.wait(20)
            assert get(server, "/simple/demo/", timeout=5)[0] == 200
        finally:
            site.proxy.clear()
        assert slow.result() == (200, wheel())


def test_a_download_that_stalls_in_between_stops_nobody_else(site: Site, large: bytes) -> None:
    with (
        Server(site.folder, site.settings(**STREAMING)) as server,
        ThreadPoolExecutor(1) as pool,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection,
    ):
        connection.request("GET", PATH)
        response = connection.getresponse()
        # Until somebody reads on, the buffers between fill, and then all rests.
        requests = -1
        while requests != (requests := site.proxy.count(**GET_FILE)):
            for _ in range(50):
                assert get(server, "/simple/demo/")[0] == 200
        site.proxy.on(stall(), **GET_FILE)
        slow = pool.submit(response.read)
        try:
            for _ in range(50):
                assert get(server, "/simple/demo/", timeout=3)[0] == 200
        finally:
            site.proxy.clear()
        assert slow.result() == large


@named(error_500=FAILED, expired_token=EXPIRED, reset=reset())
def test_a_download_that_cannot_begin_is_answered_503(site: Site, fault: Action) -> None:
    client = published(site, **STREAMING)
    site.proxy.on(fault, **HEAD_FILE)
    assert_sorry(client.get(PATH, status="*"))
    site.proxy.clear()
    assert client.get(PATH, status=200).body == wheel()


def test_core_metadata_that_breaks_off_is_answered_503(site: Site) -> None:
    client = published(site, **STREAMING)
    rule = site.proxy.on(broken_off(10), method="GET", path=r"\.metadata$")
    assert_sorry(client.get(f"{PATH}.metadata", status="*"))
    assert rule.hits >= 1
    site.proxy.clear()
    assert client.get(f"{PATH}.metadata", status=200).body == CORE


# -- outages -------------------------------------------------------------------------------


@named(
    expired_token=(EXPIRED, "storage.aws_session_token"),
    denied=(DENIED, "storage.access_key"),
    wrong_clock=(SKEWED, "clock of this machine"),
    slow_down=(SLOW_DOWN, "slow down"),
    reset=(reset(), "storage.endpoint_url"),
)
def test_health_tells_why_the_storage_fails_and_recovers(
    site: Site, fault: tuple[Action, str]
) -> None:
    action, reason = fault
    client = published(site)
    site.proxy.on(action)
    health = client.get("/health", status=503).json
    assert reason in health["storage"]
    assert health["index"] == "ok"
    response = client.as_("writer").upload("demo-2.0-py3-none-any.whl", wheel(version="2.0"),
                                           status="*")  # fmt: skip
    assert_sorry(response)
    assert reason in response.text
    assert digests(client) == {WHEEL: sha256(wheel())}
    site.proxy.clear()
    assert client.get("/health", status=200).json["storage"] == "ok"
    assert_published(site, client, wheel())


def test_pages_are_served_while_s3_is_down_and_all_works_again_afterwards(site: Site) -> None:
    client = published(site)
    second = "demo-2.0-py3-none-any.whl"
    with site.proxy.down():
        assert digests(client) == {WHEEL: sha256(wheel())}
        assert WHEEL in client.get("/simple/demo/", status=200).text
        client.get(PATH, status=302)
        assert "storage.endpoint_url" in client.get("/health", status=503).json["storage"]
        assert_sorry(client.as_("writer").upload(second, wheel(version="2.0"), status="*"))
        assert_sorry(client.as_("writer").delete(PATH, status="*"))
        assert digests(client) == {WHEEL: sha256(wheel())}
        assert list(site.spool.iterdir()) == []
    assert client.get("/health", status=200).json["status"] == "ok"
    assert_published(site, client, wheel())
    client.as_("writer").upload(second, wheel(version="2.0"), status=200)
    client.as_("writer").delete(PATH, status=200)
    assert digests(client) == {second: sha256(wheel(version="2.0"))}


# -- starting ------------------------------------------------------------------------------


def assert_serves_and_recovers(site: Site, client: Client) -> None:
    """What was indexed before is served, ``/health`` is red, and all is well after the fault."""
    assert digests(client) == {WHEEL: sha256(wheel())}
    assert fetch(client.get(PATH, status=302).headers["Location"]) == wheel()
    assert client.get("/health", status=503).json["index"] != "ok"
    site.proxy.clear()
    eventually(lambda: client.get("/health", status="*").status_int == 200)
    assert_published(site, client, wheel())


@named(denied=DENIED, slow_down=SLOW_DOWN, reset=reset())
def test_a_complete_index_is_served_though_it_cannot_be_brought_in_step(
    site: Site, soon: None, fault: Action
) -> None:
    published(site)
    # What the start looks for first is one key at most; that works here.
    rule = site.proxy.on(fault, method="GET", query="^(?!.*max-keys).*list-type=2")
    client = site.open()
    assert rule.hits >= 1
    assert_serves_and_recovers(site, client)


@named(denied=DENIED, slow_down=SLOW_DOWN, expired_token=EXPIRED)
def test_a_complete_index_is_served_though_the_bucket_cannot_be_listed(
    site: Site, soon: None, fault: Action
) -> None:
    published(site)
    rule = site.proxy.on(fault, **LISTING)
    client = site.open()
    assert rule.hits >= 1
    assert_serves_and_recovers(site, client)


def test_a_complete_index_is_served_though_s3_is_down_at_the_start(site: Site, soon: None) -> None:
    published(site)
    with site.proxy.down():
        client = site.open()
        assert digests(client) == {WHEEL: sha256(wheel())}
    eventually(lambda: client.get("/health", status="*").status_int == 200)
    assert_published(site, client, wheel())


@named(
    denied=(DENIED, "permissions"),
    expired_token=(EXPIRED, "storage.aws_session_token"),
    wrong_clock=(SKEWED, "clock of this machine"),
    slow_down=(SLOW_DOWN, "slow down"),
)
def test_a_start_without_index_and_listing_fails_with_a_reason(
    site: Site, fault: tuple[Action, str]
) -> None:
    action, reason = fault
    published(site)
    site.proxy.on(action, **LISTING)
    with pytest.raises(PypicloudLiteError, match=reason) as raised:
        site.afresh()
    assert SECRET_KEY not in str(raised.value)
    site.proxy.clear()
    assert_published(site, site.afresh(), wheel())


@named(slow_down=SLOW_DOWN, reset=reset())
def test_an_index_built_while_s3_fails_lacks_nothing(site: Site, soon: None, fault: Action) -> None:
    client = published(site)
    second = "demo-2.0-py3-none-any.whl"
    client.as_("writer").upload(second, wheel(version="2.0"), status=200)
    complete = digests(client)
    rule = site.proxy.on(fault, method="HEAD", path="demo-2.0.*whl$")
    fresh = site.afresh()
    assert rule.hits >= 2
    page = fresh.page("demo", status="*")  # no answer is better than half of one
    assert page.status_int == 503 or digests(fresh) == complete
    site.proxy.clear()
    eventually(lambda: fresh.page("demo", status="*").status_int == 200)
    assert digests(fresh) == complete


PROBE: dict[str, str] = {"path": "/probe/"}


def is_conditional(site: Site) -> bool:
    """Whether the last file was put under the condition that nothing is there."""
    puts = [seen for seen in site.proxy.seen if seen.method == "PUT" and seen.path.endswith(".whl")]
    return puts[-1].headers.get("If-None-Match") == "*"


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        pytest.param("DELETE", DENIED, id="delete-denied"),
        pytest.param("DELETE", reset(), id="delete-reset"),
        pytest.param("PUT", DENIED, id="put-denied"),
        pytest.param("PUT", SLOW_DOWN, id="put-slow_down"),
        pytest.param("PUT", reset(after=True), id="put-lost_answers"),
    ],
)
def test_a_fault_of_the_probe_stops_no_start_and_weakens_nothing(
    site: Site, method: str, fault: Action
) -> None:
    rule = site.proxy.on(fault, method=method, **PROBE)
    client = site.open()
    assert rule.hits >= 1
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert is_conditional(site)
    assert digests(client) == {WHEEL: sha256(wheel())}


@named(slow_down=SLOW_DOWN, reset=reset())
def test_neither_does_a_fault_of_its_second_request(site: Site, fault: Action) -> None:
    def begin() -> None:
        site.proxy.on(fault, method="PUT", **PROBE)

    site.proxy.on(calling(begin, after=True), method="PUT", **PROBE, times=1)
    client = site.open()
    assert site.proxy.count("PUT", "/probe/") > 1
    site.proxy.clear()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    assert is_conditional(site)


# -- kill -9 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "after", "changes"),
    [
        pytest.param(PUT_FILE, False, {}, id="before-the-object"),
        pytest.param(PUT_FILE, True, {}, id="after-the-object"),
        pytest.param(PUT_CORE, True, {}, id="after-its-core-metadata"),
        pytest.param(COMPLETE, True, IN_PARTS, id="after-the-parts"),
    ],
)
def test_a_crash_in_the_middle_of_an_upload_loses_nothing_and_a_retry_completes_it(
    site: Site, step: dict[str, str], after: bool, changes: dict[str, str]
) -> None:
    server = Server(site.folder, site.settings(**changes))
    with server:
        assert upload(server, *demo(1)) == 200
        process = server.process
        assert process is not None
        rule = site.proxy.on(calling(process.kill, after=after), **step, times=1)
        with pytest.raises((OSError, http.client.HTTPException)):
            upload(server, *demo(2))
        assert rule.hits == 1
        assert process.wait(timeout=20) == -9
    assert list(site.spool.iterdir()) == []
    contents = dict(map(demo, (1, 2)))
    expected = {filename: sha256(content) for filename, content in contents.items()}
    restarted, fresh = site.open(**changes), site.afresh(**changes)
    for client in (restarted, fresh):
        listed = digests(client)
        assert listed.items() <= expected.items()
        assert demo(1)[0] in listed
        assert (demo(2)[0] in listed) == after
        for filename in listed:
            location = client.get(f"/api/package/demo/{filename}", status=302).headers["Location"]
            assert fetch(location) == contents[filename]
    restarted.as_("writer").upload(*demo(2), status=200)
    page = restarted.page("demo").json["files"]
    assert {entry["filename"]: entry["hashes"]["sha256"] for entry in page} == expected
    assert all(entry["core-metadata"] for entry in page)
    assert digests(site.afresh()) == expected


@pytest.mark.parametrize("after", [False, True], ids=["before-the-object", "after-the-object"])
def test_a_crash_in_the_middle_of_a_deletion_leaves_a_whole_file_or_none(
    site: Site, after: bool
) -> None:
    server = Server(site.folder, site.settings())
    with server:
        assert upload(server, WHEEL, wheel()) == 200
        process = server.process
        assert process is not None
        action = calling(process.kill, after=after)
        rule = site.proxy.on(action, method="DELETE", path=r"\.whl$", times=1)
        request = urllib.request.Request(f"{server.url}{PATH}", method="DELETE")
        token = base64.b64encode(f"writer:{PASSWORDS['writer']}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(request, timeout=20)
        assert rule.hits == 1
        assert process.wait(timeout=20) == -9
    restarted = site.open()
    if after:
        assert KEY not in site.objects()
        assert digests(restarted) == {}
        restarted.get(PATH, status=404)
        restarted.as_("writer").upload(WHEEL, wheel(), status=200)
    assert_published(site, restarted, wheel())
    restarted.as_("writer").delete(PATH, status=200)
    assert (digests(restarted), site.objects()) == ({}, [])


def test_what_was_acknowledged_survives_kill_9(site: Site, seaweed_server: S3Server) -> None:
    settings = site.settings(storage__endpoint_url=seaweed_server.url)
    acknowledged: dict[str, bytes] = {}
    numbers = iter(range(10_000))

    def publish(server: Server, enough: Callable[[], None]) -> None:
        """Upload until the server is dead; it is killed while others are still at it."""
        while True:
            filename, content = demo(next(numbers))
            try:
                status = upload(server, filename, content)
            except (OSError, http.client.HTTPException):
                return
            assert status == 200
            acknowledged[filename] = content
            enough()

    for goal in (8, 21):
        with Server(site.folder, settings) as server, ThreadPoolExecutor(4) as pool:
            process = server.process
            assert process is not None

            def enough(goal: int = goal, process: Any = process) -> None:
                if len(acknowledged) >= goal:
                    process.kill()

            for future in [pool.submit(publish, server, enough) for _ in range(4)]:
                future.result()
            assert process.wait(timeout=20) == -9
    assert len(acknowledged) >= 21
    with Server(site.folder, settings) as server:
        listed = files(server)
        for filename, content in acknowledged.items():
            assert listed[filename] == sha256(content)
        for filename, digest in listed.items():
            assert sha256(download(server, filename)) == digest
    # And without the index, from the bucket alone.
    assert digests(site.afresh(storage__endpoint_url=seaweed_server.url)) == listed
