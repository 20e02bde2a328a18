"""Measures what docs/deployment.md advises: threads, processes, gunicorn, who sends the files.

    python bench/deploy.py [--rounds 5] [--seconds 3]

Needs wrk and nginx, and gunicorn beside this Python. All servers run at once on one folder, idle
but for the one that is asked. They are asked in turn, round after round, so that what else the
machine does meets all of them; tables have the medians of the rounds. Figures depend on the
machine: copy them into the page with its name, and compare their ratios.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.asking import publish
from tests.support.credentials import good
from tests.support.dists import wheel, wheel_name
from tests.support.gunicorn import GunicornServer
from tests.support.nginx import Nginx
from tests.support.production import behind_a_proxy
from tests.support.server import Listening, Server, app_settings

PAGE = "/simple/demo/"
SMALL = f"/api/package/demo/{wheel_name('demo', '1')}"
LARGE = f"/api/package/large/{wheel_name('large', '1')}"
LARGE_MIB = 300
_DOWNLOADS = 10
_UPSTREAM = "    server 127.0.0.1:6543 max_fails=0;\n    server 127.0.0.1:6544 max_fails=0;\n"
_FOLDER = "/var/lib/pypicloud-lite/data/packages/"
#: What pip sends.
_HEADERS = (
    "Accept: application/vnd.pypi.simple.v1+json, text/html; q=0.01",
    "Accept-Encoding: gzip, deflate",
)

_S = TypeVar("_S", bound=Server)


class Bench:
    """Servers by name, all on one folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._pids: set[int] = set()

    def waitress(self, threads: int = 8, **changes: str) -> Server:
        serving = behind_a_proxy() | {"threads": str(threads)}
        return self._run(Server(self.folder, self._settings(changes), serving=serving))

    def gunicorn(self, *options: str) -> GunicornServer:
        server = GunicornServer(self.folder, self._settings({}))
        server.options = options
        self._run(server)
        self._pids |= server.workers()
        return server

    def nginx(self, *servers: Listening) -> Nginx:
        lines = "".join(f"    server 127.0.0.1:{server.port} max_fails=0;\n" for server in servers)
        replaced = {_UPSTREAM: lines, _FOLDER: f"{self.folder}/packages/"}
        return self._site("nginx.conf", replaced)

    def cache(self, origin: Listening) -> Nginx:
        replaced = {
            "/var/cache/nginx/pypicloud-lite": str(self.folder / f"cache-{origin.port}"),
            "192.0.2.1:80": f"127.0.0.1:{origin.port}",
        }
        return self._site("nginx-cache.conf", replaced)

    def _site(self, site: str, replaced: dict[str, str]) -> Nginx:
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / "nginx"
        return self._stack.enter_context(Nginx(folder, site, replaced))

    def download(self, server: Listening) -> dict[str, float]:
        """A large file, ten times, by curl, and what that costs of the Python processes."""
        url = f"http://127.0.0.1:{server.port}{LARGE}"
        used, begin = cpu_seconds(self._pids), time.perf_counter()
        for _time in range(_DOWNLOADS):
            subprocess.run(["curl", "-sfo", os.devnull, url], check=True)
        seconds = time.perf_counter() - begin
        used = cpu_seconds(self._pids) - used
        return {
            "MiB per second": _DOWNLOADS * LARGE_MIB / seconds,
            "CPU ms of Python per GiB": used * 1000 / (_DOWNLOADS * LARGE_MIB / 1024),
        }

    def _run(self, server: _S) -> _S:
        self._stack.enter_context(server)
        assert server.process is not None
        self._pids |= {server.process.pid}
        return server

    def _settings(self, changes: dict[str, str]) -> dict[str, str]:
        return app_settings(self.folder, db__url=None, pypi__page_max_age="60", **changes)


def wrk(
    server: Listening, path: str, seconds: int, connections: int, *headers: str
) -> dict[str, float]:
    """Requests per second, and milliseconds of half and of 99 % of the requests."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
    for header in (*_HEADERS, *headers):
        command += ["-H", header]
    url = f"http://127.0.0.1:{server.port}{path}"
    output = subprocess.run([*command, url], capture_output=True, check=True, text=True).stdout
    assert "Non-2xx" not in output, output

    def latency(share: str) -> float:
        number, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", output).groups()
        return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return {"per second": rate, "median ms": latency("50"), "99 % ms": latency("99")}


def cpu_seconds(pids: set[int]) -> float:
    """What the processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def in_turn(
    rounds: int, servers: dict[str, Listening], measure: Callable[[Listening], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The medians of what is measured of each server."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in servers}
    for server in servers.values():
        measure(server)  # so that all are warm
    for _round in range(rounds):
        for name, server in servers.items():
            for what, value in measure(server).items():
                found[name][what].append(value)
    return {
        name: {what: statistics.median(values) for what, values in columns.items()}
        for name, columns in found.items()
    }


def table(title: str, medians: dict[str, dict[str, float]]) -> None:
    """Print as Markdown, the first column with its ratio to the first line."""
    columns = list(next(iter(medians.values())))
    base = next(iter(medians.values()))[columns[0]]
    print(f"\n{title}\n\n|  | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, values in medians.items():
        first, *others = values.values()
        cells = [f"{first:,.0f} ({first / base:.2f})", *(f"{value:.1f}" for value in others)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


@contextmanager
def uploading(server: Server, content: bytes) -> Iterator[None]:
    """Two clients that upload all the time, meanwhile."""
    stopped = threading.Event()

    def upload() -> None:
        while not stopped.is_set():
            assert publish(server, wheel_name("busy", "1"), content).status == 200

    with ThreadPoolExecutor(2) as pool:
        uploaders = [pool.submit(upload) for _number in range(2)]
        try:
            yield
        finally:
            stopped.set()
        for uploader in uploaders:
            uploader.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bench = Bench(Path(folder), stack)
        threads = {f"{n} threads": bench.waitress(threads=n) for n in (1, 2, 4, 8, 16)}
        direct = threads["8 threads"]
        for number in range(10):
            filler = {"demo/data": os.urandom(50_000)}
            file = wheel_name("demo", f"{number}")
            assert publish(direct, file, wheel("demo", f"{number}", files=filler)).status == 200
        large = wheel("large", "1", files={"large/data": os.urandom(LARGE_MIB << 20)})
        assert publish(direct, wheel_name("large", "1"), large).status == 200
        measure_all(bench, threads, asked.rounds, asked.seconds)


def measure_all(bench: Bench, threads: dict[str, Server], rounds: int, seconds: int) -> None:
    direct = threads["8 threads"]
    login = f"Authorization: {good('reader')}"

    def of(path: str, connections: int = 16) -> Callable[[Listening], dict[str, float]]:
        return lambda server: wrk(server, path, seconds, connections, login)

    busy = wheel("busy", "1", files={"busy/data": os.urandom(20 << 20)})

    def while_uploading(server: Server) -> dict[str, float]:
        with uploading(server, busy):
            return wrk(server, PAGE, seconds, 4, login)

    table("Threads, pages", in_turn(rounds, threads, of(PAGE)))
    table(
        "Threads, pages while two clients upload 20 MiB", in_turn(rounds, threads, while_uploading)
    )

    more = [bench.waitress() for _number in range(3)]
    processes = {"1 process, direct": direct} | {
        f"{n} behind nginx": bench.nginx(*[direct, *more][:n]) for n in (1, 2, 4)
    }
    table("Processes, pages", in_turn(rounds, processes, of(PAGE)))
    table("Processes, files of 50 kB", in_turn(rounds, processes, of(SMALL)))

    kinds = {
        "waitress, 1 process, 8 threads": direct,
        "gunicorn gthread, 1 worker, 8 threads": bench.gunicorn("--workers", "1"),
        "gunicorn sync, 1 worker": bench.gunicorn("--workers", "1", "--worker-class", "sync"),
        "waitress, 2 processes behind nginx": processes["2 behind nginx"],
        "gunicorn gthread, 2 workers behind nginx": bench.nginx(bench.gunicorn("--workers", "2")),
        "gunicorn sync, 2 workers behind nginx": bench.nginx(
            bench.gunicorn("--workers", "2", "--worker-class", "sync")
        ),
    }
    table("Servers, pages", in_turn(rounds, kinds, of(PAGE)))
    table("Servers, files of 50 kB", in_turn(rounds, kinds, of(SMALL)))
    table("Servers, one file of 300 MiB", in_turn(rounds, kinds, bench.download))

    handing = bench.waitress(pypi__proxy_sends_files="/_files/")
    senders = {
        "waitress, direct": direct,
        "through nginx": processes["1 behind nginx"],
        "nginx sends (X-Accel-Redirect)": bench.nginx(handing),
        "nginx has it in its cache": bench.cache(direct),
    }
    table("Senders, files of 50 kB", in_turn(rounds, senders, of(SMALL)))
    table("Senders, one file of 300 MiB", in_turn(rounds, senders, bench.download))
    del senders["nginx sends (X-Accel-Redirect)"]
    table("Pages through the cache", in_turn(rounds, senders, of(PAGE)))


if __name__ == "__main__":
    main()
