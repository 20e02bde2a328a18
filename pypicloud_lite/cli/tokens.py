"""``pypicloud-lite token``: making API tokens, and asking an ini file about them."""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

from pypicloud_lite.access.config import Access, load_access
from pypicloud_lite.access.identity import Identity
from pypicloud_lite.access.rules import Permission, Rules
from pypicloud_lite.access.tokens import (
    SCOPES,
    Token,
    Tokens,
    digest_of,
    is_intact,
    is_token_id,
    make_secret,
    render_token,
)
from pypicloud_lite.cli.source import ini_settings
from pypicloud_lite.errors import SettingsError
from pypicloud_lite.model import utcnow
from pypicloud_lite.names import ProjectName, project_name
from pypicloud_lite.settings.load import load
from pypicloud_lite.settings.options import Source, environment_name

#: Stands for every project without a rule of its own; no project can have this name.
_OTHERS = ProjectName("*")
_COLUMNS = ("id", "owner", "scope", "projects", "expires", "state")


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    parser = commands.add_parser("token", help="make, list and check API tokens")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="make a token",
        description="Make a token and print it, this once, with the line for the ini file, which "
        "holds only its hash. Nothing is written anywhere.",
    )
    create.add_argument("--owner", required=True, help="the user whose rights limit the token")
    create.add_argument("--id", help="its name in the ini file and in logs; default: made up")
    create.add_argument("--scope", choices=SCOPES, default="read", help="default: %(default)s")
    create.add_argument(
        "--projects", metavar="'FOO BAR'", help="the only projects that it is for; default: all"
    )
    create.add_argument(
        "--expires", type=date.fromisoformat, metavar="YYYY-MM-DD",
        help="the first day, in UTC, on which it is refused; default: never",
    )  # fmt: skip
    create.add_argument("ini", nargs="?", help="check owner and id against this ini file")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="list the tokens of an ini file")
    listing.add_argument("ini")
    listing.set_defaults(run=run_list)
    check = actions.add_parser(
        "check",
        help="say what a token may do",
        description="Read a token from standard input, or ask for it, and say whose it is and "
        "what it may do. Exit status 1 when it is refused.",
    )
    check.add_argument("ini")
    check.set_defaults(run=run_check)


def run_create(arguments: argparse.Namespace) -> int:
    """Print a new token and its line.

    Raises:
        InvalidName: a project's name is none.
        SettingsError: ``--projects`` is empty, or the line would stop the server's start.
    """
    secret = make_secret()
    token = Token(
        id=arguments.id or f"{arguments.owner}-{secrets.token_hex(3)}",
        digest=digest_of(secret),
        owner=arguments.owner,
        writes=arguments.scope == "write",
        projects=_projects(arguments.projects),
        expires=arguments.expires,
    )
    setting, _equals, value = render_token(token).partition(" = ")
    if arguments.ini:
        _check(ini_settings(arguments.ini), setting, value)
    elif not is_token_id(token.id):
        raise SettingsError([f"{token.id!r} can't be the name of a token"])
    print(f"The token, shown only now:\n\n{secret}\n")
    print(f"Its line in [app:main]; {environment_name(setting)} can hold the value:\n")
    print(f"{setting} = {value}")
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """Print one line for each token."""
    tokens = _load(ini_settings(arguments.ini)).tokens
    rows = [tuple(map(str.upper, _COLUMNS)), *map(_row, tokens)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Say what the token may do."""
    access = _load(ini_settings(arguments.ini))
    secret = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline()
    secret = secret.strip()
    token = Tokens(access.tokens).find(secret)
    if token is None:
        unknown = "It is no token of this ini file."
        misspelt = "It is misspelt: its checksum does not fit."
        print(unknown if is_intact(secret) else misspelt, file=sys.stderr)
        return 1
    for title, value in zip(_COLUMNS, _row(token), strict=True):
        print(f"{title}: {value}")
    if token.is_expired(utcnow()):
        return 1
    for name, rights in _rights(access.rules, token):
        print(f"{'other projects' if name == _OTHERS else name}: {rights}")
    return 0


def _row(token: Token) -> tuple[str, ...]:
    return (
        token.id,
        token.owner,
        SCOPES[token.writes],
        "all" if token.projects is None else " ".join(sorted(token.projects)),
        "never" if token.expires is None else token.expires.isoformat(),
        "expired" if token.is_expired(utcnow()) else "good",
    )


def _rights(rules: Rules, token: Token) -> Iterator[tuple[ProjectName, str]]:
    """What the token may do with each project that it, or a rule, names."""
    names = [*sorted(rules.projects), _OTHERS] if token.projects is None else sorted(token.projects)
    identity = Identity(token.owner, token)
    for name in names:
        rights = [right.value for right in Permission if rules.permits(identity, name, right)]
        yield name, ", ".join(rights) or "nothing"


def _projects(given: str | None) -> frozenset[ProjectName] | None:
    """The projects of ``--projects``. An empty variable of a script must not mean all of them."""
    if given is None:
        return None
    if not given.split():
        raise SettingsError(["--projects names no project; leave it out to mean all"])
    return frozenset(map(project_name, given.split()))


def _check(settings: dict[str, str], setting: str, value: str) -> None:
    """See whether the ini file takes the new line."""
    if setting in settings:
        raise SettingsError([f"{setting} is there already; choose another --id"])
    _load(settings | {setting: value})


def _load(settings: dict[str, str]) -> Access:
    source = Source(settings, os.environ)
    access = load_access(source, load(source))
    source.check()
    return access
