"""Checking passwords against stored hashes, at the cost of a dictionary look-up when repeated.

pip and uv send the password with each request, and a good hash takes a tenth of a second. So a
verified pair is remembered for a while under a digest keyed by a secret of this process; of a
wrong one nothing is, but that there was one.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pypicloud_lite.access.throttle import Limits, Throttle

if TYPE_CHECKING:
    from passlib.context import CryptContext

LOG = logging.getLogger(__name__)

#: Longest password in bytes that is hashed: SHA-crypt takes quadratic time in the length.
MAX_PASSWORD = 1024
#: bcrypt never looked further; its newer implementations refuse more instead.
_BCRYPT_SIGNIFICANT = 72
_MAX_REMEMBERED = 10_000
#: Locks that attempts with the same credentials share, and few others.
_STRIPES = 64
#: What pypicloud could write; the first is what we write.
SCHEMES = ("argon2", "sha512_crypt", "sha256_crypt", "pbkdf2_sha512", "pbkdf2_sha256", "bcrypt")


@cache
def _context() -> CryptContext:
    from passlib.context import CryptContext  # noqa: PLC0415 - 30 ms that anonymous servers save

    return CryptContext(schemes=list(SCHEMES), default="argon2")


def hash_password(password: str, scheme: str = "argon2", rounds: int | None = None) -> str:
    """Hash a password; ``scheme`` is one of :data:`SCHEMES`.

    Raises:
        ValueError: unknown scheme, or a number of rounds that it doesn't allow.
    """
    options: dict[str, Any] = {} if rounds is None else {f"{scheme}__rounds": rounds}
    return str(_context().using(default=scheme, **options).hash(password))


def hash_problem(password_hash: str) -> str | None:
    """What is wrong with a stored hash, as the end of a sentence, or ``None``."""
    if not password_hash:
        return "is empty"
    scheme = _context().identify(password_hash)
    if scheme is None:
        return "is not a password hash that we know"
    try:
        complete = _context().handler(scheme).from_string(password_hash).checksum is not None
    except (ValueError, TypeError):
        complete = False
    return None if complete else f"is a broken {scheme} hash"


class Passwords:
    """The users' hashes, and which passwords were verified lately.

    Args:
        hashes: user name to stored hash.
        ttl: seconds for which a verified password is not hashed again, counted from the hashing.
        throttle: counts what would be hashed, but for passwords that were right before.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        hashes: Mapping[str, str],
        *,
        ttl: float = 120,
        throttle: Throttle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hashes = dict(hashes)
        self._ttl = ttl
        self._throttle = throttle or Throttle(Limits())
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._verified: dict[bytes, float] = {}
        self._remembering = threading.Lock()
        self._one_by_one = [threading.Lock() for _stripe in range(_STRIPES)]
        self._hashing = threading.BoundedSemaphore(max(1, os.cpu_count() or 1))

    def __contains__(self, user: str) -> bool:
        return user in self._hashes

    def verify(self, user: str, password: str, address: str = "") -> bool:
        """Whether ``password`` is the user's.

        An unknown user costs the same time as a wrong password, and counts as one.

        Raises:
            Throttled: too many were wrong lately, for this user or from this address.
        """
        raw = password.encode("utf-8", "surrogateescape")
        if not user or not raw or len(raw) > MAX_PASSWORD or b"\0" in raw:
            return False
        digest = self._digest(user, raw)
        if self._is_fresh(digest):
            return True
        # The same good password in many requests at once is hashed, and counted, once.
        with self._one_by_one[digest[0] % _STRIPES]:
            return self._is_fresh(digest) or self._attempt(user, raw, digest, address)

    def mark(self, user: str, key: bytes) -> str | None:
        """What changes with the user's stored hash and tells nothing of it, as hex digits.

        ``None`` for an unknown user.
        """
        stored = self._hashes.get(user)
        if stored is None:
            return None
        return hmac.new(key, f"{user}\0{stored}".encode(), hashlib.sha256).hexdigest()

    def now(self) -> float:
        """The time, in seconds of a clock that only goes forward."""
        return self._clock()

    def good_until(self, user: str, password: str) -> float:
        """When a pair that was verified lately is hashed again; in the past for any other."""
        digest = self._digest(user, password.encode("utf-8", "surrogateescape"))
        return self._verified.get(digest, -math.inf)

    def _is_fresh(self, digest: bytes) -> bool:
        return self._verified.get(digest, -math.inf) > self._clock()

    def _attempt(self, user: str, raw: bytes, digest: bytes, address: str) -> bool:
        is_guess = digest not in self._verified  # who sends what was right before guesses nothing
        if is_guess:
            self._throttle.count(user, address)
        with self._hashing:
            good = self._hash_matches(user, self._hashes.get(user), raw)
        if good and is_guess:
            self._throttle.give_back(user, address)
        if good and self._ttl:
            self._remember(digest)
        return good

    def _digest(self, user: str, raw: bytes) -> bytes:
        parts = b"\0".join((user.encode("utf-8", "surrogateescape"), raw))
        return hmac.digest(self._key, parts, hashlib.sha256)

    def _hash_matches(self, user: str, stored: str | None, raw: bytes) -> bool:
        try:
            if stored is None:
                _context().verify(raw, self._decoy())
                return False
            if _context().identify(stored) == "bcrypt":
                raw = raw[:_BCRYPT_SIGNIFICANT]
            return bool(_context().verify(raw, stored))
        except (ValueError, TypeError, RuntimeError):
            LOG.exception("the stored hash of user %r can't be verified", user)
            return False

    def _decoy(self) -> str:
        """A hash of the kind that most users here have."""
        return next(iter(self._hashes.values()), None) or _decoy_hash()

    def _remember(self, digest: bytes) -> None:
        now = self._clock()
        with self._remembering:
            if len(self._verified) >= _MAX_REMEMBERED:  # those that are over are kept until now
                self._verified = {key: end for key, end in self._verified.items() if end > now}
                if len(self._verified) >= _MAX_REMEMBERED:
                    self._verified.clear()
            self._verified[digest] = now + self._ttl


@cache
def _decoy_hash() -> str:
    return hash_password(secrets.token_hex(16))
