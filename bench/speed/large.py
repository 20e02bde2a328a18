"""Goal 6: a file of 300 MB, and small pages while several are downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bench.speed.context import Context
from bench.speed.data import BIG, BIG_NAME, SMALL
from bench.speed.downloads import download, downloading
from bench.speed.forms import Form, Upload
from bench.speed.http import Connection
from bench.speed.load import Ask, Target, drive
from bench.speed.pace import tell
from bench.speed.pages import JSON
from bench.speed.results import LIMIT, OURS, Line, Need, Section
from bench.speed.servers import Process, ours, script

PARALLEL = 8
_PATH = f"/api/package/{BIG}/{BIG_NAME}"
_PAGE = Ask(f"/simple/{SMALL}/", {"Accept": JSON})


def measure_large(context: Context) -> Section:
    with _servers(context) as (server, bare):
        lines = [_rates(context, server, bare), *_latencies(context, server, bare)]
    return Section(
        "Large files",
        f"A wheel of 300 MB, and how long the slowest of a hundred requests for a page of 10 "
        f"files takes over one connection, quiet and during {PARALLEL} such downloads at once; "
        "once with [requests that differ](#requests-that-differ), and once with the same, which "
        "are answered again, so fast that the quiet figure is next to nothing. L is waitress "
        "without a framework, which sends the same file by its file wrapper and the "
        "same page from memory.",
        lines,
    )


@contextmanager
def _servers(context: Context) -> Iterator[tuple[Process, Process]]:
    store = context.stores.with_big(context.stores.store())
    with ours(store) as server:
        server.wait_until_idle()
        page = context.folder / "page"
        page.write_bytes(server.get(_PAGE.path, _PAGE.headers).body)
        arguments = [str(context.stores.big), str(page), str(context.folder)]
        with script(LIMIT, "bare", *arguments, ready="/page", folder=context.folder) as bare:
            yield server, bare


def _rates(context: Context, server: Process, bare: Process) -> Line:
    paths = {OURS: (server, _PATH), LIMIT: (bare, "/file")}
    for name, peer in context.peers.items():
        form = Form.of(Upload(BIG, "1.0", BIG_NAME, context.stores.big))
        with Connection(peer.server.port) as connection:
            form.send(connection, peer.uploads)
        paths[name] = peer.server, peer.file(BIG, BIG_NAME).asks[0].path
    measures = {
        name: lambda _number, process=process, path=path: _rate(process, path)
        for name, (process, path) in paths.items()
    }
    line = Line("6", "download", context.pace.in_turn(measures), (Need(0.8),), "MB/s")
    tell(line)
    return line


def _rate(server: Process, path: str) -> float:
    size, seconds = download(server.port, path)
    return size / 1e6 / seconds


def _latencies(context: Context, server: Process, bare: Process) -> Iterator[Line]:
    """The p99 in milliseconds."""
    every = [
        (", requests that differ", server, replace(_PAGE, varies=True), _PATH),
        ("", server, _PAGE, _PATH),
        (", L", bare, Ask("/page", _PAGE.headers), "/file"),
    ]
    for name, process, page, file in every[:1] if context.pace.quick else every:
        target = Target(process, (page,))
        busy, quiet = [], []
        for _round in range(context.pace.rounds):
            quiet.append(drive(target, 1, context.pace.seconds).p99)
            with downloading(process.port, file, PARALLEL):
                busy.append(drive(target, 1, context.pace.seconds).p99)
        needs = () if process is bare else (Need(3, "quiet", at_most=True),)
        line = Line("6", f"p99 of a page{name}", {OURS: busy, "quiet": quiet}, needs, "ms")
        tell(line)
        yield line
