"""API tokens for tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pypicloud_lite.access.tokens import Token, digest_of, make_secret, render_token
from pypicloud_lite.names import project_name


@dataclass(frozen=True)
class MadeToken:
    """A token and its line in the ini file."""

    secret: str
    token: Token

    @property
    def settings(self) -> dict[str, str]:
        setting, _equals, value = render_token(self.token).partition(" = ")
        return {setting: value}


def make_token(
    name: str = "robot",
    *,
    owner: str = "writer",
    writes: bool = True,
    projects: str | None = None,
    expires: date | None = None,
) -> MadeToken:
    """A new token of ``owner``; ``projects`` are separated by spaces."""
    secret = make_secret()
    names = None if projects is None else frozenset(map(project_name, projects.split()))
    return MadeToken(secret, Token(name, digest_of(secret), owner, writes, names, expires))
