"""Reading a file here and there, by any number of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import IO

#: Reads bytes of a file: from where, and how many.
ReadAt = Callable[[int, int], bytes]


def reader(file: IO[bytes]) -> ReadAt:
    """What several threads may read the file with, while nobody writes it."""
    try:
        file.flush()
        return partial(_read_at, file.fileno())
    except OSError:
        pass  # it is in memory
    position = threading.Lock()

    def read_at(start: int, size: int) -> bytes:
        with position:
            file.seek(start)
            return file.read(size)

    return read_at


def _read_at(descriptor: int, start: int, size: int) -> bytes:
    return os.pread(descriptor, size, start)
