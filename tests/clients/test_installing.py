"""What installers make of the index's pages, files and metadata."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.clients.servers import IndexServer
from tests.clients.tools import Clients, hashes_of, write
from tests.support.dists import sdist, wheel, wheel_name

pytestmark = pytest.mark.clients

PRIMARY_SOURCE = '[[tool.poetry.source]]\nname = "ours"\nurl = "{}"\npriority = "primary"\n'


def publish(server: IndexServer, project: str, version: str, *headers: str, **more: str) -> str:
    """Publish a wheel; its filename."""
    filename = wheel_name(project, version)
    server.upload(filename, wheel(project, version, *headers, **more))
    return filename


def test_an_installer_gets_what_twine_uploaded(
    server: IndexServer, clients: Clients, installer: str
) -> None:
    project = f"uploaded-for-{installer}"
    files = [
        write(clients.folder, wheel_name(project, "1.0"), wheel(project, "1.0")),
        write(clients.folder, f"uploaded_for_{installer}-1.0.tar.gz", sdist(project, "1.0")),
    ]
    clients.twine(server.legacy, *files).worked()
    locked = " ".join(f"--hash=sha256:{digest}" for digest in hashes_of(files).values())
    requirements = write(clients.folder, "requirements.txt", f"{project}==1.0 {locked}\n".encode())
    into = clients.environment()

    clients.install(installer, into, server.simple, "--require-hashes", "-r", requirements).worked()

    assert into.installed() == {project: "1.0"}


def test_poetry_adds_a_project_and_its_dependency(server: IndexServer, clients: Clients) -> None:
    publish(server, "poetry-dependency", "1.0")
    content = wheel("poetry-added", "2.0", "Requires-Dist: poetry-dependency>=1")
    files = [
        write(clients.folder, wheel_name("poetry-added", "2.0"), content),
        write(clients.folder, "poetry_added-2.0.tar.gz", sdist("poetry-added", "2.0")),
    ]
    clients.twine(server.legacy, *files).worked()
    project = poetry_project(clients.folder / "project", server.simple)

    clients.poetry(project, "add", "poetry-added").worked()

    lock = tomllib.loads((project / "poetry.lock").read_text(encoding="utf-8"))
    locked = {package["name"]: package for package in lock["package"]}
    assert set(locked) == {"poetry-added", "poetry-dependency"}
    assert {file["file"]: file["hash"] for file in locked["poetry-added"]["files"]} == {
        name: f"sha256:{digest}" for name, digest in hashes_of(files).items()
    }
    code = "import poetry_added, poetry_dependency; print(poetry_added.__version__)"
    assert clients.poetry(project, "run", "python", "-c", code).worked().strip() == "2.0"
    # It locked with the page and the metadata, and fetched only what it installed.
    assert {name for _, name, _ in server.requests("poetry-added", "GET")} == {
        "poetry-added",
        f"{files[0].name}.metadata",
        files[0].name,
    }


def poetry_project(folder: Path, index: str) -> Path:
    source = PRIMARY_SOURCE.format(index)
    pyproject = (
        '[project]\nname = "consumer"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
        f"dependencies = []\n[tool.poetry]\npackage-mode = false\n{source}"
    )
    write(folder, "pyproject.toml", pyproject.encode())
    return folder


def test_an_installer_resolves_with_metadata_and_without_wheels(
    server: IndexServer, clients: Clients, installer: str
) -> None:
    app, lib = f"app-{installer}", f"lib-{installer}"
    good_lib = publish(server, lib, "1.0")
    good = publish(server, app, "1.0", f"Requires-Dist: {lib}>=1")
    unfit = publish(server, app, "2.0", f"Requires-Dist: {lib}>=2")
    into = clients.environment()

    clients.install(installer, into, server.simple, app).worked()

    assert into.installed() == {app: "1.0", lib: "1.0"}
    asked = server.requests(app)
    assert ("GET", f"{unfit}.metadata", 200) in asked
    assert ("GET", f"{good}.metadata", 200) in asked
    assert ("GET", good, 200) in asked
    assert unfit not in {name for _, name, _ in asked}
    assert ("GET", f"{good_lib}.metadata", 200) in server.requests(lib)


def test_a_dry_run_fetches_no_wheel(server: IndexServer, clients: Clients, installer: str) -> None:
    project = f"dry-{installer}"
    filename = publish(server, project, "1.0")

    clients.install(installer, clients.environment(), server.simple, "--dry-run", project).worked()

    assert server.requests(project) == [
        ("GET", project, 200),
        ("GET", f"{filename}.metadata", 200),
    ]


def test_pip_says_where_it_got_the_metadata_from(server: IndexServer, clients: Clients) -> None:
    filename = publish(server, "verbose", "1.0")
    into = clients.environment()

    output = clients.install("pip", into, server.simple, "-v", "--dry-run", "verbose").worked()

    url = f"{server.url}/api/package/verbose/{filename}.metadata"
    assert f"Obtaining dependency information for verbose from {url}" in output


def test_uv_asks_again_for_a_page_but_not_for_a_file(server: IndexServer, clients: Clients) -> None:
    filename = publish(server, "cached", "1.0")
    for name in ("first", "second"):
        into = clients.environment(name)
        clients.install("uv", into, server.simple, "--reinstall", "cached").worked()
        assert into.installed() == {"cached": "1.0"}

    asked = server.requests("cached")

    assert [status for _, name, status in asked if name == "cached"] == [200, 304]
    assert [status for _, name, status in asked if name == filename] == [200]


def test_an_installer_skips_a_version_for_other_pythons(
    server: IndexServer, clients: Clients, installer: str
) -> None:
    project = f"pythons-{installer}"
    publish(server, project, "1.0", requires_python=">=3.8,<4")
    newer = publish(server, project, "2.0", requires_python=">=4")
    into = clients.environment()

    clients.install(installer, into, server.simple, project).worked()

    assert into.installed() == {project: "1.0"}
    # The page says so: no metadata had to be read.
    assert not any(name.startswith(newer) for _, name, _ in server.requests(project))
    output = clients.install(installer, into, server.simple, f"{project}==2.0").failed()
    assert ">=4" in output
    assert into.installed() == {project: "1.0"}


@pytest.mark.parametrize("by", ["version", "filename"])
def test_an_installer_skips_what_is_yanked_unless_it_is_pinned(
    server: IndexServer, clients: Clients, installer: str, by: str
) -> None:
    project = f"yanked-{by}-{installer}"
    publish(server, project, "1.0")
    newest = publish(server, project, "2.0")
    into = clients.environment()
    clients.install(installer, into, server.simple, project).worked()
    assert into.installed() == {project: "2.0"}

    server.yank(project, **{by: newest if by == "filename" else "2.0"}, reason="It <breaks> & all")

    clients.install(installer, into, server.simple, "--force-reinstall", project).worked()
    assert into.installed() == {project: "1.0"}
    output = clients.install(installer, into, server.simple, f"{project}==2.0").worked()
    assert into.installed() == {project: "2.0"}
    assert "yanked" in output
    assert "It <breaks> & all" in output


@pytest.mark.parametrize(
    ("installer", "option"), [("uv", "--exclude-newer"), ("pip", "--uploaded-prior-to")]
)
def test_an_installer_can_leave_out_what_was_uploaded_lately(
    server: IndexServer, clients: Clients, installer: str, option: str
) -> None:
    project = f"lately-{installer}"
    times = []
    for version in ("1.0", "2.0"):
        filename = publish(server, project, version)
        uploaded = server.files(project)[filename]["upload-time"]
        times.append(datetime.fromisoformat(uploaded))
    # Installers may count in milliseconds.
    second = times[1].replace(microsecond=times[1].microsecond // 1000 * 1000)
    assert times[0] < second - timedelta(milliseconds=1)

    def install(name: str, limit: datetime) -> dict[str, str]:
        into = clients.environment(name)
        when = limit.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        clients.install(installer, into, server.simple, option, when, project).worked()
        return into.installed()

    assert install("before", second) == {project: "1.0"}
    assert install("after", second + timedelta(seconds=1)) == {project: "2.0"}
    before_all = (times[0] - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    clients.install(
        installer, clients.environment("none"), server.simple, option, before_all, project
    ).failed()
