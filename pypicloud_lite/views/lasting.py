"""Which answers hold until something changes: those of views that say so.

``@view_config(..., lasting=MOMENT)`` says for how long an answer holds, as long as the index stays
as it is and the caller's credentials are good. It may depend on these, on the settings, on the
request's head and on time, and on nothing else. The server gives it again by itself then, see
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


@dataclass(frozen=True, slots=True)
class Hold:
    """For how long an answer holds.

    Attributes:
        seconds: since it was made.
        seen: what it tells of besides the index. Any other answer that tells of the same then
            shows that this one still holds, as if it were made at the same time.
    """

    seconds: float
    seen: Hashable = None


#: For pages: as long as nothing changes.
UNCHANGED = Hold(math.inf)
#: For files: others may change the disk, and a URL is signed for some time.
MOMENT = Hold(1.0)
#: In the WSGI environment: what a view says of the answer that it has made.
HOLD = "pypicloud_lite.hold"

#: How many things are known to be as they were; then all are forgotten.
_MAX_SEEN = 1 << 12

View = Callable[[Any, Request], Response]


@dataclass(slots=True)
class _Sight:
    """Until when something is taken to be as it was seen, in seconds of the monotonic clock."""

    end: float


@dataclass(frozen=True, slots=True)
class _Lasting:
    catalog: Catalog
    #: What the catalog was when the answer was begun.
    moment: Hashable
    #: For how long the credentials are good, in seconds of the monotonic clock.
    end: float
    sight: _Sight

    def __call__(self) -> bool:
        """Whether the same answer would be made now."""
        now = time.monotonic()
        return now < self.sight.end and now < self.end and self.catalog.moment() == self.moment


def includeme(config: Configurator) -> None:
    """Let views say so, where nothing that we don't know of looks at every request."""
    settings = config.registry.settings
    others = settings.get("pyramid.includes") or settings.get("pyramid.tweens")
    config.add_view_deriver(_kept_as_they_are if others else _lasting)


def _lasting(view: View, info: Any) -> View:
    usual: Hold | None = info.options.get("lasting")
    if usual is None:
        return view
    sights: dict[Hashable, _Sight] = {}

    def seen(hold: Hold, end: float) -> _Sight:
        if hold.seen is None:
            return _Sight(end)
        if len(sights) >= _MAX_SEEN:
            sights.clear()
        sight = sights.setdefault(hold.seen, _Sight(end))
        sight.end = end
        return sight

    def begun(context: Any, request: Request) -> Response:
        if LASTS not in request.environ:
            return view(context, request)
        # Before anything is read: what changes meanwhile makes another moment.
        now, catalog = time.monotonic(), request.services.catalog
        moment = catalog.moment()
        response = view(context, request)
        if moment is not None:
            good_for = _seconds_of_caller(request)
            if good_for > 0:
                hold: Hold = request.environ.get(HOLD, usual)
                sight = seen(hold, now + hold.seconds)
                request.environ[LASTS] = _Lasting(catalog, moment, now + good_for, sight)
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
