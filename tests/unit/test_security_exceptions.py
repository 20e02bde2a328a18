"""Exceptions from the security rules of the linter, which replaces bandit."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pypicloud_lite"
_EXCEPTION = re.compile(r"#\s*(?:noqa|nosec)\b.*")
_OF_SECURITY = re.compile(r"\bS\d+|nosec|noqa(?!:)")


def exceptions() -> dict[str, str]:
    return {
        f"{path.relative_to(PACKAGE)}:{number}": found[0]
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := _EXCEPTION.search(line)) and _OF_SECURITY.search(found[0])
    }


def test_each_has_its_reason_beside_it() -> None:
    found = exceptions()
    assert found
    reasoned = re.compile(r"# noqa: S\d+ - \w.+")
    assert {place: text for place, text in found.items() if not reasoned.fullmatch(text)} == {}
