"""Who may send when: round by round of the server's main loop, in this thread."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from waitress.wasyncore import close_all

from pypicloud_lite.serving import Server
from tests.support.raw import head

SIZE = 64 << 20
#: What a client's side of a connection may hold.
ROOM = 1 << 20
TURN = 1 << 16
#: In seconds.
PATIENCE = 30.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, SIZE)
    return path


@pytest.fixture
def server(file: Path) -> Iterator[Server]:
    """With a large file, and something small at any other path."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/large":
            start_response("200 OK", [("Content-Length", str(SIZE))])
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file.open("rb"))
            return wrapped
        start_response("200 OK", [("Content-Length", "5")])
        return [b"small"]

    running = Server(app, {"listen": "127.0.0.1:0", "threads": "2"})
    yield running
    running.waitress.task_dispatcher.shutdown(timeout=5)
    for channel in list(running.waitress.active_channels.values()):
        channel.handle_close()
    close_all(running.channels)


class Clients:
    """Connections to a server whose rounds are ours."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.server = server
        self._stack = stack
        #: Bytes that downloads received, by number.
        self.received: list[int] = []
        self._downloads: list[socket.socket] = []

    def connect(self) -> socket.socket:
        connection = self._stack.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        connection.connect(("127.0.0.1", int(self.server.waitress.effective_port)))
        connection.setblocking(False)
        return connection

    def ask(self, path: bytes) -> socket.socket:
        connection = self.connect()
        connection.send(head(b"GET " + path + b" HTTP/1.1"))
        return connection

    def download(self, count: int) -> None:
        """Begin downloads, until each of them is well under way."""
        self._downloads = [self.ask(b"/large") for _number in range(count)]
        self.received = [0] * count
        self.turn_until(lambda: min(self.received) > 2 << 20)

    def turn(self, timeout: float = 0.01) -> int:
        """One round, and all that it sent taken; how many bytes of downloads."""
        before = sum(self.received)
        self.server.turn(timeout)
        for number, connection in enumerate(self._downloads):
            try:
                while piece := connection.recv(1 << 20):
                    self.received[number] += len(piece)
            except BlockingIOError:
                pass
        return sum(self.received) - before

    def turn_until(self, done: Callable[[], bool]) -> int:
        """How many rounds it took."""
        end, count = time.monotonic() + PATIENCE, 0
        while not done():
            assert time.monotonic() < end
            self.turn()
            count += 1
        return count


@pytest.fixture
def clients(server: Server) -> Iterator[Clients]:
    with ExitStack() as stack:
        yield Clients(server, stack)


def test_a_round_sends_little_while_several_download(clients: Clients) -> None:
    clients.download(8)
    assert max(clients.turn() for _round in range(100)) <= TURN


@pytest.mark.parametrize(("count", "others"), [(8, 0), (2, 20), (4, 60)])
def test_all_downloads_come_at_the_same_rate(clients: Clients, count: int, others: int) -> None:
    resting = [clients.connect() for _number in range(others)]
    clients.download(count)
    before = list(clients.received)
    for _round in range(160):
        clients.turn()
    gained = [now - then for now, then in zip(clients.received, before, strict=True)]
    assert min(gained) >= 0.8 * max(gained) > 0
    assert len(resting) == others


def test_one_download_alone_is_sent_in_large_pieces(clients: Clients) -> None:
    clients.download(1)
    assert max(clients.turn() for _round in range(20)) > 2 * TURN


def test_who_stops_taking_keeps_nobody_waiting(clients: Clients) -> None:
    stuck = [clients.ask(b"/large") for _number in range(3)]
    clients.download(2)
    for _round in range(200):  # until nothing more goes to those that are stuck
        clients.turn()
    before = list(clients.received)
    begin = time.monotonic()
    for _round in range(20):
        clients.turn(timeout=PATIENCE)
    assert time.monotonic() - begin < PATIENCE
    assert all(now > then for now, then in zip(clients.received, before, strict=True))
    assert all(connection.fileno() > 0 for connection in stuck)


def test_who_leaves_in_the_middle_leaves_the_turn_to_others(clients: Clients) -> None:
    leaving = [clients.ask(b"/large") for _number in range(4)]
    clients.download(2)
    for connection in leaving:
        connection.close()
    clients.turn_until(lambda: len(clients.server.waitress.active_channels) == 2)
    before = list(clients.received)
    for _round in range(10):
        clients.turn()
    assert all(now > then for now, then in zip(clients.received, before, strict=True))


def test_every_download_is_complete(clients: Clients) -> None:
    clients.download(3)
    clients.turn_until(lambda: min(clients.received) >= SIZE)
    assert len(set(clients.received)) == 1


def test_with_many_connections_more_is_sent_in_a_round(clients: Clients) -> None:
    """Looking at all of them takes as long as sending something."""
    resting = [clients.connect() for _number in range(60)]
    clients.download(8)
    sent = sorted(clients.turn() for _round in range(50))
    assert TURN < sent[len(sent) // 2] <= 8 * TURN
    assert len(resting) == 60


def test_a_request_is_heard_after_one_round(clients: Clients) -> None:
    clients.download(8)
    small = clients.connect()
    clients.turn()
    small.send(head(b"GET /small HTTP/1.1"))
    before = sum(clients.received)

    def heard() -> bool:
        channels = clients.server.waitress.active_channels.values()
        return any(channel.requests for channel in channels) or _arrived(small)

    clients.turn_until(heard)
    assert sum(clients.received) - before <= 3 * TURN


def _arrived(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
