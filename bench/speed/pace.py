"""How long is measured, and how often: every server of a comparison once in each round."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.speed.load import Load, Target, drive
from bench.speed.results import Line, Need

#: A slow server still works on requests when the load has ended, which would disturb the next one.
_REST = 0.1
#: Who gives fewer answers per second is asked in the first round only, which takes long enough.
_SLOW = 5


def say(text: str) -> None:
    """Progress, for who waits."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Pace:
    """Rounds, and the seconds of each measurement in a round."""

    rounds: int
    seconds: int
    quick: bool

    def in_turn(self, measures: Mapping[str, Callable[[int], float]]) -> dict[str, list[float]]:
        """The figures of each server, by its name; a measurement is given its round's number."""
        figures: dict[str, list[float]] = {name: [] for name in measures}
        for number in range(self.rounds):
            for name, measure in measures.items():
                figures[name].append(measure(number))
        return figures

    def loads(self, targets: Mapping[str, Target], connections: int) -> dict[str, list[Load]]:
        """What each server stands, in turn."""
        loads: dict[str, list[Load]] = {name: [] for name in targets}
        for _round in range(self.rounds):
            for name, target in targets.items():
                if loads[name] and loads[name][0].rate < _SLOW:
                    continue
                loads[name].append(drive(target, connections, self.seconds))
                target.server.wait_until_idle(_REST)
        return loads

    def rates(
        self, goal: str, label: str, targets: Mapping[str, Target], connections: int,
        needs: Sequence[Need] = (),
    ) -> Line:  # fmt: skip
        """A line of answers per second."""
        loads = self.loads(targets, connections)
        rounds = {name: [load.rate for load in some] for name, some in loads.items()}
        line = Line(goal, f"{label}, {connections} conn.", rounds, tuple(needs))
        tell(line)
        return line


def tell(line: Line) -> None:
    """Say how a line came out."""
    figures = ", ".join(f"{name} {line.value(name):,.5g}" for name in line.rounds)
    verdicts = [
        f"{line.ratio(need.of):.2f} {need}: {'met' if line.met(need) else 'NOT MET'}"
        for need in line.needs
        if line.met(need) is not None
    ]
    say("; ".join([f"  {line.label}: {figures} {line.unit}", *verdicts]))
