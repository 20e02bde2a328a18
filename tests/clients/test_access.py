"""Users, passwords and permissions, as the clients meet them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.servers import IndexServer
from tests.clients.test_installing import poetry_project, publish
from tests.clients.tools import Clients, Environment, write
from tests.support.dists import wheel, wheel_name
from tests.support.server import PASSWORDS, app_settings

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexServer]:
    """An index for known users; ``secret`` is for ``writer`` alone."""
    folder = tmp_path_factory.mktemp("private")
    settings = app_settings(
        folder, pypi__default_read="authenticated", package__secret__user__writer="rw"
    )
    with IndexServer(folder, settings) as running:
        publish(running, "internal", "1.0")
        publish(running, "secret", "1.0")
        yield running


@pytest.fixture
def into(clients: Clients) -> Environment:
    return clients.environment()


def statuses(server: IndexServer, project: str) -> set[int]:
    return {status for _, _, status in server.requests(project)}


def test_an_installer_without_credentials_gets_nothing(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    seen = len(private.requests("internal"))

    clients.install(installer, into, private.simple, "internal").failed()

    assert into.installed() == {}
    asked = private.requests("internal")[seen:]
    assert asked
    assert {status for _, _, status in asked} == {401}


def test_an_installer_takes_credentials_from_the_url(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    clients.install(installer, into, private.simple_as("reader"), "internal").worked()

    assert into.installed() == {"internal": "1.0"}


def test_an_installer_takes_credentials_from_netrc(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    netrc = write(
        clients.home,
        ".netrc",
        f"machine 127.0.0.1 login reader password {PASSWORDS['reader']}\n".encode(),
    )
    netrc.chmod(0o600)

    clients.install(installer, into, private.simple, "internal").worked()

    assert into.installed() == {"internal": "1.0"}


def test_uv_takes_credentials_from_the_environment(
    private: IndexServer, clients: Clients, into: Environment
) -> None:
    login = {
        "UV_INDEX": f"ours={private.simple}",
        "UV_INDEX_OURS_USERNAME": "reader",
        "UV_INDEX_OURS_PASSWORD": PASSWORDS["reader"],
    }

    clients.run("uv", "pip", "install", "--python", into.python, "internal", environ=login).worked()

    assert into.installed() == {"internal": "1.0"}


def test_poetry_takes_credentials_from_the_environment(
    private: IndexServer, clients: Clients
) -> None:
    project = poetry_project(clients.folder / "project", private.simple)
    clients.environ |= {
        "POETRY_HTTP_BASIC_OURS_USERNAME": "reader",
        "POETRY_HTTP_BASIC_OURS_PASSWORD": PASSWORDS["reader"],
    }

    clients.poetry(project, "add", "internal").worked()

    code = "import internal; print(internal.__version__)"
    assert clients.poetry(project, "run", "python", "-c", code).worked().strip() == "1.0"


def test_an_installer_with_a_wrong_password_gets_nothing(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    seen = len(private.requests("internal"))

    output = clients.install(
        installer, into, private.simple_as("reader", "wrong"), "internal"
    ).failed()

    assert into.installed() == {}
    assert {status for _, _, status in private.requests("internal")[seen:]} == {401}
    assert "401" in output
    assert "redentials" in output


def test_a_wrong_password_is_refused_even_where_everyone_may_read(
    server: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    project = f"typo-{installer}"
    publish(server, project, "1.0")

    clients.install(installer, into, server.simple_as("reader", "wrong"), project).failed()

    assert into.installed() == {}
    assert statuses(server, project) == {401}


def test_uv_never_looks_elsewhere_for_a_project_that_the_user_may_not_read(
    private: IndexServer, server: IndexServer, clients: Clients, into: Environment
) -> None:
    publish(server, "secret", "99.0")
    publish(server, "elsewhere", "1.0")
    ours, other = ("--index", private.simple_as("reader")), ("--default-index", server.simple)
    install = ("pip", "install", "--python", into.python)
    # Projects that the first index does not have do come from the second.
    clients.run("uv", *install, *ours, *other, "elsewhere").worked()
    assert into.installed() == {"elsewhere": "1.0"}

    output = clients.run("uv", *install, *ours, *other, "secret").failed()

    assert "403 Forbidden" in output
    assert into.installed() == {"elsewhere": "1.0"}
    assert 403 in statuses(private, "secret")
    assert server.requests("secret") == []


def test_uv_never_looks_elsewhere_without_credentials(
    private: IndexServer, server: IndexServer, clients: Clients, into: Environment
) -> None:
    publish(server, "internal", "99.0")

    clients.run(
        "uv",
        *("pip", "install", "--python", into.python),
        *("--index", private.simple, "--default-index", server.simple),
        "internal",
    ).failed()

    assert into.installed() == {}
    assert server.requests("internal") == []


def test_a_user_with_a_right_of_its_own_gets_the_private_project(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    clients.install(installer, into, private.simple_as("writer"), "secret").worked()

    assert into.installed() == {"secret": "1.0"}


def upload_of(clients: Clients, project: str) -> Path:
    return write(clients.folder, wheel_name(project, "1.0"), wheel(project, "1.0"))


def test_twine_with_a_wrong_password_is_told_so(server: IndexServer, clients: Clients) -> None:
    file = upload_of(clients, "never-arrives")

    output = clients.twine(server.legacy, file, password="wrong").failed()

    assert "401" in output
    assert "Wrong user name or password." in output
    assert server.ask("/api/package/", user="admin")["packages"].count("never-arrives") == 0


def test_twine_as_a_user_who_may_only_read_is_told_so(
    server: IndexServer, clients: Clients
) -> None:
    file = upload_of(clients, "also-never-arrives")

    output = clients.twine(server.legacy, file, user="reader").failed()

    assert "403" in output
    assert "no right" in output
    assert server.ask("/api/package/", user="admin")["packages"].count("also-never-arrives") == 0
