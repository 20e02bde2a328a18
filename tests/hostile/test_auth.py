"""Hostile credentials. The numbers are those of the list of hostile inputs that we keep."""

from __future__ import annotations

import base64
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite.access import passwords as passwords_module
from pypicloud_lite.app import make_app
from pypicloud_lite.errors import SettingsError
from tests.conftest import Client, close
from tests.support.credentials import HERE, SLOW, THERE, as_token, ask, basic, good, status
from tests.support.dists import sdist
from tests.support.server import PASSWORDS, Server, app_settings, fast_hash
from tests.support.tokens import MadeToken, make_token


@pytest.fixture
def private(make_client: Callable[..., Client]) -> Client:
    """``alpha`` and ``beta``, for known users only."""
    client = make_client(pypi__default_read="authenticated", pypi__allow_delete_groups="everyone")
    fill(client)
    return client


def fill(client: Client) -> None:
    for name in ("alpha", "beta"):
        client.as_("writer").upload(f"{name}-1.tar.gz", sdist(name, "1"), status=200)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    settings = app_settings(folder, pypi__default_read="authenticated", **SLOW)
    with Server(folder, settings) as running:
        yield running


def raw(server: Server, *headers: bytes) -> bytes:
    """The answer to exactly these header lines."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        lines = (b"GET /simple/ HTTP/1.1", b"Host: x", b"Connection: close", *headers)
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


class TestHeaders:
    @pytest.mark.parametrize(
        "value",
        [
            b"Basic", b"Basic ", b"Basic \xc3\xa9", b"Basic \xff\xfe", b"Basic !!!!", b"\xff", b"",
            b"Basic " + base64.b64encode(b"nocolon"),
            b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
            b"Basic " + base64.b64encode(b"writer:writer-pw") + b"=",
            b"Basic  " + base64.b64encode(b"writer:writer-pw") + b" x",
        ],
    )  # fmt: skip
    def test_h01_broken_headers_are_401(self, server: Server, value: bytes) -> None:
        answer = raw(server, b"Authorization: " + value)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nwww-authenticate: basic " in answer.lower()
        assert b"HTTP/1.1 200 " in raw(server, b"Authorization: " + good("writer").encode())
        assert "Traceback" not in server.log.read_text()

    def test_h01_two_headers_are_no_way_in(self, server: Server) -> None:
        wrong = b"Authorization: " + basic("writer", "x").encode()
        right = b"Authorization: " + good("writer").encode()
        for pair in ((wrong, right), (right, wrong), (right, right)):
            assert raw(server, *pair).split(b" ")[1] in (b"400", b"401")

    def test_h02_only_the_first_colon_separates(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__default_read="authenticated", user__odd=fast_hash("a:b::"))
        assert status(client, basic("odd", "a:b::")) == 200
        assert status(client, basic("odd", "a:b")) == 401

    @pytest.mark.parametrize(("user", "password"), [("", "writer-pw"), ("writer", ""), ("", "")])
    def test_h03_an_empty_user_or_password_is_nobody(
        self, private: Client, user: str, password: str
    ) -> None:
        assert status(private, basic(user, password)) == 401

    def test_h04_a_long_password_is_refused_unhashed(
        self, private: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed = watch_hashing(monkeypatch)
        for length in (1025, 200_000):
            assert status(private, basic("writer", "x" * length)) == 401
        assert not hashed
        assert status(private, basic("writer", "x" * 1024)) == 401
        assert len(hashed) == 1

    def test_h05_passwords_are_bytes(self, make_client: Callable[..., Client]) -> None:
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        client = make_client(pypi__default_read="authenticated", user__odd=fast_hash(composed))
        assert status(client, basic("odd", composed)) == 200
        assert status(client, basic("odd", decomposed)) == 401
        assert status(client, basic("odd", composed + "\0")) == 401
        assert status(client, basic("odd\0", composed)) == 401

    def test_h06_an_unknown_user_costs_what_a_wrong_password_costs(
        self, private: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed = watch_hashing(monkeypatch)
        wrong = ask(private, basic("writer", "nope"))
        unknown = ask(private, basic("nobody", "nope"))
        assert len(hashed) == 2
        assert {stored.rpartition("$")[0].rpartition("$")[0] for stored in hashed} == {
            "$5$rounds=1000"
        }
        assert (wrong.status, wrong.body) == (unknown.status, unknown.body)
        assert dict(wrong.headers) == dict(unknown.headers)

    @pytest.mark.parametrize(
        "stored", ["", "plain text", "$6$", "$argon2id$v=19$m=65536", "$5$rounds=5$x$y", "!", "*"]
    )
    def test_h07_a_user_with_a_broken_hash_stops_the_start(
        self, make_client: Callable[..., Client], stored: str
    ) -> None:
        with pytest.raises(SettingsError, match=r"user\.broken ") as refused:
            make_client(user__broken=stored)
        assert not stored or stored not in str(refused.value)

    @pytest.mark.parametrize(
        "header",
        ["Bearer", "Bearer ", "Bearer abc", "Token abc", "Digest username=x", "Negotiate YII=",
         "pcl_abc", "bearer  pcl_x y", "Basic Bearer"],
    )  # fmt: skip
    def test_h08_other_schemes_are_nobody(self, private: Client, header: str) -> None:
        answer = ask(private, header)
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def watch_hashing(monkeypatch: pytest.MonkeyPatch, seconds: float = 0) -> list[str]:
    """The hashes that passwords are compared with from now on, each of which takes so long."""
    hashed: list[str] = []
    context = type(passwords_module._context())
    original = context.verify

    def watched(self: Any, secret: bytes, stored: str) -> bool:
        hashed.append(stored)
        time.sleep(seconds)
        return bool(original(self, secret, stored))

    monkeypatch.setattr(context, "verify", watched)
    return hashed


class TestRateLimit:
    @pytest.fixture
    def client(self, make_client: Callable[..., Client]) -> Client:
        return make_client(pypi__default_read="authenticated", **SLOW)

    def test_h09_many_wrong_passwords_get_429(self, client: Client) -> None:
        answers = [ask(client, basic("writer", f"guess {number}")) for number in range(50)]
        assert [answer.status_int for answer in answers] == [401] * 10 + [429] * 40
        refused = answers[-1]
        assert 0 < int(refused.headers["Retry-After"]) <= 86400
        assert "try again in" in refused.text
        assert "WWW-Authenticate" not in refused.headers

    def test_h09_another_user_behind_the_same_address_still_works(self, client: Client) -> None:
        for number in range(50):
            ask(client, basic("writer", f"guess {number}"))
        assert status(client, good("reader")) == 200

    def test_h09_the_same_user_elsewhere_still_works(self, client: Client) -> None:
        for number in range(50):
            ask(client, basic("writer", f"guess {number}"))
        assert status(client, good("writer"), address=HERE) == 429
        assert status(client, good("writer"), address=THERE) == 200

    def test_h09_who_was_right_before_is_never_shut_out(
        self, make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even when the password must be hashed again."""
        client = make_client(pypi__default_read="authenticated", **SLOW)
        assert status(client, good("writer")) == 200
        for number in range(50):
            for address in (HERE, THERE):
                ask(client, basic("writer", f"guess {number}"), address=address)
        passwords = client.app.registry.services.authenticator.passwords
        monkeypatch.setattr(passwords, "_clock", lambda: time.monotonic() + 100_000)
        hashed = watch_hashing(monkeypatch)
        for address in (HERE, THERE):
            assert status(client, good("writer"), address=address) == 200
        assert len(hashed) == 1
        assert status(client, basic("writer", "one more guess")) == 429

    def test_h09_many_users_from_one_address_get_429(self, client: Client) -> None:
        seen = Counter(status(client, basic(f"user{number}", "x")) for number in range(80))
        assert seen == {401: 50, 429: 30}
        assert status(client, basic("user", "x"), address=THERE) == 401

    def test_h09_a_host_has_many_ipv6_addresses(self, client: Client) -> None:
        seen = Counter(
            status(client, basic("writer", "x"), address=f"2001:db8::{number}")
            for number in range(20)
        )
        assert seen == {401: 10, 429: 10}
        assert status(client, basic("writer", "x"), address="2001:db8:0:1::1") == 401

    def test_h09_known_and_unknown_users_are_refused_alike(self, client: Client) -> None:
        known = [status(client, basic("writer", "x")) for _attempt in range(12)]
        assert known == [status(client, basic("nobody", "x")) for _attempt in range(12)]

    def test_h09_the_refused_are_refused_where_everyone_may_read(
        self, make_client: Callable[..., Client]
    ) -> None:
        client = make_client(**SLOW)
        for _attempt in range(11):
            last = status(client, basic("writer", "x"))
        assert last == 429
        assert status(client, None) == 200

    def test_h09_it_can_be_turned_off(self, make_client: Callable[..., Client]) -> None:
        client = make_client(auth__failures_per_user="0", auth__failures_per_address="0")
        assert {status(client, basic("writer", "x")) for _attempt in range(100)} == {401}

    def test_h10_parallel_guesses_do_not_outrun_the_count(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed = watch_hashing(monkeypatch)
        with ThreadPoolExecutor(32) as threads:
            guesses = [basic("writer", f"guess {number}") for number in range(64)]
            seen = Counter(threads.map(lambda guess: status(client, guess), guesses))
        assert seen == {401: 10, 429: 54}
        assert len(hashed) == 10

    def test_h10_a_burst_of_good_requests_is_hashed_and_counted_once(
        self, make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = make_client(auth__failures_per_user="1", **SLOW)
        hashed = watch_hashing(monkeypatch, seconds=0.1)
        with ThreadPoolExecutor(32) as threads:
            seen = set(threads.map(lambda _n: status(client, good("writer")), range(64)))
        assert seen == {200}
        assert len(hashed) == 1
        assert status(client, basic("writer", "wrong")) == 401  # the good ones left room for it

    def test_h14_wrong_tokens_are_counted_and_good_ones_never_wait(
        self, make_client: Callable[..., Client]
    ) -> None:
        made, other = make_token(), make_token("other", owner="reader")
        client = make_client(pypi__default_read="authenticated", **made.settings, **SLOW)
        seen = [status(client, as_token(other)) for _attempt in range(12)]
        assert seen == [401] * 10 + [429] * 2
        assert status(client, f"Bearer {other.secret}") == 429
        assert status(client, as_token(made)) == 200
        assert status(client, f"Bearer {made.secret}") == 200


class TestTokens:
    @pytest.fixture
    def start(self, make_client: Callable[..., Client]) -> Callable[..., Client]:
        """An application that knows these tokens."""

        def make(*made: MadeToken, **changes: str) -> Client:
            lines = {name: value for token in made for name, value in token.settings.items()}
            lines["pypi.allow_delete_groups"] = "everyone"
            client = make_client(**{"pypi.default_read": "authenticated"} | lines | changes)
            if not client.app.registry.services.index.project_names():
                fill(client)
            return client

        return make

    def test_a_token_is_sent_as_basic_or_bearer(self, start: Callable[..., Client]) -> None:
        made = make_token()
        client = start(made)
        for header in (as_token(made), f"Bearer {made.secret}", f"bearer  {made.secret} "):
            assert status(client, header) == 200
        assert status(client, basic("writer", made.secret)) == 401
        assert status(client, basic("robot", made.secret)) == 401

    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    def test_h11_a_misspelt_token_is_refused_without_a_look(
        self, start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, scheme: str
    ) -> None:
        made = make_token()
        client = start(made)

        def never(*_args: Any) -> Any:
            raise AssertionError("looked up")

        monkeypatch.setattr("pypicloud_lite.access.tokens.digest_of", never)
        wrong = made.secret[:20] + ("A" if made.secret[20] != "A" else "B") + made.secret[21:]
        answer = ask(client, basic("__token__", wrong) if scheme == "basic" else f"Bearer {wrong}")
        assert answer.status_int == 401
        assert "checksum" in answer.text
        assert made.secret not in answer.text + str(answer.headers)

    def test_h11_unknown_and_expired_tokens_are_401(self, start: Callable[..., Client]) -> None:
        today = datetime.now(UTC).date()
        expired = make_token("old", expires=today)
        lasting = make_token("new", expires=today + timedelta(days=2))
        client = start(expired, lasting)
        for made in (expired, make_token("unknown")):
            answer = ask(client, as_token(made))
            assert answer.status_int == 401
            assert "WWW-Authenticate" in answer.headers
        assert status(client, as_token(lasting)) == 200

    def test_h12_a_token_without_its_line_is_refused(self, start: Callable[..., Client]) -> None:
        made = make_token()
        assert status(start(made), as_token(made)) == 200
        assert status(start(), as_token(made)) == 401

    def test_h13_scope_read_reads_and_changes_nothing(self, start: Callable[..., Client]) -> None:
        made = make_token(writes=False)
        client = start(made)
        header = as_token(made)
        before = client.app.registry.services.index.serial()
        for path in reads("alpha"):
            assert status(client, header, path) == 200, path
        for method, path in changes("alpha"):
            assert status(client, header, path, method=method) == 403, path
        upload = Client(client.app)
        upload.authorization = ("Basic", ("__token__", made.secret))
        upload.upload("alpha-2.tar.gz", sdist("alpha", "2"), status=403)
        assert client.app.registry.services.index.serial() == before

    def test_h13_a_token_for_one_project_is_none_for_another(
        self, start: Callable[..., Client]
    ) -> None:
        made = make_token(projects="Alpha")
        client = start(made)
        header = as_token(made)
        for path in reads("alpha"):
            assert status(client, header, path) == 200, path
        for path in reads("beta"):
            assert status(client, header, path) == 403, path
        for method, path in changes("beta"):
            assert status(client, header, path, method=method) == 403, path
        upload = Client(client.app)
        upload.authorization = ("Basic", ("__token__", made.secret))
        upload.upload("beta-2.tar.gz", sdist("beta", "2"), status=403)
        upload.upload("alpha-2.tar.gz", sdist("alpha", "2"), status=200)
        upload.delete("/api/package/alpha/alpha-2.tar.gz", status=200)

    def test_h13_not_even_where_everyone_may_read(self, start: Callable[..., Client]) -> None:
        made = make_token(projects="alpha")
        client = start(made, pypi__default_read="everyone")
        for path in reads("beta"):
            assert status(client, None, path) == 200
            assert status(client, as_token(made), path) == 403

    @pytest.mark.parametrize("default_read", ["authenticated", "everyone"])
    def test_h13_lists_and_their_caches_keep_token_and_owner_apart(
        self, start: Callable[..., Client], default_read: str
    ) -> None:
        alpha, beta = make_token("a", projects="alpha"), make_token("b", projects="beta")
        everything = make_token("c", writes=False)
        client = start(alpha, beta, everything, pypi__default_read=default_read)
        expected = {
            good("writer"): ["alpha", "beta"],
            as_token(alpha): ["alpha"],
            as_token(beta): ["beta"],
            as_token(everything): ["alpha", "beta"],
        }
        for _round in range(2):
            for header, names in expected.items():
                page = ask(client, header, "/simple/?format=application/vnd.pypi.simple.v1%2Bjson")
                assert [project["name"] for project in page.json["projects"]] == names
                assert ask(client, header, "/api/package/").json["packages"] == names
                verbose = ask(client, header, "/api/package/?verbose=true").json["packages"]
                assert [line["name"] for line in verbose] == names
                home = " ".join(ask(client, header, "/").text.split())
                assert f"Browse {len(names)} project" in home
        cached = ask(client, as_token(alpha)).headers
        assert cached["Cache-Control"].startswith("private")
        assert "Authorization" in cached["Vary"]

    def test_h13_a_token_has_no_more_than_its_owner(self, start: Callable[..., Client]) -> None:
        made = make_token(owner="reader", projects="alpha")
        client = start(made)
        for method, path in changes("alpha"):
            assert status(client, as_token(made), path, method=method) == 403, path
        client = start(made, package__alpha__user__writer="rw")
        assert status(client, as_token(made), "/simple/alpha/") == 403

    def test_h13_a_token_of_an_admin_does_not_administer(
        self, start: Callable[..., Client]
    ) -> None:
        made = make_token(owner="admin")
        client = start(made)
        for method in ("GET", "POST"):
            assert status(client, as_token(made), "/admin/rebuild", method=method) == 403
        assert status(client, good("admin"), "/admin/rebuild", method="POST") in (200, 202)

    def test_h13_the_token_decides_about_the_file_not_about_the_url(
        self, start: Callable[..., Client]
    ) -> None:
        made = make_token(projects="alpha")
        client = start(made)
        client.authorization = ("Basic", ("__token__", made.secret))
        client.upload(
            "beta-2.tar.gz", sdist("beta", "2"), path="/api/package/alpha/beta-2.tar.gz", status=400
        )
        client.upload("beta-2.tar.gz", sdist("beta", "2"), name="alpha", status=403)


def reads(project: str) -> list[str]:
    file = f"/api/package/{project}/{project}-1.tar.gz"
    return [f"/simple/{project}/", f"/pypi/{project}/", f"/+simple/{project}/", file,
            f"/api/package/{project}/", f"/api/package/{project}", f"/pypi/{project}/json",
            f"/pypi/{project}/1/json", f"/simple/{project}/json"]  # fmt: skip


def changes(project: str) -> list[tuple[str, str]]:
    base = f"/api/package/{project}"
    file = f"{base}/{project}-1.tar.gz"
    return [("DELETE", file), ("POST", file), ("POST", f"{base}/yank?version=1"),
            ("POST", f"{base}/unyank?version=1"),
            ("POST", f"{base}/status?status=archived")]  # fmt: skip


class TestSettings:
    def test_h15_a_password_that_is_gone_is_refused_at_once(self, tmp_path: Path) -> None:
        """Nothing of verified passwords outlives the process that read the ini."""
        for password in ("first", "second"):
            settings = app_settings(
                tmp_path, pypi__default_read="authenticated", user__writer=fast_hash(password)
            )
            app = make_app(settings, {})
            client = Client(app)
            seen = [status(client, basic("writer", tried)) for tried in ("first", "second")]
            close(app)
            assert seen == ([200, 401] if password == "first" else [401, 200])

    @pytest.mark.parametrize("name", ["everyone", "authenticated", "__token__", "a:b", "a b"])
    def test_h16_names_that_mean_something_else_are_no_users(
        self, tmp_path: Path, name: str
    ) -> None:
        settings = app_settings(tmp_path) | {f"user.{name}": fast_hash("x")}
        with pytest.raises(SettingsError, match="can't be the name of a user"):
            make_app(settings, {})

    @pytest.mark.parametrize("name", ["everyone", "authenticated", "admin"])
    def test_h16_nor_groups(self, make_client: Callable[..., Client], name: str) -> None:
        with pytest.raises(SettingsError, match="exists by itself"):
            make_client(**{f"group.{name}": "writer"})

    @pytest.mark.parametrize("name", ["a b", "a:b", "", "ä", "-x", "x" * 65])
    def test_h16_nor_tokens(self, make_client: Callable[..., Client], name: str) -> None:
        (line,) = make_token().settings.values()
        with pytest.raises(SettingsError, match="can't be the name of a token"):
            make_client(**{f"token.{name}": line})

    def test_h16_a_token_needs_an_owner_and_a_line_of_its_own(
        self, make_client: Callable[..., Client]
    ) -> None:
        made = make_token(owner="ghost")
        (line,) = made.settings.values()
        with pytest.raises(SettingsError) as refused:
            make_client(token__one=line, token__two=line, token__three="nonsense")
        message = str(refused.value)
        assert "token.one: its owner is no user; there is no user.ghost" in message
        assert "token.two is the same token as token.one" in message
        assert "token.three does not begin with sha256:" in message
        assert made.token.digest not in message

    def test_h16_a_token_may_come_from_the_environment(self, tmp_path: Path) -> None:
        made = make_token()
        (line,) = made.settings.values()
        settings = app_settings(tmp_path, pypi__default_read="authenticated")
        app = make_app(settings, {"PPC_TOKEN_CI": line})
        assert status(Client(app), as_token(made)) == 200
        close(app)

    @pytest.mark.parametrize("spelling", ["Foo_Bar", "foo.bar", "FOO-BAR", "foo-_.bar"])
    def test_h17_a_rule_applies_however_it_is_spelled(
        self, make_client: Callable[..., Client], spelling: str
    ) -> None:
        client = make_client(**{f"package.{spelling}.user.writer": "rw"})
        for asked in ("foo-bar", "Foo_Bar", "foo.bar"):
            assert status(client, None, f"/api/package/{asked}/") == 401
            assert status(client, good("reader"), f"/api/package/{asked}/") == 403
        made = make_token(projects=spelling)
        client = make_client(**made.settings)
        upload = Client(client.app)
        upload.authorization = ("Basic", ("__token__", made.secret))
        upload.upload("foo_bar-1.tar.gz", sdist("foo-bar", "1"), status=200)


class TestAnswers:
    @pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json", "x" * 2000])
    def test_h21_every_401_asks_for_credentials(self, private: Client, accept: str) -> None:
        for header in (None, basic("writer", "wrong"), "Bearer x"):
            for method, path in (
                *(("GET", path) for path in reads("alpha")),
                *changes("alpha"),
                ("POST", "/"), ("POST", "/legacy/"), ("GET", "/simple/"), ("GET", "/api/package/"),
                ("GET", "/admin/rebuild"), ("GET", "/simple/absent/"),
            ):  # fmt: skip
                answer = ask(private, header, path, method=method, accept=accept)
                if answer.status_int != 429:
                    assert answer.status_int == 401, path
                    assert answer.headers["WWW-Authenticate"] == (
                        'Basic realm="pypi", charset="UTF-8"'
                    )

    def test_h22_credentials_are_nowhere_to_be_seen(
        self, make_client: Callable[..., Client], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        made, other = make_token(), make_token("other")
        settings = {"pypi.fallback": "redirect", "auth.failures_per_user": "2"}
        client = make_client(**settings, **made.settings)
        secrets = [PASSWORDS["writer"], made.secret, other.secret, "open-sesame", "$5$"]
        shown = ""
        for header in (
            good("writer"), as_token(made), f"Bearer {made.secret}", as_token(other), None,
            basic("writer", "open-sesame"), basic("open-sesame", "x"), basic(made.secret, "x"),
            basic("writer", made.secret), basic("open-sesame", other.secret),
        ):  # fmt: skip
            for method, path in (
                ("GET", "/"), ("GET", "/simple/"), ("GET", "/simple/absent/"), ("POST", "/legacy/"),
                ("GET", "/simple/Absent"), ("GET", "/api/package/x/"), ("POST", "/admin/rebuild"),
                ("DELETE", "/api/package/x/y"), ("GET", "/pypi/absent/json"),
            ):  # fmt: skip
                answer = ask(client, header, path, method=method)
                shown += f"{answer.status} {answer.headerlist} {answer.text}"
        shown += caplog.text
        assert "https://pypi.org/simple/absent/" in shown
        assert "robot" in caplog.text
        for secret in secrets:
            assert secret not in shown
            assert base64.b64encode(secret.encode()).decode().rstrip("=") not in shown
