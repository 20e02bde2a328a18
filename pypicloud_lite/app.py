"""The Pyramid application."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyramid.config import Configurator
from pyramid.router import Router

from pypicloud_lite.access.policy import Policy
from pypicloud_lite.services import Services, build_services
from pypicloud_lite.views.request import Request


def make_app(settings: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Router:
    """Make the WSGI application from the settings of ``[app:main]``.

    Args:
        environ: overrides of the settings; the process's environment by default.
    """
    services = build_services(settings, os.environ if environ is None else environ)
    router = make_router(services, settings)
    services.follower.wait_for_first()
    return router


def make_router(services: Services, settings: Mapping[str, Any]) -> Router:
    """Make the WSGI application around parts that are built already."""
    with Configurator(settings=dict(settings), request_factory=Request) as config:
        config.registry.services = services
        sessions = services.sessions
        config.set_security_policy(Policy(services.rules, services.authenticator, sessions))
        if sessions is not None:
            config.set_session_factory(sessions)
        # A view whose permission was forgotten is closed to everyone.
        config.set_default_permission("unstated")
        config.include("pypicloud_lite.views")
    return config.make_wsgi_app()
