"""Which answers hold until something changes: those of views that say so.

``@view_config(..., lasting=1.0)`` says for how many seconds an answer holds, as long as the index
stays as it is and the caller's credentials are good. It may depend on these, on the settings and
on the request's head, and on nothing else. The server gives it again by itself then, see
:mod:`pypicloud_lite.repeating`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response

from pypicloud_lite.catalog import Catalog
from pypicloud_lite.repeating import LASTS
from pypicloud_lite.views.request import Request

#: For pages: as long as nothing changes.
UNCHANGED = math.inf
#: For files: others may change the disk, and a URL is signed for some time.
MOMENT = 1.0

View = Callable[[Any, Request], Response]


@dataclass(frozen=True, slots=True)
class _Lasting:
    catalog: Catalog
    #: What the catalog was when the answer was begun.
    moment: Hashable
    #: In seconds of the monotonic clock.
    end: float

    def __call__(self) -> bool:
        """Whether the same answer would be made now."""
        return time.monotonic() < self.end and self.catalog.moment() == self.moment


def includeme(config: Configurator) -> None:
    """Let views say so, where nothing that we don't know of looks at every request."""
    settings = config.registry.settings
    others = settings.get("pyramid.includes") or settings.get("pyramid.tweens")
    config.add_view_deriver(_kept_as_they_are if others else _lasting)


def _lasting(view: View, info: Any) -> View:
    seconds: float | None = info.options.get("lasting")
    if seconds is None:
        return view

    def begun(context: Any, request: Request) -> Response:
        # Before anything is read: what changes meanwhile makes another moment.
        catalog = request.services.catalog
        moment = catalog.moment()
        response = view(context, request)
        if moment is not None:
            lasts = min(seconds, _seconds_of_caller(request))
            if lasts > 0:
                request.environ[LASTS] = _Lasting(catalog, moment, time.monotonic() + lasts)
        return response

    return begun


def _kept_as_they_are(view: View, info: Any) -> View:
    return view


# Pyramid reads the names of the options off the function.
_lasting.options = _kept_as_they_are.options = ("lasting",)  # type: ignore[attr-defined]


def _seconds_of_caller(request: Request) -> float:
    """For how long the credentials are good; 0 for those that are looked at each time."""
    services, environ = request.services, request.environ
    header = environ.get("HTTP_AUTHORIZATION")
    if header is None and services.sessions is not None and "HTTP_COOKIE" in environ:
        return 0.0
    return services.authenticator.seconds_left(header)
