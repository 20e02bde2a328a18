"""Doing the same with many files at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: How many items are taken from the source at a time.
_BATCH = 1000


class Workers:
    """Threads, as many as the storage likes; none where it likes one. A context manager."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "describe") if count > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results in the order of the items; raises the first error."""
        if self._pool is None:
            return map(function, items)
        return self._in_batches(self._pool, function, iter(items))

    @staticmethod
    def _in_batches(
        pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterator[T]
    ) -> Iterator[R]:
        while batch := list(islice(items, _BATCH)):
            yield from pool.map(function, batch)
