"""Which names this server answers to: ``pypi.trusted_hosts``.

What is not the name of a host is refused in any case: two ``Host`` headers, for instance, of
which proxies and servers choose different ones (RFC 9112, section 3.2).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from http import HTTPStatus

from pyramid.config import Configurator
from pyramid.registry import Registry
from pyramid.response import Response

from pypicloud_lite.views.errors import error_response
from pypicloud_lite.views.request import Request

LOG = logging.getLogger(__name__)

#: A name or an IPv4 address, or an IPv6 address; and a port.
_HOST = re.compile(r"\A(?P<name>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z", re.ASCII)


def includeme(config: Configurator) -> None:
    """Look at the host before anything else does."""
    config.add_tween("pypicloud_lite.views.hosts.tween")


def tween(
    handler: Callable[[Request], Response], registry: Registry
) -> Callable[[Request], Response]:
    """Refuse requests for other hosts."""
    trusted = frozenset(name.lower() for name in registry.services.settings.trusted_hosts)

    def checked(request: Request) -> Response:
        host = request.environ.get("HTTP_HOST", "")
        match = _HOST.match(host)
        if match is None:
            if host or trusted:
                return _refused(request, host, "The Host header names no host.")
        elif trusted and trusted.isdisjoint((host.lower(), match["name"].lower())):
            return _refused(request, host, "This server does not answer to that name.")
        return handler(request)

    return checked


def _refused(request: Request, host: str, sentence: str) -> Response:
    LOG.info("refused (untrusted-host) %s: %s", ascii(host[:200]), sentence)
    return error_response(request, HTTPStatus.BAD_REQUEST, "untrusted-host", sentence)
