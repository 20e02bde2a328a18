"""How the processes of one host know, without asking their SQLite database, that nothing changed.

A number in a small file beside the database, which every process maps into its memory. Whoever
changes the index writes the new serial there after the commit and before the change is answered.
A serial is written once, so a number that was left never comes back, even when writers publish in
another order than they committed in. Once in a while the database itself is asked, for those who
died in between.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOG = logging.getLogger(__name__)

#: How long a change can stay unseen whose writer died before it was answered, in seconds.
RECHECK = 1.0
_SIZE = 8


class Generation:
    """The number for the database at ``path``.

    Args:
        ask: the serial of the whole index, from the database.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self, path: Path, ask: Callable[[], int], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = path
        # Who removes index.sqlite* must not take it away from those who look at it.
        self._path = path.with_name(f".{path.name}.generation")
        self._ask = ask
        self._now = now
        self._shared: memoryview | None = None
        self._file: tuple[int, int] | None = None
        self._serial = 0
        self._asked = float("-inf")
        self._asking, self._mapping = threading.Lock(), threading.Lock()

    def read(self) -> tuple[int, int]:
        """Another value after every change that was answered.

        Raises:
            IndexUnavailable: the database doesn't answer.
        """
        if self._now() - self._asked > RECHECK and self._asking.acquire(blocking=False):
            try:
                self._look_again()
            finally:
                self._asking.release()
        shared = self._shared
        if shared is None:
            return self._ask(), 0
        return self._serial, shared[0]

    def peek(self) -> tuple[int, int] | None:
        """What :meth:`read` gives, if it need not ask the database for it."""
        shared = self._shared
        if shared is None or self._now() - self._asked > RECHECK:
            return None
        return self._serial, shared[0]

    def publish(self, serial: int) -> None:
        """Tell all processes of a change that was committed."""
        self._map()
        shared = self._shared
        if shared is not None:
            shared[0] = serial

    def _look_again(self) -> None:
        begun = self._now()
        self._map()
        self._serial = self._ask()
        self._asked = begun

    def _map(self) -> None:
        """Map the file that has the name now: another one may have been lost."""
        with self._mapping:
            try:
                if self._file is None or self._file != _identity_of(self._path):
                    self._shared, self._file = _mapped(self._path, self._database)
            except (OSError, ValueError) as exc:
                if self._shared is not None or self._asked < 0:
                    LOG.warning("%s can't be used (%s): pages ask the database", self._path, exc)
                self._shared = self._file = None


def _mapped(path: Path, database: Path) -> tuple[memoryview, tuple[int, int]]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        found = os.fstat(descriptor)
        if found.st_size < _SIZE:
            with suppress(FileNotFoundError):
                _share(descriptor, database.stat())
            os.ftruncate(descriptor, _SIZE)
        return memoryview(mmap.mmap(descriptor, _SIZE)).cast("Q"), _identity(found)
    finally:
        os.close(descriptor)


def _share(descriptor: int, database: os.stat_result) -> None:
    """Let everyone write it who may write the database, whoever makes it; as SQLite does."""
    os.fchmod(descriptor, database.st_mode & 0o777)
    if os.geteuid() == 0:
        os.fchown(descriptor, database.st_uid, database.st_gid)


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path.stat())
    except FileNotFoundError:
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
