"""One connection to a server, whose answers are measured to the byte."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_CHUNK = 1 << 16
_PATIENCE = 600.0


@dataclass(frozen=True)
class Answer:
    """An answer; ``size`` counts all of its bytes, with the head and whatever frames the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    size: int


def request_head(port: int, path: str, headers: Mapping[str, str], method: str = "GET") -> bytes:
    """The head of a request on loopback."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


class Connection:
    """A connection that is kept, and made anew when the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for a path.

        Raises:
            OSError: the server can't be reached, or ended the connection amid its answer.
        """
        return self.send(request_head(self.port, path, headers or {}))

    def send(self, head: bytes, body: bytes = b"") -> Answer:
        """Send a whole request; raises as :meth:`get` does."""
        connection = self._connected()
        connection.sendall(head + body)
        return self.answer()

    def send_file(self, head: bytes, path: Path, tail: bytes) -> Answer:
        """Send a request with a file in its body; raises as :meth:`get` does."""
        connection = self._connected()
        connection.sendall(head)
        with path.open("rb") as file:
            connection.sendfile(file)
        connection.sendall(tail)
        return self.answer()

    def answer(self) -> Answer:
        head, self._rest = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _colon, value in pairs}
        status = int(first.split()[1])
        body, framing = self._body(status, headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body, len(head) + len(body) + framing)

    def _body(self, status: int, headers: Mapping[str, str]) -> tuple[bytes, int]:
        """The body, and the bytes around it."""
        if status in {204, 304}:
            return b"", 0
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"])), 0
        return self._to_the_end(), 0

    def _chunks(self) -> tuple[bytes, int]:
        body, framing = b"", 0
        while True:
            line, self._rest = self._until(b"\r\n")
            chunk = self._exactly(int(line.split(b";")[0], 16) + 2)[:-2]
            body, framing = body + chunk, framing + len(line) + 2
            if not chunk:
                return body, framing

    def _to_the_end(self) -> bytes:
        body, self._rest = self._rest, b""
        while piece := self._received(must=False):
            body += piece
        self.close()
        return body

    def _until(self, end: bytes) -> tuple[bytes, bytes]:
        """What comes up to this end, with it, and what came behind it."""
        got = self._rest
        while end not in got:
            got += self._received()
        cut = got.index(end) + len(end)
        return got[:cut], got[cut:]

    def _exactly(self, size: int) -> bytes:
        pieces, length = [self._rest], len(self._rest)
        while length < size:
            pieces.append(self._received())
            length += len(pieces[-1])
        got = b"".join(pieces)
        self._rest = got[size:]
        return got[:size]

    def _received(self, *, must: bool = True) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(_CHUNK)
        if must and not piece:
            self.close()
            raise ConnectionResetError("the server ended the connection")
        return piece

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), _PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket
