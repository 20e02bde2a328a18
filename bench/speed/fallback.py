"""A load generator in Python, for where there is no wrk: sockets in a few processes."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

#: Stands for the number of the request.
NUMBER = "<number>"
_PROCESSES = 2
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Work:
    """Requests that are sent in turn; each is answered by so many bytes, with this beginning.

    Attributes:
        closes: whether the server ends the connection with each answer.
    """

    port: int
    requests: Sequence[bytes]
    begin: bytes
    size: int
    closes: bool


@dataclass(frozen=True)
class Done:
    """The seconds that it went on, those of each answer, and how many answers were wrong."""

    seconds: float
    times: list[float]
    wrong: int


def ask_in_processes(work: Work, connections: int, seconds: int) -> list[Done]:
    """Ask as fast as answers come, until the time is up or an answer is wrong."""
    shares = [len(range(first, connections, _PROCESSES)) for first in range(_PROCESSES)]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        jobs = [pool.submit(_ask, work, share, seconds) for share in shares if share]
        return [job.result() for job in jobs]


def _ask(work: Work, connections: int, seconds: int) -> Done:
    clients = [_Client(work) for _ in range(connections)]
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        for number, client in enumerate(clients):
            selector.register(client.connection, selectors.EVENT_READ, client)
            client.send(number)
        turn = len(clients)
        wrong = False
        while not wrong and time.perf_counter() < start + seconds:
            for key, _events in selector.select(1):
                client = key.data
                wrong = not client.receive()
                if wrong:
                    break
                if client.length < work.size:
                    continue
                times.append(time.perf_counter() - client.since)
                if work.closes:
                    selector.unregister(client.connection)
                    client.connect()
                    selector.register(client.connection, selectors.EVENT_READ, client)
                client.send(turn)
                turn += 1
        taken = time.perf_counter() - start
    for client in clients:
        client.connection.close()
    return Done(taken, times, int(wrong))


class _Client:
    """One connection, and the answer that is under way."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.connection = self._connected()
        self.since = 0.0
        self.length = 0

    def connect(self) -> None:
        self.connection.close()
        self.connection = self._connected()

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._work.port), 60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def send(self, turn: int) -> None:
        self.since, self.length = time.perf_counter(), 0
        request = self._work.requests[turn % len(self._work.requests)]
        self.connection.sendall(request.replace(NUMBER.encode(), b"%d" % turn))

    def receive(self) -> bool:
        """Take what is there; whether it can be a part of the right answer."""
        piece = self.connection.recv(_BUFFER)
        right = bool(self.length) or piece.startswith(self._work.begin)
        self.length += len(piece)
        return right and bool(piece) and self.length <= self._work.size
