"""A server that is measured from outside."""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path
from typing import Self

from bench.scale_data import Data
from tests.support.server import Server, app_settings

#: What pip sends.
_HEADERS = {
    "Accept": "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
    "Accept-Encoding": "gzip, deflate",
}
_PATIENCE = 3600.0


def memory_of(pid: int, field: str) -> int:
    """A size from /proc in bytes; 0 when the process has just ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def wait_until_idle(pid: int, seconds: float = 2) -> None:
    """Wait until a server has done next to nothing for so long, so that what it does in the
    background after a start is over.
    """
    end = time.monotonic() + _PATIENCE
    used = _processor_time(pid)
    while time.monotonic() < end:
        time.sleep(seconds)
        before, used = used, _processor_time(pid)
        if used - before < seconds / 20:
            return
    raise AssertionError("the server never rests")


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Running:
    """A server, and one connection to it.

    Args:
        first: the page that a start is waited for with.
        settings: changes of those that the tests have.
    """

    def __init__(self, data: Data, first: str, **settings: str) -> None:
        self.data = data
        self._first = first
        self._server = Server(data.folder, app_settings(data.folder, **settings), wait=False)
        self._connection = http.client.HTTPConnection("127.0.0.1", self._server.port)

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

    def _answers(self) -> bool:
        try:
            self._connection.request("GET", self._first, headers=_HEADERS)
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
        return memory_of(self._pid, field)

    def wait_until_idle(self) -> None:
        wait_until_idle(self._pid)
        self._connection.close()  # the server gives up on a silent one; a new one is opened
