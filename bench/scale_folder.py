"""What a folder of many files costs: its index, and a server of it."""

from __future__ import annotations

import http.client
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from bench.scale_data import FILES_PER_PROJECT, LARGE, Data, filenames, project_of
from tests.support.server import Server, app_settings

STARTS = 5
COLD, PAGES, DOWNLOADS = 500, 1000, 200
_EARLY = 100
#: What pip sends.
_HEADERS = {
    "Accept": "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
    "Accept-Encoding": "gzip, deflate",
}
_PATIENCE = 3600.0


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
    #: Pages right behind a start, while the server lists the folder: median and worst.
    early: float
    early_worst: float


@dataclass(frozen=True)
class Served:
    """A server of a folder; seconds are medians, memory is in bytes."""

    memory: int
    memory_after_pages: int
    cold: float
    warm: float
    #: Asked for once.
    large_cold: float
    large: float
    download: float
    #: Asked for once.
    root_cold: float
    root: float
    root_size: int
    memory_after_root: int
    peak: int


def measure_index(data: Data) -> Built:
    """Build the index from nothing, look at it again, and start servers with it."""
    for path in data.folder.glob("index.sqlite*"):
        path.unlink()
    rebuild = _command("rebuild", data)
    sync = _command("sync", data)
    index_size = sum(path.stat().st_size for path in data.folder.glob("index.sqlite*"))
    starts = []
    for _ in range(STARTS):
        with _Running(data) as server:
            starts.append(server.started)
            early = [server.get(path)[0] for path in _some_pages(data, _EARLY)]
    return Built(
        rebuild, sync, index_size,
        statistics.median(starts), statistics.median(early), max(early),
    )  # fmt: skip


def measure_servers(every: Sequence[Data]) -> list[Served]:
    """Servers of all folders at once, asked in turn, so that noise meets all of them alike."""
    with ExitStack() as stack:
        servers = [stack.enter_context(_Running(data)) for data in every]
        for server in servers:
            server.wait_until_idle()
        pages = [_some_pages(data, COLD) for data in every]
        again = [list(islice(cycle(some), PAGES - len(some))) for some in pages]
        files = [_some_files(data, DOWNLOADS) for data in every]
        large, root = [[path] for path in (f"/simple/{LARGE}/", "/simple/")]
        columns = {
            "memory": [server.memory("VmRSS") for server in servers],
            "cold": _in_turn(servers, pages),
            "warm": _in_turn(servers, again),
            "memory_after_pages": [server.memory("VmRSS") for server in servers],
            "large_cold": _in_turn(servers, [large for _ in servers]),
            "large": _in_turn(servers, [large * 100 for _ in servers]),
            "download": _in_turn(servers, files),
            "root_cold": _in_turn(servers, [root for _ in servers]),
            "root": _in_turn(servers, [root * 20 for _ in servers]),
            "root_size": [len(server.get("/simple/")[1]) for server in servers],
            "memory_after_root": [server.memory("VmRSS") for server in servers],
            "peak": [server.memory("VmHWM") for server in servers],
        }
        return [
            Served(**{name: column[which] for name, column in columns.items()})
            for which in range(len(servers))
        ]


def _command(name: str, data: Data) -> Command:
    ini = data.folder / "command.ini"
    lines = [f"{key} = {value}" for key, value in app_settings(data.folder).items()]
    ini.write_text("[app:main]\nuse = egg:pypicloud_lite\n" + "\n".join(lines) + "\n")
    tool = Path(sys.executable).with_name("pypicloud-lite")
    peak = 0
    begin = time.perf_counter()
    with subprocess.Popen([str(tool), name, str(ini)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _memory(process.pid, "VmHWM"))
            time.sleep(0.01)
        seconds = time.perf_counter() - begin
    assert process.returncode == 0, f"pypicloud-lite {name} failed"
    return Command(seconds, peak)


def _memory(pid: int, field: str) -> int:
    """A size from /proc in bytes; 0 when the process has just ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


class _Running:
    """A server, and one connection to it."""

    def __init__(self, data: Data) -> None:
        self._server = Server(data.folder, app_settings(data.folder), wait=False)
        self._page = f"/simple/{project_of(0)}/"

    def __enter__(self) -> Self:
        begin = time.perf_counter()
        self._server.start()
        assert self._server.process is not None
        self._pid = self._server.process.pid
        while not self._answers():
            if self._server.process.poll() is not None or time.perf_counter() > begin + _PATIENCE:
                raise AssertionError(f"no server:\n{self._server.log.read_text()}")
            time.sleep(0.01)
        self.started = time.perf_counter() - begin
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
        self._server.stop()

    def _connect(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self._server.port)

    def _answers(self) -> bool:
        self._connect()
        try:
            self._connection.request("GET", self._page, headers=_HEADERS)
            answer = self._connection.getresponse()
            answer.read()
        except OSError:
            self._connection.close()
            return False
        return answer.status == 200

    def get(self, path: str) -> tuple[float, bytes]:
        """The seconds until all of an answer is there, and its body as it was sent."""
        begin = time.perf_counter()
        self._connection.request("GET", path, headers=_HEADERS)
        answer = self._connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - begin
        assert answer.status == 200, (path, answer.status, body)
        return seconds, body

    def memory(self, field: str) -> int:
        return _memory(self._pid, field)

    def wait_until_idle(self) -> None:
        """Wait until what the server does in the background after a start is over."""
        end = time.monotonic() + _PATIENCE
        used = self._processor_time()
        while time.monotonic() < end:
            time.sleep(2)
            before, used = used, self._processor_time()
            if used - before < 0.1:
                self._connection.close()  # the server gives up on one that has been silent
                self._connect()
                return
        raise AssertionError("the server never rests")

    def _processor_time(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _in_turn(servers: Sequence[_Running], paths: Sequence[Sequence[str]]) -> list[float]:
    """The median for each server, with the requests of all of them spread over the same time."""
    turns = sorted(
        (number / len(some), which, path)
        for which, some in enumerate(paths)
        for number, path in enumerate(some)
    )
    seconds: list[list[float]] = [[] for _ in servers]
    for _when, which, path in turns:
        seconds[which].append(servers[which].get(path)[0])
    return [statistics.median(some) for some in seconds]


def _some_projects(data: Data, count: int) -> list[str]:
    """Projects from all over the index, each once; not the one that the start asked for."""
    numbers = range(1, data.projects)
    return [project_of(n) for n in random.Random(1).sample(numbers, min(count, len(numbers)))]


def _some_pages(data: Data, count: int) -> list[str]:
    return [f"/simple/{project}/" for project in _some_projects(data, count)]


def _some_files(data: Data, count: int) -> list[str]:
    return [
        f"/api/package/{project}/{filenames(project, FILES_PER_PROJECT)[0]}"
        for project in _some_projects(data, count)
    ]
