"""The clients against an index with its files in S3: SeaweedFS behind a relay that takes notes."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from tests.clients.servers import IndexServer
from tests.clients.test_installing import publish
from tests.clients.test_publishing import changed, release
from tests.clients.tools import Clients, hashes_of, write
from tests.support.dists import sha256, wheel, wheel_name
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import PASSWORDS, app_settings

pytestmark = pytest.mark.clients

INSTALLERS = ("pip", "uv")
#: So many bytes that nobody fetches all of them who wants only the end of a file.
_LARGE = 400 << 10


class Asked(NamedTuple):
    """A request that S3 got."""

    method: str
    filename: str
    status: int
    headers: dict[str, str]


class Relay(ThreadingHTTPServer):
    """Hands every request on to S3 as it is, signed host included, and takes notes."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.notes: list[Asked] = []
        #: Filename -> after how many bytes to hang up, once.
        self.cuts: dict[str, int] = {}

    @property
    def s3(self) -> S3Server:
        """S3 on a host of its own: a netrc file knows no ports."""
        return S3Server(f"http://localhost:{self.server_port}")

    def asked(self, project: str, agent: str) -> list[Asked]:
        """What a client (``pip``, ``uv``, ``Boto3``) asked for of a project, in order."""
        start = project.replace("-", "_") + "-"
        return [
            note
            for note in self.notes
            if note.filename.startswith(start)
            and note.headers.get("user-agent", "").startswith(f"{agent}/")
        ]

    def seen(self, project: str, agent: str) -> list[tuple[str, str, int]]:
        """The same without the headers."""
        return [note[:3] for note in self.asked(project, agent)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        filename = unquote(urlsplit(self.path).path).rpartition("/")[2]
        headers = {name.lower(): value for name, value in self.headers.items()}
        passed = {name: value for name, value in self.headers.items() if name != "Expect"}
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        try:
            upstream.request(self.command, self.path, body or None, passed)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        self.server.notes.append(Asked(self.command, filename, answer.status, headers))
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        cut = self.server.cuts.pop(filename, None) if self.command == "GET" else None
        self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815 - http.server's names

    def log_message(self, *_arguments: Any) -> None:
        """Nothing: the notes are enough."""


@pytest.fixture(scope="module")
def relay(seaweed_server: S3Server) -> Iterator[Relay]:
    """SeaweedFS by another address."""
    with Relay(seaweed_server.url) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@contextmanager
def index(folder: Path, s3: S3Server, **changes: str) -> Iterator[IndexServer]:
    """An index on a bucket of its own; private projects are for ``writer`` alone."""
    rules = {f"package__private-{tool}__user__writer": "rw" for tool in INSTALLERS}
    changes = {"storage__bucket": new_bucket()} | changes
    settings = app_settings(folder, storage__dir=None, **rules)
    with IndexServer(folder, settings | s3.settings("", **changes)) as running:
        yield running


def old_wheel(project: str) -> bytes:
    """A wheel that is worth not being fetched."""
    data = {f"{project.replace('-', '_')}/data.bin": random.Random(1).randbytes(_LARGE)}
    return wheel(project, "1.0", files=data)


@pytest.fixture(scope="module")
def server(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexServer]:
    """An index on a bucket in which pypicloud left files, which offers no core metadata of them."""
    bucket = new_bucket()
    client = relay.s3.client()
    client.create_bucket(Bucket=bucket)
    for project in (f"old-{installer}" for installer in INSTALLERS):
        content = old_wheel(project)
        client.put_object(
            Bucket=bucket,
            Key=f"abcd/{project}/{wheel_name(project, '1.0')}",
            Body=content,
            Metadata={"name": project, "version": "1.0", "hash-sha256": sha256(content)},
        )
    folder = tmp_path_factory.mktemp("s3")
    with index(folder, relay.s3, storage__bucket=bucket) as running:
        yield running


# -- publishing ----------------------------------------------------------------------------


def test_twine_uploads_a_wheel_and_an_sdist(
    server: IndexServer, clients: Clients, relay: Relay
) -> None:
    files = release(clients.folder, "by-twine")

    clients.twine(server.legacy, *files).worked()

    assert server.hashes("by-twine") == hashes_of(files)
    bucket, s3 = server.settings["storage.bucket"], relay.s3.client()
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    stored = {
        key.rpartition("/")[2]: sha256(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        for key in keys
        if "/by-twine/" in key and not key.endswith(".metadata")
    }
    assert stored == hashes_of(files)


def test_twine_uploads_identical_files_again_and_no_others(
    server: IndexServer, clients: Clients
) -> None:
    files = release(clients.folder, "twine-again")
    clients.twine(server.legacy, *files).worked()
    before = server.files("twine-again")

    clients.twine(server.legacy, *files).worked()
    output = clients.twine(server.legacy, changed(clients.folder / "new", "twine-again")).failed()

    assert "File already exists" in output
    assert server.files("twine-again") == before


def test_uv_does_not_send_a_file_that_its_check_url_has(
    server: IndexServer, clients: Clients
) -> None:
    files = release(clients.folder, "uv-checks")
    check = ("--check-url", server.simple)
    clients.uv_publish(server, *check, *files).worked()
    uploads = server.uploads()

    output = clients.uv_publish(server, *check, *files).worked()

    assert output.count("already exists, skipping") == 2
    assert server.hashes("uv-checks") == hashes_of(files)
    assert server.uploads() == uploads


# -- installing through redirects ----------------------------------------------------------


def test_an_installer_gets_what_twine_uploaded_from_s3(
    server: IndexServer, clients: Clients, installer: str, relay: Relay
) -> None:
    project = f"uploaded-for-{installer}"
    files = release(clients.folder, project)
    clients.twine(server.legacy, *files).worked()
    locked = " ".join(f"--hash=sha256:{digest}" for digest in hashes_of(files).values())
    requirements = write(clients.folder, "requirements.txt", f"{project}==1.0 {locked}\n".encode())
    into = clients.environment()

    clients.install(installer, into, server.simple, "--require-hashes", "-r", requirements).worked()

    assert into.installed() == {project: "1.0"}
    name = files[0].name
    assert ("GET", name, 302) in server.requests(project)
    assert ("GET", name, 200) in relay.seen(project, installer)
    assert ("GET", name, 200) not in relay.seen(project, "Boto3")


@pytest.mark.parametrize("source", ["url", "netrc"])
def test_an_installer_keeps_the_password_from_s3(
    server: IndexServer, clients: Clients, installer: str, relay: Relay, source: str
) -> None:
    project = f"private-{installer}"
    name = wheel_name(project, "1.0")
    server.upload(name, wheel(project, "1.0"))
    into = clients.environment()
    simple = server.simple_as("writer")
    if source == "netrc":
        simple = server.simple
        login = f"machine 127.0.0.1 login writer password {PASSWORDS['writer']}\n"
        write(clients.home, ".netrc", login.encode()).chmod(0o600)
    seen = len(relay.asked(project, installer))

    clients.install(installer, into, simple, project).worked()

    assert into.installed() == {project: "1.0"}
    asked = relay.asked(project, installer)[seen:]
    assert {(note.filename, note.status) for note in asked} == {
        (name, 200),
        (f"{name}.metadata", 200),
    }
    assert not any("authorization" in note.headers for note in asked)
    # It did need the password here.
    path = f"/api/package/{project}/{name}"
    assert ask(server.url, "GET", path).status == 401


def test_an_installer_resolves_with_metadata_and_without_wheels(
    server: IndexServer, clients: Clients, installer: str, relay: Relay
) -> None:
    app, lib = f"app-{installer}", f"lib-{installer}"
    good_lib = publish(server, lib, "1.0")
    good = publish(server, app, "1.0", f"Requires-Dist: {lib}>=1")
    unfit = publish(server, app, "2.0", f"Requires-Dist: {lib}>=2")
    into = clients.environment()

    clients.install(installer, into, server.simple, app).worked()

    assert into.installed() == {app: "1.0", lib: "1.0"}
    asked = relay.seen(app, installer)
    assert ("GET", f"{unfit}.metadata", 200) in asked
    assert ("GET", f"{good}.metadata", 200) in asked
    assert ("GET", good, 200) in asked
    assert unfit not in {name for _, name, _ in asked}
    assert ("GET", f"{good_lib}.metadata", 200) in relay.seen(lib, installer)
    assert ("GET", f"{unfit}.metadata", 302) in server.requests(app)


def test_a_dry_run_fetches_no_wheel(
    server: IndexServer, clients: Clients, installer: str, relay: Relay
) -> None:
    project = f"dry-{installer}"
    filename = publish(server, project, "1.0")

    clients.install(installer, clients.environment(), server.simple, "--dry-run", project).worked()

    assert server.requests(project) == [
        ("GET", project, 200),
        ("GET", f"{filename}.metadata", 302),
    ]
    assert relay.seen(project, installer) == [("GET", f"{filename}.metadata", 200)]


# -- parts of files ------------------------------------------------------------------------


def test_a_range_follows_the_redirect(server: IndexServer, relay: Relay) -> None:
    content = wheel("ranges", "1.0")
    name = publish(server, "ranges", "1.0")
    path = f"/api/package/ranges/{name}"

    head = ask(server.url, "HEAD", path)
    first = ask(server.url, "GET", path, Range="bytes=10-19")
    assert first.status == 302
    location = first.headers["Location"]
    assert location.startswith(f"{relay.s3.url}/")
    second = ask(relay.s3.url, "GET", location, Range="bytes=10-19")
    tail = ask(relay.s3.url, "GET", location, Range="bytes=-7")

    assert head.status == 200
    assert head.headers["Content-Length"] == str(len(content))
    assert head.headers["Accept-Ranges"] == "bytes"
    assert second.status == tail.status == 206
    assert second.headers["Content-Range"] == f"bytes 10-19/{len(content)}"
    assert (second.body, tail.body) == (content[10:20], content[-7:])


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, method: str, target: str, **headers: str) -> Answer:
    """One request, redirects not followed."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, target.removeprefix(url), headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def test_pip_reads_the_metadata_of_a_wheel_of_pypicloud_from_afar(
    server: IndexServer, clients: Clients, relay: Relay
) -> None:
    name = wheel_name("old-pip", "1.0")
    assert "core-metadata" not in server.files("old-pip")[name]
    into = clients.environment()
    lazily = ("--dry-run", "--use-feature=fast-deps")

    clients.install("pip", into, server.simple, *lazily, "old-pip").worked()

    asked = relay.asked("old-pip", "pip")
    assert {note.status for note in asked} == {206}
    assert all("range" in note.headers for note in asked)
    assert ("HEAD", name, 200) in server.requests("old-pip")
    clients.install("pip", into, server.simple, "old-pip").worked()
    assert into.installed() == {"old-pip": "1.0"}


def test_uv_installs_a_wheel_of_pypicloud(
    server: IndexServer, clients: Clients, relay: Relay
) -> None:
    name = wheel_name("old-uv", "1.0")
    into = clients.environment()

    clients.install("uv", into, server.simple, "old-uv").worked()

    assert into.installed() == {"old-uv": "1.0"}
    # Its requests for ranges follow no redirect; it reads the whole file then.
    assert ("HEAD", name, 200) in server.requests("old-uv")
    assert {note[:3] for note in relay.asked("old-uv", "uv")} == {("GET", name, 200)}


def test_pip_goes_on_where_a_download_was_cut_off(
    server: IndexServer, clients: Clients, relay: Relay
) -> None:
    name = wheel_name("cut", "1.0")
    server.upload(name, old_wheel("cut"))
    relay.cuts[name] = 100_000
    into = clients.environment()

    clients.install("pip", into, server.simple, "cut").worked()

    assert into.installed() == {"cut": "1.0"}
    whole, rest = [note for note in relay.asked("cut", "pip") if note.filename == name]
    assert (whole.status, rest.status) == (200, 206)
    assert rest.headers["range"] == "bytes=100000-"


def test_a_large_file_goes_up_in_parts_and_comes_back(
    seaweed_server: S3Server, clients: Clients, tmp_path: Path
) -> None:
    data = {"large/data.bin": random.Random(2).randbytes(60 << 20)}
    file = write(clients.folder, wheel_name("large", "1.0"), wheel("large", "1.0", files=data))
    digest = hashes_of([file])[file.name]
    requirement = write(
        clients.folder, "requirements.txt", f"large==1.0 --hash=sha256:{digest}\n".encode()
    )
    into = clients.environment()

    with index(tmp_path, seaweed_server, storage__multipart_threshold="10MiB") as server:
        clients.twine(server.legacy, file).worked()
        assert server.hashes("large") == {file.name: digest}
        clients.install(
            "pip", into, server.simple, "--require-hashes", "--no-compile", "-r", requirement
        ).worked()
        bucket = server.settings["storage.bucket"]

    assert into.installed() == {"large": "1.0"}
    listed = seaweed_server.client().list_objects_v2(Bucket=bucket)["Contents"]
    (etag,) = [item["ETag"] for item in listed if item["Key"].endswith(".whl")]
    assert etag.strip('"').endswith("-8")  # an object of eight parts


# -- other ways to the file ----------------------------------------------------------------


@pytest.fixture(scope="module")
def page_server(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexServer]:
    """Its pages carry S3's own URLs."""
    folder = tmp_path_factory.mktemp("pages")
    with index(folder, relay.s3, storage__redirect_urls="false") as running:
        yield running


def test_an_installer_takes_the_signed_url_from_the_page(
    page_server: IndexServer, clients: Clients, installer: str, relay: Relay
) -> None:
    project = f"linked-{installer}"
    files = release(clients.folder, project)
    clients.twine(page_server.legacy, *files).worked()
    name = files[0].name
    into = clients.environment()

    clients.install(installer, into, page_server.simple, project).worked()

    assert into.installed() == {project: "1.0"}
    for entry in page_server.files(project).values():
        assert entry["url"].startswith(f"{relay.s3.url}/")
        assert "X-Amz-Signature=" in entry["url"]
        assert not {"core-metadata", "dist-info-metadata"} & set(entry)
    assert {last for _, last, _ in page_server.requests(project)} == {project}
    assert ("GET", name, 200) in relay.seen(project, installer)
    assert not any("authorization" in note.headers for note in relay.asked(project, installer))


def test_an_installer_keeps_the_password_from_the_urls_of_a_page(
    page_server: IndexServer, clients: Clients, installer: str, relay: Relay
) -> None:
    project = f"private-{installer}"
    page_server.upload(wheel_name(project, "1.0"), wheel(project, "1.0"))
    seen = len(relay.asked(project, installer))
    into = clients.environment()

    clients.install(installer, into, page_server.simple_as("writer"), project).worked()

    assert into.installed() == {project: "1.0"}
    asked = relay.asked(project, installer)[seen:]
    assert asked
    assert not any("authorization" in note.headers for note in asked)


@pytest.fixture(scope="module")
def stream_server(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexServer]:
    """It fetches files from S3 itself."""
    folder = tmp_path_factory.mktemp("stream")
    with index(folder, relay.s3, pypi__stream_files="true") as running:
        yield running


def test_an_installer_never_meets_s3_where_files_are_streamed(
    stream_server: IndexServer, clients: Clients, installer: str, relay: Relay
) -> None:
    project = f"streamed-{installer}"
    files = release(clients.folder, project)
    clients.twine(stream_server.legacy, *files).worked()
    name = files[0].name
    into = clients.environment()

    clients.install(installer, into, stream_server.simple, project).worked()

    assert into.installed() == {project: "1.0"}
    assert {("GET", name, 200), ("GET", f"{name}.metadata", 200)} <= set(
        stream_server.requests(project)
    )
    assert relay.seen(project, installer) == []
    assert relay.seen(project, "Boto3")
