"""API tokens: how they look, what is kept of them, and whose one is.

A token is ``pcl_``, 256 random bits in base 62, and a checksum of both, so that scanners find
leaked ones and a misspelt one is known as such. Only its SHA-256 is kept: what has 256 random
bits needs no slow hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pypicloud_lite.names import ProjectName, project_name

#: The user name that clients send with a token as the password, as on pypi.org.
TOKEN_USER = "__token__"  # noqa: S105 - a name, not a secret
PREFIX = "pcl_"
SCOPES = ("read", "write")

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_BITS, _RANDOM_DIGITS, _CHECK_DIGITS = 256, 43, 6
_SHAPE = re.compile(rf"\A{PREFIX}[0-9A-Za-z]{{{_RANDOM_DIGITS + _CHECK_DIGITS}}}\Z")
_HASH = re.compile(r"\Asha256:([0-9a-fA-F]{64})\Z")
_ID = re.compile(r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
_FIELDS = ("owner", "scope", "projects", "expires")


@dataclass(frozen=True, slots=True)
class Token:
    """What the ini says of a token. It takes from its owner's rights and never adds to them."""

    id: str
    #: SHA-256 of the secret, in hex.
    digest: str
    owner: str
    #: Whether it may change anything; it reads in any case.
    writes: bool = False
    #: The only projects that it is for; ``None``: all.
    projects: frozenset[ProjectName] | None = None
    #: The first day, in UTC, on which it is refused.
    expires: date | None = None

    def covers(self, project: ProjectName, *, writing: bool) -> bool:
        """Whether it is for this project, and for changing it."""
        return (self.writes or not writing) and self.is_for(project)

    def is_for(self, project: ProjectName) -> bool:
        """Whether it is for this project at all."""
        return self.projects is None or project in self.projects

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over at ``now``, a moment with a time zone."""
        return self.expires is not None and now.astimezone(UTC).date() >= self.expires


def make_secret() -> str:
    """A new token."""
    body = PREFIX + _base62(secrets.randbits(_RANDOM_BITS), _RANDOM_DIGITS)
    return body + _checksum(body)


def is_intact(secret: str) -> bool:
    """Whether a text has the form of a token, and the checksum fits."""
    if _SHAPE.match(secret) is None:
        return False
    return _checksum(secret[:-_CHECK_DIGITS]) == secret[-_CHECK_DIGITS:]


def digest_of(secret: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_token_id(name: str) -> bool:
    """Whether ``token.<name>`` can be a setting."""
    return _ID.match(name) is not None


def parse_token(name: str, text: str) -> Token:
    """Read the value of ``token.<name>``.

    Raises:
        ValueError: with what is wrong, as the end of a sentence that does not show the value.
    """
    kept, *rest = (part.strip() for part in text.strip().rstrip(";").split(";"))
    match = _HASH.match(kept)
    if match is None:
        raise ValueError("does not begin with sha256: and 64 hex digits")
    fields = _fields(rest)
    if not fields.get("owner"):
        raise ValueError("has no owner=<user>")
    scope = fields.get("scope", "read")
    if scope not in SCOPES:
        raise ValueError(f"has an unknown scope; there are {' and '.join(SCOPES)}")
    expires = fields.get("expires")
    return Token(
        id=name,
        digest=match[1].lower(),
        owner=fields["owner"],
        writes=scope == "write",
        projects=_projects(fields.get("projects")),
        expires=None if expires is None else _day(expires),
    )


def render_token(token: Token) -> str:
    """The line of the ini file that :func:`parse_token` reads."""
    parts = [f"sha256:{token.digest}", f"owner={token.owner}"]
    parts.append(f"scope={SCOPES[token.writes]}")
    if token.projects is not None:
        parts.append(f"projects={' '.join(sorted(token.projects))}")
    if token.expires is not None:
        parts.append(f"expires={token.expires.isoformat()}")
    return f"token.{token.id} = {'; '.join(parts)}"


class Tokens:
    """All tokens of the server, found by their digest."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._by_digest = {token.digest: token for token in tokens}

    def find(self, secret: str) -> Token | None:
        """The token, expired or not; ``None`` when there is none, or it is misspelt."""
        return self._by_digest.get(digest_of(secret)) if is_intact(secret) else None


def _fields(parts: Iterable[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in _FIELDS or not equals or name in fields:
            raise ValueError(f"must have {', '.join(_FIELDS)}, each once, as name=value after a ;")
        fields[name] = value
    return fields


def _projects(text: str | None) -> frozenset[ProjectName] | None:
    if text is None:
        return None
    names = frozenset(project_name(name) for name in text.split())
    if not names:
        raise ValueError("names no project; leave projects out to mean all")
    return names


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("has an expires that is no date such as 2027-01-31") from None


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECK_DIGITS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _position in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
