"""From an error to a status and a sentence: once, for all views."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from typing import Any

from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import HTTPException, HTTPForbidden
from pyramid.response import Response
from pyramid.view import exception_view_config, forbidden_view_config
from webob.acceptparse import create_accept_header

from pypicloud_lite import errors
from pypicloud_lite.views.contexts import RedirectTo
from pypicloud_lite.views.headers import with_style
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import Redirect

LOG = logging.getLogger(__name__)

#: The first class that fits decides.
STATUSES: tuple[tuple[type[errors.PypicloudLiteError], HTTPStatus], ...] = (
    (errors.GoneAction, HTTPStatus.GONE),
    (errors.UnsupportedCoding, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.Rejected, HTTPStatus.BAD_REQUEST),
    (errors.TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.FileExists, HTTPStatus.CONFLICT),
    (errors.ProjectClosed, HTTPStatus.FORBIDDEN),
    (errors.WrongPassword, HTTPStatus.FORBIDDEN),
    (errors.Forged, HTTPStatus.FORBIDDEN),
    (errors.Missing, HTTPStatus.NOT_FOUND),
    (errors.StorageFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)
_RETRY_AFTER = 5
_MAX_REASON = 200
_JSON = ("application/json", "application/vnd.pypi.simple.v1+json")


@exception_view_config(RedirectTo)
def redirect(exc: RedirectTo, request: Request) -> Response:
    """A URL that has a better one."""
    return Redirect(
        exc.location, HTTPStatus.MOVED_PERMANENTLY if exc.permanent else HTTPStatus.FOUND
    )


@exception_view_config(errors.PypicloudLiteError)
def domain_error(exc: errors.PypicloudLiteError, request: Request) -> Response:
    """Every error of our own."""
    if isinstance(exc, errors.Denied):
        return _denied(request, exc.message)
    status = next((status for kind, status in STATUSES if isinstance(exc, kind)), None)
    if status is None:
        return unexpected(exc, request)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.error("%s %s: %s", request.method, _shown(request), exc, exc_info=exc.__cause__)
    else:
        _log(request, exc.code, exc.message)
    response = error_response(request, status, exc.code, exc.message)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(_RETRY_AFTER)
    return response


@forbidden_view_config()
def forbidden(exc: HTTPForbidden, request: Request) -> Response:
    """A view's permission was denied, and the policy says why."""
    return _denied(request, exc.result.msg)


def _denied(request: Request, sentence: str) -> Response:
    """401 with a challenge for who isn't known, 403 for who is.

    Never 404: uv and pip would go on to the public namesake of a private project.
    """
    refusal = request.refusal
    if refusal is not None and refusal.retry_after is not None:
        response = error_response(
            request, HTTPStatus.TOO_MANY_REQUESTS, "throttled", refusal.message
        )
        response.headers["Retry-After"] = str(refusal.retry_after)
        return response
    if request.user is not None:
        _log(request, "denied", sentence)
        return error_response(request, HTTPStatus.FORBIDDEN, "denied", sentence)
    if refusal is not None:
        response = error_response(
            request, HTTPStatus.UNAUTHORIZED, "bad-credentials", refusal.message
        )
    else:
        asked = "Log in with a user name and password, or a token."
        _log(request, "login-required", sentence)
        response = error_response(request, HTTPStatus.UNAUTHORIZED, "login-required", asked)
    realm = request.services.settings.realm
    response.headers["WWW-Authenticate"] = f'Basic realm="{realm}", charset="UTF-8"'
    return response


def _log(request: Request, code: str, sentence: str) -> None:
    """One line, unless the audit log has one."""
    user = request.user or "anonymous"
    if request.audited_action is None:
        LOG.info(
            "refused (%s) %s %s by %s: %s",
            code,
            request.method,
            _shown(request),
            user,
            ascii(sentence),
        )


@exception_view_config(HTTPException)
def http_error(exc: HTTPException, request: Request) -> Response:
    """What Pyramid itself raises, not found above all."""
    status = HTTPStatus(exc.status_code)
    detail = exc.detail if status == HTTPStatus.NOT_ACCEPTABLE else None
    sentence = detail or f"{status.phrase}."
    response = _refused(request, status, status.phrase.lower().replace(" ", "-"), sentence)
    if "Allow" in exc.headers:
        response.headers["Allow"] = exc.headers["Allow"]
    return response


@exception_view_config(URLDecodeError)
def undecodable(exc: URLDecodeError, request: Request) -> Response:
    """The path isn't UTF-8."""
    return _refused(request, HTTPStatus.BAD_REQUEST, "invalid-url", "Invalid bytes in URL.")


@exception_view_config(UnicodeDecodeError)
def undecodable_query(exc: UnicodeDecodeError, request: Request) -> Response:
    """The query isn't UTF-8."""
    return _refused(request, HTTPStatus.BAD_REQUEST, "invalid-url", "Invalid bytes in URL.")


@exception_view_config(Exception)
def unexpected(exc: Exception, request: Request) -> Response:
    """A defect of ours: the log has all of it, the client nothing."""
    LOG.error("%s %s failed", request.method, _shown(request), exc_info=exc)
    return error_response(
        request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The server failed; see its log."
    )


def method_not_allowed(methods: tuple[str, ...]) -> Callable[[Any, Request], Response]:
    """A view for every method that a route doesn't know; 404 where it knows none."""
    allow = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))

    def missing(_context: Any, request: Request) -> Response:
        return _refused(request, HTTPStatus.NOT_FOUND, "not-found", "Not Found.")

    def view(_context: Any, request: Request) -> Response:
        response = _refused(
            request, HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", f"Only {allow}."
        )
        response.headers["Allow"] = allow
        return response

    return view if methods else missing


def _refused(request: Request, status: HTTPStatus, code: str, sentence: str) -> Response:
    """An answer to what no view took, which the log has as well."""
    _log(request, code, sentence)
    return error_response(request, status, code, sentence)


def _shown(request: Request) -> str:
    """The request's path for a log: escaped and short."""
    return ascii(request.environ.get("PATH_INFO", "")).strip("'")[:200]


def error_response(request: Request, status: HTTPStatus, code: str, message: str) -> Response:
    """The sentence in the form that the client prefers; also as the reason phrase for twine."""
    request.facts["code"] = code
    kind = _preferred(request.environ.get("HTTP_ACCEPT"))
    if kind in _JSON:
        # RFC 9457, and the members that earlier clients know.
        document = {
            "code": code,
            "title": status.phrase,
            "status": status.value,
            "detail": message,
            "message": message,
        }
        problem = "application/problem+json" if kind == "application/json" else "application/json"
        body, content_type = json.dumps(document), problem
    elif kind == "text/html":
        title = escape(f"{status.value} {status.phrase}")
        body = _PAGE.format(title=title, style=_STYLE, message=escape(message))
        content_type = "text/html"
    else:
        body, content_type = f"{message}\n", "text/plain"
    reason = " ".join(message.encode("ascii", "replace").decode().split())[:_MAX_REASON]
    phrase = reason if status < HTTPStatus.INTERNAL_SERVER_ERROR else status.phrase
    response = Response(
        body.encode(),
        status=f"{status.value} {phrase or status.phrase}",
        content_type=content_type,
        charset=None if content_type.endswith("json") else "utf-8",
    )
    response.headers["Cache-Control"] = "private, no-store"
    response.security = _SECURITY
    return response


def _preferred(accept: str | None) -> str:
    if accept is None or len(accept) > 1000:
        return "text/plain"
    offers = ["text/plain", *_JSON, "text/html"]
    try:
        found = create_accept_header(accept).acceptable_offers(offers)
    except ValueError:
        return "text/plain"
    return found[0][0] if found else "text/plain"


#: In the page itself: it must be readable where nothing else is served.
_STYLE = """:root{color-scheme:light dark}body{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;
margin:15vh auto;padding:0 1rem}h1{font-size:1.4rem}"""
_SECURITY = with_style(
    "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
)
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head>
<body><h1>{title}</h1><p>{message}</p></body></html>
"""
