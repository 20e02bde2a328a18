"""An HTTP proxy in front of a real S3 server that fails on demand.

Requests go on as they came, with their ``Host``: a server that verifies signatures finds them
valid. A rule says which requests fail, how, and how often::

    with FaultProxy(server.url) as proxy:
        rule = proxy.on(error(503, "SlowDown"), method="PUT", path=r"\\.whl$", times=1)
        ...
        assert rule.hits == 1
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

#: Not for the next hop; and ``Expect`` was answered here already. None of them is signed.
_HOP_BY_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding"})
#: The longest that anything waits here: only a test that fails gets near it.
_LONG = 60.0


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    #: Send so many bytes of the body only, and end the connection.
    cut: int | None = None
    #: After the bytes of ``cut`` wait for this, and then send the rest.
    pause: threading.Event | None = None


@dataclass
class Rule:
    """Requests that match get ``action``, the first ``times`` of them or all."""

    action: Action
    method: str
    path: re.Pattern[str]
    query: re.Pattern[str]
    times: int | None
    hits: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def fits(self, seen: Seen) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and re.fullmatch(self.method, seen.method) is not None
            and self.path.search(seen.path) is not None
            and self.query.search(seen.query) is not None
        )


@dataclass(frozen=True)
class Exchange:
    """One request under a rule."""

    seen: Seen
    rule: Rule
    forward: Callable[[], Answer]


#: What to do about a request: its answer, or ``None`` to reset the connection.
Action = Callable[[Exchange], Answer | None]


def error(status: int, code: str, *, after: bool = False) -> Action:
    """An error document of S3's; with ``after``, although the request took effect."""

    def act(exchange: Exchange) -> Answer:
        if after:
            exchange.forward()
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>Injected.</Message></Error>"
        ).encode()
        return Answer(status, [("Content-Type", "application/xml")], body)

    return act


def reset(*, after: bool = False) -> Action:
    """No answer but a reset connection; with ``after``, although the request took effect."""

    def act(exchange: Exchange) -> None:
        if after:
            exchange.forward()

    return act


def stall(*, after: bool = False) -> Action:
    """No answer while the rule is in force; with ``after``, although the request took effect."""

    def act(exchange: Exchange) -> None:
        if after:
            exchange.forward()
        exchange.rule.ended.wait(_LONG)

    return act


def broken_off(keep: int) -> Action:
    """The first ``keep`` bytes of the body, with the length of all; then the connection ends."""

    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        return Answer(answer.status, answer.headers, answer.body, cut=keep)

    return act


def stall_within(keep: int) -> Action:
    """The first ``keep`` bytes of the body, and the rest when the rule is no longer in force."""

    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        ended = exchange.rule.ended
        return Answer(answer.status, answer.headers, answer.body, cut=keep, pause=ended)

    return act


def short(keep: int) -> Action:
    """The first ``keep`` bytes of the body as if they were all."""

    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        headers = [item for item in answer.headers if item[0].lower() != "content-length"]
        return Answer(answer.status, headers, answer.body[:keep])

    return act


def calling(function: Callable[[], Any], *, after: bool = False) -> Action:
    """Call the function and answer nothing; with ``after``, between the effect and its answer."""

    def act(exchange: Exchange) -> Answer | None:
        answer = exchange.forward() if after else None
        function()
        return answer

    return act


class FaultProxy:
    """The proxy on an ephemeral port of loopback; a context manager.

    Args:
        target: the URL of the S3 server.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target).netloc
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._open: set[socket.socket] = set()
        self._server: _Server | None = None
        self._port = 0
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.clear()
        self._stop()

    def on(
        self,
        action: Action,
        *,
        method: str = ".*",
        path: str = "",
        query: str = "",
        times: int | None = None,
    ) -> Rule:
        """From now on do this.

        Args:
            method, path, query: regular expressions; the method's must match wholly. The path
                has no percent encoding, the query has.
            times: how often; else until :meth:`clear`.
        """
        rule = Rule(action, method, re.compile(path), re.compile(query), times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """The S3 server works again."""
        with self._lock:
            ended, self._rules = self._rules, []
        for rule in ended:
            rule.ended.set()

    def count(self, method: str, path: str = "", query: str = "") -> int:
        """How many requests of this kind arrived."""
        with self._lock:
            seen = list(self.seen)
        anything = Rule(reset(), method, re.compile(path), re.compile(query), None)
        return sum(anything.fits(request) for request in seen)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Connections are refused, and those that were open are closed."""
        self._stop()
        with socket.socket() as placeholder:  # nobody else shall get the port meanwhile
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            placeholder.bind(("127.0.0.1", self._port))
            yield
            self._start()

    def _start(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.proxy = self
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already

    # -- for the handler -------------------------------------------------------------------

    def arrived(self, seen: Seen) -> Rule | None:
        """Note a request; the rule for it, if any."""
        with self._lock:
            self.seen.append(seen)
            rule = next((rule for rule in self._rules if rule.fits(seen)), None)
            if rule is not None:
                rule.hits += 1
            return rule

    def opened(self, connection: socket.socket) -> None:
        """Note a connection."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)

    def forward(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        """Send a request to the S3 server as it came."""
        connection = http.client.HTTPConnection(self._target, timeout=_LONG)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            kept = [item for item in response.getheaders() if item[0].lower() not in _HOP_BY_HOP]
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    """Closes without a farewell, so that a connection can be reset."""

    proxy: FaultProxy
    request_queue_size = 128

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed or lose patience are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.proxy.opened(self.connection)

    def finish(self) -> None:
        self.server.proxy.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        """Quiet."""

    def _serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            self.send_error(501, "The proxy takes no chunked bodies")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        proxy = self.server.proxy
        seen = Seen(self.command, unquote(path), query, dict(self.headers))
        rule = proxy.arrived(seen)

        def forward() -> Answer:
            return proxy.forward(self.command, self.path, self.headers, body)

        answer = rule.action(Exchange(seen, rule, forward)) if rule is not None else forward()
        if answer is None:
            self._reset()
        else:
            self._answer(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        names = set()
        for name, value in answer.headers:
            self.send_header(name, value)
            names.add(name.lower())
        has_body = self.command != "HEAD" and answer.status not in (204, 304)
        if has_body and "content-length" not in names:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if has_body:
            self.wfile.write(answer.body[: answer.cut])
        if answer.pause is not None:
            answer.pause.wait(_LONG)
            self.wfile.write(answer.body[answer.cut :])
        elif answer.cut is not None:
            self.close_connection = True

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # closing resets
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
