"""What a folder of many files costs: its index, and a server of it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.scale_data import FILES_PER_PROJECT, LARGE, Data, filenames, project_of
from bench.scale_server import Running, memory_of
from tests.support.server import app_settings

STARTS = 5
PAGES, DOWNLOADS = 1000, 200
_EARLY = 100
#: What the server keeps beside the packages.
_OWN = ".pypicloud-lite"
#: Between projects that are asked for one after the other; a prime, so that all have their turn.
_STEP = 7919


@dataclass(frozen=True)
class Command:
    """One run of the command line: seconds, and bytes of memory at most."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Built:
    """The index of a folder; seconds and bytes."""

    rebuild: Command
    sync: Command
    index_size: int
    start: float
    #: Once, with the index on the disk only, as after a boot.
    start_cold: float
    #: Pages right behind a start, while the server lists the folder: median and worst.
    early: float
    early_worst: float


@dataclass(frozen=True)
class Served:
    """A server of a folder; seconds are medians, memory is in bytes."""

    #: Of a server that keeps no page in memory.
    made: float
    large_made: float
    #: Of one that does, and had the page before.
    kept: float
    large_kept: float
    download: float
    #: Asked for once.
    root_made: float
    root_kept: float
    root_size: int
    memory: int
    memory_after_pages: int
    memory_after_root: int
    peak: int


def measure_index(data: Data) -> Built:
    """Build the index from nothing, look at it again, and start servers with it."""
    for path in data.folder.glob("index.sqlite*"):
        path.unlink()
    shutil.rmtree(data.packages / _OWN, ignore_errors=True)
    rebuild = _command("rebuild", data)
    sync = _command("sync", data)
    index_size = sum(path.stat().st_size for path in data.folder.glob("index.sqlite*"))
    _drop_from_memory(data.folder / "index.sqlite")
    with Running(data, _page_of(data, 0)) as server:
        start_cold = server.started
    starts = []
    for _ in range(STARTS):
        with Running(data, _page_of(data, 0)) as server:
            starts.append(server.started)
            early = [server.get(_page_of(data, n))[0] for n in range(_EARLY)]
    return Built(
        rebuild=rebuild,
        sync=sync,
        index_size=index_size,
        start=statistics.median(starts),
        start_cold=start_cold,
        early=statistics.median(early),
        early_worst=max(early),
    )


def measure_servers(every: Sequence[Data]) -> list[Served]:
    """Servers of all folders at once, asked in turn, so that noise meets all of them alike."""
    columns = _making(every) | _serving(every)
    return [
        Served(**{name: column[which] for name, column in columns.items()})
        for which in range(len(every))
    ]


def _making(every: Sequence[Data]) -> dict[str, list[float]]:
    """Pages that are made for each request, since no page is kept in memory."""
    with _all_running(every, pypi__page_cache_size="0") as servers:
        _in_turn(servers, _page_of, PAGES // 20)
        return {
            "made": _in_turn(servers, _page_of, PAGES // 2),
            "large_made": _in_turn(servers, _large_page, 50),
        }


def _serving(every: Sequence[Data]) -> dict[str, list[float]]:
    """All else, with the settings that a server has by itself."""
    with _all_running(every) as servers:
        memory = [server.memory("VmRSS") for server in servers]
        _in_turn(servers, _page_of, PAGES // 2)
        _in_turn(servers, _file_of, DOWNLOADS)  # from here on they are in the disk's cache
        return {
            "memory": memory,
            "kept": _in_turn(servers, _page_of, PAGES // 2),
            "memory_after_pages": [server.memory("VmRSS") for server in servers],
            "large_kept": _in_turn(servers, _large_page, 50),
            "download": _in_turn(servers, _file_of, DOWNLOADS),
            "root_made": _in_turn(servers, _root_page, 1),
            "root_kept": _in_turn(servers, _root_page, 20),
            "root_size": [len(server.get("/simple/")[1]) for server in servers],
            "memory_after_root": [server.memory("VmRSS") for server in servers],
            "peak": [server.memory("VmHWM") for server in servers],
        }


@contextmanager
def _all_running(every: Sequence[Data], **settings: str) -> Iterator[list[Running]]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(Running(data, _page_of(data, 0), **settings)) for data in every
        ]
        for server in servers:
            server.wait_until_idle()
        yield servers


def _command(name: str, data: Data) -> Command:
    ini = data.folder / "command.ini"
    lines = [f"{key} = {value}" for key, value in app_settings(data.folder).items()]
    ini.write_text("[app:main]\nuse = egg:pypicloud_lite\n" + "\n".join(lines) + "\n")
    tool = Path(sys.executable).with_name("pypicloud-lite")
    peak = 0
    begin = time.perf_counter()
    with subprocess.Popen([str(tool), name, str(ini)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid, "VmHWM"))
            time.sleep(0.01)
        seconds = time.perf_counter() - begin
    assert process.returncode == 0, f"pypicloud-lite {name} failed"
    return Command(seconds, peak)


def _drop_from_memory(path: Path) -> None:
    """Take a file out of the disk's cache."""
    with path.open("rb") as file:
        os.fsync(file)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


_Path = Callable[[Data, int], str]


def _in_turn(servers: Sequence[Running], path_of: _Path, rounds: int) -> list[float]:
    """The median for each server, when all are asked once in each round."""
    seconds: list[list[float]] = [[] for _ in servers]
    for number in range(rounds):
        for server, taken in zip(servers, seconds, strict=True):
            taken.append(server.get(path_of(server.data, number))[0])
    return [statistics.median(taken) for taken in seconds]


def _page_of(data: Data, number: int) -> str:
    return f"/simple/{_project(data, number)}/"


def _large_page(data: Data, number: int) -> str:
    return f"/simple/{LARGE}/"


def _root_page(data: Data, number: int) -> str:
    return "/simple/"


def _file_of(data: Data, number: int) -> str:
    project = _project(data, number)
    return f"/api/package/{project}/{filenames(project, FILES_PER_PROJECT)[0]}"


def _project(data: Data, number: int) -> str:
    """Projects from all over the index, none twice before all were there."""
    return project_of((number * _STEP + 1) % data.projects)
