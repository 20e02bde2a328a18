"""A real ``pserve`` in a process of its own, on an ephemeral port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Protocol, Self

from pypicloud_lite.access.passwords import hash_password

PASSWORDS = {"admin": "admin-pw", "writer": "writer-pw", "reader": "reader-pw"}


#: Opens URLs on loopback, whatever proxies the environment has.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fast_hash(password: str) -> str:
    """A hash that costs the tests little time."""
    return hash_password(password, "sha256_crypt", 1000)


def app_settings(folder: Path, **changes: str | None) -> dict[str, str]:
    """Settings with a few users; ``None`` leaves one out. ``__`` in a name stands for a dot."""
    settings: dict[str, str | None] = {
        "pypi.storage": "file",
        "storage.dir": str(folder / "packages"),
        "db.url": f"sqlite:///{folder / 'index.sqlite'}",
        "pypi.fallback": "none",
        "pypi.default_read": "everyone",
        "pypi.default_write": "writers",
        "group.writers": "writer",
        "auth.admins": "admin",
    }
    settings |= {f"user.{name}": fast_hash(password) for name, password in PASSWORDS.items()}
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in settings.items() if value is not None}


def plain_environ() -> dict[str, str]:
    """The environment without settings of the developer's own."""
    return {name: value for name, value in os.environ.items() if name[:4] != "PPC_"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Listening(Protocol):
    """Whatever answers on a port of this host."""

    port: int


class Server:
    """``pserve`` with the given ``[app:main]`` settings; a context manager."""

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str] | None = None,
        *,
        runner: str = "egg:pypicloud_lite",
        environ: dict[str, str] | None = None,
        serving: dict[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        self.folder = folder
        self.settings = app_settings(folder) if settings is None else settings
        self.port = free_port()
        self.runner = runner
        self.environ = environ or {}
        self.serving = serving or {}
        self.wait = wait
        self.log = folder / f"pserve-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url_as(self, user: str) -> str:
        return f"http://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        ini = self.folder / f"server-{self.port}.ini"
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        serving = {"host": "127.0.0.1", "port": str(self.port)} | self.serving
        ini.write_text(
            "[app:main]\nuse = egg:pypicloud_lite\n"
            + "\n".join(lines)
            + f"\n[server:main]\nuse = {self.runner}\n"
            + "\n".join(f"{name} = {value}" for name, value in serving.items())
            + "\n[loggers]\nkeys = root\n[handlers]\nkeys = console\n[formatters]\nkeys = plain\n"
            "[logger_root]\nlevel = INFO\nhandlers = console\n"
            "[handler_console]\nclass = StreamHandler\nargs = (sys.stderr,)\nformatter = plain\n"
            "[formatter_plain]\nformat = %(levelname)s [%(name)s] %(message)s\n"
        )
        environ = plain_environ()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(ini),
                stdout=log,
                stderr=log,
                env=environ | self.environ,
            )
        if self.wait:
            self.wait_until_ready()

    def command(self, ini: Path) -> list[str]:
        """What is started for the ini file."""
        return [str(Path(sys.executable).with_name("pserve")), str(ini)]

    def wait_until_ready(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log.read_text()}")
            try:
                with DIRECT.open(f"{self.url}/health", timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not answer:\n{self.log.read_text()}")

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End the process; its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout=40)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process = None
