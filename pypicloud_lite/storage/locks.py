"""Locks on names, shared by the threads and processes of a host."""

from __future__ import annotations

import fcntl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SLOTS = 64


class NameLocks:
    """One lock for each name (a few names share one), reentrant in a thread.

    Args:
        folder: where the lock files lie; it must be there.
        suffix: of their names.
    """

    def __init__(self, folder: Path, suffix: str = ".lock") -> None:
        self._folder = folder
        self._suffix = suffix
        self._held = threading.local()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock on ``name``.

        Raises:
            OSError: the lock file can't be made.
        """
        slot = zlib.crc32(name.encode(errors="surrogateescape")) % _SLOTS
        held: set[int] = self._held.__dict__.setdefault("slots", set())
        if slot in held:
            yield
            return
        with (self._folder / f"{slot:02d}{self._suffix}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held.add(slot)
            try:
                yield
            finally:
                held.discard(slot)
                # Closing is not enough: the child of a fork may have the file open, too.
                fcntl.flock(lock, fcntl.LOCK_UN)
