"""Values out of the bytes of a fuzzer; zeros where there are no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def bytes(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        self._at += len(taken)
        return taken

    def number(self, length: int = 1) -> int:
        return int.from_bytes(self.bytes(length), "little")

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.number() % len(choices)]

    def text(self) -> bytes:
        """Up to 255 bytes, which have their length before them."""
        return self.bytes(self.number())
