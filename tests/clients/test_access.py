"""Users, passwords and permissions, as the clients meet them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.servers import IndexServer
from tests.clients.test_installing import poetry_project, publish
from tests.clients.test_publishing import poetry_project as buildable
from tests.clients.tools import Clients, Environment, write
from tests.support.dists import wheel, wheel_name
from tests.support.server import PASSWORDS, app_settings
from tests.support.tokens import make_token

pytestmark = pytest.mark.clients

READING = make_token("reading", owner="reader", writes=False)
#: For one project, and what the clients' tests publish.
PUBLISHING = make_token(
    "publishing", owner="writer", projects="internal by-twine by-pypirc by-uv by-poetry"
)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexServer]:
    """An index for known users; ``secret`` is for ``writer`` alone."""
    folder = tmp_path_factory.mktemp("private")
    settings = app_settings(
        folder, pypi__default_read="authenticated", package__secret__user__writer="rw"
    )
    settings |= READING.settings | PUBLISHING.settings
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


def test_an_installer_takes_a_token_from_the_url(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    index = private.simple_as("__token__", READING.secret)

    clients.install(installer, into, index, "internal").worked()

    assert into.installed() == {"internal": "1.0"}


def test_an_installer_takes_a_token_from_netrc(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    line = f"machine 127.0.0.1 login __token__ password {READING.secret}\n"
    write(clients.home, ".netrc", line.encode()).chmod(0o600)

    clients.install(installer, into, private.simple, "internal").worked()

    assert into.installed() == {"internal": "1.0"}


def test_uv_takes_a_token_from_the_environment(
    private: IndexServer, clients: Clients, into: Environment
) -> None:
    login = {
        "UV_INDEX": f"ours={private.simple}",
        "UV_INDEX_OURS_USERNAME": "__token__",
        "UV_INDEX_OURS_PASSWORD": READING.secret,
    }

    clients.run("uv", "pip", "install", "--python", into.python, "internal", environ=login).worked()

    assert into.installed() == {"internal": "1.0"}


def test_poetry_takes_a_token_from_the_environment(private: IndexServer, clients: Clients) -> None:
    project = poetry_project(clients.folder / "project", private.simple)
    clients.environ |= {
        "POETRY_HTTP_BASIC_OURS_USERNAME": "__token__",
        "POETRY_HTTP_BASIC_OURS_PASSWORD": READING.secret,
    }

    clients.poetry(project, "add", "internal").worked()

    code = "import internal; print(internal.__version__)"
    assert clients.poetry(project, "run", "python", "-c", code).worked().strip() == "1.0"


def test_a_token_for_other_projects_is_refused_though_its_owner_may_read(
    private: IndexServer, clients: Clients, installer: str, into: Environment
) -> None:
    seen = len(private.requests("secret"))
    index = private.simple_as("__token__", PUBLISHING.secret)

    clients.install(installer, into, index, "internal").worked()
    clients.install(installer, into, index, "secret").failed()

    assert into.installed() == {"internal": "1.0"}
    assert 403 in {status for _, _, status in private.requests("secret")[seen:]}


def test_twine_uploads_with_a_token(private: IndexServer, clients: Clients) -> None:
    file = upload_of(clients, "by-twine")
    login = {
        "TWINE_REPOSITORY_URL": private.legacy,
        "TWINE_USERNAME": "__token__",
        "TWINE_PASSWORD": PUBLISHING.secret,
    }

    clients.run("twine", "upload", "--non-interactive", file, environ=login).worked()

    assert set(private.files("by-twine")) == {file.name}
    assert private.ask("/api/package/by-twine/", user="admin")["packages"][0]["metadata"][
        "uploader"
    ] == "writer"  # fmt: skip


def test_twine_takes_a_token_from_pypirc(private: IndexServer, clients: Clients) -> None:
    file = upload_of(clients, "by-pypirc")
    pypirc = (
        "[distutils]\nindex-servers = private\n\n[private]\n"
        f"repository = {private.legacy}\nusername = __token__\npassword = {PUBLISHING.secret}\n"
    )
    write(clients.home, ".pypirc", pypirc.encode()).chmod(0o600)

    clients.run("twine", "upload", "--non-interactive", "--repository", "private", file).worked()

    assert set(private.files("by-pypirc")) == {file.name}


def test_twine_with_a_token_that_only_reads_is_told_so(
    private: IndexServer, clients: Clients
) -> None:
    file = upload_of(clients, "never-comes")
    login = {
        "TWINE_REPOSITORY_URL": private.legacy,
        "TWINE_USERNAME": "__token__",
        "TWINE_PASSWORD": READING.secret,
    }

    output = clients.run("twine", "upload", "--non-interactive", file, environ=login).failed()

    assert "403" in output
    assert "no right" in output


def test_twine_with_a_misspelt_token_is_told_so(private: IndexServer, clients: Clients) -> None:
    file = upload_of(clients, "never-comes")
    login = {
        "TWINE_REPOSITORY_URL": private.legacy,
        "TWINE_USERNAME": "__token__",
        "TWINE_PASSWORD": PUBLISHING.secret[:-1],
    }

    output = clients.run("twine", "upload", "--non-interactive", file, environ=login).failed()

    assert "401" in output
    assert "misspelt" in output


def test_uv_publishes_with_a_token(private: IndexServer, clients: Clients) -> None:
    file = upload_of(clients, "by-uv")
    login = {"UV_PUBLISH_TOKEN": PUBLISHING.secret}

    clients.run("uv", "publish", "--publish-url", private.legacy, file, environ=login).worked()

    assert set(private.files("by-uv")) == {file.name}


def test_poetry_publishes_with_a_token(private: IndexServer, clients: Clients) -> None:
    project = buildable(clients.folder / "project", "by-poetry")
    clients.poetry(project, "config", "--local", "repositories.ours", private.legacy).worked()
    clients.environ |= {"POETRY_PYPI_TOKEN_OURS": PUBLISHING.secret}

    clients.poetry(project, "publish", "--build", "-r", "ours").worked()

    assert len(private.files("by-poetry")) == 2
