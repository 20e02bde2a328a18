"""``Authorization`` headers, as a WSGI server hands them on."""

from __future__ import annotations

import base64

from pypicloud_lite.access.authenticate import Authenticator, parse_basic
from pypicloud_lite.access.identity import ANONYMOUS
from pypicloud_lite.access.passwords import Passwords
from pypicloud_lite.access.throttle import Limits, Throttle
from pypicloud_lite.access.tokens import PREFIX, Token, Tokens, _checksum, digest_of
from tests.support.server import fast_hash

WORDS = (b"Basic ", b"Bearer ", b"basic", b"writer:", b"__token__:", b"pcl_", b"=", b"==", b":")
_USER, _PASSWORD = "writer", "writer-pw"
_BODY = f"{PREFIX}{'0' * 43}"
_SECRET = _BODY + _checksum(_BODY)
_CODES = {
    "malformed", "wrong-password", "unknown-user", "expired-token", "unknown-token",
    "misspelt-token",
}  # fmt: skip
_AUTHENTICATOR = Authenticator(
    Passwords({_USER: fast_hash(_PASSWORD)}, ttl=0),
    Tokens([Token("robot", digest_of(_SECRET), _USER)]),
    Throttle(Limits()),
)


def seeds() -> dict[str, bytes]:
    return {
        "password": _basic(_USER, _PASSWORD),
        "wrong-password": _basic(_USER, "x"),
        "unknown-user": _basic("who", _PASSWORD),
        "colons": _basic(_USER, "a:b:c"),
        "unicode": _basic("ü", "\u202e\0"),
        "basic-token": _basic("__token__", _SECRET),
        "bearer": b"Bearer " + _SECRET.encode(),
        "misspelt": b"bearer  " + _SECRET.swapcase().encode(),
        "unpadded": _basic(_USER, _PASSWORD).rstrip(b"="),
        "not-utf8": b"Basic " + base64.b64encode(b"\xff:\xff"),
        "digest": b'Digest username="writer"',
        "only-a-scheme": b"Basic",
    }


def _basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def check(data: bytes) -> None:
    header = data.decode("latin-1")
    credentials = parse_basic(header)
    if credentials is not None:
        user, password = credentials
        assert user
        assert password
        assert ":" not in user
        assert parse_basic(_basic(user, password).decode()) == credentials
    identity = _AUTHENTICATOR.identify(header, "192.0.2.1")
    assert identity != ANONYMOUS  # wrong credentials are never taken for none
    if identity.refusal is None:
        assert identity.user == _USER
        assert _is_good(header, credentials)
        return
    assert identity.user is None
    assert identity.token is None
    assert not _is_good(header, credentials)
    assert identity.refusal.code in _CODES
    # What is typed into the wrong field may be a secret.
    assert identity.refusal.claimed in (None, _USER, "token robot")


def _is_good(header: str, credentials: tuple[str, str] | None) -> bool:
    if credentials is not None:
        return credentials in ((_USER, _PASSWORD), ("__token__", _SECRET))
    return header[:7].lower() == "bearer " and header[7:].strip() == _SECRET
