"""``deploy/nginx.conf``: nginx in front of two servers, and sending their files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.clients.servers import PREFIX, IndexServer
from tests.clients.tools import Clients, write
from tests.support import raw
from tests.support.asking import Answer, ask, eventually, page, publish, rebuild
from tests.support.dists import sha256, wheel, wheel_name
from tests.support.nginx import Nginx
from tests.support.production import behind_a_proxy
from tests.support.server import Server, app_settings

pytestmark = pytest.mark.usefixtures("_nginx")

WHEEL = wheel_name("demo", "1.0")
SECRET = wheel_name("secret", "1.0")
CONTENT, SECRET_CONTENT = wheel("demo", "1.0"), wheel("secret", "1.0", summary="confidential")
SIZE = len(CONTENT)
PATH = f"/api/package/demo/{WHEEL}"
SECRET_PATH = f"/api/package/secret/{SECRET}"
#: Of the connection, not of the answer.
_OF_THE_HOP = ("connection", "date", "server")


@contextmanager
def in_front_of(folder: Path, *servers: Server, packages: str = "packages") -> Iterator[Nginx]:
    replaced = {
        f"127.0.0.1:{port}": f"127.0.0.1:{server.port}"
        for port, server in zip((6543, 6544), servers, strict=True)
    }
    replaced["/var/lib/pypicloud-lite/data/packages/"] = f"{folder / packages}/"
    with Nginx(folder / f"nginx-{packages}", "nginx.conf", replaced) as running:
        yield running


def settings(folder: Path) -> dict[str, str]:
    return app_settings(
        folder,
        pypi__proxy_sends_files="/_files/",
        package__secret__user__reader="r",
        db__url=None,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        serving = behind_a_proxy()
        first, second = [
            stack.enter_context(Server(folder, settings(folder), serving=serving))
            for _number in range(2)
        ]
        yield first, second


@pytest.fixture(scope="module")
def nginx(_nginx: None, folder: Path, servers: tuple[Server, Server]) -> Iterator[Nginx]:
    with in_front_of(folder, *servers) as running:
        assert publish(running, WHEEL, CONTENT).status == 200
        assert publish(running, SECRET, SECRET_CONTENT, user="admin").status == 200
        yield running


def lines(answer: Answer) -> list[tuple[str, str]]:
    """All headers of an answer, also those that are there twice."""
    headers = [(name.lower(), value) for name, value in answer.headers.items()]
    return sorted(header for header in headers if header[0] not in _OF_THE_HOP)


def test_an_upload_is_on_both_servers_at_once(nginx: Nginx, servers: tuple[Server, Server]) -> None:
    for asked in (*servers, nginx):
        assert page(asked).files == {WHEEL: sha256(CONTENT)}


@pytest.mark.parametrize(("path", "content"), [(PATH, CONTENT), (SECRET_PATH, SECRET_CONTENT)])
def test_nginx_sends_the_file_with_the_headers_of_the_server(
    nginx: Nginx, servers: tuple[Server, Server], path: str, content: bytes
) -> None:
    sent = ask(nginx, path, user="reader")
    assert sent.status == 200
    assert sent.body == content
    assert lines(sent) == lines(ask(servers[0], path, "HEAD", user="reader"))
    assert sent.headers["ETag"] == f'"{sha256(content)}"'
    assert ask(servers[0], path, user="reader").body == b""  # so it was nginx


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=10-", 10, SIZE), ("bytes=-5", -5, SIZE)],
)
def test_nginx_makes_the_ranges(nginx: Nginx, wanted: str, start: int, stop: int) -> None:
    answer = ask(nginx, PATH, range=wanted)
    assert answer.status == 206
    assert answer.body == CONTENT[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start % SIZE}-{stop - 1}/{SIZE}"
    assert answer.headers["ETag"] == f'"{sha256(CONTENT)}"'


def test_several_ranges_give_the_whole_file(nginx: Nginx) -> None:
    answer = ask(nginx, PATH, range="bytes=0-1,5-6")
    assert (answer.status, answer.body) == (200, CONTENT)


def test_a_range_behind_the_end_is_unsatisfiable(nginx: Nginx) -> None:
    answer = ask(nginx, PATH, range=f"bytes={SIZE}-")
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


def test_a_resumed_download_checks_that_the_file_is_the_same(nginx: Nginx) -> None:
    whole = ask(nginx, PATH).headers
    for condition in (whole["ETag"], whole["Last-Modified"]):
        assert ask(nginx, PATH, range="bytes=9-", if_range=condition).body == CONTENT[9:]
    assert ask(nginx, PATH, range="bytes=9-", if_range='"other"').body == CONTENT


def test_who_has_the_file_gets_304(nginx: Nginx) -> None:
    whole = ask(nginx, PATH).headers
    for condition in (
        {"if_none_match": whole["ETag"]},
        {"if_modified_since": whole["Last-Modified"]},
    ):
        answer = ask(nginx, PATH, **condition)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == whole["ETag"]
    assert ask(nginx, PATH, if_none_match='"other"').status == 200


def test_the_time_of_the_file_on_disk_decides_nothing(nginx: Nginx, folder: Path) -> None:
    filename = wheel_name("older", "1.0")
    assert publish(nginx, filename, wheel("older", "1.0")).status == 200
    yesterday = int(time.time()) - 86400
    os.utime(folder / "packages" / "older" / "1.0" / filename, (yesterday, yesterday))
    assert rebuild(nginx).status == 200
    since = formatdate(yesterday, usegmt=True)
    answer = ask(nginx, f"/api/package/older/{filename}", if_modified_since=since)
    assert (answer.status, answer.body) == (200, wheel("older", "1.0"))
    assert answer.headers["Last-Modified"] != since


def test_who_may_not_read_a_file_does_not_get_it(nginx: Nginx) -> None:
    assert ask(nginx, SECRET_PATH).status == 401
    assert ask(nginx, SECRET_PATH, user="writer").status == 403
    assert ask(nginx, SECRET_PATH, user="reader").status == 200


@pytest.mark.parametrize("user", [None, "admin"])
@pytest.mark.parametrize(
    "start",
    [
        "/_files/",
        "//_files/",
        "/_files//",
        "/./_files/",
        "/simple/../_files/",
        "/simple/%2e%2e/_files/",
        "/%5ffiles/",
        "/%5Ffiles%2F",
        "/_files%2f",
        "/_FILES/",
        "/_files/demo/../",
        "/_files/demo/%2e%2e/",
        "/_files;/",
        "/api/package/demo/../../../_files/",
        "/api/package/demo/..%2f..%2f..%2f_files/",
    ],
)
def test_the_folder_is_not_reachable(nginx: Nginx, start: str, user: str | None) -> None:
    for rest in (f"secret/1.0/{SECRET}", f"secret/1.0/{SECRET}.meta", ".pypicloud-lite/index/"):
        answer = ask(nginx, start + rest, user=user)
        assert 400 <= answer.status < 500
        assert b"confidential" not in answer.body


def test_a_client_can_not_redirect_nginx(nginx: Nginx) -> None:
    there = f"/_files/secret/1.0/{SECRET}"
    for path in ("/simple/", PATH, "/nowhere"):
        answer = ask(nginx, path, x_accel_redirect=there, x_sendfile=there)
        assert SECRET_CONTENT not in answer.body


def test_absolute_urls_have_the_host_that_the_client_asked(nginx: Nginx) -> None:
    answer = ask(
        nginx,
        "/pypi/demo/json",
        host="pypi.example.com",
        x_forwarded_host="evil.example.com",
        x_forwarded_proto="https",
    )
    (file,) = answer.json["urls"]
    assert file["url"] == f"http://pypi.example.com{PATH}"


def test_the_address_of_the_client_is_not_what_the_client_says(
    nginx: Nginx, servers: tuple[Server, Server]
) -> None:
    wrong = "Basic d3JpdGVyOndyb25n"
    assert ask(nginx, "/simple/", authorization=wrong, x_forwarded_for="203.0.113.9").status == 401
    logs = "".join(server.log.read_text() for server in servers)
    assert '"address": "127.0.0.1"' in logs
    assert "203.0.113.9" not in logs


def test_a_large_upload_of_a_stranger_is_refused_before_it_is_sent(nginx: Nginx) -> None:
    line = b"POST /legacy/ HTTP/1.1"
    head = raw.head(line, b"Content-Length: 100000000", b"Content-Type: multipart/form-data")
    assert raw.first_status(nginx, head) == 401


def test_an_upload_over_the_limit_is_refused_before_it_is_sent(nginx: Nginx) -> None:
    line = b"POST /legacy/ HTTP/1.1"
    assert raw.first_status(nginx, raw.head(line, raw.WRITER, b"Content-Length: 9000000000")) == 413


def test_pages_and_files_are_there_while_one_server_is_down(tmp_path: Path) -> None:
    with (
        Server(tmp_path, settings(tmp_path), serving=behind_a_proxy()) as first,
        Server(tmp_path, settings(tmp_path), serving=behind_a_proxy()) as second,
        in_front_of(tmp_path, first, second) as nginx,
    ):
        assert publish(nginx, WHEEL, CONTENT).status == 200
        for stopped in (first, second):
            stopped.stop()
            for _time in range(10):
                assert page(nginx).files == {WHEEL: sha256(CONTENT)}
                assert ask(nginx, PATH).body == CONTENT
            stopped.start()
            eventually(lambda: page(nginx).status == 200)


def test_what_nginx_can_not_send_is_not_cached(
    folder: Path, servers: tuple[Server, Server], nginx: Nginx
) -> None:
    """As when its alias is not storage.dir: the answer must not stay with clients for ever."""
    with in_front_of(folder, *servers, packages="elsewhere") as wrong:
        answer = ask(wrong, PATH)
    assert answer.status == 404
    assert "no-store" in answer.headers.get_all("Cache-Control", [])


@pytest.mark.clients
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_twine_uploads_and_an_installer_installs(
    nginx: Nginx, clients: Clients, installer: str
) -> None:
    project = f"through-{installer}"
    file = write(clients.folder, wheel_name(project, "1.0"), wheel(project, "1.0"))
    into = clients.environment()

    clients.twine(f"{nginx.url}/legacy/", file).worked()
    clients.install(installer, into, f"{nginx.url_as('reader')}/simple/", project).worked()

    assert into.installed() == {project: "1.0"}
    assert f"/_files/{project}" not in nginx.log("access.log")


@pytest.mark.clients
def test_an_index_below_a_path(tmp_path: Path, clients: Clients) -> None:
    file = write(clients.folder, wheel_name("below", "1.0"), wheel("below", "1.0"))
    into = clients.environment()
    with IndexServer(tmp_path, settings(tmp_path), mount="prefix") as server:
        replaced = {
            "location / {": f"location {PREFIX}/ {{",
            "127.0.0.1:6543": f"127.0.0.1:{server.port}",
            "    server 127.0.0.1:6544 max_fails=0;\n": "",
            "/var/lib/pypicloud-lite/data/packages/": f"{tmp_path / 'packages'}/",
        }
        with Nginx(tmp_path / "nginx", "nginx.conf", replaced) as nginx:
            clients.twine(f"{nginx.url}{PREFIX}/legacy/", file).worked()
            clients.install("pip", into, f"{nginx.url}{PREFIX}/simple/", "below").worked()
    assert into.installed() == {"below": "1.0"}
