"""Large downloads: whole, by the kernel, and in turns with whoever else wants something."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from pypicloud_lite.sending import Piece, SentFile
from tests.support.dists import metadata
from tests.support.raw import connect, get, head, read
from tests.support.server import Server

SIZE = 256 << 20
BIG = "big-1.0-py3-none-any.whl"
PATH = f"/api/package/big/{BIG}"
PAGE = "/simple/big/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With one wheel of 256 MiB, laid into its folder."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "packages").mkdir()
    with zipfile.ZipFile(folder / "packages" / BIG, "w") as wheel:
        with wheel.open("big/data", "w") as member:
            for number in range(SIZE >> 20):
                member.write(number.to_bytes(4, "big") * (1 << 18))
        wheel.writestr("big-1.0.dist-info/METADATA", metadata("big", "1.0"))
    with Server(folder) as running:
        end = time.monotonic() + 60
        while b"HTTP/1.1 200" not in get(running, PAGE.encode()) and time.monotonic() < end:
            time.sleep(0.05)
        yield running


def stored(server: Server) -> Path:
    return server.folder / "packages" / BIG


def test_every_byte_arrives(server: Server) -> None:
    connection = HTTPConnection("127.0.0.1", server.port)
    with closing(connection):
        for _twice in range(2):  # the connection is good for more
            connection.request("GET", PATH)
            answer = connection.getresponse()
            digest = hashlib.sha256()
            while piece := answer.read(1 << 20):
                digest.update(piece)
            with stored(server).open("rb") as file:
                assert digest.digest() == hashlib.file_digest(file, "sha256").digest()
            connection.request("GET", PAGE)
            assert connection.getresponse().read().count(b"<a ") == 1


def test_an_upload_behind_a_large_file_stops_nobody(server: Server) -> None:
    """It waits for its 100, which comes when the file was sent."""
    upload = head(b"POST /legacy/ HTTP/1.1", b"Content-Length: 5", b"Expect: 100-continue")
    with closing(connect(server)) as connection:
        connection.sendall(head(b"GET " + PATH.encode() + b" HTTP/1.1") + upload)
        left, end = stored(server).stat().st_size, b""
        while left > 0 or b"100 Continue\r\n\r\n" not in end:
            piece = connection.recv(1 << 20)
            assert piece
            left -= len(piece)
            end = (end + piece)[-1000:]
        connection.sendall(b"hello")
        assert re.search(rb"HTTP/1.1 4\d\d ", connection.recv(1 << 16))
    assert get(server, PAGE.encode()).count(b"<a ") == 1


def test_a_slow_client_gets_every_byte(server: Server) -> None:
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        line = b"Range: bytes=1000000-2999999"
        connection.sendall(head(b"GET " + PATH.encode() + b" HTTP/1.1", b"Connection: close"))
        received = 0
        while received < 3 << 20:
            received += len(connection.recv(1000))
    whole = get(server, PATH.encode(), line).partition(b"\r\n\r\n")[2]
    with stored(server).open("rb") as file:
        file.seek(1_000_000)
        assert whole == file.read(2_000_000)


def test_pages_are_answered_while_others_download(server: Server) -> None:
    """waitress alone sends to a client that takes everything until the end, and hears nobody."""
    downloading = threading.Event()
    done: list[float] = []

    def download() -> None:
        with closing(connect(server)) as connection:
            request = head(b"GET " + PATH.encode() + b" HTTP/1.1", b"Connection: close")
            connection.sendall(request)
            buffer, received = bytearray(1 << 20), 0
            while length := connection.recv_into(buffer):
                received += length
                downloading.set()
            assert received > SIZE
        done.append(time.monotonic())

    threads = [threading.Thread(target=download) for _number in range(4)]
    connection = HTTPConnection("127.0.0.1", server.port)
    with closing(connection):
        for thread in threads:
            thread.start()
        downloading.wait(30)
        answered = []
        while any(thread.is_alive() for thread in threads):
            connection.request("GET", PAGE)
            assert connection.getresponse().read()
            answered.append(time.monotonic())
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert len([when for when in answered if when < min(done)]) > 10


def test_who_hangs_up_disturbs_nobody(server: Server) -> None:
    for _number in range(20):
        with closing(connect(server)) as connection:
            connection.sendall(head(b"GET " + PATH.encode() + b" HTTP/1.1"))
            connection.recv(1000)
    assert b"HTTP/1.1 200" in get(server, PAGE.encode())
    assert "Traceback" not in server.log.read_text()


def test_a_file_that_becomes_shorter_ends_the_connection(server: Server) -> None:
    """The client must see that something is missing, and the server must not go on for ever."""
    with closing(connect(server)) as connection:
        request = head(b"GET " + PATH.encode() + b" HTTP/1.1", b"Connection: close")
        connection.sendall(request)
        received = len(connection.recv(1000))
        os.truncate(stored(server), 20 << 20)
        received += len(read(connection))
    assert received < SIZE
    assert b"HTTP/1.1 200" in get(server, b"/health")


class TestPieces:
    """A file that the kernel can't send is read, and sent all the same."""

    def test_what_is_no_file_is_read(self) -> None:
        sent = SentFile(io.BytesIO(b"content"))
        assert sent.prepare(7) == 7
        assert sent.get(4) == b"cont"

    def test_a_refusal_of_the_kernel_is_not_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_bytes(b"content")

        def refuse(*_args: object) -> int:
            raise OSError(22, "Invalid argument")

        with (tmp_path / "file").open("rb") as file:
            sent = SentFile(file)
            sent.prepare(7)
            piece = sent.get(4)
            assert isinstance(piece, Piece)
            monkeypatch.setattr(os, "sendfile", refuse)
            assert piece.send(1) == 0
            assert sent.get(4) == b"cont"
            sent.skip(4)
            assert sent.get(4) == b"ent"
