"""Logins of browsers: a signed cookie that says who it is, and the token against forged requests.

The server keeps nothing, so every process knows every session. A session ends when it was not
used for a while, when it is old, and when the user's password changes. The cookie is Pyramid's:
JSON with an HMAC-SHA-512, readable for its owner and made by nobody else.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any, cast

from pyramid.interfaces import ISession
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

from pypicloud_lite.access.identity import ANONYMOUS, Identity
from pypicloud_lite.access.passwords import Passwords
from pypicloud_lite.settings.table import SessionSettings

#: RFC 6265bis: such a cookie comes from this very host, by HTTPS, and not from a sibling domain.
_SECURE_COOKIE, _COOKIE = "__Host-pypicloud_lite", "pypicloud_lite"
CSRF_HEADER = "X-CSRF-Token"


class Sessions:
    """Makes and reads sessions; also Pyramid's session factory.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: SessionSettings,
        passwords: Passwords,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._passwords = passwords
        self._clock = clock
        self._key = (settings.secret or "").encode()
        self._over_https = self._factory(_SECURE_COOKIE, secure=True)
        self._over_http = self._factory(_COOKIE, secure=False)

    def _factory(self, cookie: str, *, secure: bool) -> Callable[[Request], ISession]:
        timeout = self._settings.timeout
        return cast(
            Callable[[Request], ISession],
            SignedCookieSessionFactory(
                self._settings.secret,
                cookie_name=cookie,
                secure=secure,
                httponly=True,
                samesite="Lax",
                timeout=timeout,
                reissue_time=timeout // 10,
                salt="pypicloud_lite.session.",
            ),
        )

    def __call__(self, request: Request) -> ISession:
        """The session of a request, as ``request.session``."""
        secure = self._settings.secure
        if secure is None:
            secure = request.scheme == "https"
        return (self._over_https if secure else self._over_http)(request)

    def identity(self, request: Request) -> Identity:
        """Who is logged in."""
        if "HTTP_COOKIE" not in request.environ:
            return ANONYMOUS
        session = request.session
        user = session.get("user")
        if user is None or not self._lasts(user, session):
            return ANONYMOUS
        request.add_response_callback(_keep_private)
        return Identity(user, by_session=True)

    def _lasts(self, user: str, session: Any) -> bool:
        mark = self._passwords.mark(user, self._key)
        return (
            mark is not None
            and hmac.compare_digest(mark, session["mark"])
            and self._clock() - session["since"] < self._settings.lifetime
        )

    def begin(self, request: Request, user: str) -> str:
        """Log in: a new session, with nothing of the one before. Returns its CSRF token."""
        session = request.session
        session.invalidate()
        session["user"] = user
        session["since"] = int(self._clock())
        session["mark"] = self._passwords.mark(user, self._key)
        return cast(str, session.new_csrf_token())

    def end(self, request: Request) -> None:
        """Log out in this browser."""
        request.session.invalidate()

    def csrf_token(self, request: Request) -> str:
        """What a request must repeat to show that a page of ours made it; made when absent."""
        return cast(str, request.session.get_csrf_token())

    def has_token(self, request: Request, field: str | None = None) -> bool:
        """Whether the request has the CSRF token, as a header or in ``field`` of its form."""
        given = request.headers.get(CSRF_HEADER) or field or ""
        return hmac.compare_digest(given.encode(), self.csrf_token(request).encode())


def _keep_private(_request: Request, response: Response) -> None:
    """The answer may renew the cookie: no shared cache may keep it, even if all may read it."""
    control = response.headers.get("Cache-Control", "private")
    response.headers["Cache-Control"] = control.replace("public", "private")


def make_sessions(settings: SessionSettings, passwords: Passwords) -> Sessions | None:
    """Sessions, if there is a secret to sign them with."""
    return None if settings.secret is None else Sessions(settings, passwords)
