"""The tables of docs/performance.md, which stand between marks; what is written around stays."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.scale_report import commit, machine, table
from bench.speed.load import WRK
from bench.speed.results import Line, Section
from bench.speed.servers import THREADS

BEGIN, END = "<!-- tables of figures: make bench -->", "<!-- end of the tables -->"
_HERE = Path(__file__).parent
_PACKAGES = ("pyramid", "waitress", "multipart", "boto3", "cryptography")
_VERDICTS = {True: "met", False: "**not met**", None: "not measured"}


@dataclass(frozen=True)
class Run:
    """How it was measured.

    Attributes:
        peers: names and versions of those that were measured, and sentences on the others.
    """

    command: str
    rounds: int
    seconds: int
    peers: Sequence[str]


def report(run: Run, sections: Sequence[Section]) -> str:
    """All that stands between the marks."""
    about = (_HERE / "tables.md").read_text(encoding="utf-8").format(
        command=run.command,
        date=datetime.now(UTC).date(),
        commit=commit(),
        python=platform.python_version(),
        packages=", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        machine=machine(),
        load=_load(),
        peers="; ".join(run.peers) or "none",
        threads=THREADS,
        rounds=run.rounds,
        seconds=run.seconds,
        goals=_goals(sections),
    )  # fmt: skip
    return "\n".join([about, *map(_section, sections)])


def write(path: Path, text: str) -> None:
    """Put the tables between the marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    page = path.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    path.write_text(f"{page[:begin]}\n\n{text}\n{page[end:]}", encoding="utf-8")


def _load() -> str:
    if WRK is None:
        return "a generator in Python, since wrk is not installed; it takes more of the machine"
    said = subprocess.run([WRK, "--version"], capture_output=True, text=True, check=False)
    return " ".join(said.stdout.split()[:2])


def _goals(sections: Sequence[Section]) -> str:
    """What each goal needs in all lines, and how often that is so."""
    verdicts: dict[str, list[bool | None]] = {}
    for line in (line for section in sections for line in section.lines):
        for need in line.needs:
            verdicts.setdefault(line.goal.partition(" ")[0], []).append(line.met(need))
    rows = [
        [goal, *(str(found.count(verdict)) for verdict in _VERDICTS)]
        for goal, found in sorted(verdicts.items(), key=lambda item: int(item[0]))
    ]
    return table(["goal", *(f"times {verdict}" for verdict in _VERDICTS.values())], rows)


def _section(section: Section) -> str:
    columns = list(dict.fromkeys(name for line in section.lines for name in line.rounds))
    head = ["", "goal", *columns, "ratio", "needed", ""]
    rows = [
        [_label(line), line.goal, *_figures(line, columns), *_needs(line)]
        for line in section.lines
    ]  # fmt: skip
    shown = [table(head, rows)] if rows else []
    return "\n\n".join([f"### {section.title}", section.text, *shown]) + "\n"


def _label(line: Line) -> str:
    return f"{line.label}, {line.unit}" if line.unit else line.label


def _figures(line: Line, columns: Sequence[str]) -> list[str]:
    return [_number(line.value(name)) for name in columns]


def _needs(line: Line) -> list[str]:
    """The ratios to what is needed, the needs, and whether they are met."""
    ratios = [_number(line.ratio(need.of)) for need in line.needs]
    verdicts = [_VERDICTS[line.met(need)] for need in line.needs]
    return [", ".join(cells) for cells in (ratios, map(str, line.needs), verdicts)]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.2f}"
