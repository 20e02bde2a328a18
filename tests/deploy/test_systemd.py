"""``deploy/pypicloud-lite@.service``: systemd takes it, and its command starts servers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.asking import ask, publish
from tests.support.dists import sha256, wheel, wheel_name
from tests.support.nginx import DEPLOY
from tests.support.server import PASSWORDS, Server, fast_hash

ROOT = DEPLOY.parent
UNIT = (DEPLOY / "pypicloud-lite@.service").read_text(encoding="utf-8")
#: Where the unit has its programs, and where the tests have them.
PROGRAMS = ("/opt/pypicloud-lite/bin/", f"{Path(sys.executable).parent}/")


class Instance(Server):
    """What the unit starts for the port, with ``production.ini``."""

    def command(self, _ini: Path) -> list[str]:
        ini = (ROOT / "production.ini").read_text(encoding="utf-8")
        port = "\nport = 6543\n"
        assert port in ini
        (self.folder / "production.ini").write_text(ini.replace(port, "\nport = %(http_port)s\n"))
        (line,) = [line for line in UNIT.splitlines() if line.startswith("ExecStart=")]
        command = line.removeprefix("ExecStart=").replace(*PROGRAMS)
        command = command.replace("/var/lib/pypicloud-lite", str(self.folder))
        return command.replace("%i", str(self.port)).split()


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    here = UNIT.replace(*PROGRAMS).replace("=pypi\n", "=root\n")
    (tmp_path / "pypicloud-lite@6543.service").write_text(here)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "pypicloud-lite@6543.service")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_instances_serve_one_index_on_their_ports(tmp_path: Path) -> None:
    users = {
        "PPC_USER_ADMIN": fast_hash(PASSWORDS["admin"]),
        "PPC_USER_CI": fast_hash("anything"),
    }
    filename = wheel_name("demo", "1.0")
    with Instance(tmp_path, environ=users) as first, Instance(tmp_path, environ=users) as second:
        assert first.port != second.port
        assert publish(first, filename, wheel(), user="admin").status == 200
        found = ask(second, "/simple/demo/", user="admin").files
        assert found == {filename: sha256(wheel())}
        assert ask(second, "/simple/demo/").status == 401
