"""The tables of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence

from bench.scale_report import table
from bench.speed.results import Line, Section

_VERDICTS = {True: "met", False: "**not met**", None: "not measured"}


def tables(sections: Sequence[Section]) -> str:
    """All sections, as Markdown."""
    return "\n".join(_section(section) for section in sections)


def _section(section: Section) -> str:
    columns = list(dict.fromkeys(name for line in section.lines for name in line.rounds))
    head = ["", "goal", *columns, "ratio", "needed", ""]
    rows = [
        [line.label, line.goal, *_figures(line, columns), *_goal(line)] for line in section.lines
    ]
    parts = [f"### {section.title}", section.text, table(head, rows), *section.notes]
    return "\n\n".join(parts) + "\n"


def _figures(line: Line, columns: Sequence[str]) -> list[str]:
    return [_number(line.value(name)) for name in columns]


def _goal(line: Line) -> list[str]:
    """The ratios to what is needed, the needs, and whether they are met."""
    ratios = [_ratio(line.ratio(need.of)) for need in line.needs]
    verdicts = [_VERDICTS[line.met(need)] for need in line.needs]
    return [", ".join(cells) for cells in (ratios, map(str, line.needs), verdicts)]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
