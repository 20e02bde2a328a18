"""Answers that are given again without asking the application: which, to whom, and for how long."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from pypicloud_lite import serving
from pypicloud_lite.repeating import LASTS, MAX_BODY, Answer, Answers
from tests.support.raw import body, connect, head, read, send, status, statuses
from tests.support.serving import Served

DATE = re.compile(rb"Date: [^\r]+\r\n")
GET = b"GET /thing HTTP/1.1"
LAST = head(GET, b"Connection: close")


class Thing:
    """An application whose answers last as long as one says."""

    def __init__(self) -> None:
        self.content = b"the answer"
        self.lasts = True
        self.status = "200 OK"
        self.headers: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        if LASTS in environ:
            environ[LASTS] = lambda: self.lasts
        headers = [("Content-Length", str(len(self.content))), *self.headers]
        start_response(self.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.content]


@pytest.fixture
def thing() -> Thing:
    return Thing()


@pytest.fixture
def server(thing: Thing) -> Iterator[Served]:
    with Served(thing) as running:
        yield running


def ask(server: Served, *headers: bytes, line: bytes = GET, content: bytes = b"") -> bytes:
    """One answer, from a connection that goes on and is good for another one afterwards."""
    with closing(connect(server)) as connection:
        connection.sendall(head(line, *headers) + content)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        length = re.search(rb"Content-Length: (\d+)", answer)
        wanted = int(length[1]) if length and not line.startswith(b"HEAD") else 0
        while len(body(answer)) < wanted:
            answer += connection.recv(65536)
        return answer


def test_what_lasts_is_given_again(server: Served, thing: Thing) -> None:
    answers = {DATE.sub(b"", ask(server)) for _turn in range(5)}
    assert server.asked == 1
    (answer,) = answers
    assert body(answer) == b"the answer"


def test_what_comes_once_is_not_kept(thing: Thing) -> None:
    with Served(thing, Answers()) as server:
        found = []
        for _turn in range(5):
            assert body(ask(server)) == b"the answer"
            found.append(server.asked)
    assert found == [1, 2, 2, 2, 2]


def test_a_flood_of_requests_that_differ_takes_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pypicloud_lite.repeating._MAX_KNOWN", 10)
    answers = Answers()
    for number in range(100):
        key = number.to_bytes(2, "big")
        assert not answers.is_worth_keeping(key)
        assert answers.is_worth_keeping(key)
        answers.learn(key, "", key)
    assert len(answers._seen) <= 10
    assert len(answers._keys) <= 10


def test_what_lasts_no_longer_is_asked_for_again(server: Served, thing: Thing) -> None:
    ask(server)
    thing.lasts, thing.content = False, b"another answer"
    assert body(ask(server)) == b"another answer"
    thing.lasts = True
    assert body(ask(server)) == b"another answer"
    assert server.asked == 2


@pytest.mark.parametrize(
    "header",
    [
        b"Accept: text/html",
        b"Accept-Encoding: gzip",
        b"Authorization: Basic eDp5",
        b"Cookie: session=1",
        b"Forwarded: host=other",
        b"If-None-Match: \"x\"",
        b"Range: bytes=0-3",
        b"Sec-Fetch-Site: cross-site",
        b"X-Forwarded-Host: other",
        b"X-Forwarded-Proto: https",
        b"X-Unheard-Of: 1",
    ],
)  # fmt: skip
def test_another_header_is_another_request(server: Served, header: bytes) -> None:
    ask(server)
    ask(server, header)
    assert server.asked == 2
    ask(server, header)
    ask(server)
    assert server.asked == 2


def test_another_host_or_target_is_another_request(server: Served) -> None:
    requests = [
        GET + b"\r\nHost: one",
        GET + b"\r\nHost: two",
        b"GET /thing?a HTTP/1.1\r\nHost: one",
        b"GET http://one/thing HTTP/1.1\r\nHost: one",
        b"HEAD /thing HTTP/1.1\r\nHost: one",
    ]
    for _twice in range(2):
        for request in requests:
            assert send(server, request + b"\r\n\r\n" + LAST)
    assert server.asked == len(requests) + 2 * len(requests)  # the last one ends the connection


@pytest.mark.parametrize(
    "name",
    [
        b"User-Agent", b"X-Request-ID", b"X-Correlation-ID", b"X-Forwarded-For", b"X-Real-IP",
        b"traceparent", b"tracestate", b"X-Amzn-Trace-Id", b"CF-Ray", b"X-B3-TraceId",
        b"X-B3-SpanId", b"X-Cloud-Trace-Context", b"X-Datadog-Trace-Id", b"X-Request-Start",
    ],
)  # fmt: skip
def test_who_asks_and_by_which_way_makes_no_difference(server: Served, name: bytes) -> None:
    ask(server)
    ask(server, name + b": 1")
    ask(server, name + b": 2")
    assert server.asked == 1


@pytest.mark.parametrize(
    ("line", "headers", "content"),
    [
        (b"POST /thing HTTP/1.1", [b"Content-Length: 0"], b""),
        (b"POST /thing HTTP/1.1", [b"Content-Length: 3"], b"abc"),
        (b"DELETE /thing HTTP/1.1", [], b""),
        (b"GET /thing HTTP/1.1", [b"Content-Length: 3"], b"abc"),
        (b"GET /thing HTTP/1.1", [b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
        (b"GET /thing HTTP/1.0", [b"Connection: keep-alive"], b""),
        (b"GET /thing HTTP/1.1", [b"Connection: close"], b""),
    ],
)
def test_only_plain_reading_is_repeated(
    server: Served, line: bytes, headers: list[bytes], content: bytes
) -> None:
    for number in range(1, 4):
        ask(server, *headers, line=line, content=content)
        assert server.asked == number


def test_head_has_the_head_of_get_and_no_body(server: Served) -> None:
    whole = ask(server)
    for _twice in range(2):
        alone = ask(server, line=b"HEAD /thing HTTP/1.1")
        assert DATE.sub(b"", alone) == DATE.sub(b"", whole).removesuffix(b"the answer")
    assert server.asked == 2


def test_a_304_is_repeated_without_a_body(server: Served, thing: Thing) -> None:
    thing.status, thing.content = "304 Not Modified", b""
    ask(server)
    answers = send(server, head(GET) + head(GET) + LAST)
    assert statuses(answers) == [304, 304, 304]
    assert server.asked == 1 + 1  # the last one ends the connection


def test_what_sets_a_cookie_is_for_one_client(server: Served, thing: Thing) -> None:
    thing.headers = [("Set-Cookie", "session=1")]
    ask(server)
    ask(server)
    assert server.asked == 2


@pytest.mark.parametrize(("size", "asked"), [(MAX_BODY, 1), (MAX_BODY + 1, 2)])
def test_large_answers_are_not_kept(server: Served, thing: Thing, size: int, asked: int) -> None:
    thing.content = b"x" * size
    for _twice in range(2):
        assert len(body(ask(server))) == size
    assert server.asked == asked


def test_requests_that_come_together_are_answered_in_their_order(
    server: Served, thing: Thing
) -> None:
    targets = [b"/thing", b"/other", b"/thing", b"/thing", b"/other", b"/new"]

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        thing.content = environ["PATH_INFO"].encode()
        return Thing.__call__(thing, environ, start_response)

    with Served(app) as together:
        for _twice in range(2):
            requests = [head(b"GET " + target + b" HTTP/1.1") for target in targets]
            last = head(b"GET /last HTTP/1.1", b"Connection: close")
            answers = send(together, b"".join(requests) + last)
            found = [part.partition(b"HTTP/1.1 ")[0] for part in answers.split(b"\r\n\r\n")[1:]]
            assert found == [*targets, b"/last"]


def test_an_upload_behind_a_repeated_answer_is_asked_for(server: Served) -> None:
    ask(server)
    upload = head(b"POST /thing HTTP/1.1", b"Content-Length: 3", b"Expect: 100-continue")
    slow = head(b"GET /first HTTP/1.1")
    with closing(connect(server)) as connection:
        connection.sendall(slow + head(GET) + upload)
        answers = b""
        while b"100 Continue" not in answers:
            answers += connection.recv(65536)
        connection.sendall(b"abc" + LAST)
        answers += read(connection)
    assert answers.count(b"HTTP/1.1 100 Continue") == 1
    assert answers.count(b"HTTP/1.1 200 OK") == 4


def test_a_head_that_waits_for_its_100_is_not_taken_for_the_next_one(
    server: Served, thing: Thing
) -> None:
    """waitress then lets another head follow and makes one request of both."""
    waiting = b"GET /open HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n"
    secret = head(b"GET /secret HTTP/1.1", b"Authorization: Basic eDp5")

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        thing.content = environ["PATH_INFO"].encode()
        return Thing.__call__(thing, environ, start_response)

    with Served(app) as mixed:
        for _thrice in range(3):
            with closing(connect(mixed)) as connection:
                connection.sendall(waiting)
                assert b"100 Continue" in connection.recv(65536)
                connection.sendall(secret + LAST)
                read(connection)
        with closing(connect(mixed)) as connection:
            connection.sendall(waiting)
            assert b"/secret" not in connection.recv(65536)


def test_what_was_sent_is_not_kept(server: Served, thing: Thing) -> None:
    """A connection that is kept would otherwise hold all that it could not send at once."""
    thing.content = b"x" * (MAX_BODY - 1000)
    ask(server)
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        for turn in range(12):
            if turn:
                server.narrow()
            connection.sendall(head(GET))
            left = MAX_BODY - 1000
            while left > 0:
                left -= len(connection.recv(1 << 20))
        assert server.held() < 3 * MAX_BODY
    assert server.asked == 1


def test_a_slow_client_gets_every_byte(server: Served, thing: Thing) -> None:
    thing.content = bytes(range(256)) * (MAX_BODY >> 8)
    ask(server)
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(head(GET) * 2 + LAST)
        # Meanwhile others are served.
        assert len(body(ask(server))) == MAX_BODY
        answers = b""
        while piece := connection.recv(16384):
            answers += piece
    assert answers.count(thing.content) == 3
    assert server.asked == 2  # and the last of the slow client's


def test_who_leaves_in_the_middle_harms_nobody(
    server: Served, thing: Thing, caplog: pytest.LogCaptureFixture
) -> None:
    thing.content = b"x" * MAX_BODY
    ask(server)
    for _turn in range(20):
        with closing(connect(server)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(head(GET))
            connection.recv(10)
    assert len(body(ask(server))) == MAX_BODY
    assert server.asked == 1
    assert not caplog.records


def test_threads_and_the_main_loop_do_not_mix_their_answers(thing: Thing) -> None:
    """Half of the answers hold, so each connection gets some from a thread and some repeated."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        content = environ["PATH_INFO"].encode() * 500
        if not environ["PATH_INFO"].endswith("1"):
            environ[LASTS] = lambda: True
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return [content]

    wrong: list[bytes] = []

    def client(port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        with closing(connection):
            for turn in range(300):
                path = f"/{turn % 7}"
                connection.request("GET", path)
                content = connection.getresponse().read()
                if content != path.encode() * 500:
                    wrong.append(content)

    with Served(app, threads="4") as server:
        clients = [threading.Thread(target=client, args=(server.port,)) for _ in range(8)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        assert not wrong
        assert 8 * 300 // 7 <= server.asked < 8 * 300 // 2


def test_a_proxy_is_believed_only_where_it_stands(thing: Thing) -> None:
    """What one peer may say in a header, another one may not."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        thing.content = environ["HTTP_HOST"].encode()
        return Thing.__call__(thing, environ, start_response)

    settings = {
        "trusted_proxy": "127.0.0.2",
        "trusted_proxy_headers": "x-forwarded-host",
        "clear_untrusted_proxy_headers": "true",
    }
    with Served(app, **settings) as server:
        for _twice in range(2):
            for address, host in (("127.0.0.2", b"public.example"), ("127.0.0.3", b"localhost")):
                with closing(socket.socket()) as connection:
                    connection.bind((address, 0))
                    connection.connect(("127.0.0.1", server.port))
                    forwarded = b"X-Forwarded-Host: public.example"
                    connection.sendall(head(GET, forwarded) + LAST)
                    first = read(connection).partition(b"HTTP/1.1 200")[2]
                    assert body(first).startswith(host)


def test_a_filter_in_front_sees_each_request(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    given: list[Answers | None] = []

    def make_server(_app: Any, _settings: Any, answers: Answers | None) -> Any:
        given.append(answers)
        raise InterruptedError

    monkeypatch.setattr(serving, "Server", make_server)
    for app in (client.app, Thing()):
        with pytest.raises(InterruptedError):
            serving.serve_paste(app, {})
    assert isinstance(given[0], Answers)
    assert given[1] is None


def test_answers_take_no_more_memory_than_they_may() -> None:
    answers = Answers(limit=100_000)
    known = [answer(b"x" * 10_000) for _number in range(50)]
    for number, one in enumerate(known):
        answers.keep(bytes([number]), one)
        kept = [n for n in range(50) if answers.find(bytes([n])) is not None]
        assert number in kept
        assert len(kept) <= 10


def test_an_answer_in_place_of_another_takes_its_memory() -> None:
    answers = Answers(limit=100_000)
    answers.keep(b"first", answer(b""))
    for _turn in range(100):
        answers.keep(b"one", answer(b"x" * 10_000))
    assert answers.find(b"first") is not None


def answer(content: bytes, lasts: Callable[[], bool] = lambda: True) -> Answer:
    return Answer(b"", b"", content, lasts)


def test_that_all_threads_are_busy_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """waitress says so with each request, which makes a busy server slower still."""
    free = threading.Event()

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        free.wait(30)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    caplog.set_level(logging.INFO, "waitress")
    with Served(app) as server, closing(connect(server)) as last:
        waiting = [connect(server) for _number in range(10)]
        for connection in waiting:
            connection.sendall(LAST)
        end = time.monotonic() + 10
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)
        free.set()
        for connection in waiting:
            with closing(connection):
                assert status(read(connection)) == 200
        last.sendall(LAST)
        assert status(read(last)) == 200
    assert len(caplog.records) == 1
