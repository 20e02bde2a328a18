"""Goals 1 to 5 where no answer can be given again, since no two requests are the same."""

from __future__ import annotations

from bench.scale_data import LARGE
from bench.speed.context import Case, Context
from bench.speed.data import SMALL, SMALL_FILE
from bench.speed.load import Ask
from bench.speed.pages import GZIP, HTML, JSON
from bench.speed.results import Need, Section
from bench.speed.servers import Process, ours


def measure_different(context: Context) -> Section:
    with ours(context.stores.store()) as server:
        server.wait_until_idle()
        cases = _cases(server)
        lines = context.compare(server, cases[:1] if context.pace.quick else cases)
    return Section(
        "Requests that differ",
        "All other tables are of requests that come again and again, and whose answers the server "
        "gives again. Here each request has a number in a header, which makes it another one than "
        "all before it, so that each is answered by a thread and the application. L gets the same "
        "requests.",
        lines,
    )


def _cases(server: Process) -> list[Case]:
    page, large = f"/simple/{SMALL}/", f"/simple/{LARGE}/"
    file = f"/api/package/{SMALL}/{SMALL_FILE}"
    etag = server.get(page, {"Accept": HTML}).headers["etag"]
    asked = [
        ("1", "10 files, HTML", Ask(page, {"Accept": HTML}, varies=True), 0.85),
        ("1", "10 files, JSON, gzip", Ask(page, {"Accept": JSON} | GZIP, varies=True), 0.85),
        ("2", "1,000 files, HTML", Ask(large, {"Accept": HTML}, varies=True), 0.85),
        ("2", "1,000 files, JSON, gzip", Ask(large, {"Accept": JSON} | GZIP, varies=True), 0.85),
        ("3", "1,001 projects, HTML", Ask("/simple/", {"Accept": HTML}, varies=True), 0.85),
        ("4", "304", Ask(page, {"Accept": HTML, "If-None-Match": etag}, 304, varies=True), 0.9),
        ("5", "small file", Ask(file, {}, varies=True), 0.75),
        ("5", "core metadata", Ask(f"{file}.metadata", {}, varies=True), 0.75),
    ]
    return [Case(goal, label, (ask,), (Need(factor),)) for goal, label, ask, factor in asked]
