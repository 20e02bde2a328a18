"""Users with passwords."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache

from pypicloud_lite.access.passwords import hash_password

#: Half of the users have hashes of the one scheme, half of the other.
SCHEMES = ("argon2", "sha512_crypt")


def authorization(user: str) -> dict[str, str]:
    """The header of a user with the password of :func:`user_settings`."""
    token = base64.b64encode(f"{user}:{user}-password".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def user_settings(users: Sequence[str]) -> dict[str, str]:
    """``user.*`` for these users."""
    return {
        f"user.{user}": _hashed(f"{user}-password", SCHEMES[number % len(SCHEMES)])
        for number, user in enumerate(users)
    }


@cache
def _hashed(password: str, scheme: str) -> str:
    return hash_password(password, scheme)
