"""``pypicloud-lite make-config``: write a working, commented ini file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pypicloud_lite.access.passwords import hash_password
from pypicloud_lite.cli.ini import STORAGES, Answers, render_ini
from pypicloud_lite.cli.passwords import read_password


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "make-config",
        help="write an ini file",
        description="Ask a few questions and write a working, commented ini file. Everything "
        "asked for can be given as an option; with --yes nothing is asked.",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "-d", "-t", "--development", action="store_const", dest="kind", const="development",
        help="for trying it out: anonymous users read, an admin's password is made at the start",
    )  # fmt: skip
    kind.add_argument(
        "-p", "--production", action="store_const", dest="kind", const="production",
        help="nobody anonymous reads or writes; secrets come from the environment",
    )  # fmt: skip
    parser.add_argument("--storage", choices=STORAGES)
    parser.add_argument("--dir", help="file: the folder of the packages")
    parser.add_argument("--bucket", help="s3, cloudfront: the bucket")
    parser.add_argument("--region", help="s3, cloudfront: the bucket's region")
    parser.add_argument("--endpoint-url", help="s3: the URL of an S3-compatible server")
    parser.add_argument("--prefix", help="s3, cloudfront: put before every key")
    parser.add_argument("--domain", help="cloudfront: https://dabcdefgh12345.cloudfront.net")
    parser.add_argument("--key-id", help="cloudfront: id of the key that signs URLs")
    parser.add_argument("--key-file", help="cloudfront: PEM file of that key")
    parser.add_argument("--admin", help="name of the admin user")
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the admin's password from stdin"
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing, take defaults")
    parser.add_argument("-f", "--force", action="store_true", help="replace an existing file")
    parser.add_argument("output", nargs="?", help="the file to write; default: <kind>.ini")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file."""
    ask = _default if arguments.yes else _ask
    kind = arguments.kind or ask("development or production?", "development", _KINDS)
    output = Path(arguments.output or f"{kind}.ini")
    if output.exists() and not arguments.force:
        print(f"make-config: {output} exists; --force replaces it", file=sys.stderr)
        return 1
    storage = arguments.storage or ask(f"Storage ({', '.join(STORAGES)})?", "file", STORAGES)
    values = {name: getattr(arguments, name) for name in _VALUES[storage]}
    for name, (question, default) in _VALUES[storage].items():
        if values[name] is None:
            values[name] = ask(question, default, None)
    missing = [name for name in ("bucket", "domain") if name in values and not values[name]]
    if missing:
        print(f"make-config: --{missing[0]} is needed for {storage}", file=sys.stderr)
        return 2
    password_hash = None
    if arguments.password_stdin or (kind == "production" and not arguments.yes):
        password = read_password(from_stdin=arguments.password_stdin)
        if password is None:
            return 1
        password_hash = hash_password(password)
    answers = Answers(
        kind=kind,
        storage=storage,
        values=values,
        admin=arguments.admin or "admin",
        password_hash=password_hash,
        host=arguments.host or "127.0.0.1",
        port=arguments.port or 6543,
    )
    output.touch(mode=0o600)  # it may hold a password's hash
    output.write_text(render_ini(answers), encoding="utf-8")
    print(f"Wrote {output}. Start it with: pypicloud-lite serve {output}")
    return 0


_KINDS = ("development", "production")
_BUCKET = {
    "bucket": ("Bucket?", ""),
    "region": ("Region of the bucket (empty: us-east-1)?", ""),
    "prefix": ("Prefix of all keys (empty: none)?", ""),
    "endpoint_url": ("URL of the S3-compatible server (empty: AWS)?", ""),
}
#: For each storage: option -> (question, default).
_VALUES: dict[str, dict[str, tuple[str, str]]] = {
    "file": {"dir": ("Folder of the packages?", "%(here)s/data/packages")},
    "s3": _BUCKET,
    "cloudfront": _BUCKET
    | {
        "domain": ("CloudFront domain?", ""),
        "key_id": ("Id of the signing key (empty: URLs are not signed)?", ""),
        "key_file": ("PEM file of the signing key (empty: none)?", ""),
    },
}

_Ask = Callable[[str, str, "tuple[str, ...] | None"], str]


def _default(_question: str, default: str, _allowed: tuple[str, ...] | None) -> str:
    return default


def _ask(question: str, default: str, allowed: tuple[str, ...] | None) -> str:
    while True:
        shown = f" [{default}]" if default else ""
        answer = input(f"{question}{shown} ").strip() or default
        if allowed is None or answer in allowed:
            return answer
        print(f"One of: {', '.join(allowed)}")
