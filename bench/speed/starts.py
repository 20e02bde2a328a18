"""Goal 11: starts, a lost index, and memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.speed.context import Context
from bench.speed.data import SMALL
from bench.speed.pace import tell
from bench.speed.pages import HTML
from bench.speed.results import LIMIT, OURS, Line, Need, Section
from bench.speed.servers import Process, index, ours

_PEER = "pypicloud"
_MIB = 1 << 20


@dataclass(frozen=True)
class _Start:
    """Seconds to the first 200, and MiB right then and at rest."""

    seconds: float
    memory: float
    at_rest: float


def measure_starts(context: Context) -> Section:
    folder = context.folder / "starts"
    context.stores.copy(context.stores.store(), folder)
    index(folder, "rebuild")
    with ours(folder, ready=f"/simple/{SMALL}/") as mine:
        with context.limit([mine.get(f"/simple/{SMALL}/", {"Accept": HTML})]) as reference:
            lines = _started(context, mine, reference)
        lines.append(_rebuilt(context, mine, folder))
    for line in lines:
        tell(line)
    return Section(
        "Start and memory",
        "From the start of the process to the first 200 of a project's page, with the index "
        "complete; resident memory right then, and when the server is at rest. L is Pyramid with "
        "its ready page. Then the same with the index lost: both servers answer with the page "
        "once all files are indexed anew.",
        lines,
    )


def _started(context: Context, mine: Process, reference: Process) -> list[Line]:
    servers = {OURS: mine, LIMIT: reference}
    if _PEER in context.peers:
        servers[_PEER] = context.peers[_PEER].server
    starts: dict[str, list[_Start]] = {name: [] for name in servers}
    for _round in range(context.pace.rounds):
        for name, server in servers.items():
            starts[name].append(_start(server))
    needs = (Need(1, _PEER, at_most=True),)

    def line(label: str, unit: str, figure: Callable[[_Start], float]) -> Line:
        rounds = {name: [figure(start) for start in some] for name, some in starts.items()}
        return Line("11", label, rounds, needs, unit)

    return [
        line("start to the first page", "s", lambda start: start.seconds),
        line("memory after the start", "MiB", lambda start: start.memory),
        line("memory at rest", "MiB", lambda start: start.at_rest),
    ]


def _start(server: Process, lose: Callable[[], None] = lambda: None) -> _Start:
    """Start a server anew; ``lose`` is called while it does not run."""
    server.stop()
    lose()
    server.start()
    memory = server.memory()
    server.wait_until_idle()  # so that it does not disturb the next one
    return _Start(server.started, memory / _MIB, server.memory() / _MIB)


def _rebuilt(context: Context, mine: Process, folder: Path) -> Line:
    def lose() -> None:
        for path in folder.glob("index.sqlite*"):
            path.unlink()
        shutil.rmtree(folder / "packages" / ".pypicloud-lite", ignore_errors=True)

    measures = {OURS: lambda _number: _start_again(mine, lose)}
    peer = context.peers.get(_PEER)
    if peer is not None and peer.index is not None:
        server, database = peer.server, peer.index
        measures[_PEER] = lambda _number: _start_again(server, database.unlink)
    needs = (Need(1 / 3, _PEER, at_most=True),)
    return Line("11", "start with the index lost", context.pace.in_turn(measures), needs, "s")


def _start_again(server: Process, lose: Callable[[], None]) -> float:
    """Seconds.

    Raises:
        AssertionError: the page of all projects is not what it was.
    """
    before = server.get("/simple/", {"Accept": HTML}).body
    seconds = _start(server, lose).seconds
    assert server.get("/simple/", {"Accept": HTML}).body == before, "projects are missing"
    return seconds
