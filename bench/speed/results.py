"""What was measured, and whether it meets a goal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: What tables call this project's server, and the limit.
OURS, LIMIT = "ours", "L"


@dataclass(frozen=True)
class Need:
    """Ours is at least, or at most, this many times another column; of ``None``, this figure."""

    factor: float
    of: str | None = LIMIT
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.factor:.2g} {self.of or ''}".strip()


@dataclass(frozen=True)
class Line:
    """One line of a table: the figures of all servers that were measured in turn.

    Attributes:
        goal: the number of the goal that it is for.
        rounds: by server, the figure of each round; the median is what is reported.
    """

    goal: str
    label: str
    rounds: Mapping[str, Sequence[float]]
    needs: tuple[Need, ...] = ()
    unit: str = ""

    def value(self, server: str) -> float | None:
        figures = self.rounds.get(server)
        return statistics.median(figures) if figures else None

    def ratio(self, other: str | None) -> float | None:
        """The median of the rounds' ratios of ours to another."""
        if other is None:
            return self.value(OURS)
        if other not in self.rounds:
            return None
        pairs = zip(self.rounds[OURS], self.rounds[other], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def met(self, need: Need) -> bool | None:
        """Whether a need is met; ``None`` when the other was not measured."""
        ratio = self.ratio(need.of)
        if ratio is None:
            return None
        return ratio <= need.factor if need.at_most else ratio >= need.factor


@dataclass(frozen=True)
class Section:
    """A table, and what is said about it."""

    title: str
    text: str
    lines: Sequence[Line]
