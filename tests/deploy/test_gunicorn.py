"""``deploy/gunicorn.conf.py``: the application in processes that are forked, without waitress."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.tools import Clients, write
from tests.support import raw
from tests.support.asking import ask, eventually, page, publish, rebuild
from tests.support.dists import sha256, wheel, wheel_name
from tests.support.forms import multipart
from tests.support.gunicorn import GunicornServer
from tests.support.nginx import Nginx
from tests.support.server import app_settings


def large_wheel() -> bytes:
    """Larger than any buffer on the way."""
    return wheel("large", "1.0", files={"large/data": random.Random(1).randbytes(3 << 20)})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    with GunicornServer(tmp_path_factory.mktemp("gunicorn")) as running:
        yield running


@pytest.mark.clients
def test_twine_uploads_and_pip_installs(server: GunicornServer, clients: Clients) -> None:
    file = write(clients.folder, wheel_name("forked", "1.0"), wheel("forked", "1.0"))
    into = clients.environment()
    clients.twine(f"{server.url}/legacy/", file).worked()
    clients.install("pip", into, f"{server.url}/simple/", "forked").worked()
    assert into.installed() == {"forked": "1.0"}


@pytest.mark.parametrize("more", [(), ("--worker-class", "sync"), ("--preload",)], ids=str)
def test_every_worker_tells_the_same_story(tmp_path: Path, more: tuple[str, ...]) -> None:
    server = GunicornServer(tmp_path)
    server.options = ("--workers", "3", *more)
    with server:
        eventually(lambda: len(server.workers()) == 3)
        for number in range(5):
            filename = wheel_name("demo", f"{number}")
            assert publish(server, filename, wheel("demo", f"{number}")).status == 200
            assert all(filename in page(server).files for _time in range(12))


def test_a_large_file_goes_through(server: GunicornServer) -> None:
    content, filename = large_wheel(), wheel_name("large", "1.0")
    path = f"/api/package/large/{filename}"
    assert publish(server, filename, content).status == 200
    answer = ask(server, path)
    assert sha256(answer.body) == sha256(content)
    assert answer.headers["Content-Length"] == str(len(content))
    part = ask(server, path, range="bytes=1000000-2999999")
    assert (part.status, part.body) == (206, content[1_000_000:3_000_000])
    assert ask(server, path, "HEAD").headers["Content-Length"] == str(len(content))


def test_a_large_upload_of_a_stranger_is_refused_before_it_is_sent(
    server: GunicornServer,
) -> None:
    line = b"POST /legacy/ HTTP/1.1"
    head = raw.head(line, b"Content-Length: 100000000", b"Content-Type: multipart/form-data")
    assert raw.first_status(server, head) == 401


@pytest.mark.parametrize(
    "framing",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Content-Length: 5", b"Content-Length: 6"),
    ],
)
def test_a_body_is_framed_in_one_way(server: GunicornServer, framing: tuple[bytes, ...]) -> None:
    head = raw.head(b"POST /legacy/ HTTP/1.1", raw.WRITER, *framing)
    assert raw.status(raw.send(server, head, b"0\r\n\r\n")) == 400


def test_every_worker_follows_the_storage(server: GunicornServer) -> None:
    for number in range(4):
        filename = wheel_name("dropped", f"{number}")
        folder = server.folder / "packages" / "dropped" / f"{number}"
        folder.mkdir(parents=True)
        (folder / filename).write_bytes(wheel("dropped", f"{number}"))
        assert rebuild(server).json["status"] == "done"
        assert filename in page(server, "dropped").files


def test_what_was_answered_is_there_whatever_workers_die(tmp_path: Path) -> None:
    with GunicornServer(tmp_path) as server:
        wanted = {wheel_name("demo", f"{n}"): wheel("demo", f"{n}") for n in range(40)}
        answered: set[str] = set()

        def upload() -> None:
            for filename, content in wanted.items():
                try:
                    if publish(server, filename, content).status == 200:
                        answered.add(filename)
                except (OSError, http.client.HTTPException):  # its worker died
                    pass

        uploader = threading.Thread(target=upload)
        uploader.start()
        killed = set()
        for share in (5, 15, 25):
            eventually(lambda share=share: len(answered) >= share)
            killed.add(server.kill_a_worker())
            eventually(lambda: len(server.workers() - killed) == 2)
        uploader.join()
        assert len(killed) == 3
        assert len(answered) >= 30
        assert {name: sha256(wanted[name]) for name in answered}.items() <= page(
            server
        ).files.items()


def test_a_stop_finishes_what_was_begun(tmp_path: Path) -> None:
    body, content_type = multipart([("content", wheel_name("demo", "1.0"), wheel())])
    head = raw.head(
        b"POST /legacy/ HTTP/1.1",
        raw.WRITER,
        b"Connection: close",
        f"Content-Type: {content_type}".encode(),
        f"Content-Length: {len(body)}".encode(),
    )
    with GunicornServer(tmp_path) as server, raw.connect(server) as connection:
        connection.sendall(head + body[:100])
        eventually(lambda: any((tmp_path / "packages/.pypicloud-lite/spool").iterdir()))
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        eventually(lambda: "Handling signal: term" in server.log.read_text())
        connection.sendall(body[100:])
        assert raw.status(raw.read(connection)) == 200
        stopping.join()
    assert (tmp_path / "packages" / "demo" / "1.0" / wheel_name("demo", "1.0")).exists()


def test_the_proxy_says_what_the_client_asked(server: GunicornServer) -> None:
    filename = wheel_name("linked", "1.0")
    assert publish(server, filename, wheel("linked", "1.0")).status == 200
    answer = ask(
        server,
        "/pypi/linked/json",
        x_forwarded_host="pypi.example.com",
        x_forwarded_proto="https",
        x_forwarded_for="198.51.100.7",
    )
    assert answer.json["urls"][0]["url"].startswith("https://pypi.example.com/")
    wrong = "Basic d3JpdGVyOndyb25n"
    ask(server, "/simple/", authorization=wrong, x_forwarded_for="198.51.100.7")
    assert '"address": "198.51.100.7"' in server.log.read_text()


@pytest.mark.usefixtures("_nginx")
def test_nginx_sends_the_files_of_gunicorn(tmp_path: Path) -> None:
    settings = app_settings(tmp_path, pypi__proxy_sends_files="/_files/")
    with GunicornServer(tmp_path, settings) as server:
        replaced = {
            "127.0.0.1:6543": f"127.0.0.1:{server.port}",
            "    server 127.0.0.1:6544 max_fails=0;\n": "",
            "/var/lib/pypicloud-lite/data/packages/": f"{tmp_path / 'packages'}/",
        }
        with Nginx(tmp_path / "nginx", "nginx.conf", replaced) as nginx:
            content, filename = large_wheel(), wheel_name("large", "1.0")
            assert publish(nginx, filename, content).status == 200
            answer = ask(nginx, f"/api/package/large/{filename}")
            assert sha256(answer.body) == sha256(content)
            assert answer.headers["Content-Type"] == "application/octet-stream"
