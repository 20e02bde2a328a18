"""The index below a path of its host, and nothing of it anywhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.servers import PREFIX, IndexServer
from tests.clients.tools import Clients, hashes_of, write
from tests.support.dists import sdist, wheel, wheel_name

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module", params=["prefix", "composite"])
def mounted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IndexServer]:
    """Mounted by PasteDeploy's prefix filter, or by a composite that answers 404 elsewhere."""
    with IndexServer(tmp_path_factory.mktemp("mounted"), mount=request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_leaves_the_prefix(mounted: IndexServer) -> Iterator[None]:
    """No link, redirect or answer made a client ask outside of the prefix."""
    seen = len(mounted.all_requests())
    yield
    paths = [path for _, path, _ in mounted.all_requests()[seen:]]
    strays = [path for path in paths if not path.startswith(f"{PREFIX}/")]
    assert paths
    assert strays == []


def test_twine_uploads_below_a_prefix_and_an_installer_gets_it(
    mounted: IndexServer, clients: Clients, installer: str
) -> None:
    project = f"below-{installer}"
    files = [
        write(clients.folder, wheel_name(project, "1.0"), wheel(project, "1.0")),
        write(clients.folder, f"below_{installer}-1.0.tar.gz", sdist(project, "1.0")),
    ]
    into = clients.environment()

    clients.twine(mounted.legacy, *files).worked()
    clients.install(installer, into, mounted.simple, project).worked()

    assert into.installed() == {project: "1.0"}
    assert mounted.hashes(project) == hashes_of(files)
    assert mounted.requests(project, "GET")[:3] == [
        ("GET", project, 200),
        ("GET", f"{files[0].name}.metadata", 200),
        ("GET", files[0].name, 200),
    ]


def test_an_index_below_a_prefix_redirects_below_it(
    mounted: IndexServer, clients: Clients, installer: str
) -> None:
    # pypicloud's old address of pages: the root, which redirects to /simple/.
    project = f"redirected-{installer}"
    mounted.upload(wheel_name(project, "1.0"), wheel(project, "1.0"))
    into = clients.environment()

    clients.install(installer, into, f"{mounted.url}/", project).worked()

    assert into.installed() == {project: "1.0"}
    assert [status for _, name, status in mounted.requests(project) if name == project] == [
        301,
        200,
    ]


def test_uv_checks_for_existing_files_below_a_prefix(
    mounted: IndexServer, clients: Clients
) -> None:
    file = write(clients.folder, wheel_name("checked", "1.0"), wheel("checked", "1.0"))
    check = ("--check-url", mounted.simple)
    clients.uv_publish(mounted, *check, file).worked()
    uploads = mounted.uploads()

    output = clients.uv_publish(mounted, *check, file).worked()

    assert "already exists, skipping" in output
    assert mounted.uploads() == uploads
