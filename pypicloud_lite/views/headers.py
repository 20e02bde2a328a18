"""What every answer tells browsers not to do: errors, redirects and 304 too.

Pages and files come from uploaders, so by default nothing in an answer may run, load, be framed
or send a form. A view that needs more names another of the constants here, as ``security`` of its
response. They are made once; a request only adds them.
"""

from __future__ import annotations

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.registry import Registry
from pyramid.response import Response

from pypicloud_lite.views.request import Request

Headers = tuple[tuple[str, str], ...]

_EVERYWHERE: Headers = (
    ("X-Content-Type-Options", "nosniff"),
    # Other sites don't learn what is installed from here; forms of our own pages say where they
    # come from, which "no-referrer" would forbid.
    ("Referrer-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_NOTHING = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"


def _with_policy(policy: str) -> Headers:
    return (*_EVERYWHERE, ("Content-Security-Policy", policy))


#: For all that says nothing else: links can be followed and files saved, and that is all.
STRICT = _with_policy(
    f"{_NOTHING}; form-action 'none'; sandbox allow-top-navigation allow-downloads"
)
#: For our own pages: our own style sheet, an icon that is none, and forms to this server.
PAGES = _with_policy(f"{_NOTHING}; style-src 'self'; img-src data:; form-action 'self'")


def with_style(source: str) -> Headers:
    """For a page that holds this style sheet and nothing else.

    Args:
        source: what Content Security Policy (level 3) calls a hash source, without quotes.
    """
    return _with_policy(f"{_NOTHING}; style-src '{source}'; form-action 'none'")


def includeme(config: Configurator) -> None:
    """Put the headers on whatever leaves the application."""
    config.add_tween("pypicloud_lite.views.headers.tween")


def tween(
    handler: Callable[[Request], Response], _registry: Registry
) -> Callable[[Request], Response]:
    """Add the headers that the response wants, or those for everything."""

    def secured(request: Request) -> Response:
        response = handler(request)
        response.headerlist.extend(getattr(response, "security", STRICT))
        return response

    return secured
