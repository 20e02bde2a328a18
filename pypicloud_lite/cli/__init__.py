"""The command line: ``pypicloud-lite <command>``, and pypicloud's old command names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pypicloud_lite.errors import PypicloudLiteError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    from pypicloud_lite.cli import (  # noqa: PLC0415 - start fast
        events,
        index,
        make_config,
        passwords,
        reference,
        serve,
        tokens,
    )
    from pypicloud_lite.version import version  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog="pypicloud-lite", description="A private Python package index."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (serve, make_config, passwords, tokens, index, events, reference):
        module.add_to(commands)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except PypicloudLiteError as exc:
        print(f"pypicloud-lite: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def ppc_make_config() -> int:
    """``ppc-make-config``, as pypicloud called it."""
    return main(["make-config", *sys.argv[1:]])


def ppc_gen_password() -> int:
    """``ppc-gen-password``, as pypicloud called it."""
    return main(["gen-password", *sys.argv[1:]])
