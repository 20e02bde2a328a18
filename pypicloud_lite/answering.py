"""How an answer is sent: the head made once, and in one piece with a small body.

What the application says will last is sent again without asking it, by the main loop itself.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import lru_cache
from threading import get_ident
from typing import Any

from waitress.channel import ClientDisconnected
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.utilities import build_http_date

from pypicloud_lite.repeating import LASTS, MAX_BODY, Answer, Answers
from pypicloud_lite.sending import Channel, SentFile

#: How many heads are kept, of about half a kilobyte each; then all are dropped.
_KEPT = 1024
#: Between two warnings of the same kind, in seconds.
_PAUSE = 60.0
#: What waitress makes of status and headers: before and after the value of Date.
_heads: dict[tuple[object, ...], tuple[bytes, bytes]] = {}


class Task(WSGITask):
    """Writes the same head for the same answer without making it again, and sends a whole small
    answer at once.

    It also keeps connections open after answers that have no body (RFC 9112, section 6.3), which
    waitress closes since they have no length: clients that revalidate send one after the other.
    """

    close_on_finish: bool
    wrote_header: bool
    content_length: int | None
    response_headers: list[tuple[str, str]]

    #: The head before and after its date, if another answer may have the same.
    _head: tuple[bytes, bytes] | None = None

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment (PEP 3333)."""
        environ: dict[str, Any] = super().get_environment()
        environ["wsgi.file_wrapper"] = SentFile
        answers, key = self.channel.answers, self.request.key
        if key is not None and LASTS not in environ and answers.is_worth_keeping(key):
            environ[LASTS] = None
        return environ

    def write(self, data: bytes) -> None:
        """Send some of the body, the head before it."""
        whole = not data or (len(data) == self.content_length and self.has_body)
        if self.wrote_header or not self.complete or not whole or len(data) > MAX_BODY:
            super().write(data)
            return
        head = self.build_response_header()
        self._keep(data)
        self.channel.send_whole(head, data)
        self.wrote_header = True
        self.content_bytes_written = len(data)

    def _keep(self, body: bytes) -> None:
        """Keep the answer with this body, if it is a whole one and lasts."""
        answers, key, lasts = self.channel.answers, self.request.key, self.environ.get(LASTS)
        if answers is None or key is None or lasts is None or self._head is None:
            return
        if b"\r\nSet-Cookie: " in b"".join(self._head):
            return  # that is for one client
        wanted = self.content_length if self.has_body and self.request.command == "GET" else 0
        if len(body) == wanted:
            answers.keep(key, Answer(*self._head, body, lasts))

    def build_response_header(self) -> bytes:
        """The status line and all headers."""
        wish = self.request.headers.get("CONNECTION", "").lower()
        if self.version != "1.1" or wish not in ("", "keep-alive") or self.close_on_finish:
            return super().build_response_header()
        ident = self.channel.server.adj.ident
        key = (ident, self.status, self.content_length, *self.response_headers)
        date = _date(int(self.start_time))
        head = self._head = _heads.get(key)
        if head is not None:
            return head[0] + date + head[1]
        made: bytes = super().build_response_header()
        if not self.has_body:
            self.close_on_finish = False
            made = made.replace(b"\r\nConnection: close\r\n", b"\r\n", 1)
        before, found, after = made.partition(date)
        if found and not self.close_on_finish and not self.chunked_response:
            if len(_heads) >= _KEPT:
                _heads.clear()
            self._head = _heads[key] = before, after
        return made


class RepeatingChannel(Channel):
    """A connection that gives again what still holds, before a thread hears of the request."""

    #: ``None``: nothing is kept.
    answers: Answers | None = None
    requests: list[Any]

    def received(self, data: bytes) -> bool:
        """Take what arrived: a request that came before and whose answer holds, or what waitress
        makes requests of.
        """
        with self.requests_lock:
            if self.answers is not None and self._is_at_rest():
                answer = self.answers.find_by_head(data, self._peer())
                if answer is not None:
                    self._give(answer)
                    return True
        taken: bool = super().received(data)
        return taken

    def _is_at_rest(self) -> bool:
        """Whether nothing was asked that isn't answered, so that whatever comes is a new request,
        and nothing else may write.
        """
        return self.request is None and not (
            self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed
        )

    def _peer(self) -> str:
        """Who sends, where X-Forwarded-Host and others are believed from some addresses only."""
        return f"{self.addr[0]}\n" if self.adj.trusted_proxy else ""

    def _give(self, answer: Answer) -> None:
        date = _date(int(time.time()))
        with suppress(ClientDisconnected):
            self.send_whole(answer.before + date + answer.after, answer.body)
        if self.current_outbuf_count:
            # As after a task: a buffer that is used again keeps what was sent long ago.
            self.current_outbuf_count = self.adj.outbuf_high_watermark

    def repeat(self) -> bool:
        """Answer the only request that there is, if its answer is known.

        Called with the lock of the requests, when nothing else may write.
        """
        request = self.requests[0]
        if self.answers is None or len(self.requests) > 1 or self.total_outbufs_len:
            return False
        if request.error is not None or request.body_rcv is not None:
            return False
        if self.request not in (None, request):
            return False  # the next one may wait for its 100, which waitress sends after a task
        peer = self._peer()
        key = request.key = self.answers.key(request, peer)
        answer = None if key is None else self.answers.find(key)
        if key is None or answer is None:
            return False
        if request.head:
            self.answers.learn(request.head, peer, key)
        self._give(answer)
        self.requests.pop()
        return True


class _Seldom:
    """A logger of warnings that come with each request, of which one in a while is enough."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)
        self._next = 0.0

    def warning(self, message: str, *values: object) -> None:
        """Log it, or not."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            self._log.warning(message, *values)


class Dispatcher(ThreadedTaskDispatcher):
    """Gives to threads what connections can't answer for themselves."""

    def __init__(self) -> None:
        super().__init__()
        # waitress has a line for each request that finds all threads busy, written by who holds
        # the lock that all of them wait for.
        self.queue_logger = _Seldom("waitress.queue")
        #: The main loop's thread, and what it has for others.
        self._main_loop = 0
        self._held: list[RepeatingChannel] = []

    def add_task(self, task: RepeatingChannel) -> None:
        """Take a connection that has a request."""
        if task.repeat():
            return
        if get_ident() == self._main_loop:
            self._held.append(task)
        else:
            super().add_task(task)

    def hand_over(self) -> None:
        """Let threads begin with what the main loop received; called when it is about to wait.

        A thread that was woken before would wait for the interpreter until then, and be woken
        twice.
        """
        self._main_loop = get_ident()
        held, self._held = self._held, []
        for task in held:
            super().add_task(task)


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return b"\r\nDate: " + build_http_date(second).encode("ascii") + b"\r\n"
