"""The server of ``production.ini`` as it runs behind a proxy."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

_INI = Path(__file__).parents[2] / "production.ini"
_SUPPLIED = ("use", "host", "port")


def behind_a_proxy() -> dict[str, str]:
    """``[server:main]``, with the lines that the file has for a proxy."""
    text = _INI.read_text(encoding="utf-8")
    assert text.count("\n# trusted_proxy") == 2
    parser = RawConfigParser()
    parser.read_string(text.replace("\n# trusted_proxy", "\ntrusted_proxy"))
    return {name: value for name, value in parser["server:main"].items() if name not in _SUPPLIED}
