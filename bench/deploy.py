"""Measures what docs/deployment.md advises: threads, processes, gunicorn, who sends the files.

    python bench/deploy.py [--rounds 5] [--seconds 3] [threads|processes|servers|senders ...]

Needs wrk and nginx, and gunicorn beside this Python. All servers run at once on one folder, idle
but for the one that is asked. They are asked in turn, round after round, so that what else the
machine does meets all of them; tables have the medians of the rounds. Figures depend on the
machine, and rates also on what else it does: compare ratios, and the CPU time of a request.
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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

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
#: For wrk: each request has a header that none before it had, so that no answer is given again.
_DIFFERING = """\
local count = 0
function request()
  count = count + 1
  wrk.headers["X-Number"] = tostring(count)
  return wrk.format()
end
"""

_S = TypeVar("_S", bound=Server)


class Bench:
    """Servers by name, all on one folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._pids: set[int] = set()
        self._nginx_pids: set[int] = set()

    def waitress(self, threads: int = 8, **changes: str) -> Server:
        serving = behind_a_proxy() | {"threads": str(threads)}
        return self._run(Server(self.folder, self._settings(changes), serving=serving))

    def gunicorn(self, *options: str) -> GunicornServer:
        server = GunicornServer(self.folder, self._settings({}))
        server.options = options
        return self._run(server)

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
        running = self._stack.enter_context(Nginx(folder, site, replaced))
        self._nginx_pids.add(running.pid)
        return running

    def ask(
        self, server: Listening, path: str, seconds: int, *, differing: bool = False
    ) -> dict[str, float]:
        """16 clients, and what a request costs of Python and of nginx."""
        before = [cpu_seconds(pids) for pids in (self._pids, self._nginx_pids)]
        found = wrk(server, path, seconds, 16, differing=differing)
        after = [cpu_seconds(pids) for pids in (self._pids, self._nginx_pids)]
        python, nginx = [
            (end - begin) * 1e6 / (found["per second"] * seconds)
            for begin, end in zip(before, after, strict=True)
        ]
        return found | {"CPU µs of Python": python, "of nginx": nginx}

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
        self._pids.add(server.process.pid)
        return server

    def _settings(self, changes: dict[str, str]) -> dict[str, str]:
        return app_settings(self.folder, db__url=None, pypi__page_max_age="60", **changes)


def wrk(
    server: Listening, path: str, seconds: int, connections: int, *, differing: bool
) -> dict[str, float]:
    """Requests per second, and milliseconds of half and of 99 % of the requests.

    Args:
        differing: whether no request is like one before it.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
    for header in (*_HEADERS, f"Authorization: {good('reader')}"):
        command += ["-H", header]
    url = f"http://127.0.0.1:{server.port}{path}"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if differing:
            script.write(_DIFFERING)
            script.flush()
            command += ["-s", script.name]
        done = subprocess.run([*command, url], capture_output=True, check=True, text=True)
    output = done.stdout
    assert "Non-2xx" not in output, output

    def latency(share: str) -> float:
        number, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", output).groups()
        return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return {"per second": rate, "median ms": latency("50"), "99 % ms": latency("99")}


def children(pid: int) -> set[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child) for child in listed.split()}


def cpu_seconds(pids: set[int]) -> float:
    """What the processes and their children have used so far."""
    ticks = 0
    for pid in pids.union(*map(children, pids)):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def in_turn(
    rounds: int, servers: Mapping[str, Listening], measure: Callable[[Any], dict[str, float]]
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


class Sections:
    """The tables, each with servers of its own beside the one that all compare with."""

    def __init__(self, bench: Bench, rounds: int, seconds: int) -> None:
        self._bench = bench
        self._rounds = rounds
        self._seconds = seconds
        self._direct = bench.waitress()
        for number in range(10):
            filler = {"demo/data": os.urandom(50_000)}
            self._publish("demo", f"{number}", filler)
        self._publish("large", "1", {"large/data": os.urandom(LARGE_MIB << 20)})
        self._busy = wheel("busy", "1", files={"busy/data": os.urandom(20 << 20)})

    def _publish(self, project: str, version: str, files: dict[str, bytes]) -> None:
        content = wheel(project, version, files=files)
        assert publish(self._direct, wheel_name(project, version), content).status == 200

    def _table(
        self,
        title: str,
        servers: Mapping[str, Listening],
        measure: Callable[[Any], dict[str, float]],
    ) -> None:
        load = os.getloadavg()[0]
        medians = in_turn(self._rounds, servers, measure)
        table(f"{title} (load {load:.1f} before, {os.getloadavg()[0]:.1f} after)", medians)

    def _page(self, server: Listening) -> dict[str, float]:
        return self._bench.ask(server, PAGE, self._seconds)

    def _differing(self, server: Listening) -> dict[str, float]:
        return self._bench.ask(server, PAGE, self._seconds, differing=True)

    def _small(self, server: Listening) -> dict[str, float]:
        return self._bench.ask(server, SMALL, self._seconds)

    def _page_while_uploading(self, server: Server) -> dict[str, float]:
        with uploading(server, self._busy):
            return wrk(server, PAGE, self._seconds, 4, differing=True)

    def threads(self) -> None:
        servers = {f"{n} threads": self._bench.waitress(threads=n) for n in (1, 2, 4, 8, 16)}
        self._table("Pages, requests that differ", servers, self._differing)
        self._table("The same while two upload 20 MiB", servers, self._page_while_uploading)

    def processes(self) -> None:
        all_four = [self._direct, *(self._bench.waitress() for _number in range(3))]
        servers = {"1 process, direct": self._direct} | {
            f"{n} behind nginx": self._bench.nginx(*all_four[:n]) for n in (1, 2, 4)
        }
        self._table("Pages, requests that differ", servers, self._differing)
        self._table("Pages, the same request", servers, self._page)
        self._table("Files of 50 kB", servers, self._small)

    def servers(self) -> None:
        bench, sync = self._bench, ("--worker-class", "sync")
        servers = {
            "waitress, 8 threads": self._direct,
            "gunicorn gthread, 1 worker, 8 threads": bench.gunicorn("--workers", "1"),
            "gunicorn sync, 1 worker": bench.gunicorn("--workers", "1", *sync),
            "2 waitress behind nginx": bench.nginx(self._direct, bench.waitress()),
            "gunicorn gthread, 2 workers, behind nginx": bench.nginx(bench.gunicorn()),
            "gunicorn sync, 2 workers, behind nginx": bench.nginx(bench.gunicorn(*sync)),
        }
        self._table("Pages, requests that differ", servers, self._differing)
        self._table("Pages, the same request", servers, self._page)
        self._table("Files of 50 kB", servers, self._small)
        self._table("One file of 300 MiB", servers, bench.download)

    def senders(self) -> None:
        bench = self._bench
        handing = bench.waitress(pypi__proxy_sends_files="/_files/")
        servers = {
            "waitress, direct": self._direct,
            "through nginx": bench.nginx(self._direct),
            "nginx has it in its cache": bench.cache(self._direct),
        }
        self._table("Pages, requests that differ", servers, self._differing)
        self._table("Pages, the same request", servers, self._page)
        servers["nginx sends it (X-Accel-Redirect)"] = bench.nginx(handing)
        self._table("Files of 50 kB", servers, self._small)
        self._table("One file of 300 MiB", servers, bench.download)


SECTIONS = ("threads", "processes", "servers", "senders")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; default: all")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sections = Sections(Bench(Path(folder), stack), asked.rounds, asked.seconds)
        for name in asked.sections or SECTIONS:
            print(f"\n## {name}")
            getattr(sections, name)()


if __name__ == "__main__":
    main()
