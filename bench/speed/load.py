"""The load generators: wrk, or a fallback in Python where there is no wrk.

Both check every answer: its status, and that all of its bytes are there.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.speed.fallback import NUMBER, Work, ask_in_processes
from bench.speed.http import Connection, request_head
from bench.speed.servers import Process

WRK = shutil.which("wrk")
#: The header that numbers requests.
NUMBERED = "X-Number"
#: Seconds of a measurement, at most.
_LONGEST = 20
_SCRIPT = """\
local asks, requests, turn, count = %s, {}, 0, 0
function init(args)
  for _, one in ipairs(asks) do
    requests[#requests + 1] = wrk.format("GET", one.path, one.headers)
  end
end
function request()
  turn = turn %% #requests + 1
  local one = asks[turn]
  if not one.varies then
    return requests[turn]
  end
  count = count + 1
  one.headers["%s"] = tostring(count)
  return wrk.format("GET", one.path, one.headers)
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    summary.bytes, e.connect + e.read + e.write + e.timeout, e.status, latency:percentile(99)))
end
"""


class LoadError(Exception):
    """A server did not answer as it should have under load."""


@dataclass(frozen=True)
class Ask:
    """A request for a path, and the status of its answer.

    Attributes:
        varies: whether each is numbered, in a header, so that none is like one before it.
    """

    path: str
    headers: Mapping[str, str]
    status: int = 200
    varies: bool = False


@dataclass(frozen=True)
class Probe:
    """The bytes of an answer, the seconds that it took, and whether the connection ends with it."""

    size: int
    seconds: float
    closes: bool


@dataclass(frozen=True)
class Target:
    """What one server is asked, all of ``asks`` in turn; they have answers of one size."""

    server: Process
    asks: tuple[Ask, ...]

    def probe(self) -> Probe:
        """Look at all answers once.

        Raises:
            LoadError: they differ in size, or one has another status.
        """
        begin = time.perf_counter()
        with Connection(self.server.port) as connection:
            answers = [connection.get(ask.path, ask.headers) for ask in self.asks]
        seconds = (time.perf_counter() - begin) / len(answers)
        for ask, answer in zip(self.asks, answers, strict=True):
            if answer.status != ask.status:
                raise LoadError(f"{self.server.name}: {ask.path} is answered {answer.status}")
        sizes = {answer.size for answer in answers}
        if len(sizes) != 1:
            raise LoadError(f"{self.server.name}: answers have {sorted(sizes)} bytes")
        closes = answers[0].headers.get("connection", "").lower() == "close"
        return Probe(sizes.pop(), seconds, closes)


@dataclass(frozen=True)
class Load:
    """What a server stood."""

    #: Answers per second.
    rate: float
    #: Of the time until an answer is there, in milliseconds.
    p99: float


def drive(target: Target, connections: int, seconds: int) -> Load:
    """Ask as fast as answers come, over so many connections that are kept; where an answer takes
    long, for longer than the given seconds.

    Raises:
        LoadError: a wrong answer, or none.
    """
    probe = target.probe()
    seconds = max(seconds, min(_LONGEST, math.ceil(2 * connections * probe.seconds)))
    if WRK is None:
        return _drive_in_python(target, probe, connections, seconds)
    return _drive_with_wrk(WRK, target, probe.size, connections, seconds)


def _drive_with_wrk(wrk: str, target: Target, size: int, connections: int, seconds: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % (_lua(target.asks), NUMBERED))
        script.flush()
        command = [
            wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
            "--timeout", "60s", "--script", script.name, f"http://127.0.0.1:{target.server.port}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise LoadError(f"{target.server.name}: wrk says\n{done.stdout}{done.stderr}")
    requests, microseconds, received, broken, refused, p99 = map(int, found[1].split())
    most = (requests + connections) * size  # answers are under way when the time is up
    if not requests or broken or refused or not requests * size <= received <= most:
        raise LoadError(
            f"{target.server.name}: {target.asks[0].path}: {broken} requests failed, {refused} "
            f"were refused; {requests} answers of {size} bytes have {received}\n{done.stdout}"
        )
    return Load(requests / microseconds * 1e6, p99 / 1000)


def _lua(asks: Sequence[Ask]) -> str:
    """A table of requests."""
    ones = []
    for ask in asks:
        headers = ", ".join(
            f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in ask.headers.items()
        )
        varies = json.dumps(ask.varies)
        path = json.dumps(ask.path)
        ones.append(f"{{path = {path}, headers = {{{headers}}}, varies = {varies}}}")
    return "{" + ", ".join(ones) + "}"


def _drive_in_python(target: Target, probe: Probe, connections: int, seconds: int) -> Load:
    port, status = target.server.port, target.asks[0].status
    requests = [
        request_head(port, ask.path, {**ask.headers, **({NUMBERED: NUMBER} if ask.varies else {})})
        for ask in target.asks
    ]
    work = Work(port, requests, b"HTTP/1.1 %d " % status, probe.size, probe.closes)
    parts = ask_in_processes(work, connections, seconds)
    times = [taken for part in parts for taken in part.times]
    if len(times) < 2 or any(part.wrong for part in parts):
        raise LoadError(f"{target.server.name}: {target.asks[0].path}: a wrong answer, or none")
    rate = sum(len(part.times) / part.seconds for part in parts)
    return Load(rate, statistics.quantiles(times, n=100)[98] * 1000)
