"""The audit log: one line of JSON for each request that changes something or wants to, and for
each whose credentials are refused.

A tween, so that it sees the outcome of every request, and no view can forget it: what a request
changes is the permission of its view.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.registry import Registry
from pyramid.response import Response
from pyramid.tweens import EXCVIEW

from pypicloud_lite.access.identity import Identity
from pypicloud_lite.access.policy import IDENTITY, ProjectResource
from pypicloud_lite.views.request import Request

AUDIT = logging.getLogger("pypicloud_lite.audit")
_MAX_TEXT = 300
_DENIED = frozenset({401, 403, 429})


def includeme(config: Configurator) -> None:
    """Put the audit around everything that answers, errors too."""
    config.add_tween("pypicloud_lite.views.audit.tween", over=EXCVIEW)


def tween(
    handler: Callable[[Request], Response], _registry: Registry
) -> Callable[[Request], Response]:
    """Write a line after the request was handled."""

    def audited(request: Request) -> Response:
        response = handler(request)
        action = request.audited_action
        if action is not None:
            entry = _entry(request, action, response.status_int)
            AUDIT.info("%s", json.dumps(entry))  # ASCII: control characters are escaped
        return response

    return audited


def _entry(request: Request, action: str, status: int) -> dict[str, Any]:
    identity: Identity = request.environ[IDENTITY]
    token, refusal = identity.token, identity.refusal
    context = getattr(request, "context", None)
    entry = {
        "action": action,
        "result": _result(status, refused=refusal is not None),
        "code": None,
        "user": identity.user,
        "token": None if token is None else token.id,
        "session": identity.by_session or None,
        "claimed": None if refusal is None else refusal.claimed,
        "address": request.environ.get("REMOTE_ADDR"),
        "request": f"{request.method} {request.environ.get('PATH_INFO', '')}",
        "project": context.project if isinstance(context, ProjectResource) else None,
    } | request.facts
    if refusal is not None:
        entry["code"] = refusal.code
    return {name: _short(value) for name, value in entry.items() if value is not None}


def _result(status: int, *, refused: bool) -> str:
    if refused or status in _DENIED:
        return "denied"
    if status >= 500:
        return "failed"
    return "rejected" if status >= 400 else "ok"


def _short(value: Any) -> Any:
    return value[:_MAX_TEXT] if isinstance(value, str) else value
