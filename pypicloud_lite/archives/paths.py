"""Which paths a member of an archive may have, whoever unpacks it and wherever."""

from __future__ import annotations

import re

from pypicloud_lite.errors import InvalidArchive

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_DRIVE = re.compile(r"\A[A-Za-z]:")
#: Longest name that common filesystems have, in bytes; and what has no more, in characters.
_MAX_PART = 255
_SHORT = _MAX_PART // 4


def shown(path: str) -> str:
    """A path for a sentence: escaped and short."""
    return ascii(path[:200])[:200]


def check_path(path: str, longest: int) -> None:
    """Refuse a path that isn't plainly below the folder it is unpacked into.

    Args:
        path: with ``/`` between its parts, and none at its end.
        longest: in characters.

    Raises:
        InvalidArchive: absolute, with ``..`` or an empty part, a drive or a backslash, control
            characters, or too long.
    """
    if len(path) > longest:
        raise InvalidArchive(f"the path of the member {shown(path)} is longer than {longest}")
    parts = path.split("/")
    if (
        not {"", ".", ".."}.isdisjoint(parts)
        or "\\" in path
        or _DRIVE.match(path)
        or _CONTROL.search(path)
        or (len(path) > _SHORT and any(len(part.encode()) > _MAX_PART for part in parts))
    ):
        raise InvalidArchive(f"it has a member with the unsafe path {shown(path)}")
