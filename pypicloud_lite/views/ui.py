"""The landing page, for people."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from pypicloud_lite.access.rules import EVERYONE
from pypicloud_lite.errors import Rejected, Unavailable
from pypicloud_lite.version import version
from pypicloud_lite.views.documents import server_url
from pypicloud_lite.views.headers import PAGES
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import VARY_BY_USER

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415 - a start is 50 ms sooner

    return Environment(loader=PackageLoader("pypicloud_lite"), autoescape=True).get_template(name)


@view_config(route_name="robots", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def robots(_request: Request) -> Response:
    """A private index is nothing for search engines."""
    return Response("User-agent: *\nDisallow: /\n", content_type="text/plain")


def _count(request: Request) -> int | None:
    """How many projects the caller may read; ``None`` while nobody knows."""
    try:
        return request.services.catalog.count_readable(request.identity)
    except Unavailable:
        return None


def _csrf_token(request: Request) -> str | None:
    """For the form to log in or out; ``None`` where a cookie is not how the caller is known."""
    sessions = request.services.sessions
    if sessions is None or (request.user is not None and not request.identity.by_session):
        return None
    return sessions.csrf_token(request)


@view_config(route_name="home", request_method="GET", permission="public")
def home(request: Request) -> Response:
    """What this is and how to use it, with the addresses of this very server."""
    services = request.services
    base = server_url(request)
    try:
        parts = urlsplit(base)
        hostname = parts.hostname or "localhost"
    except ValueError as exc:
        raise Rejected("The Host header names no host.") from exc
    values: dict[str, Any] = {
        "base": base,
        "host": parts.netloc,
        "hostname": hostname,
        "secure": parts.scheme == "https",
        "root": request.script_name,
        "projects": _count(request),
        "user": request.user,
        "csrf_token": _csrf_token(request),
        "anonymous_read": EVERYONE in services.rules.default_read,
        "fallback": services.upstream.simple_url if services.upstream.enabled else None,
        "version": version(),
    }
    response = Response(_template("home.jinja2").render(values))
    response.security = PAGES
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = VARY_BY_USER
    return response
