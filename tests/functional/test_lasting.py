"""What the application lets the server give again, and that nothing old or foreign comes of it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.app import make_app
from pypicloud_lite.repeating import IGNORED
from tests.conftest import Client, close
from tests.support.credentials import as_token, basic, good
from tests.support.dists import sdist, wheel
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import app_settings
from tests.support.serving import Served
from tests.support.tokens import make_token

WHEEL = "demo-1.0-py3-none-any.whl"
PAGE, LIST, FILE = "/simple/demo/", "/simple/", f"/api/package/demo/{WHEEL}"
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
Headers = dict[str, str]


class Store:
    """Our application behind our server, both in this process."""

    def __init__(self, client: Client, port: int, served: Served) -> None:
        self.client, self.port, self.served = client, port, served
        self.services = client.app.registry.services
        self.writer = client.as_("writer")

    def get(self, path: str, headers: Headers | None = None) -> tuple[int, bytes]:
        """Status and body."""
        connection = HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def is_repeated(self, path: str, headers: Headers | None = None, status: int = 200) -> bool:
        """Whether the same request is answered without the application, in the same way."""
        for _turn in range(5):  # once a second whatever is asked goes to the application
            first = self.get(path, headers)
            before = self.served.asked
            assert self.get(path, headers) == first
            assert first[0] == status
            if self.served.asked == before:
                return True
        return False


MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(make_client: Callable[..., Client]) -> Iterator[MakeStore]:
    with ExitStack() as stack:

        def make(**changes: str | None) -> Store:
            client = make_client(**changes)
            client.app.registry.services.follower.idle.wait(30)
            client.as_("writer").upload(WHEEL, wheel(), status=200)
            served = stack.enter_context(Served(client.app))
            return Store(client, served.port, served)

        yield make


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store()


@pytest.mark.parametrize("headers", [{}, JSON, {"Accept-Encoding": "gzip"}])
@pytest.mark.parametrize("path", [PAGE, LIST])
def test_pages_are_repeated(store: Store, path: str, headers: Headers) -> None:
    assert store.is_repeated(path, headers)


@pytest.mark.parametrize("path", [FILE, f"{FILE}.metadata"])
def test_small_files_are_repeated(store: Store, path: str) -> None:
    assert store.is_repeated(path)


def test_revalidation_is_repeated(store: Store) -> None:
    etag = store.client.get(PAGE).headers["ETag"]
    assert store.is_repeated(PAGE, {"If-None-Match": etag}, 304)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/health", 200),
        ("/simple", 301),
        ("/simple/absent/", 404),
        ("/pypi/demo/json", 200),
    ],
)
def test_what_says_nothing_of_how_long_it_lasts_is_asked_for(
    store: Store, path: str, status: int
) -> None:
    assert not store.is_repeated(path, status=status)


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_makes_no_other_request_makes_no_other_answer(client: Client, name: str) -> None:
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    sent = name.replace("_", "-")
    for path in (PAGE, LIST, FILE, f"{FILE}.metadata"):
        plain = client.get(path)
        for value in ("1", "127.0.0.1", "evil.example", "<script>", "Mozilla/5.0", "\xff" * 300):
            answer = client.get(path, headers={sent: value})
            assert (answer.status, answer.headerlist) == (plain.status, plain.headerlist)
            assert answer.body == plain.body


def test_the_next_page_after_any_change_is_new(store: Store) -> None:
    def page() -> bytes:
        for _thrice in range(3):
            answer = store.get(PAGE)[1]
        return answer

    before = page()
    store.writer.upload("demo-1.0.tar.gz", sdist(), status=200)
    assert b"demo-1.0.tar.gz" not in before
    assert b"demo-1.0.tar.gz" in page()
    store.writer.post("/api/package/demo/yank", {"version": "1.0", "reason": "broken"})
    assert b"broken" in page()
    store.writer.post("/api/package/demo/status", {"status": "quarantined"})
    assert WHEEL.encode() not in page()
    assert store.get(FILE)[0] == 404
    store.writer.post("/api/package/demo/status", {"status": "active"})
    assert WHEEL.encode() in page()
    assert store.get(FILE)[0] == 200
    store.writer.delete(FILE, status=200)
    assert WHEEL.encode() not in page()
    assert store.get(FILE)[0] == 404


def test_the_next_page_after_a_change_of_another_process_is_new(
    store: Store, make_client: Callable[..., Client]
) -> None:
    """Another application over the same folder and index, as another process has it."""
    other = make_client().as_("writer")
    for number in range(20):
        name = f"new-{number}.0.tar.gz"
        for path in ("/simple/new/", LIST):
            store.get(path)
            store.get(path)
        other.upload(name, sdist("new", f"{number}.0"), status=200)
        assert name.encode() in store.get("/simple/new/")[1]
        assert b">new<" in store.get(LIST)[1]


def test_a_replaced_file_is_the_new_one_at_once(make_store: MakeStore) -> None:
    store = make_store(pypi__allow_overwrite_groups="writers")
    assert store.is_repeated(FILE)
    content = wheel(files={"demo/more.py": b"1"})
    store.writer.upload(WHEEL, content, status=200)
    assert store.get(FILE) == (200, content)


def test_a_file_that_someone_removes_is_gone_in_a_moment(store: Store, tmp_path: Path) -> None:
    assert store.is_repeated(FILE)
    for path in (tmp_path / "packages").rglob(WHEEL):
        path.unlink()
    time.sleep(1.1)
    assert store.get(FILE)[0] != 200


class Clock:
    """The time by which answers of this application hold, which passes when one says so."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def pass_by(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("pypicloud_lite.index.generation.RECHECK", 1000.0)
    clock = Clock()
    monkeypatch.setattr("pypicloud_lite.views.lasting.time", clock)
    return clock


def test_a_file_that_one_user_gets_is_there_for_others_too(
    make_store: MakeStore, clock: Clock
) -> None:
    store = make_store(pypi__default_read="authenticated")
    writer, reader = ({"Authorization": good(user)} for user in ("writer", "reader"))
    assert store.is_repeated(FILE, writer)
    clock.pass_by(0.6)
    assert store.get(FILE, reader)[0] == 200  # by the application, which looks at the disk
    clock.pass_by(0.6)
    before = store.served.asked
    assert store.get(FILE, writer)[0] == 200
    assert store.served.asked == before
    clock.pass_by(0.6)
    assert store.get(FILE, writer)[0] == 200
    assert store.served.asked == before + 1


def test_a_file_that_is_gone_for_one_user_is_gone_for_others(
    make_store: MakeStore, clock: Clock, tmp_path: Path
) -> None:
    store = make_store(pypi__default_read="authenticated")
    writer, reader = ({"Authorization": good(user)} for user in ("writer", "reader"))
    assert store.is_repeated(FILE, writer)
    for path in (tmp_path / "packages").rglob(WHEEL):
        path.unlink()
    clock.pass_by(0.6)
    assert store.get(FILE, reader)[0] != 200
    clock.pass_by(0.6)
    assert store.get(FILE, writer)[0] != 200


def test_core_metadata_is_repeated_as_long_as_nothing_changes(store: Store, clock: Clock) -> None:
    assert store.is_repeated(f"{FILE}.metadata")
    clock.pass_by(1000)
    before = store.served.asked
    assert store.get(f"{FILE}.metadata")[0] == 200
    assert store.served.asked == before
    store.writer.delete(FILE, status=200)
    assert store.get(f"{FILE}.metadata")[0] == 404


def test_nobody_gets_what_is_another_s(make_store: MakeStore) -> None:
    store = make_store(pypi__default_read="authenticated", package__demo__user__writer="rw")
    writer, reader = ({"Authorization": good(user)} for user in ("writer", "reader"))
    wrong = {"Authorization": basic("writer", "wrong")}
    for path in (PAGE, FILE, f"{FILE}.metadata"):
        assert store.is_repeated(path, writer)
        assert store.get(path)[0] == 401
        assert store.get(path, wrong)[0] == 401
        assert store.get(path, reader)[0] == 403
    assert store.is_repeated(LIST, writer)
    assert store.is_repeated(LIST, reader)
    assert b"demo" in store.get(LIST, writer)[1]
    assert b"demo" not in store.get(LIST, reader)[1]


def test_refusals_are_made_and_counted_each_time(make_store: MakeStore) -> None:
    store = make_store(pypi__default_read="authenticated", auth__failures_per_user="3")
    wrong = {"Authorization": basic("reader", "wrong")}
    found = [store.get(PAGE, wrong)[0] for _attempt in range(5)]
    assert found == [401, 401, 401, 429, 429]


def test_a_password_is_verified_again_when_its_time_is_over(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pypicloud_lite.index.generation.RECHECK", 1000.0)
    store = make_store(pypi__default_read="authenticated", auth__credential_ttl="2")
    reader = {"Authorization": good("reader")}
    assert store.is_repeated(PAGE, reader)
    passwords = store.services.authenticator.passwords
    passwords._hashes.pop("reader")
    assert store.get(PAGE, reader)[0] == 200
    time.sleep(2.1)
    assert store.get(PAGE, reader)[0] == 401


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_token_is_good_until_it_expires(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """It is looked at once in a minute, and each time when its end is near."""
    token = make_token(owner="reader", writes=False, expires=dt.date(2100, 1, 1))
    store = make_store(
        pypi__default_read="authenticated",
        **{name.replace(".", "__"): value for name, value in token.settings.items()},
    )
    sent = {"Authorization": as_token(token) if scheme == "Basic" else f"Bearer {token.secret}"}
    assert store.is_repeated(PAGE, sent)
    end = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    authenticator = store.services.authenticator
    authenticator._recent.clear()
    monkeypatch.setattr(authenticator, "_now", lambda: end - dt.timedelta(seconds=30))
    assert not store.is_repeated(f"{PAGE}?once", sent)
    monkeypatch.setattr(authenticator, "_now", lambda: end)
    assert store.get(f"{PAGE}?once", sent)[0] == 401


def test_who_has_a_cookie_is_looked_at_each_time(make_store: MakeStore) -> None:
    store = make_store(session__secret="s" * 64)
    assert store.is_repeated(PAGE)
    assert not store.is_repeated(PAGE, {"Cookie": "session=forged"})


def test_another_host_is_refused_each_time(make_store: MakeStore) -> None:
    store = make_store(pypi__trusted_hosts="localhost")
    assert store.is_repeated(PAGE, {"Host": "localhost"})
    assert store.get(PAGE, {"Host": "evil.example"})[0] == 400


def test_an_index_that_is_lost_is_missed_in_a_moment(store: Store, tmp_path: Path) -> None:
    assert store.is_repeated(PAGE)
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    before = store.served.asked
    time.sleep(1.1)
    assert store.get(PAGE)[0] in (200, 503)
    assert store.served.asked == before + 1


def test_what_hosts_share_is_asked_for_each_time(
    make_store: MakeStore, postgresql_database: str
) -> None:
    store = make_store(db__url=postgresql_database)
    assert not store.is_repeated(PAGE)


@pytest.mark.parametrize("setting", ["pyramid.includes", "pyramid.tweens"])
def test_what_others_put_around_the_views_sees_each_request(
    make_store: MakeStore, setting: str
) -> None:
    names = {
        "pyramid.includes": "tests.support.tweens",
        "pyramid.tweens": "pypicloud_lite.views.headers.tween tests.support.tweens.tween",
    }
    store = make_store(**{setting.replace(".", "__"): names[setting]})
    assert not store.is_repeated(PAGE)


@pytest.mark.parametrize(("redirects", "page_status"), [("true", 302), ("false", 200)])
def test_redirects_are_repeated_and_pages_of_signed_urls_are_not(
    moto_server: S3Server, tmp_path: Path, redirects: str, page_status: int
) -> None:
    """The credentials that URLs are signed with may need renewing, which takes time."""
    bucket = moto_server.settings(new_bucket(), storage__redirect_urls=redirects)
    app: Any = make_app(app_settings(tmp_path, storage__dir=None) | bucket, {})
    try:
        client = Client(app)
        app.registry.services.follower.idle.wait(30)
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        with Served(app) as served:
            store = Store(client, served.port, served)
            repeated = redirects == "true"
            assert store.is_repeated(PAGE) is repeated
            assert store.is_repeated(FILE, status=302) is repeated
    finally:
        close(app)
