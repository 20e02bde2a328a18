"""The table of hostile inputs in ``docs/security.md``, made from the tests that hold them.

A test belongs to an entry when its name, or the id of its case, begins with the entry's number
(``test_h19_…``, ``[A01-text]``). What it says of the answer is the first line of its docstring,
else its name, with what its cases expect. Run it as ``python -m tests.support.catalogue``.
"""

from __future__ import annotations

import io
import re
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- table of tests: make security -->", "<!-- end of the table -->"
#: The letter of an entry, and what it is about; this is the order of the table.
FAMILIES = {
    "U": "Addresses",
    "F": "Upload forms",
    "A": "Archives",
    "H": "Credentials and sessions",
    "X": "Injected texts",
    "R": "Redirects, hosts and proxies",
    "P": "The other index",
    "C": "Concurrency",
    "Z": "Faults",
}
_ENTRY = rf"[{''.join(FAMILIES)}]\d\d"
_IN_NAME = re.compile(rf"\Atest_((?:{_ENTRY}_)+)", re.IGNORECASE)
_IN_CASE = re.compile(rf"\A({_ENTRY})(?=-|\Z)")
#: Parameters of tests that say what is expected.
_EXPECTATIONS = ("status", "expected", "answer", "says", "code")


class Collector:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        self.items = items


def entries_of(item: Any) -> list[str]:
    """The numbers of the entries that a test is for."""
    callspec = getattr(item, "callspec", None)
    in_case = _IN_CASE.match(callspec.id) if callspec is not None else None
    if in_case is not None:
        return [in_case[1]]
    in_name = _IN_NAME.match(item.name)
    return in_name[1].strip("_").upper().split("_") if in_name is not None else []


def rows(items: list[Any]) -> dict[tuple[str, str], str]:
    """Entry and test to what is answered."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for item in items:
        path, _, name = item.nodeid.partition("[")[0].partition("::")
        for entry in entries_of(item):
            found[entry, f"{Path(path).name}::{name}"].append(item)
    return {key: _answer(cases) for key, cases in found.items()}


def _answer(cases: list[Any]) -> str:
    first = cases[0]
    doc = (first.function.__doc__ or "").strip().splitlines()
    if doc:
        return str(doc[0]).rstrip(".")
    name = re.sub(_IN_NAME, "", first.originalname).removeprefix("test_").replace("_", " ")
    expected = dict.fromkeys(filter(None, map(_expected, cases)))  # a set that keeps the order
    return f"{name}: {'; '.join(expected)}" if expected else name


def _expected(case: Any) -> str | None:
    parameters = case.callspec.params if hasattr(case, "callspec") else {}
    for name in _EXPECTATIONS:
        value = parameters.get(name)
        if isinstance(value, str | int):
            return f'"{value}"' if name == "says" else str(value)
    return None


def table(items: list[Any]) -> str:
    """The tables as Markdown, one for each family."""
    found = rows(items)
    lines: list[str] = []
    for letter, title in FAMILIES.items():
        keys = sorted(key for key in found if key[0][0] == letter)
        if keys:
            lines += [f"### {title}", "", "| entry | answer | test |", "|---|---|---|"]
            lines += [
                f"| {entry} | {_cell(found[entry, test])} | `{test}` |" for entry, test in keys
            ]
            lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def collect() -> list[Any]:
    """All tests of ``tests/hostile`` and ``tests/faults``, none of them run."""
    collector = Collector()
    folders = [str(ROOT / "tests" / "hostile"), str(ROOT / "tests" / "faults")]
    with redirect_stdout(io.StringIO()) as told:
        code = pytest.main(["--collect-only", "-qq", *folders], [collector])
    if code != pytest.ExitCode.OK:
        raise SystemExit(told.getvalue())
    return collector.items


def page(text: str, items: list[Any]) -> str:
    """The page ``text`` with the table of these tests."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} has no place for the table")
    return f"{before}{BEGIN}\n\n{table(items)}\n{END}{after}"


def main() -> int:
    """Write the page anew; with ``--check``, only say whether it is current."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old, collect())
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
