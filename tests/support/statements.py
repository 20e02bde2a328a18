"""Seeing the SQL statements of an index."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pypicloud_lite.index.database import STATEMENTS


class _Listener(logging.Handler):
    def __init__(self, on_statement: Callable[[str], None]) -> None:
        super().__init__()
        self._on_statement = on_statement

    def handle(self, record: logging.LogRecord) -> bool:
        self._on_statement(record.getMessage())
        return True


@contextmanager
def statements(on_statement: Callable[[str], None]) -> Iterator[None]:
    """Call it with each statement, in the thread that is about to execute it."""
    listener, level = _Listener(on_statement), STATEMENTS.level
    STATEMENTS.addHandler(listener)
    STATEMENTS.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        STATEMENTS.setLevel(level)
        STATEMENTS.removeHandler(listener)
