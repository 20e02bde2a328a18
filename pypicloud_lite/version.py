"""The version of this distribution, which ``setup.py`` alone states."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The installed version."""
    return metadata.version("pypicloud-lite")
