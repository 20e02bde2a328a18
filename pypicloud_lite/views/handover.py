"""Letting the web server in front send a file, which then costs no Python per byte."""

from __future__ import annotations

import os
from urllib.parse import quote

from pyramid.response import Response

from pypicloud_lite.model import DistributionFile
from pypicloud_lite.settings.kinds import X_SENDFILE
from pypicloud_lite.storage.base import LocalFile, Storage


def handed_over(
    how: str, headers: list[tuple[str, str]], storage: Storage, file: DistributionFile
) -> Response:
    """An answer without the bytes, which the web server puts in, whole or in ranges.

    Args:
        how: as in ``pypi.proxy_sends_files``.
        headers: what is said of the file.
    """
    location = storage.locate(file)
    assert isinstance(location, LocalFile)
    assert storage.folder is not None
    if how == X_SENDFILE:
        place = ("X-Sendfile", _quoted(location.path))
    else:
        place = ("X-Accel-Redirect", how + _quoted(location.path.relative_to(storage.folder)))
    # Whether there are ranges is for the one to say who makes them.
    about = [(name, value) for name, value in headers if name != "Accept-Ranges"]
    about += [("Content-Type", "application/octet-stream"), ("Content-Length", "0"), place]
    return Response(status=200, headerlist=about, app_iter=[])


def _quoted(path: os.PathLike[str]) -> str:
    """Percent-encoded, but for what names of distributions hold: not every Apache decodes it."""
    return quote(os.fsencode(path), safe="/+!")
