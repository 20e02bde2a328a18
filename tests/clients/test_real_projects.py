"""Real projects of every common build backend, there and back again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.servers import IndexServer
from tests.clients.tools import BIN, Clients, hashes_of, write

pytestmark = [pytest.mark.clients, pytest.mark.packages]

#: By build backend: setuptools, flit-core, hatchling, poetry-core, pdm-backend, maturin.
WHEELS = (
    *("certifi", "pluggy", "requests", "six"),
    *("click", "flit-core", "idna", "packaging"),
    *("attrs", "hatchling", "urllib3"),
    "poetry-core",
    "pdm-backend",
    "rpds-py",
)
#: pip builds the metadata of sdists, with what is among the wheels.
SDISTS = ("flit-core", "idna", "packaging", "pdm-backend", "poetry-core")


@pytest.fixture(scope="module")
def downloads(
    tmp_path_factory: pytest.TempPathFactory, _installed_clients: None
) -> dict[str, list[Path]]:
    """Wheels and sdists from wherever this environment's pip gets its packages."""
    folder = tmp_path_factory.mktemp("downloads")
    wheels = download(folder / "wheels", "--only-binary", ":all:", *WHEELS)
    sdists = download(folder / "sdists", "--no-binary", ",".join(SDISTS), *SDISTS)
    assert len(wheels) == len(WHEELS)
    assert len(sdists) == len(SDISTS)
    return {"wheels": wheels, "sdists": sdists}


def download(into: Path, *arguments: str) -> list[Path]:
    command = [str(BIN / "python"), "-m", "pip", "download", "--no-deps", "--dest", str(into)]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", *arguments],
        capture_output=True,
        env=os.environ,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"This environment's package index gave no packages:\n{done.stderr}")
    return sorted(into.iterdir())


@pytest.fixture(scope="module")
def filled(
    downloads: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IndexServer]:
    """An index of all downloads, uploaded by twine."""
    with IndexServer(tmp_path_factory.mktemp("filled")) as running:
        clients = Clients(tmp_path_factory.mktemp("uploading"))
        clients.twine(running.legacy, *downloads["wheels"], *downloads["sdists"]).worked()
        yield running


def requirements(folder: Path, server: IndexServer, files: list[Path]) -> Path:
    """Every file pinned by version and hash."""
    wanted = hashes_of(files)
    pins = [
        f"{project}=={version_of(server, project, name)} --hash=sha256:{wanted[name]}\n"
        for project in server.ask("/api/package/", user="admin")["packages"]
        for name in server.files(project)
        if name in wanted
    ]
    assert len(pins) == len(files)
    return write(folder, "requirements.txt", "".join(pins).encode())


def version_of(server: IndexServer, project: str, filename: str) -> str:
    documents = server.ask(f"/api/package/{project}/", user="admin")["packages"]
    return next(str(file["version"]) for file in documents if file["filename"] == filename)


def test_pip_gets_back_every_byte(
    filled: IndexServer, downloads: dict[str, list[Path]], clients: Clients
) -> None:
    for kind, formats in (
        ("wheels", ("--only-binary", ":all:")),
        ("sdists", ("--no-binary", ",".join(SDISTS))),
    ):
        target = clients.folder / kind
        pins = requirements(clients.folder / f"{kind}-pins", filled, downloads[kind])
        clients.run(
            "pip",
            *("download", "--no-deps", "--no-cache-dir", "--require-hashes", "-i", filled.simple),
            *("--dest", target, *formats, "-r", pins),
        ).worked()
        assert hashes_of(sorted(target.iterdir())) == hashes_of(downloads[kind])


def test_an_installer_installs_every_wheel_by_its_hash(
    filled: IndexServer, downloads: dict[str, list[Path]], clients: Clients, installer: str
) -> None:
    into = clients.environment()
    pins = requirements(clients.folder, filled, downloads["wheels"])
    only = ("--no-deps", "--require-hashes", "--only-binary", ":all:")

    clients.install(installer, into, filled.simple, *only, "-r", pins).worked()

    assert len(into.installed()) == len(WHEELS)
    code = "import attr, certifi, click, flit_core, idna, packaging, pluggy, requests, rpds, six"
    subprocess.run([into.python, "-c", code], check=True)


def test_an_installer_builds_every_sdist_with_backends_from_this_index(
    filled: IndexServer, downloads: dict[str, list[Path]], clients: Clients, installer: str
) -> None:
    into = clients.environment()
    pins = requirements(clients.folder, filled, downloads["sdists"])
    only = ["--no-deps", "--require-hashes"]
    only += [argument for name in SDISTS for argument in ("--no-binary", name)]

    clients.install(installer, into, filled.simple, *only, "-r", pins).worked()

    assert len(into.installed()) == len(SDISTS)
    subprocess.run([into.python, "-c", "import flit_core, idna, packaging"], check=True)
