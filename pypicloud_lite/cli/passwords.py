"""``pypicloud-lite gen-password``: the hash of a password, for ``user.<name>``."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from pypicloud_lite.access.passwords import MAX_PASSWORD, SCHEMES, hash_password


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "gen-password",
        help="hash a password for user.<name>",
        description="Ask for a password and print its hash, for user.<name> in the ini file or "
        "the environment variable PPC_USER_<NAME>.",
    )
    parser.add_argument("-i", "--stdin", action="store_true", help="read one line from stdin")
    parser.add_argument("-r", "--rounds", type=int, help="rounds of the hash")
    parser.add_argument(
        "-s", "--scheme", choices=SCHEMES, default=SCHEMES[0], help="default: %(default)s"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the hash."""
    password = read_password(from_stdin=arguments.stdin)
    if password is None:
        return 1
    try:
        print(hash_password(password, arguments.scheme, arguments.rounds))
    except ValueError as exc:
        print(f"gen-password: {exc}", file=sys.stderr)
        return 1
    return 0


def read_password(*, from_stdin: bool) -> str | None:
    """A new password from stdin or the terminal; ``None``, with a message, if it can't be one."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            print("gen-password: the passwords differ", file=sys.stderr)
            return None
    if not password or len(password.encode()) > MAX_PASSWORD or "\0" in password:
        print(f"gen-password: a password has 1 to {MAX_PASSWORD} bytes", file=sys.stderr)
        return None
    return password
