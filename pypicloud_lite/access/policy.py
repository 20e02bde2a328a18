"""May they: Pyramid's security policy, which every view of ours passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyramid.request import Request
from pyramid.security import Allowed, Denied

from pypicloud_lite.access.authenticate import Authenticator
from pypicloud_lite.access.identity import Identity
from pypicloud_lite.access.rules import Permission, Rules
from pypicloud_lite.access.sessions import CSRF_HEADER, Sessions
from pypicloud_lite.names import ProjectName


@dataclass(frozen=True, slots=True)
class ProjectResource:
    """The context of every route that is about one project."""

    project: ProjectName


#: A view's permission says what the view does. These change nothing:
READING = frozenset({"public", "list", "read"})
#: These make and end a session; their views look for the CSRF token themselves, in the form.
_SESSIONS = frozenset({"login", "logout"})
#: What a view's permission needs on the project of its context. ``upload`` without a project, and
#: ``public``, ``list`` and ``rebuild``, are no matter of one project.
_ON_PROJECT = {
    "read": Permission.READ,
    "upload": Permission.WRITE,
    "yank": Permission.WRITE,
    "unyank": Permission.WRITE,
    "status": Permission.WRITE,
    "delete": Permission.DELETE,
}
#: What browsers say of requests that other sites make them send (Fetch Metadata).
_FOREIGN = frozenset({"cross-site", "same-site"})
IDENTITY = "pypicloud_lite.identity"
#: In the WSGI environment, what a request wants to change: the permission of its view.
ACTION = "pypicloud_lite.action"


class Policy:
    """Wrong credentials are never taken for none: they are refused wherever something is to be
    seen or done, so that a typo in a password shows. Who sends an ``Authorization`` header is not
    looked at for a cookie.

    Args:
        sessions: ``None`` where there are none.
    """

    def __init__(
        self, rules: Rules, authenticator: Authenticator, sessions: Sessions | None = None
    ) -> None:
        self._rules = rules
        self._authenticator = authenticator
        self._sessions = sessions

    def identity(self, request: Request) -> Identity:
        """Who is asking; resolved once per request."""
        environ = request.environ
        found: Identity | None = environ.get(IDENTITY)
        if found is None:
            header = environ.get("HTTP_AUTHORIZATION")
            if header is None and self._sessions is not None:
                found = self._sessions.identity(request)
            else:
                found = self._authenticator.identify(header, environ.get("REMOTE_ADDR") or "")
            environ[IDENTITY] = found
        return found

    def authenticated_userid(self, request: Request) -> str | None:
        """The name of the verified user, or ``None``."""
        return self.identity(request).user

    def permits(self, request: Request, context: Any, permission: str) -> Allowed | Denied:
        """Decide a view's permission.

        Args:
            permission: one of :data:`READING`, or what the view changes: ``upload``, ``delete``,
                ``yank``, ``unyank``, ``status``, ``rebuild``, ``login``, ``logout``. Any other is
                denied to everyone.
        """
        identity = self.identity(request)
        if permission not in READING:
            request.environ[ACTION] = permission
            if request.headers.get("Sec-Fetch-Site") in _FOREIGN:
                return Denied("Another site's page sent this, with what your browser remembers.")
            if not self._is_meant(request, identity, permission):
                return Denied(f"A session needs its CSRF token, as the header {CSRF_HEADER}.")
        if identity.refusal is not None:
            return Denied("Wrong credentials.")
        allowed = self._allows(identity, context, permission)
        return (
            Allowed("The rules allow it.") if allowed else Denied("You have no right to do this.")
        )

    def _is_meant(self, request: Request, identity: Identity, permission: str) -> bool:
        """Whether a page of ours sent this, as far as a cookie alone would let it pass."""
        if self._sessions is None or not identity.by_session or permission in _SESSIONS:
            return True
        return self._sessions.has_token(request)

    def _allows(self, identity: Identity, context: Any, permission: str) -> bool:
        rules = self._rules
        if permission == "public" or permission in _SESSIONS:
            return True
        if permission == "list":
            return identity.user is not None or rules.may_read_something(identity)
        if permission == "rebuild":
            return rules.may_administer(identity)
        if isinstance(context, ProjectResource):
            needed = _ON_PROJECT.get(permission)
            return needed is not None and rules.permits(identity, context.project, needed)
        return permission == "upload" and rules.may_write_something(identity)

    def remember(self, request: Request, userid: str, **kw: Any) -> list[tuple[str, str]]:
        """Sessions are begun where the password is looked at, by :class:`Sessions`."""
        return []

    def forget(self, request: Request, **kw: Any) -> list[tuple[str, str]]:
        """Sessions are ended by :class:`Sessions`."""
        return []
