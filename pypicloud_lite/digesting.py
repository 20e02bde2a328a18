"""Digests of bytes that pass by: of many bytes, each in a thread of its own.

hashlib works without the interpreter's lock, so digests are computed beside each other and beside
reading and writing. Of a few bytes they are computed at once, since handing them over costs more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self

#: From how many bytes on threads are worth their start.
_THREADED = 1 << 20
#: How many chunks may wait for each digest.
_WAITING = 4


class Digest(Protocol):
    """What hashlib's objects have in common."""

    def update(self, data: bytes, /) -> None:
        """Go on with these bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in hex."""
        ...


class Digesting:
    """Brings digests up to date with one stream of bytes.

    A context manager: behind its block, the digests are of all that was given to :meth:`update`,
    and its threads are gone. Memory is bounded by a few of the chunks.

    Args:
        in_threads: false where other threads have enough to do already.
    """

    def __init__(self, digests: Iterable[Digest], *, in_threads: bool = True) -> None:
        self._digests = list(digests)
        self._in_threads = in_threads
        self._lanes: list[_Lane] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for lane in self._lanes:
            lane.close()

    def add(self, digest: Digest) -> None:
        """Compute this one, too; before the first :meth:`update`."""
        self._digests.append(digest)

    def update(self, chunk: bytes) -> None:
        """Go on with these bytes, which nobody may change any more."""
        self._size += len(chunk)
        if self._in_threads and not self._lanes and self._size >= _THREADED:
            self._lanes = _lanes(self._digests)
        for follower in self._lanes or self._digests:
            follower.update(chunk)


def _lanes(digests: Iterable[Digest]) -> list[_Lane]:
    """One for each digest; none where no threads can be had."""
    lanes: list[_Lane] = []
    try:
        for digest in digests:
            lanes += [_Lane(digest)]
    except RuntimeError:
        for lane in lanes:
            lane.close()
        return []
    return lanes


class _Lane:
    """A digest in a thread.

    Raises:
        RuntimeError: no thread can be started.
    """

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._thread = ThreadPoolExecutor(1, "digest")
        self._thread.submit(int)  # starts it
        self._waiting: deque[Future[None]] = deque()

    def update(self, chunk: bytes) -> None:
        if len(self._waiting) == _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._digest.update, chunk))

    def close(self) -> None:
        with self._thread:
            for future in self._waiting:
                future.result()
