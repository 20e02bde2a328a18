"""Servers in processes of their own, on ephemeral ports of loopback."""

from __future__ import annotations

import configparser
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from bench.scale_server import memory_of, wait_until_idle
from bench.speed.http import Answer, Connection
from tests.support.server import app_settings, free_port, plain_environ

#: Of every server whose number of threads can be set.
THREADS = 4
_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 900.0
_POLL = 0.005


class Process:
    """A server that is started, waited for and ended; a context manager.

    Args:
        name: what tables call it.
        command: what is run; ``{port}`` stands for the port.
        ready: the path that is answered 200 once it works, with ``headers``.
        log: where its output goes.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready: str,
        log: Path,
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.name = name
        self.port = port or free_port()
        self.log = log
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._ready = ready
        self._headers = headers or {}
        self._environ = dict(environ or {})
        #: Seconds from the start of the process to its first 200.
        self.started = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            AssertionError: it ended, or did not answer in time.
        """
        environ = plain_environ()
        begin = time.perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environ | self._environ
            )
        try:
            self._wait(begin)
        except BaseException:
            self.stop()
            raise
        self.started = time.perf_counter() - begin

    def _wait(self, begin: float) -> None:
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() > begin + _PATIENCE:
                raise AssertionError(f"{self.name} does not work:\n{self.log.read_text()[-4000:]}")
            time.sleep(_POLL)

    def _answers(self) -> bool:
        try:
            return self.get(self._ready, self._headers).status == 200
        except OSError:
            return False

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        with Connection(self.port) as connection:
            return connection.get(path, headers)

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes."""
        return memory_of(self.pid, field)

    def reset_peak(self) -> None:
        """Let VmHWM, the most memory that it had, begin anew at what it has now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def wait_until_idle(self, seconds: float = 1) -> None:
        """Wait until it has done next to nothing for so long."""
        wait_until_idle(self.pid, seconds)


def tool(name: str) -> str:
    """A command that lies beside this Python."""
    return str(Path(sys.executable).with_name(name))


Settings = Mapping[str, str | None]


def ours(folder: Path, settings: Settings | None = None, *, ready: str = "/health") -> Process:
    """This project's server of a folder as ``production.ini`` has it, but open to everyone.

    Args:
        settings: changes of the settings of the application; ``None`` leaves one out.
    """
    port = free_port()
    ini = write_ini(folder, settings, port)
    log = folder / f"ours-{port}.log"
    return Process("ours", [tool("pserve"), str(ini)], ready=ready, log=log, port=port)


def index(folder: Path, command: str, settings: Settings | None = None) -> None:
    """Run ``pypicloud-lite rebuild`` or ``sync`` on a folder; ``settings`` as for :func:`ours`."""
    ini = write_ini(folder, settings)
    with (folder / "index.log").open("ab") as log:
        subprocess.run(
            [tool("pypicloud-lite"), command, str(ini)], check=True, stderr=log, stdout=log
        )


def write_ini(folder: Path, settings: Settings | None, port: int = 0) -> Path:
    """``production.ini`` with other settings of the application and of where it listens."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(_ROOT / "production.ini")
    parser["app:main"] = {
        "use": "egg:pypicloud_lite",
        **app_settings(folder, **(settings or {})),
    }
    parser["server:main"].update({"port": str(port), "threads": str(THREADS)})
    path = folder / f"ours-{port}.ini"
    with path.open("w", encoding="utf-8") as file:
        parser.write(file)
    return path


def script(name: str, module: str, *arguments: str, ready: str, folder: Path) -> Process:
    """A module of this package that is a server; it is given its port and the threads."""
    command = [sys.executable, "-m", f"bench.speed.{module}", "{port}", str(THREADS), *arguments]
    return Process(
        name, command, ready=ready, log=folder / f"{module}.log",
        environ={"PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
