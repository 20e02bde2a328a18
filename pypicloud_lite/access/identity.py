"""Who is asking, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from pypicloud_lite.access.tokens import Token


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why credentials were not taken."""

    #: Stable word for the audit log.
    code: str
    #: The sentence for the client.
    message: str
    #: Whose they claim to be, if that is anyone here.
    claimed: str | None = None
    #: Too many were wrong: seconds until the next may be tried.
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking."""

    #: The verified user, or the owner of the token; ``None``: anonymous.
    user: str | None
    #: The token that was sent instead of a password. It restricts what the user may.
    token: Token | None = None
    #: There are credentials, but they were not taken. Then there is no user.
    refusal: Refusal | None = None
    #: Known by the cookie of a session: what it changes needs a CSRF token.
    by_session: bool = False


ANONYMOUS = Identity(None)
