"""What the text of a setting may be: one small parser for each kind of value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TRUE = frozenset({"true", "yes", "on", "1", "t", "y"})
_FALSE = frozenset({"false", "no", "off", "0", "f", "n"})
_UNITS = {"": 1, "k": 2**10, "kb": 2**10, "kib": 2**10, "m": 2**20, "mb": 2**20, "mib": 2**20}
_UNITS |= {"g": 2**30, "gb": 2**30, "gib": 2**30}
#: The value of :data:`handover` that is no location.
X_SENDFILE = "x-sendfile"
_LOCATION = re.compile(r"(/\w[\w.~-]*)+/", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: what to call it in an error, and how to read it.

    ``parse`` raises ``ValueError`` for a text that isn't of this kind.
    """

    label: str
    parse: Callable[[str], Any]
    secret: bool = False


def _boolean(value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(value)


def _url(value: str) -> str:
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(value)
    return value.strip().rstrip("/")


def _size(value: str) -> int:
    text = value.strip().lower()
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    number = int(digits) * _UNITS[text[len(digits) :].strip()]
    if number < 0:
        raise ValueError(value)
    return number


def _printable(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or set(value) & set('"\\'):
        raise ValueError(value)
    return value.strip()


def _key(value: str) -> str:
    text = value.strip()
    if len(text) < 64:  # the block of SHA-512 is not longer
        raise ValueError(value)
    return text


def _path(value: str) -> Path:
    if not value.strip() or "\0" in value:
        raise ValueError(value)
    return Path(value.strip()).expanduser().absolute()


def _handover(value: str) -> str:
    text = value.strip()
    if text != X_SENDFILE and not _LOCATION.fullmatch(text):
        raise ValueError(value)
    return text


text = Kind("text", str.strip)
printable = Kind("printable ASCII text without quotes", _printable)
verbatim = Kind("text", lambda value: value)
secret = Kind("text (secret)", str.strip, secret=True)
key = Kind("text of at least 64 characters (secret)", _key, secret=True)
boolean = Kind("true or false", _boolean)
words = Kind("a list of words separated by spaces or lines", lambda value: tuple(value.split()))
url = Kind("an http:// or https:// URL", _url)
path = Kind("a path", _path)
handover = Kind(f"the path of a location such as /_files/, or {X_SENDFILE}", _handover)
size = Kind("a size in bytes, or with a unit such as 100MiB", _size)


def integer(minimum: int = 0, maximum: int | None = None, unit: str = "") -> Kind:
    """A whole number between the two bounds, both included."""

    def parse(value: str) -> int:
        number = int(value.strip())
        if number < minimum or (maximum is not None and number > maximum):
            raise ValueError(value)
        return number

    bounds = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
    return Kind(f"a whole number{' of ' + unit if unit else ''}, {bounds}", parse)


def choice(*allowed: str) -> Kind:
    """One of the given words."""

    def parse(value: str) -> str:
        if value.strip() not in allowed:
            raise ValueError(value)
        return value.strip()

    return Kind(f"one of {', '.join(allowed)}", parse)


def strictness(*groups: str) -> Kind:
    """``strict`` or ``warn`` for all groups, or for single ones; the groups that only warn."""

    def parse(value: str) -> frozenset[str]:
        warns: set[str] = set()
        for word in value.split():
            names, equals, how = word.rpartition("=")
            chosen = {names} if equals else set(groups)
            if how not in ("strict", "warn") or not chosen <= set(groups):
                raise ValueError(value)
            warns = warns | chosen if how == "warn" else warns - chosen
        return frozenset(warns)

    examples = f"strict, warn, or a list such as strict {groups[0]}=warn"
    return Kind(f"{examples} (of {', '.join(groups)})", parse)
