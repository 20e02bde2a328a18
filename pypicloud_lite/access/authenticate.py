"""From an ``Authorization`` header to who is asking: by password, or by token."""

from __future__ import annotations

import base64
import binascii
import math
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b

from pypicloud_lite.access.identity import ANONYMOUS, Identity, Refusal
from pypicloud_lite.access.passwords import Passwords
from pypicloud_lite.access.throttle import Throttle, Throttled
from pypicloud_lite.access.tokens import TOKEN_USER, Tokens, is_intact
from pypicloud_lite.model import utcnow

_MAX_RECENT = 10_000
#: For how long a token is not looked at again, in seconds.
_TOKEN_SECONDS = 60.0
_WRONG_PASSWORD = "Wrong user name or password."  # noqa: S105 - a sentence


class Authenticator:
    """Knows the users' passwords and tokens, and limits how many wrong ones are tried.

    Args:
        now: the time that tokens expire by.
    """

    def __init__(
        self,
        passwords: Passwords,
        tokens: Tokens,
        throttle: Throttle,
        *,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self.passwords = passwords
        self._tokens = tokens
        self._throttle = throttle
        self._now = now
        self._key = secrets.token_bytes(32)
        #: By a keyed digest of the header: who sent it, and until when that is so.
        self._recent: dict[bytes, tuple[Identity, float]] = {}

    def identify(self, header: str | None, address: str) -> Identity:
        """Who sends this header from this address."""
        if header is None:
            return ANONYMOUS
        # Clients send the same header with each request: it is read once.
        digest = self._digest(header)
        recent = self._recent.get(digest)
        if recent is not None and recent[1] > self.passwords.now():
            return recent[0]
        scheme, _space, payload = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._token(digest, payload.strip(), address)
        credentials = parse_basic(header)
        if credentials is None:
            return _refused("malformed", _WRONG_PASSWORD)
        user, password = credentials
        if user == TOKEN_USER:
            return self._token(digest, password, address)
        identity = self.by_password(user, password, address)
        return self._kept(digest, identity, self.passwords.good_until(user, password))

    def seconds_left(self, header: str | None) -> float:
        """For how long :meth:`identify` will take the header for what it did just now."""
        if header is None:
            return math.inf
        recent = self._recent.get(self._digest(header))
        return 0.0 if recent is None else recent[1] - self.passwords.now()

    def _digest(self, header: str) -> bytes:
        return blake2b(header.encode("utf-8", "surrogatepass"), key=self._key).digest()

    def _token(self, digest: bytes, secret: str, address: str) -> Identity:
        identity = self._by_token(secret, address)
        now = self._now()
        token, later = identity.token, now + timedelta(seconds=_TOKEN_SECONDS)
        if token is None or token.is_expired(later):
            return identity
        return self._kept(digest, identity, self.passwords.now() + _TOKEN_SECONDS)

    def _kept(self, digest: bytes, identity: Identity, until: float) -> Identity:
        if identity.refusal is None:
            if len(self._recent) >= _MAX_RECENT:
                self._recent.clear()
            self._recent[digest] = identity, until
        return identity

    def by_password(self, user: str, password: str, address: str) -> Identity:
        """The user with this password; tokens are none."""
        known = user in self.passwords
        claimed = user if known else None  # what else was typed there may be a secret
        try:
            if self.passwords.verify(user, password, address):
                return Identity(user)
        except Throttled as exc:
            return _refused("throttled", str(exc), claimed, exc.seconds)
        return _refused("wrong-password" if known else "unknown-user", _WRONG_PASSWORD, claimed)

    def _by_token(self, secret: str, address: str) -> Identity:
        """A token that is good is found without a guess, so it never waits for a bucket."""
        token = self._tokens.find(secret)
        if token is not None and not token.is_expired(self._now()):
            return Identity(token.owner, token)
        claimed = None if token is None else f"token {token.id}"
        try:
            self._throttle.count(TOKEN_USER, address)
        except Throttled as exc:
            return _refused("throttled", str(exc), claimed, exc.seconds)
        if token is not None:
            return _refused("expired-token", "The token has expired.", claimed)
        if is_intact(secret):
            return _refused("unknown-token", "Unknown token.")
        return _refused("misspelt-token", "The token is misspelt: its checksum does not fit.")


def _refused(
    code: str, message: str, claimed: str | None = None, retry_after: int | None = None
) -> Identity:
    return Identity(None, refusal=Refusal(code, message, claimed, retry_after))


def parse_basic(header: str) -> tuple[str, str] | None:
    """User and password of an ``Authorization`` header (RFC 7617, UTF-8).

    ``None`` for another scheme, and for what is not well-formed or has one of both empty.
    """
    scheme, _space, payload = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(payload.strip().encode("ascii"), validate=True)
        user, _colon, password = decoded.decode("utf-8").partition(":")
    except (ValueError, binascii.Error):
        return None
    return (user, password) if user and password else None
