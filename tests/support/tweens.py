"""What others put around our views: it does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def includeme(_config: Any) -> None:
    """Nothing is included."""


def tween(handler: Callable[[Any], Any], _registry: Any) -> Callable[[Any], Any]:
    return handler
