"""Goal 9: the number of files does not matter."""

from __future__ import annotations

from contextlib import ExitStack

from bench.scale_data import LARGE, filenames, project_of
from bench.speed.context import Context
from bench.speed.data import FILES
from bench.speed.load import Ask, Target
from bench.speed.pace import tell
from bench.speed.pages import HTML, JSON
from bench.speed.results import OURS, Line, Need, Section
from bench.speed.servers import Process, ours

_SIZES = (100, FILES, 1_000_000)
#: Projects that are asked for in turn: all of the smallest store, and as many of the others.
_PROJECTS = 10
_CONNECTIONS = 1


_LABELS = {
    "1": "page of 10 files",
    "2": "page of 1,000 files, gzip",
    "4": "304",
    "5": "small file",
}
_QUICK_GOALS = ("1",)


def measure_sizes(context: Context) -> Section:
    most = FILES if context.pace.quick else context.size_limit
    sizes = [files for files in _SIZES if files <= most]
    lines = []
    with ExitStack() as stack:
        servers = {}
        for files in sizes:
            servers[files] = stack.enter_context(ours(context.stores.store(files)))
        for server in servers.values():
            server.wait_until_idle()
        goals = _QUICK_GOALS if context.pace.quick else tuple(_LABELS)
        for goal in goals:
            lines += _lines(context, goal, servers)
    return Section(
        "Number of files",
        f"Ours with stores of {' and '.join(f'{files:,}' for files in sizes)} files, each with "
        f"the project of 1,000 files besides; {_PROJECTS} projects in turn, over one connection.",
        lines,
    )


def _lines(context: Context, goal: str, servers: dict[int, Process]) -> list[Line]:
    targets = {
        f"{files:,} files": Target(server, _asks(goal, server, files))
        for files, server in servers.items()
    }
    loads = context.pace.loads(targets, _CONNECTIONS)
    rates = {name: [load.rate for load in some] for name, some in loads.items()}
    small, *larger = rates
    label = _LABELS[goal]
    lines = [
        Line(
            f"9 ({goal})", f"{label}, {name}", {OURS: rates[name], small: rates[small]},
            (Need(0.8, small),),
        )
        for name in larger
    ]  # fmt: skip
    for line in lines:
        tell(line)
    return lines


def _asks(goal: str, server: Process, files: int) -> tuple[Ask, ...]:
    step = files // 10 // _PROJECTS  # from all over the index
    projects = [project_of(number * step) for number in range(_PROJECTS)]
    if goal == "1":
        return tuple(Ask(f"/simple/{project}/", {"Accept": HTML}) for project in projects)
    if goal == "2":
        return (Ask(f"/simple/{LARGE}/", {"Accept": JSON, "Accept-Encoding": "gzip"}),)
    if goal == "4":
        return tuple(_known(server, f"/simple/{project}/") for project in projects)
    return tuple(
        Ask(f"/api/package/{project}/{filenames(project, 1)[0]}", {}) for project in projects
    )


def _known(server: Process, path: str) -> Ask:
    etag = server.get(path, {"Accept": JSON}).headers["etag"]
    return Ask(path, {"Accept": JSON, "If-None-Match": etag}, 304)
