"""Goals 1 to 4: pages of projects, the page of all projects, and revalidation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.scale_data import LARGE, LARGE_FILES, project_of
from bench.speed.context import CONNECTIONS, Case, Context
from bench.speed.data import SMALL
from bench.speed.load import Ask, Target
from bench.speed.results import Line, Need, Section
from bench.speed.servers import Process, ours
from bench.speed.users import authorization, user_settings

HTML, JSON = "text/html", "application/vnd.pypi.simple.v1+json"
_KINDS = {"HTML": HTML, "JSON": JSON}
GZIP = {"Accept-Encoding": "gzip"}
#: Users whose lists differ, and how many projects each has alone.
_READERS, _OWN = 10, 10
_PROJECTS = 100_000


def measure_pages(context: Context) -> Section:
    store = context.stores.store()
    with ours(store) as server:
        server.wait_until_idle()
        lines = context.compare(server, _project_pages(context))
    return Section(
        "Project pages",
        "The page of a project, by its number of files, its format, and whether it is compressed.",
        lines,
    )


def _project_pages(context: Context) -> Iterator[Case]:
    for goal, project, files in (("1", SMALL, 10), ("2", LARGE, LARGE_FILES)):
        for kind, accept in _KINDS.items():
            for gzip in (False, True):
                quick = context.pace.quick
                if quick and gzip != (kind == "JSON"):
                    continue
                headers = {"Accept": accept} | (GZIP if gzip else {})
                yield Case(
                    goal,
                    f"{files:,} files, {kind}{', gzip' if gzip else ''}",
                    (Ask(f"/simple/{project}/", headers),),
                    (Need(0.85),),
                    {} if gzip else _of_peers(context, kind, project),
                    CONNECTIONS[quick:] if gzip else (),
                )


def _of_peers(context: Context, kind: str, project: str | None) -> dict[str, Target]:
    return {
        name: peer.root(_KINDS[kind]) if project is None else peer.page(project, _KINDS[kind])
        for name, peer in context.peers.items()
        if kind == "HTML" or peer.json
    }


def measure_revalidation(context: Context) -> Section:
    store = context.stores.store()
    with ours(store) as server:
        server.wait_until_idle()
        projects = [SMALL] if context.pace.quick else [SMALL, LARGE]
        lines = context.compare(server, [_revalidation(server, project) for project in projects])
    return Section(
        "Revalidation", "A page that the client has already: `If-None-Match`, and 304.", lines
    )


def _revalidation(server: Process, project: str) -> Case:
    path, headers = f"/simple/{project}/", {"Accept": JSON} | GZIP
    known = {"If-None-Match": server.get(path, headers).headers["etag"]}
    return Case("4", f"304, {project}", (Ask(path, headers | known, 304),), (Need(0.9),))


def measure_root(context: Context) -> Section:
    """The page of all projects, with and without rules that make it differ by user."""
    small = context.stores.store()
    lines = _root_of(context, small, 1001, with_peers=True)
    if not context.pace.quick and context.size_limit >= _PROJECTS:
        large = context.stores.store(_PROJECTS, 1)
        lines += _root_of(context, large, _PROJECTS + 1, with_peers=False)
    return Section(
        "Page of all projects",
        f"The names of all projects. *By user*: {_READERS} users in turn, each of whom may see "
        f"{_OWN} projects that the others may not, so that no two get the same page.",
        lines,
    )


def _root_of(context: Context, store: Path, names: int, *, with_peers: bool) -> list[Line]:
    label = f"{names:,} projects"
    plain = Ask("/simple/", {"Accept": HTML})
    packed = Ask("/simple/", {"Accept": JSON} | GZIP)
    needs = (Need(0.85),)
    peers = _of_peers(context, "HTML", None) if with_peers else {}
    cases = [Case("3", f"{label}, HTML", (plain,), needs, peers)]
    if not context.pace.quick:
        cases.append(Case("3", f"{label}, JSON, gzip", (packed,), needs))
    with _idle(ours(store)) as server:
        lines = context.compare(server, cases)
    if context.pace.quick:
        return lines
    readers = [f"reader{number}" for number in range(_READERS)]
    asks = tuple(Ask("/simple/", {"Accept": HTML} | authorization(name)) for name in readers)
    rules = {
        f"package.{project_of(number)}.user.{readers[number % _READERS]}": "r"
        for number in range(_READERS * _OWN)
    }
    with _idle(ours(store, {**user_settings(readers), **rules})) as server:
        case = Case("3", f"{label}, HTML, by user", asks, (Need(0.7),))
        return lines + context.compare(server, [case])


@contextmanager
def _idle(server: Process) -> Iterator[Process]:
    with server:
        server.wait_until_idle()
        yield server
