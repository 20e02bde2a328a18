"""Every client that uploads, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.servers import IndexServer
from tests.clients.tools import Clients, hashes_of, write
from tests.support.dists import sdist, wheel, wheel_name
from tests.support.server import PASSWORDS

pytestmark = pytest.mark.clients

WRITER = {"user": "writer", "password": PASSWORDS["writer"]}


def release(folder: Path, project: str, version: str = "1.0") -> list[Path]:
    """A wheel and an sdist of one release."""
    return [
        write(folder, wheel_name(project, version), wheel(project, version)),
        write(folder, f"{project.replace('-', '_')}-{version}.tar.gz", sdist(project, version)),
    ]


def changed(folder: Path, project: str) -> Path:
    """A wheel with the name of ``release``'s, and other bytes."""
    return write(folder, wheel_name(project, "1.0"), wheel(project, "1.0", summary="Changed"))


def test_twine_uploads_a_wheel_and_an_sdist(server: IndexServer, clients: Clients) -> None:
    files = release(clients.folder, "by-twine")

    clients.twine(server.legacy, *files).worked()

    assert server.hashes("by-twine") == hashes_of(files)


@pytest.mark.parametrize("address", ["/", "/simple/", "/simple", "/pypi/", "/pypi", "/legacy"])
def test_twine_may_be_given_every_address_that_people_use(
    server: IndexServer, clients: Clients, address: str
) -> None:
    project = f"twine-at{address.replace('/', '-')}x"
    files = release(clients.folder, project)

    clients.twine(server.url + address, *files).worked()

    assert server.hashes(project) == hashes_of(files)


def test_twine_uploads_identical_files_again(server: IndexServer, clients: Clients) -> None:
    files = release(clients.folder, "twine-again")
    clients.twine(server.legacy, *files).worked()
    before = server.files("twine-again")

    clients.twine(server.legacy, *files).worked()

    assert server.files("twine-again") == before


def test_twine_is_told_that_a_file_exists_with_other_bytes(
    server: IndexServer, clients: Clients
) -> None:
    files = release(clients.folder, "twine-changed")
    clients.twine(server.legacy, *files).worked()

    output = clients.twine(
        server.legacy, changed(clients.folder / "changed", "twine-changed")
    ).failed()

    assert "File already exists" in output
    assert server.hashes("twine-changed") == hashes_of(files)


def test_poetry_publishes_what_it_builds(server: IndexServer, clients: Clients) -> None:
    project = poetry_project(clients.folder / "project", "by-poetry")

    poetry_publish(clients, project, server, "--build")

    built = sorted((project / "dist").iterdir())
    assert len(built) == 2
    assert server.hashes("by-poetry") == hashes_of(built)


def test_poetry_skips_existing_files_of_other_bytes_when_asked_to(
    server: IndexServer, clients: Clients
) -> None:
    project = poetry_project(clients.folder / "project", "poetry-skips")
    server.upload(wheel_name("poetry-skips", "1.0"), wheel("poetry-skips", "1.0"))
    before = server.hashes("poetry-skips")

    output = poetry_publish(clients, project, server, "--build", "--skip-existing")

    assert f"{wheel_name('poetry-skips', '1.0')} File exists. Skipping" in output
    after = server.hashes("poetry-skips")
    assert set(after) - set(before) == {"poetry_skips-1.0.tar.gz"}
    assert before.items() <= after.items()


def poetry_project(folder: Path, name: str) -> Path:
    module = name.replace("-", "_")
    write(folder / module, "__init__.py", b"")
    pyproject = (
        f'[project]\nname = "{name}"\nversion = "1.0"\ndescription = "Made by poetry"\n'
        'requires-python = ">=3.11"\n[build-system]\nrequires = ["poetry-core"]\n'
        'build-backend = "poetry.core.masonry.api"\n'
    )
    write(folder, "pyproject.toml", pyproject.encode())
    return folder


def poetry_publish(clients: Clients, project: Path, server: IndexServer, *arguments: str) -> str:
    clients.poetry(project, "config", "--local", "repositories.ours", server.legacy).worked()
    login = ("--username", WRITER["user"], "--password", WRITER["password"])
    return clients.poetry(project, "publish", "-r", "ours", *login, *arguments).worked()


def test_hatch_publishes_what_hatchling_builds(server: IndexServer, clients: Clients) -> None:
    built = hatch_build(clients, "by-hatch")

    hatch_publish(clients, f"{server.url}/", built)

    assert len(built) == 2
    assert server.hashes("by-hatch") == hashes_of(built)


@pytest.mark.parametrize("address", ["/", "/legacy/", "/simple/"])
def test_hatch_does_not_send_a_file_that_the_index_has(
    server: IndexServer, clients: Clients, address: str
) -> None:
    project = f"hatch-again{address.replace('/', '-')}x"
    built = hatch_build(clients, project)
    hatch_publish(clients, server.url + address, built)
    uploads = server.uploads()

    output = hatch_publish(clients, server.url + address, built)

    assert output.count("already exists") == 2
    assert server.uploads() == uploads


def hatch_build(clients: Clients, name: str) -> list[Path]:
    folder = clients.folder / "hatch-project"
    write(folder / name.replace("-", "_"), "__init__.py", b"")
    pyproject = (
        f'[project]\nname = "{name}"\nversion = "1.0"\ndescription = "Made by hatchling"\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )
    write(folder, "pyproject.toml", pyproject.encode())
    clients.run("hatchling", "build", cwd=folder).worked()
    return sorted((folder / "dist").iterdir())


def hatch_publish(clients: Clients, repository: str, files: list[Path]) -> str:
    login = ("-u", WRITER["user"], "-a", WRITER["password"])
    return clients.run("hatch", "publish", "-n", "-r", repository, *login, *files).worked()


def test_uv_publishes_a_wheel_and_an_sdist(server: IndexServer, clients: Clients) -> None:
    files = release(clients.folder, "by-uv")

    clients.uv_publish(server, *files).worked()

    assert server.hashes("by-uv") == hashes_of(files)


def test_uv_publishes_identical_files_again(server: IndexServer, clients: Clients) -> None:
    files = release(clients.folder, "uv-again")
    clients.uv_publish(server, *files).worked()
    before = server.files("uv-again")

    clients.uv_publish(server, *files).worked()

    assert server.files("uv-again") == before


def test_uv_does_not_send_a_file_that_its_check_url_has(
    server: IndexServer, clients: Clients
) -> None:
    files = release(clients.folder, "uv-checks")
    check = ("--check-url", server.simple)
    clients.uv_publish(server, *check, *files).worked()
    uploads = server.uploads()

    output = clients.uv_publish(server, *check, *files).worked()

    assert output.count("already exists, skipping") == 2
    assert server.hashes("uv-checks") == hashes_of(files)
    assert server.uploads() == uploads


def test_uv_finds_at_its_check_url_that_the_hash_differs(
    server: IndexServer, clients: Clients
) -> None:
    files = release(clients.folder, "uv-changed")
    clients.uv_publish(server, *files).worked()
    uploads = server.uploads()
    other = changed(clients.folder / "changed", "uv-changed")

    output = clients.uv_publish(server, "--check-url", server.simple, other).failed()

    assert "do not match" in output
    assert hashes_of([other])[other.name] in output
    assert hashes_of(files)[other.name] in output
    assert server.hashes("uv-changed") == hashes_of(files)
    assert server.uploads() == uploads


def test_uv_is_told_that_a_file_exists_with_other_bytes(
    server: IndexServer, clients: Clients
) -> None:
    files = release(clients.folder, "uv-refused")
    clients.uv_publish(server, *files).worked()

    output = clients.uv_publish(server, changed(clients.folder / "changed", "uv-refused")).failed()

    assert "File already exists" in output
    assert server.hashes("uv-refused") == hashes_of(files)
