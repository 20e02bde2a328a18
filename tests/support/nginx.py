"""A real nginx with one of the configurations in ``deploy/``, on ephemeral ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.support.server import PASSWORDS, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

_AROUND = """
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 512; }}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}}
"""


class Nginx:
    """nginx in a folder of its own, as the user who runs the tests; a context manager.

    Args:
        site: name of a file in ``deploy/``.
        replaced: texts of that file that can't stay as they are here.
    """

    def __init__(self, folder: Path, site: str, replaced: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._folder.mkdir()
        text = (DEPLOY / site).read_text()
        for old, new in ({"listen 80;": f"listen 127.0.0.1:{self.port};"} | replaced).items():
            assert text.count(old) == 1, f"{old} is not once in {site}"
            text = text.replace(old, new)
        (folder / "site.conf").write_text(text)
        user = "user root root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_AROUND.format(user=user))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url_as(self, user: str) -> str:
        return f"http://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self, name: str = "error.log") -> str:
        return (self._folder / name).read_text()

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        command = [PROGRAM, "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log"]
        self._process = subprocess.Popen(command)
        end = time.monotonic() + 30
        while not (self._folder / "nginx.pid").exists():
            assert self._process.poll() is None, f"nginx ended:\n{self.log()}"
            assert time.monotonic() < end, "nginx did not start"
            time.sleep(0.02)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)
