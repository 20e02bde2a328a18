"""Who is asking: Pyramid's security policy over HTTP Basic authentication."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from pyramid.request import Request
from pyramid.security import Allowed, Denied

from pypicloud_lite.access.passwords import Passwords
from pypicloud_lite.access.rules import Permission, Rules
from pypicloud_lite.names import ProjectName


@dataclass(frozen=True, slots=True)
class ProjectResource:
    """The context of every route that is about one project."""

    project: ProjectName


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking."""

    #: The verified user, or ``None``.
    user: str | None
    #: There are credentials, but they are nobody's.
    wrong_credentials: bool = False


ANONYMOUS = Identity(None)
NOBODY = Identity(None, wrong_credentials=True)
_SAFE = frozenset({"GET", "HEAD"})
#: What browsers say of requests that other sites make them send (Fetch Metadata).
_FOREIGN = frozenset({"cross-site", "same-site"})
_IDENTITY = "pypicloud_lite.identity"


class BadCredentials(Exception):
    """There is an Authorization header, but it is nobody's."""


def parse_basic(header: str) -> tuple[str, str]:
    """User and password of an ``Authorization`` header (RFC 7617, UTF-8).

    Raises:
        BadCredentials: another scheme, or not well-formed.
    """
    scheme, _space, payload = header.partition(" ")
    if scheme.lower() != "basic":
        raise BadCredentials
    try:
        decoded = base64.b64decode(payload.strip().encode("ascii"), validate=True)
        user, colon, password = decoded.decode("utf-8").partition(":")
    except (ValueError, binascii.Error) as exc:
        raise BadCredentials from exc
    if not colon or not user or not password:
        raise BadCredentials
    return user, password


class BasicAuthPolicy:
    """Wrong credentials are never taken for none: they are refused wherever something is to be
    seen or done, so that a typo in a password shows.
    """

    def __init__(self, rules: Rules, passwords: Passwords) -> None:
        self._rules = rules
        self._passwords = passwords

    def identity(self, request: Request) -> Identity:
        """Who is asking; resolved once per request."""
        found: Identity | None = request.environ.get(_IDENTITY)
        if found is None:
            found = self._authenticate(request.environ.get("HTTP_AUTHORIZATION"))
            request.environ[_IDENTITY] = found
        return found

    def _authenticate(self, header: str | None) -> Identity:
        if header is None:
            return ANONYMOUS
        try:
            user, password = parse_basic(header)
        except BadCredentials:
            return NOBODY
        return Identity(user) if self._passwords.verify(user, password) else NOBODY

    def authenticated_userid(self, request: Request) -> str | None:
        """The name of the verified user, or ``None``."""
        return self.identity(request).user

    def permits(self, request: Request, context: Any, permission: str) -> Allowed | Denied:
        """Decide a view's permission.

        Args:
            permission: ``public`` (everyone), ``list`` (may read something; the page is filtered),
                ``upload`` (may write something), ``admin``, or the value of a
                :class:`Permission` on the context's project.
        """
        identity = self.identity(request)
        user = identity.user
        if identity.wrong_credentials:
            return Denied("wrong credentials")
        if request.method not in _SAFE and request.headers.get("Sec-Fetch-Site") in _FOREIGN:
            return Denied("a page of another site sent this, with credentials that a browser kept")
        if permission == "public":
            allowed = True
        elif permission == "admin":
            allowed = user is not None and user in self._rules.admins
        elif permission == "list":
            allowed = user is not None or self._rules.may_read_something(None)
        elif permission == "upload":
            allowed = self._rules.may_write_something(user)
        else:
            allowed = self._rules.permits(user, context.project, Permission(permission))
        return Allowed("rules") if allowed else Denied("rules")

    def remember(self, request: Request, userid: str, **kw: Any) -> list[tuple[str, str]]:
        """Basic authentication has nothing to remember."""
        return []

    def forget(self, request: Request, **kw: Any) -> list[tuple[str, str]]:
        """Basic authentication has nothing to forget."""
        return []
