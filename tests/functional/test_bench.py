"""The benchmark measures, and takes no wrong answer for a figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.scale_data import LARGE, Data
from bench.speed import limit, load
from bench.speed.context import Case, Context
from bench.speed.data import Stores
from bench.speed.http import Answer
from bench.speed.load import Ask, LoadError, Target, drive
from bench.speed.pace import Pace
from bench.speed.report import BEGIN, END, Run, report, write
from bench.speed.results import LIMIT, OURS, Line, Need, Section
from bench.speed.servers import Process, ours, script
from tests.support.serving import Served


def answer(status: int, body: bytes) -> Answer:
    return Answer(status, {"content-type": "text/plain"}, body, 0)


@pytest.fixture(params=["wrk", "python"])
def generator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(load, "WRK", None)
    elif load.WRK is None:
        pytest.skip("wrk is not installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """``/0`` is a text, ``/1`` a longer one, ``/2`` a redirect, ``/3`` an error."""
    answers = [answer(200, b"page"), answer(200, b"long page"), answer(302, b""), answer(500, b"")]
    limit.write(tmp_path / "answers", answers)
    with script(
        "L", "limit", str(tmp_path / "answers"), ready=limit.READY, folder=tmp_path
    ) as process:
        yield process


@pytest.mark.usefixtures("generator")
@pytest.mark.parametrize("connections", [1, 3])
def test_what_a_server_stands_is_measured(server: Process, connections: int) -> None:
    stood = drive(Target(server, (Ask("/0", {}),)), connections, 1)
    assert stood.rate > 10
    assert stood.p99 > 0


@pytest.mark.usefixtures("generator")
def test_a_redirect_is_measured_as_the_answer_that_it_is(server: Process) -> None:
    assert drive(Target(server, (Ask("/2", {}, 302),)), 1, 1).rate > 10


@pytest.mark.usefixtures("generator")
def test_requests_that_differ_have_each_a_number(tmp_path: Path) -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ.get("HTTP_X_NUMBER", ""))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with Served(app) as served:
        process = Process("served", [], ready="/", log=tmp_path / "log", port=served.port)
        drive(Target(process, (Ask("/", {}, varies=True),)), 2, 1)
    numbers = [number for number in seen if number]
    assert len(numbers) > 10
    assert len(set(numbers)) >= len(numbers) // 2  # a process of the fallback counts for itself


@pytest.mark.parametrize("path", ["/2", "/3", "/none"])
def test_another_status_than_the_expected_one_is_no_figure(server: Process, path: str) -> None:
    with pytest.raises(LoadError, match=f"{path} is answered"):
        drive(Target(server, (Ask(path, {}),)), 1, 1)


@pytest.mark.usefixtures("generator")
def test_answers_that_change_under_load_are_no_figure(
    server: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Target, "probe", lambda _self: load.Probe(100, 0.001, closes=False))
    with pytest.raises(LoadError):
        drive(Target(server, (Ask("/0", {}), Ask("/1", {}))), 1, 1)


def test_a_page_of_ours_is_measured_against_the_limit(tmp_path: Path) -> None:
    stores = Stores(tmp_path)
    context = Context(stores, Pace(1, 1, quick=True), tmp_path)
    case = Case("1", "page", (Ask(f"/simple/{LARGE}/", {}),), (Need(0.01),), {}, (1,))
    with ours(stores.store(100)) as server:
        (line,) = context.compare(server, [case])
    assert line.met(Need(0.01))
    assert {OURS, LIMIT} == set(line.rounds)


def test_a_ratio_is_that_of_rounds_and_not_of_medians() -> None:
    line = Line("1", "page", {OURS: [10, 100, 4], LIMIT: [20, 100, 2]})
    assert line.ratio(LIMIT) == 1.0
    assert line.met(Need(1.1)) is False
    assert line.met(Need(1.1, at_most=True)) is True
    assert line.met(Need(5, "pypicloud")) is None


def test_what_is_written_around_the_tables_stays(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"Before.\n{BEGIN}\nold\n{END}\nBehind.\n")
    line = Line("4", "304", {OURS: [1000.0], LIMIT: [2000.0]}, (Need(0.9),))
    text = report(Run("make bench", 5, 2, ["none"]), [Section("Title", "Words.", [line])])
    write(page, text)
    written = page.read_text()
    assert written.startswith(f"Before.\n{BEGIN}\n")
    assert written.endswith(f"{END}\nBehind.\n")
    assert "old" not in written
    assert "| 304 | 4 | 1,000 | 2,000 | 0.50 | ≥ 0.9 L | **not met** |" in written


@pytest.mark.parametrize("per_project", [1, 10])
def test_a_store_has_the_files_that_it_says(tmp_path: Path, per_project: int) -> None:
    data = Data(tmp_path / "store", 20, per_project)
    data.make()
    small = [path for path in data.packages.glob("p*/*/*") if path.suffix in {".whl", ".gz"}]
    assert len(small) == 20
    assert len({path.parts[-3] for path in small}) == 20 // per_project
