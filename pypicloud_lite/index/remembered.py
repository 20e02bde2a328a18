"""What the index said, kept until it changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from pypicloud_lite.index.base import Index

T = TypeVar("T")

#: How many answers are kept; then all are dropped, and what is wanted comes back by itself.
LIMIT = 4096


class Remembered:
    """Answers that hold for one generation of the index, for any number of threads.

    Who changes something asks the index itself: a process that is killed between its commit and
    telling of it is noticed here only a moment later.
    """

    def __init__(self, index: Index, limit: int = LIMIT) -> None:
        self._index = index
        self._limit = limit
        self._kept: tuple[Hashable, dict[Hashable, Any]] = (None, {})

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer to the question ``key``.

        Args:
            ask: asks it; what it raises is not kept.

        Raises:
            IndexUnavailable: whether the index changed can't be known.
        """
        generation = self._index.generation()
        kept = self._kept
        if kept[0] != generation:
            kept = self._kept = (generation, {})
        answers: dict[Hashable, T] = kept[1]
        try:
            return answers[key]
        except KeyError:
            pass
        answer = ask()
        if len(answers) >= self._limit:
            answers.clear()
        answers[key] = answer
        return answer
