"""What every section is given: data, time, and the limit to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.speed import limit
from bench.speed.data import Stores
from bench.speed.http import Answer
from bench.speed.load import Ask, LoadError, Target
from bench.speed.pace import Pace
from bench.speed.peers import Peer
from bench.speed.results import LIMIT, OURS, Line, Need
from bench.speed.servers import Process, script

_numbers = itertools.count()
CONNECTIONS = (1, 16)


@dataclass(frozen=True)
class Case:
    """A request that ours and L answer; with several of ours, each gives an answer of its own.

    Attributes:
        peers: what the peers are asked, by name.
        connections: numbers of connections that it is measured with; by default, those of the run.
    """

    goal: str
    label: str
    asks: tuple[Ask, ...]
    needs: tuple[Need, ...]
    peers: Mapping[str, Target] = field(default_factory=dict)
    connections: Sequence[int] = ()


@dataclass(frozen=True)
class Context:
    """The data, how long is measured, where logs go, and the peers that run."""

    stores: Stores
    pace: Pace
    folder: Path
    peers: Mapping[str, Peer] = field(default_factory=dict)
    #: The largest number of files in a store.
    size_limit: int = 1_000_000

    @property
    def connections(self) -> Sequence[int]:
        """Numbers of connections."""
        return CONNECTIONS[:1] if self.pace.quick else CONNECTIONS

    def compare(self, server: Process, cases: Iterable[Case]) -> list[Line]:
        """Measure ours, L with ours's own bytes, and peers."""
        return [line for case in cases for line in self._lines(server, case)]

    def _lines(self, server: Process, case: Case) -> Iterator[Line]:
        answers = [_expected(server, ask) for ask in case.asks]
        with self.limit(answers) as reference:
            asks = tuple(replace(ask, path=f"/{number}") for number, ask in enumerate(case.asks))
            targets = {OURS: Target(server, case.asks), LIMIT: Target(reference, asks)}
            for connections in case.connections or self.connections:
                yield self.pace.rates(
                    case.goal, case.label, {**targets, **case.peers}, connections, case.needs
                )

    @contextmanager
    def limit(self, answers: Sequence[Answer]) -> Iterator[Process]:
        """L with these answers; the first is at ``/0``."""
        folder = self.folder / f"limit-{next(_numbers)}"
        limit.write(folder, answers)
        arguments = [str(folder)]
        with script(LIMIT, "limit", *arguments, ready=limit.READY, folder=self.folder) as server:
            yield server


def _expected(server: Process, ask: Ask) -> Answer:
    answer = server.get(ask.path, ask.headers)
    if answer.status != ask.status:
        raise LoadError(f"{server.name}: {ask.path} is answered {answer.status}")
    return answer
