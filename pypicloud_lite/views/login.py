"""``/login`` and ``/logout``: sessions of browsers, by a form or by JSON."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import cast

from pyramid.config import Configurator
from pyramid.response import Response

from pypicloud_lite.access.policy import IDENTITY
from pypicloud_lite.access.sessions import Sessions
from pypicloud_lite.errors import Denied, Forged, InvalidForm, WrongPassword
from pypicloud_lite.views.fields import is_json, read_fields
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import Redirect, json_response

#: A path that no browser takes for another host: not ``//``, no backslash, space or control.
_LOCAL_PATH = re.compile(r"\A/(?!/)[!-\[\]-~]*\Z")
#: The landing page, wherever the application is mounted.
_HOME = "./"


def includeme(config: Configurator) -> None:
    """Add the views; the routes are there already."""
    for view in (login, logout):
        name = view.__name__
        config.add_view(view, route_name=name, request_method="POST", permission=name)


def login(request: Request) -> Response:
    """Begin a session, if the password is right.

    A form needs the CSRF token of our page, or another site could log its visitors in as someone
    else. JSON does not: browsers ask before they send it for another site, and we never agree.
    """
    sessions = _sessions(request)
    fields = read_fields(request, {"username", "password", "csrf_token", "next"}, query=False)
    _check_token(request, fields.get("csrf_token"), needed=not is_json(request))
    user, password = fields.get("username"), fields.get("password")
    if user is None or password is None:
        raise InvalidForm("Give username and password.")
    address = request.environ.get("REMOTE_ADDR") or ""
    found = request.services.authenticator.by_password(user, password, address)
    request.environ[IDENTITY] = found
    if found.refusal is not None:
        if found.refusal.retry_after is not None:
            raise Denied(found.refusal.message)
        raise WrongPassword(found.refusal.message)
    token = sessions.begin(request, user)
    if is_json(request):
        return json_response({"user": user, "csrf_token": token})
    wanted = fields.get("next", "")
    return Redirect(wanted if _LOCAL_PATH.match(wanted) else _HOME, HTTPStatus.SEE_OTHER)


def logout(request: Request) -> Response:
    """End the session. Who has none, or sends a password, is not affected."""
    fields = read_fields(request, {"csrf_token"}, query=False)
    _check_token(request, fields.get("csrf_token"))
    if request.identity.by_session:
        _sessions(request).end(request)
    return (
        json_response({"user": None}) if is_json(request) else Redirect(_HOME, HTTPStatus.SEE_OTHER)
    )


def _check_token(request: Request, field: str | None, *, needed: bool = False) -> None:
    if not (needed or request.identity.by_session):
        return
    if not _sessions(request).has_token(request, field):
        raise Forged("The CSRF token is missing or old. Load the page again.")


def _sessions(request: Request) -> Sessions:
    return cast(Sessions, request.services.sessions)
