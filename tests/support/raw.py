"""Requests byte by byte, which no client library would let us send."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from pathlib import Path

from tests.support.credentials import good
from tests.support.server import Listening, Server

WRITER = b"Authorization: " + good("writer").encode()
_STATUS_LINE = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
_CODE = re.compile(r'refused \(([a-z0-9-]+)\)|"code": "([a-z0-9-]+)"')


def connect(server: Listening) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def head(line: bytes, *headers: bytes) -> bytes:
    """A request's head: the first line as given, and what every request has."""
    return b"\r\n".join((line, b"Host: localhost", *headers)) + b"\r\n\r\n"


def read(connection: socket.socket) -> bytes:
    """All that the server sends until it closes the connection."""
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:  # it closed the connection with something of ours unread
        pass
    return answer


def send(server: Listening, *pieces: bytes) -> bytes:
    """Send exactly these bytes, and read until the server closes the connection."""
    with closing(connect(server)) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):  # it has heard enough
            pass
        return read(connection)


def first_status(server: Listening, request: bytes) -> int:
    """The status of the first answer, however long the server then waits for more."""
    with closing(connect(server)) as connection:
        connection.sendall(request)
        answer = b""
        while not (found := statuses(answer)) and (chunk := connection.recv(65536)):
            answer += chunk
        return found[0]


def get(server: Listening, target: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    line = method + b" " + target + b" HTTP/1.1"
    return send(server, head(line, b"Connection: close", *headers))


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in _STATUS_LINE.findall(answer)]


def status(answer: bytes) -> int:
    """The status; there must be one answer and no more."""
    (found,) = statuses(answer)
    return found


def header(answer: bytes, name: str) -> str | None:
    """A header's value in small letters."""
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    found = dict(line.lower().split(": ", 1) for line in lines)
    return found.get(name.lower())


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def reasons(log: str) -> list[str]:
    """The reason codes of what was refused, by the application, its audit log or the server."""
    return [one or other for one, other in _CODE.findall(log)]


class Log:
    """What a server logs from now on."""

    def __init__(self, server: Server) -> None:
        self._path: Path = server.log
        self._start = self._path.stat().st_size

    @property
    def text(self) -> str:
        return self._path.read_bytes()[self._start :].decode()

    @property
    def reasons(self) -> list[str]:
        text = self.text
        assert "Traceback" not in text
        return reasons(text)
