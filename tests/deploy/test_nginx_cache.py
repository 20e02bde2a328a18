"""``deploy/nginx-cache.conf``: what a shared cache keeps, and from whom."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.asking import Answer, ask, publish
from tests.support.dists import sha256, wheel, wheel_name
from tests.support.nginx import Nginx
from tests.support.server import Server, app_settings

pytestmark = pytest.mark.usefixtures("_nginx")

WHEEL, CONTENT = wheel_name("demo", "1.0"), wheel("demo", "1.0")
SECRET, SECRET_CONTENT = wheel_name("secret", "1.0"), wheel("secret", "1.0")
PATH = f"/api/package/demo/{WHEEL}"
PRIVATE = (
    "/simple/secret/",
    f"/api/package/secret/{SECRET}",
    f"/api/package/secret/{SECRET}.metadata",
    "/pypi/secret/json",
)
HTML = "text/html"


@contextmanager
def cached(folder: Path, **changes: str) -> Iterator[tuple[Nginx, Server]]:
    """A cache in front of a server with a public and a secret project."""
    settings = app_settings(folder, package__secret__user__reader="r", **changes)
    with Server(folder, settings) as origin:
        replaced = {
            "/var/cache/nginx/pypicloud-lite": str(folder / "cache"),
            "192.0.2.1:80": f"127.0.0.1:{origin.port}",
        }
        with Nginx(folder / "nginx", "nginx-cache.conf", replaced) as nginx:
            assert publish(nginx, WHEEL, CONTENT).status == 200
            assert publish(nginx, SECRET, SECRET_CONTENT, user="admin").status == 200
            yield nginx, origin


@pytest.fixture(scope="module")
def cache(_nginx: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with cached(tmp_path_factory.mktemp("cache"), pypi__page_max_age="300") as (nginx, _origin):
        yield nginx


def came_from_the_cache(answer: Answer) -> bool:
    return answer.headers["X-Cache-Status"] == "HIT"


@pytest.mark.parametrize("path", ["/simple/demo/", PATH, f"{PATH}.metadata"])
def test_what_everyone_may_read_is_kept(cache: Nginx, path: str) -> None:
    first, second = ask(cache, path, user="writer"), ask(cache, path)
    assert came_from_the_cache(second)
    assert (second.status, second.body) == (200, first.body)
    assert second.headers["ETag"] == first.headers["ETag"]


@pytest.mark.parametrize("path", PRIVATE)
def test_what_some_may_read_is_for_them_alone(cache: Nginx, path: str) -> None:
    for _time in range(2):
        assert ask(cache, path, user="reader").status == 200
        assert ask(cache, path).status == 401
        assert ask(cache, path, user="writer").status == 403
        assert not came_from_the_cache(ask(cache, path, user="reader"))


def test_lists_show_what_the_caller_may_read(cache: Nginx) -> None:
    for _time in range(2):
        assert ask(cache, "/simple/", user="reader").projects == {"demo", "secret"}
        assert ask(cache, "/simple/").projects == {"demo"}


@pytest.mark.parametrize(
    "path",
    [
        "/simple/secret/?x=.css",
        "/simple/secret/..%2fdemo/",
        f"/api/package/secret/{SECRET}?x=1",
        f"/api/package/secret/{SECRET}#.css",
        f"/api/package/demo/%2e%2e/secret/{SECRET}",
        f"/api/package/SECRET/{SECRET}",
    ],
)
def test_odd_spellings_of_private_urls_leave_nothing_for_others(cache: Nginx, path: str) -> None:
    ask(cache, path, user="reader")
    answer = ask(cache, path)
    assert answer.status in (400, 401, 404) or answer.headers.get("Location")
    assert SECRET.encode() not in answer.body
    assert SECRET_CONTENT not in answer.body


def test_each_client_gets_its_own_format_and_encoding(cache: Nginx) -> None:
    for _time in range(2):
        document = ask(cache, "/simple/demo/")
        page = ask(cache, "/simple/demo/", accept=HTML)
        packed = ask(cache, "/simple/demo/", accept=HTML, accept_encoding="gzip")
        assert document.files == {WHEEL: sha256(CONTENT)}
        assert page.body.startswith(b"<!DOCTYPE html>")
        assert "Content-Encoding" not in page.headers
        assert gzip.decompress(packed.body) == page.body


def test_a_refusal_is_not_kept(cache: Nginx) -> None:
    path = "/api/package/later/later-1.0-py3-none-any.whl"
    assert ask(cache, path).status == 404
    assert publish(cache, "later-1.0-py3-none-any.whl", wheel("later", "1.0")).status == 200
    assert ask(cache, path).status == 200


def test_the_cache_answers_conditions_and_ranges(cache: Nginx) -> None:
    etag = ask(cache, PATH).headers["ETag"]
    assert ask(cache, PATH, if_none_match=etag).status == 304
    part = ask(cache, PATH, range="bytes=1-3", if_range=etag)
    assert (part.status, part.body) == (206, CONTENT[1:4])
    assert came_from_the_cache(part)


def test_pages_are_asked_for_each_time_unless_the_settings_say_more(tmp_path: Path) -> None:
    with cached(tmp_path) as (nginx, _origin):
        for number in range(3):
            filename = wheel_name("demo", f"2.{number}")
            assert publish(nginx, filename, wheel("demo", f"2.{number}")).status == 200
            answer = ask(nginx, "/simple/demo/")
            assert filename in answer.files
            assert not came_from_the_cache(answer)


def test_public_files_are_there_while_the_index_is_down(tmp_path: Path) -> None:
    with cached(tmp_path) as (nginx, origin):
        assert ask(nginx, PATH).status == 200
        assert ask(nginx, PRIVATE[1], user="reader").status == 200
        origin.stop()
        assert ask(nginx, PATH).body == CONTENT
        assert ask(nginx, PRIVATE[1], user="reader").status == 502
