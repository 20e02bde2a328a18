"""Answers that hold until something changes, given again without asking the application.

The server asks the application for how long an answer holds, which it says by a function in the
WSGI environment. The server keeps such an answer, and gives it to whoever sends the same request,
for as long as the function says so. The function is asked by the thread that serves all
connections: it never waits.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

#: In the WSGI environment, where the server wants to know it: from the application, a function
#: that says whether the answer is still right; ``None`` as long as it says nothing.
LASTS = "pypicloud_lite.lasts"

Lasts = Callable[[], bool]

#: Larger bodies take so long to send that nothing is gained, in bytes.
MAX_BODY = 1 << 20
#: Bytes in all, and what an answer costs besides its body, roughly. Bodies are mostly those of the
#: application's own memory.
_LIMIT, _OVERHEAD = 1 << 25, 2000
#: How many keys and heads are known, of some hundred bytes each; then all are dropped.
_MAX_KNOWN = 1 << 14
#: What only says who asks, and by which way. No answer that lasts depends on it: the application
#: never reads these, and waitress takes no more than the address of the client from them.
IGNORED = frozenset(
    {
        "CF_RAY",
        "TRACEPARENT",
        "TRACESTATE",
        "USER_AGENT",
        "X_AMZN_TRACE_ID",
        "X_B3_SPANID",
        "X_B3_TRACEID",
        "X_CLOUD_TRACE_CONTEXT",
        "X_CORRELATION_ID",
        "X_DATADOG_PARENT_ID",
        "X_DATADOG_TRACE_ID",
        "X_FORWARDED_FOR",
        "X_REAL_IP",
        "X_REQUEST_ID",
        "X_REQUEST_START",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the head before and after the value of ``Date``, and the body."""

    before: bytes
    after: bytes
    body: bytes
    lasts: Lasts


class Answers:
    """The answers of one server.

    Args:
        limit: bytes in all; then all are dropped, and what is wanted comes back by itself.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._secret = secrets.token_bytes(32)
        self._kept: dict[bytes, Answer] = {}
        #: Keys of requests that came: an answer is kept the second time, since most come once.
        self._seen: set[bytes] = set()
        #: The key of a request by its head, so that the same head is not parsed again.
        self._keys: dict[bytes, bytes] = {}
        self._size = 0
        self._changing = threading.Lock()

    def key(self, request: Any, peer: str) -> bytes | None:
        """What a request is known by, which tells nothing of its credentials.

        ``None`` for a request whose answer is never kept.

        Args:
            request: waitress's, without a body.
            peer: who sent it, as far as that decides which headers are believed.
        """
        if request.command not in ("GET", "HEAD") or request.version != "1.1":
            return None
        if "EXPECT" in request.headers:
            return None  # waitress lets another head follow, and takes both for one
        lines = [request.command, request.request_uri, peer]
        lines += [
            f"{name}:{value}" for name, value in request.headers.items() if name not in IGNORED
        ]
        # No header holds a line feed, so no two requests have the same lines.
        return self._digest("\n".join(lines).encode("utf-8"))

    def learn(self, head: bytes, peer: str, key: bytes) -> None:
        """Know a whole request by all of its bytes."""
        if len(self._keys) >= _MAX_KNOWN:
            self._keys = {}
        self._keys[self._digest(peer.encode() + head)] = key

    def find(self, key: bytes) -> Answer | None:
        """The answer, if it still holds."""
        found = self._kept.get(key)
        return found if found is not None and found.lasts() else None

    def find_by_head(self, head: bytes, peer: str) -> Answer | None:
        """The answer to a request that came with just these bytes before, if it still holds."""
        key = self._keys.get(self._digest(peer.encode() + head))
        return None if key is None else self.find(key)

    def _digest(self, content: bytes) -> bytes:
        return blake2b(content, key=self._secret, digest_size=16).digest()

    def is_worth_keeping(self, key: bytes) -> bool:
        """Whether the same request came before."""
        if key in self._seen:
            return True
        if len(self._seen) >= _MAX_KNOWN:
            self._seen = set()
        self._seen.add(key)
        return False

    def keep(self, key: bytes, answer: Answer) -> None:
        """Keep an answer, in place of the one before it."""
        with self._changing:
            if self._size >= self._limit:
                self._kept, self._size = {}, 0
            self._size += len(answer.body) + _OVERHEAD
            old = self._kept.get(key)
            if old is not None:
                self._size -= len(old.body) + _OVERHEAD
            self._kept[key] = answer
