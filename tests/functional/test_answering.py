"""What is different on the wire from waitress alone, and what must not be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.dists import wheel
from tests.support.raw import connect, head, read, send
from tests.support.server import Server, app_settings

DATE = re.compile(rb"Date: [^\r]+\r\n")
FILE = b"/api/package/demo/demo-1.0-py3-none-any.whl"
PAGE = b"/simple/demo/"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Ours and waitress, on one store."""
    folder = tmp_path_factory.mktemp("answering")
    (folder / "packages").mkdir()
    (folder / "packages" / "demo-1.0-py3-none-any.whl").write_bytes(wheel("demo", "1.0"))
    settings = app_settings(folder)
    with Server(folder, settings) as ours, Server(folder, settings, runner="egg:waitress") as plain:
        yield ours, plain


def etag(server: Server, target: bytes) -> bytes:
    answer = send(server, head(b"HEAD " + target + b" HTTP/1.1", b"Connection: close"))
    found = re.search(rb"Etag: ([^\r]+)", answer)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("target", [PAGE, FILE, b"/simple/", b"/", b"/health", b"/nothing/x/y"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (b"1.1", [b"Connection: close"]),
        (b"1.1", [b"Connection: Keep-Alive"]),
        (b"1.1", []),
        (b"1.0", []),
        (b"1.0", [b"Connection: keep-alive"]),
    ],
)
def test_whole_answers_are_waitress_s_own_byte_for_byte(
    servers: tuple[Server, Server],
    target: bytes,
    method: bytes,
    version: bytes,
    headers: list[bytes],
) -> None:
    """Thrice on one connection where it stays open, since what was made once is sent again."""
    request = head(method + b" " + target + b" HTTP/" + version, *headers)
    last = head(method + b" " + target + b" HTTP/1.1", b"Connection: close")
    ours, plain = (send(server, request + request + request + last) for server in servers)
    port = re.compile(rb"127\.0\.0\.1:\d+|localhost:\d+")
    assert DATE.sub(b"", port.sub(b"", ours)) == DATE.sub(b"", port.sub(b"", plain))
    assert len(DATE.findall(ours)) == ours.count(b"HTTP/1.")


@pytest.mark.parametrize("target", [PAGE, FILE])
def test_who_revalidates_keeps_the_connection(
    servers: tuple[Server, Server], target: bytes
) -> None:
    """waitress closes it after each answer without a length, though a 304 needs none."""
    server = servers[0]
    known = b"If-None-Match: " + etag(server, target)
    request = head(b"GET " + target + b" HTTP/1.1", known)
    last = head(b"GET " + target + b" HTTP/1.1", known, b"Connection: close")
    answers = send(server, request + request + last)
    assert answers.count(b"HTTP/1.1 304 Not Modified\r\n") == 3
    assert answers.count(b"Connection: close\r\n") == 1
    assert b"Content-Length" not in answers


def test_who_asks_for_it_is_left_after_a_304(servers: tuple[Server, Server]) -> None:
    server = servers[0]
    known = b"If-None-Match: " + etag(server, PAGE)
    for line, headers in ((b"HTTP/1.0", [known]), (b"HTTP/1.1", [known, b"Connection: close"])):
        with closing(connect(server)) as connection:
            connection.sendall(head(b"GET " + PAGE + b" " + line, *headers))
            assert read(connection).startswith(line + b" 304")  # and the connection is closed


def test_the_date_goes_on(servers: tuple[Server, Server]) -> None:
    connection = HTTPConnection("127.0.0.1", servers[0].port)
    seen: set[str | None] = set()
    with closing(connection):
        while len(seen) < 2:
            connection.request("GET", PAGE.decode())
            answer = connection.getresponse()
            answer.read()
            seen.add(answer.headers["Date"])
    assert None not in seen


def test_a_large_answer_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    for number in range(600):
        (folder / f"big-{number}-py3-none-any.whl").write_bytes(wheel("big", str(number)))
    with Server(tmp_path) as server:
        connection = HTTPConnection("127.0.0.1", server.port)
        with closing(connection):
            for _twice in range(2):
                connection.request("GET", "/simple/big/")
                answer = connection.getresponse()
                body = answer.read()
                assert len(body) == int(answer.headers["Content-Length"]) > 1 << 16
                assert body.count(b"<a ") == 600
