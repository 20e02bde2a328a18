"""What happens with projects that are not here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Client
from tests.support.dists import sdist


@pytest.fixture
def redirecting(make_client: Callable[..., Client]) -> Client:
    return make_client(
        pypi__fallback=None,
        pypi__fallback_base_url="https://upstream.example/root/",
        pypi__disallow_fallback="Internal_Tool other",
        package__secret__user__writer="rw",
    )


def test_an_absent_project_is_sent_on_by_default(make_client: Callable[..., Client]) -> None:
    response = make_client(pypi__fallback=None).get("/simple/requests/", status=302)
    assert response.headers["Location"] == "https://pypi.org/simple/requests/"


@pytest.mark.parametrize("path", ["/simple/requests/", "/pypi/requests/", "/+simple/requests/"])
def test_an_absent_project_is_sent_to_the_configured_index(redirecting: Client, path: str) -> None:
    response = redirecting.get(path, status=302)
    assert response.headers["Location"] == "https://upstream.example/root/simple/requests/"


def test_json_documents_are_sent_on_too(redirecting: Client) -> None:
    base = "https://upstream.example/root/pypi/requests"
    assert redirecting.get("/pypi/requests/json", status=302).headers["Location"] == f"{base}/json"
    response = redirecting.get("/pypi/requests/1.0/json", status=302)
    assert response.headers["Location"] == f"{base}/1.0/json"


def test_a_local_project_hides_its_namesake(redirecting: Client) -> None:
    redirecting.as_("writer").upload("demo-1.tar.gz", sdist("demo", "1"), status=200)
    redirecting.get("/simple/demo/", status=200)


@pytest.mark.parametrize("name", ["internal-tool", "other"])
@pytest.mark.parametrize("path", ["/simple/{}/", "/pypi/{}/", "/pypi/{}/json", "/pypi/{}/1/json"])
def test_a_disallowed_name_never_leaves(redirecting: Client, name: str, path: str) -> None:
    redirecting.get(path.format(name), status=404)


@pytest.mark.parametrize("path", ["/simple/secret/", "/pypi/secret/json"])
def test_a_private_name_never_leaves_even_without_files(redirecting: Client, path: str) -> None:
    redirecting.get(path, status=401)
    redirecting.as_("reader").get(path, status=403)
    redirecting.as_("writer").get(path, status=404)


def test_who_may_not_read_a_local_project_is_not_sent_on(
    make_client: Callable[..., Client],
) -> None:
    client = make_client(pypi__fallback="redirect", pypi__default_read="writers")
    client.as_("writer").upload("demo-1.tar.gz", sdist("demo", "1"), status=200)
    client.get("/simple/demo/", status=401)
    client.as_("reader").get("/simple/demo/", status=403)


def test_a_deprecated_fallback_url_works(make_client: Callable[..., Client]) -> None:
    client = make_client(
        pypi__fallback="redirect", pypi__fallback_url="https://old.example/simple/"
    )
    response = client.get("/simple/demo/", status=302)
    assert response.headers["Location"] == "https://old.example/simple/demo/"
    client.get("/pypi/demo/json", status=404)


def test_without_fallback_an_absent_project_is_missing(make_client: Callable[..., Client]) -> None:
    make_client(pypi__fallback="none").get("/simple/requests/", status=404)


def test_wrong_credentials_are_not_sent_on(redirecting: Client) -> None:
    header = {"HTTP_AUTHORIZATION": "Basic eDp5"}
    redirecting.get("/simple/requests/", extra_environ=header, status=401)
