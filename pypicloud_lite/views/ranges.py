"""Byte ranges (RFC 9110, section 14.2)."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"\Abytes=\s*(\d{0,19})-(\d{0,19})\s*\Z", re.ASCII)


class Unsatisfiable(Exception):
    """The range lies behind the end: 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open interval of bytes that a Range header asks for.

    ``None`` means everything: no header, several ranges (which we may ignore), or nonsense.

    Raises:
        Unsatisfiable: a well-formed range without a single byte of the file.
    """
    match = _ONE_RANGE.match(header) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), (int(last) + 1 if last else size)
        if last and stop <= start:
            return None
        if start >= size:
            raise Unsatisfiable
        return start, min(stop, size)
    if not last:
        return None
    if int(last) == 0 or size == 0:
        raise Unsatisfiable
    return max(0, size - int(last)), size
