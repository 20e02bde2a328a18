"""gunicorn with ``deploy/gunicorn.conf.py`` in place of pserve."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.server import Server

CONFIG = Path(__file__).parents[2] / "deploy" / "gunicorn.conf.py"


class GunicornServer(Server):
    """As a :class:`Server`; ``options`` are those of the command line."""

    options: tuple[str, ...] = ()

    def command(self, ini: Path) -> list[str]:
        """What is started for the ini file."""
        program = [sys.executable, "-m", "gunicorn", "--config", str(CONFIG), "--paste", str(ini)]
        return [*program, "--bind", f"127.0.0.1:{self.port}", *self.options]

    def workers(self) -> set[int]:
        """The ids of the processes that answer requests."""
        assert self.process is not None
        listed = subprocess.run(
            ["ps", "--no-headers", "-o", "pid", "--ppid", str(self.process.pid)],
            capture_output=True,
            check=False,
            text=True,
        )
        return {int(line) for line in listed.stdout.split()}

    def kill_a_worker(self) -> int:
        """End one without a warning; its id."""
        killed = min(self.workers())
        os.kill(killed, signal.SIGKILL)
        return killed
