"""Users with passwords."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache

from pypicloud_lite.access.passwords import hash_password

#: Half of the users have hashes of the one scheme, half of the other.
SCHEMES = ("argon2", "sha512_crypt")


def password_of(user: str) -> str:
    """Everyone has one."""
    return f"{user}-password"


def basic(user: str, secret: str) -> dict[str, str]:
    """The header with these credentials."""
    token = base64.b64encode(f"{user}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def authorization(user: str) -> dict[str, str]:
    """The header with a user's password."""
    return basic(user, password_of(user))


def user_settings(users: Sequence[str]) -> dict[str, str]:
    """``user.*`` for these users."""
    return {
        f"user.{user}": _hashed(password_of(user), SCHEMES[number % len(SCHEMES)])
        for number, user in enumerate(users)
    }


@cache
def _hashed(password: str, scheme: str) -> str:
    return hash_password(password, scheme)
