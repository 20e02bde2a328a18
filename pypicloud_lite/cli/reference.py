"""``pypicloud-lite settings``: the reference of all settings, made from their declarations."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pypicloud_lite.settings.options import REQUIRED, Option, environment_name, options_of
from pypicloud_lite.settings.storages import STORAGE_GROUPS
from pypicloud_lite.settings.table import (
    ACCESS_PATTERNS,
    DEPRECATED_BOOLEANS,
    WITHOUT_EFFECT,
    AuthSettings,
    IndexSettings,
    ServerSettings,
    SessionSettings,
)


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("settings", help="print the reference of all settings")
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Print the reference."""
    print(reference(), end="")
    return 0


def sections() -> Iterator[tuple[str, list[Option]]]:
    """The headings of the reference and what is under each."""
    yield "Server", [declared for _field, declared in options_of(ServerSettings)]
    for title, group in STORAGE_GROUPS:
        yield title, [declared for _field, declared in options_of(group)]
    yield "Index database", [declared for _field, declared in options_of(IndexSettings)]
    yield "Access", [declared for _field, declared in options_of(AuthSettings)]
    yield "Sessions", [declared for _field, declared in options_of(SessionSettings)]


def shown_default(declared: Option) -> str:
    """A default as one would write it in the ini file."""
    if declared.default_text is not None:
        return declared.default_text
    default = declared.default
    if default is None or default in ((), ""):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return " ".join(default)
    return str(default)


def reference() -> str:
    """The whole reference as Markdown."""
    lines = [
        "# Settings",
        "",
        "Settings stand in `[app:main]` of the ini file. An environment variable overrides each:",
        "`PPC_`, then the name in upper case with `.` as `_`, so `pypi.fallback` is",
        "`PPC_PYPI_FALLBACK`. This page is the output of `pypicloud-lite settings`.",
        "",
    ]
    for title, group in sections():
        lines += [f"## {title}", ""]
        for declared in group:
            lines += _entry(declared)
    lines += ["## Users, groups and permissions", ""]
    for name, kind, text in ACCESS_PATTERNS:
        lines += [f"### `{name}`", "", f"{_sentence(kind)}", "", text, ""]
    lines += ["## pypicloud's settings without effect", ""]
    lines += [f"- `{name}`: {why}" for name, why in WITHOUT_EFFECT.items()]
    lines += [
        "- every other `session.*`: it was for Beaker, whose cookies are not taken",
        "",
        "## pypicloud's deprecated settings",
        "",
        "- `pypi.fallback_url`: use `pypi.fallback_base_url`",
    ]
    lines += [f"- `{old}`: use `{new}`" for old, (new, _value) in DEPRECATED_BOOLEANS.items()]
    return "\n".join(lines) + "\n"


def _entry(declared: Option) -> list[str]:
    if declared.default is REQUIRED:
        default = "Required."
    else:
        shown = shown_default(declared)
        default = f"Default: `{shown}`." if shown else "Default: none."
    also = "".join(f" Also `{alias}`." for alias in declared.aliases)
    return [
        f"### `{declared.name}`",
        "",
        f"{_sentence(declared.kind.label)} {default}{also} `{environment_name(declared.name)}`",
        "",
        declared.help,
        "",
    ]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
