"""Letting the web server in front send a file, which then costs no Python per byte."""

from __future__ import annotations

import os
from urllib.parse import quote

from pyramid.response import Response

from pypicloud_lite.settings.kinds import X_SENDFILE
from pypicloud_lite.storage.base import LocalFile
from pypicloud_lite.views.responses import Exact


def handed_over(how: str, headers: list[tuple[str, str]], location: LocalFile) -> Response:
    """An answer without the bytes, which the web server puts in, whole or in ranges.

    Args:
        how: as in ``pypi.proxy_sends_files``.
        headers: what is said of the file.
    """
    if how == X_SENDFILE:
        place = ("X-Sendfile", _quoted(str(location.path)))
    else:
        place = ("X-Accel-Redirect", how + _quoted(location.key))
    # Whether there are ranges is for the one to say who makes them.
    about = [(name, value) for name, value in headers if name != "Accept-Ranges"]
    about += [("Content-Type", "application/octet-stream"), ("Content-Length", "0"), place]
    return Exact(status="200 OK", headerlist=about, app_iter=[])


def _quoted(path: str) -> str:
    """Percent-encoded, but for what names of distributions hold: not every Apache decodes it."""
    return quote(os.fsencode(path), safe="/+!")
