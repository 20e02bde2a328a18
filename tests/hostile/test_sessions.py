"""Hostile cookies and forged forms. The numbers are those of the list of hostile inputs that we
keep.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyramid.session import JSONSerializer
from webob.cookies import SignedSerializer

from pypicloud_lite.app import make_app
from pypicloud_lite.errors import SettingsError
from tests.conftest import Client, close
from tests.support.credentials import SLOW, as_token, ask, basic, good
from tests.support.dists import sdist
from tests.support.server import PASSWORDS, app_settings, fast_hash
from tests.support.tokens import make_token

SECRET = "s" * 64
COOKIE = "pypicloud_lite"
HTTPS = {"wsgi.url_scheme": "https"}
FILE = "/api/package/alpha/alpha-1.tar.gz"
#: Every way to change something, and the status without a right to it.
CHANGES = [
    ("DELETE", FILE), ("POST", FILE), ("POST", "/legacy/"), ("POST", "/"),
    ("POST", "/api/package/alpha/yank?version=1"), ("POST", "/api/package/alpha/unyank?version=1"),
    ("POST", "/api/package/alpha/status?status=archived"), ("POST", "/admin/rebuild"),
    ("GET", "/admin/rebuild"), ("POST", "/login"), ("POST", "/logout"),
]  # fmt: skip


class Browser(Client):
    """Keeps cookies, and repeats the CSRF token that a login answered with."""

    def log_in(self, user: str, password: str | None = None, **more: Any) -> str:
        body = {"username": user, "password": password or PASSWORDS[user]}
        return str(self.post_json("/login", body, status=200, **more).json["csrf_token"])

    @property
    def who(self) -> str | None:
        """Whom the server takes this browser for."""
        text = " ".join(self.get("/").text.split())
        return text.partition("You are ")[2].partition(".")[0] or None

    def with_cookie(self, value: str) -> Any:
        return ask(self, None, headers={"Cookie": f"{COOKIE}={value}"})


@pytest.fixture
def start(make_client: Callable[..., Client]) -> Callable[..., Browser]:
    """A private index with sessions, and a project ``alpha``."""

    def make(**changes: str | None) -> Browser:
        settings = {"pypi__default_read": "authenticated", "session__secret": SECRET} | changes
        client = make_client(pypi__allow_delete_groups="everyone", **settings)
        if not client.app.registry.services.index.project_names():
            client.as_("writer").upload("alpha-1.tar.gz", sdist("alpha", "1"), status=200)
        return Browser(client.app)

    return make


@pytest.fixture
def browser(start: Callable[..., Browser]) -> Browser:
    return start()


def signed(state: Any, *, secret: str = SECRET, age: float = 0) -> str:
    """A cookie as the server makes it, ``age`` seconds ago."""
    serializer = SignedSerializer(
        secret, "pypicloud_lite.session.", "sha512", serializer=JSONSerializer()
    )
    made = time.time() - age
    return str(serializer.dumps((made, made, state)).decode())


def state_of(browser: Browser) -> dict[str, Any]:
    """What the server put into the cookie."""
    serializer = SignedSerializer(
        SECRET, "pypicloud_lite.session.", "sha512", serializer=JSONSerializer()
    )
    state: dict[str, Any] = serializer.loads(browser.cookies[COOKIE].encode())[2]
    return state


class TestCookies:
    def test_a_session_reads_like_a_password(self, browser: Browser) -> None:
        assert ask(browser, None).status_int == 401
        browser.log_in("writer")
        assert browser.who == "writer"
        browser.get("/simple/alpha/", status=200)
        browser.get(FILE, status=200)

    @pytest.mark.parametrize(
        "value",
        ["", "x", "writer", '"', "=", "a" * 8192, "\xff\xfe", "\u00e9", "%00", "W10", "{}", "e30=",
         "bnVsbA", "../../etc/passwd", "; Path=/", "a; pypicloud_lite=b"],
    )  # fmt: skip
    def test_h19_a_cookie_that_is_none_is_nobody(self, browser: Browser, value: str) -> None:
        """401, as without a cookie"""
        assert browser.with_cookie(value).status_int == 401

    def test_h19_a_changed_cookie_is_nobody(self, browser: Browser) -> None:
        """401"""
        browser.log_in("writer")
        cookie = browser.cookies[COOKIE]
        assert browser.with_cookie(cookie).status_int == 200
        for position in (0, 20, len(cookie) // 2, len(cookie) - 3):
            other = "A" if cookie[position] != "A" else "B"
            changed = cookie[:position] + other + cookie[position + 1 :]
            assert browser.with_cookie(changed).status_int == 401
        assert browser.with_cookie(cookie[:-4]).status_int == 401

    def test_h19_a_cookie_of_another_secret_is_nobody(self, browser: Browser) -> None:
        """401"""
        browser.log_in("writer")
        state = state_of(browser)
        assert browser.with_cookie(signed(state)).status_int == 200
        assert browser.with_cookie(signed(state, secret="t" * 64)).status_int == 401
        assert browser.with_cookie(signed({"user": "writer"}, secret="")).status_int == 401

    def test_h19_a_session_that_is_not_used_ends(self, browser: Browser) -> None:
        """401 after session.timeout seconds, an hour by default"""
        browser.log_in("writer")
        state = state_of(browser)
        assert browser.with_cookie(signed(state, age=3500)).status_int == 200
        assert browser.with_cookie(signed(state, age=3700)).status_int == 401

    def test_h19_a_session_that_is_used_goes_on_and_ends_all_the_same(
        self, browser: Browser
    ) -> None:
        """401 after session.lifetime seconds, twelve hours by default"""
        browser.log_in("writer")
        state = state_of(browser)
        answer = browser.with_cookie(signed(state, age=1800))
        assert answer.status_int == 200
        assert COOKIE in answer.headers["Set-Cookie"]
        assert "Set-Cookie" not in browser.with_cookie(signed(state, age=60)).headers
        assert (
            browser.with_cookie(signed(state | {"since": time.time() - 43_100})).status_int == 200
        )
        assert (
            browser.with_cookie(signed(state | {"since": time.time() - 43_300})).status_int == 401
        )

    def test_h15_a_changed_password_ends_sessions(self, start: Callable[..., Browser]) -> None:
        """401, also for a user who is not there any more"""
        stored = fast_hash(PASSWORDS["writer"])
        browser = start(user__writer=stored)
        browser.log_in("writer")
        cookie = browser.cookies[COOKIE]
        assert start(user__writer=stored).with_cookie(cookie).status_int == 200
        assert start().with_cookie(cookie).status_int == 401  # the same password, hashed anew
        changed = start(user__writer=fast_hash("another"))
        assert changed.with_cookie(cookie).status_int == 401
        assert start(user__writer=None).with_cookie(cookie).status_int == 401

    def test_a_login_leaves_nothing_of_the_session_before(self, browser: Browser) -> None:
        before = browser.get("/").forms[0]["csrf_token"].value
        planted = browser.cookies[COOKIE]
        after = browser.log_in("writer")
        assert after != before
        assert browser.cookies[COOKIE] != planted
        assert browser.with_cookie(planted).status_int == 401
        again = browser.log_in("reader", headers={"X-CSRF-Token": after})
        assert again != after
        assert browser.who == "reader"

    @pytest.mark.parametrize("setting", [None, "true", "false"])
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_the_cookie_is_for_this_host_alone_and_not_for_scripts(
        self, start: Callable[..., Browser], setting: str | None, scheme: str
    ) -> None:
        browser = start(session__secure=setting)
        environ = {"wsgi.url_scheme": scheme}
        body = {"username": "writer", "password": PASSWORDS["writer"]}
        header = browser.post_json("/login", body, extra_environ=environ).headers["Set-Cookie"]
        name, *flags = [part.strip().split("=")[0].lower() for part in header.split(";")]
        secure = scheme == "https" if setting is None else setting == "true"
        assert ("secure" in flags) == secure
        assert name == ("__host-pypicloud_lite" if secure else "pypicloud_lite")
        assert {"httponly", "path"} <= set(flags)
        assert "SameSite=Lax" in header
        assert "domain" not in flags
        assert "expires" not in flags

    def test_a_cookie_holds_no_secret(self, browser: Browser) -> None:
        browser.log_in("writer")
        stored = browser.app.registry.services.authenticator.passwords._hashes["writer"]
        shown = json.dumps(state_of(browser))
        assert PASSWORDS["writer"] not in shown
        assert stored.split("$")[-1] not in shown
        assert set(state_of(browser)) == {"user", "since", "mark", "_csrft_"}

    def test_r07_what_a_session_gets_is_never_public(self, start: Callable[..., Browser]) -> None:
        """Cache-Control: private, even of what everyone may read"""
        browser = start(pypi__default_read="everyone")
        browser.log_in("writer")
        state = state_of(browser)
        for path in ("/simple/", "/simple/alpha/", FILE):
            assert "public" in ask(browser, None, path).headers["Cache-Control"]
            cookie = f"{COOKIE}={signed(state, age=1800)}"
            answer = ask(browser, None, path, headers={"Cookie": cookie})
            assert "Set-Cookie" in answer.headers
            assert answer.headers["Cache-Control"].startswith("private")


class TestForgery:
    @pytest.mark.parametrize(("method", "path"), CHANGES)
    def test_h20_a_session_changes_nothing_without_its_token(
        self, browser: Browser, method: str, path: str
    ) -> None:
        """403, and nothing is changed"""
        browser.log_in("admin")
        cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
        before = browser.app.registry.services.index.serial()
        for token in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 40}):
            answer = ask(browser, None, path, method=method, headers=cookie | token)
            assert answer.status_int == 403
            assert "CSRF token" in answer.text
        assert browser.app.registry.services.index.serial() == before
        assert browser.who == "admin"

    def test_h20_with_its_token_it_does(self, browser: Browser) -> None:
        """200"""
        token = {"X-CSRF-Token": browser.log_in("writer")}
        browser.post("/api/package/alpha/yank?version=1", headers=token, status=200)
        files = [("content", "alpha-2.tar.gz", sdist("alpha", "2"))]
        browser.post("/legacy/", {}, upload_files=files, headers=token, status=200)
        browser.delete("/api/package/alpha/alpha-2.tar.gz", headers=token, status=200)
        browser.post("/admin/rebuild", headers=token, status=403)

    def test_h20_the_token_of_another_session_is_none(self, browser: Browser) -> None:
        """403"""
        other = Browser(browser.app)
        token = other.log_in("writer")
        browser.log_in("writer")
        browser.post(
            "/api/package/alpha/yank?version=1", headers={"X-CSRF-Token": token}, status=403
        )

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
    def test_h20_nobody_is_logged_in_by_another_site(
        self, browser: Browser, content_type: str
    ) -> None:
        """403 without the token of our own form"""
        form = {"username": "writer", "password": PASSWORDS["writer"]}
        headers = {"Content-Type": content_type}
        browser.post("/login", form, headers=headers, status=403)
        browser.get("/")
        browser.post("/login", form | {"csrf_token": "0" * 40}, headers=headers, status=403)
        assert browser.who is None
        assert PASSWORDS["writer"] not in str(browser.cookies)

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_h20_what_browsers_say_of_other_sites_is_believed(
        self, browser: Browser, site: str
    ) -> None:
        """403, even with the token"""
        token = browser.log_in("writer")
        headers = {"X-CSRF-Token": token, "Sec-Fetch-Site": site}
        browser.post("/logout", headers=headers, status=403)
        browser.post("/api/package/alpha/yank?version=1", headers=headers, status=403)
        assert browser.who == "writer"

    @pytest.mark.parametrize("path", ["/login", "/logout"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
    def test_h20_no_link_logs_in_or_out(self, browser: Browser, method: str, path: str) -> None:
        """405"""
        browser.log_in("writer")
        answer = browser.request(path, method=method, status=405)
        assert answer.headers["Allow"] == "POST"
        assert browser.who == "writer"

    def test_h20_nobody_is_asked_by_a_preflight(self, browser: Browser) -> None:
        """No Access-Control-Allow-Origin: other sites can't send JSON"""
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for path in ("/login", "/legacy/", "/api/package/alpha/yank"):
            answer = ask(browser, None, path, method="OPTIONS", headers=headers)
            assert answer.status_int == 405
            assert not [name for name in answer.headers if name.lower().startswith("access-")]

    def test_a_password_or_token_is_not_looked_at_for_a_cookie(
        self, start: Callable[..., Browser]
    ) -> None:
        made = make_token(owner="reader")
        browser = start(**made.settings)
        browser.log_in("admin")
        cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
        yank = "/api/package/alpha/yank?version=1"
        for header, expected in (
            (good("writer"), 200), (good("reader"), 403), (as_token(made), 403),
            (f"Bearer {made.secret}", 403), (basic("writer", "wrong"), 401), ("Bearer x", 401),
        ):  # fmt: skip
            answer = ask(browser, header, yank, method="POST", headers=cookie)
            assert answer.status_int == expected, header
            assert "Set-Cookie" not in answer.headers

    def test_the_forms_of_the_landing_page_log_in_and_out(self, browser: Browser) -> None:
        form = browser.get("/").forms[0]
        form["username"], form["password"] = "writer", PASSWORDS["writer"]
        answer = form.submit(status=303)
        assert answer.follow().request.path == "/"
        assert browser.who == "writer"
        answer = browser.get("/").forms[0].submit(status=303)
        assert answer.headers["Location"] == "./"
        assert browser.who is None
        assert browser.get("/simple/", status=401)


class TestLogin:
    def test_tokens_are_no_way_to_log_in(self, start: Callable[..., Browser]) -> None:
        """A session would have all the rights of the token's owner."""
        made = make_token()
        browser = start(**made.settings)
        for user in ("__token__", "writer", "robot"):
            body = {"username": user, "password": made.secret}
            browser.post_json("/login", body, status=403)
        assert browser.who is None

    def test_h09_guesses_are_counted_here_as_elsewhere(self, start: Callable[..., Browser]) -> None:
        """429 with Retry-After after ten wrong passwords"""
        browser = start(**{name.replace(".", "__"): value for name, value in SLOW.items()})
        seen = []
        for attempt in range(12):
            body = {"username": "reader", "password": f"guess {attempt}"}
            answer = browser.post_json("/login", body, status="*")
            seen.append(answer.status_int)
        assert seen == [403] * 10 + [429] * 2
        assert int(answer.headers["Retry-After"]) > 0
        assert ask(browser, basic("reader", "x"), address="127.0.0.1").status_int in (401, 429)
        body = {"username": "reader", "password": PASSWORDS["reader"]}
        browser.post_json("/login", body, status=429)

    def test_known_and_unknown_users_are_answered_alike(self, browser: Browser) -> None:
        answers = [
            browser.post_json("/login", {"username": user, "password": "x"}, status=403)
            for user in ("writer", "nobody")
        ]
        assert answers[0].body == answers[1].body
        assert "WWW-Authenticate" not in answers[0].headers  # the page asks, not the browser

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b'{"username": 1, "password": 2}', b'{"username": "writer"}', b"null",
         b'{"username": "\\ud800", "password": "x"}', b'{"username": "a", "x": "b"}', b"\xff",
         b'{"username": "a", "password": "b", "csrf_token": "\\udfff"}'],
    )  # fmt: skip
    def test_broken_logins_are_400(self, browser: Browser, body: bytes) -> None:
        assert post(browser, body).status_int == 400

    def test_a_long_login_is_refused(self, browser: Browser) -> None:
        assert post(browser, b" " * 70_000).status_int == 413

    def test_logins_are_audited_and_what_sessions_do(
        self, browser: Browser, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "pypicloud_lite.audit")
        browser.post_json("/login", {"username": "writer", "password": "wrong"}, status=403)
        token = browser.log_in("writer")
        browser.post("/api/package/alpha/yank?version=1", status=403)
        headers = {"X-CSRF-Token": token}
        browser.post("/api/package/alpha/yank?version=1", headers=headers, status=200)
        browser.post("/logout", headers=headers, status=303)
        lines = [json.loads(record.message) for record in caplog.records]
        told = [
            (line["action"], line["result"], line.get("user"), line.get("session"))
            for line in lines
        ]
        assert told == [
            ("login", "denied", None, None), ("login", "ok", "writer", None),
            ("yank", "denied", "writer", True), ("yank", "ok", "writer", True),
            ("logout", "ok", "writer", True),
        ]  # fmt: skip
        assert lines[0]["claimed"] == "writer"
        assert lines[0]["code"] == "wrong-password"
        assert PASSWORDS["writer"] not in caplog.text


def post(browser: Browser, body: bytes) -> Any:
    more = {"method": "POST", "body": body, "content_type": "application/json"}
    return ask(browser, None, "/login", **more)


class TestSettings:
    def test_without_a_secret_there_are_no_sessions(self, start: Callable[..., Browser]) -> None:
        browser = start(session__secret=None)
        assert "<form" not in browser.get("/").text
        assert "Set-Cookie" not in browser.get("/").headers
        browser.post_json("/login", {"username": "writer", "password": "x"}, status=405)
        browser.get("/logout", status=301)  # the page of a project of this name
        assert browser.with_cookie(signed({"user": "writer"})).status_int == 401

    @pytest.mark.parametrize("secret", ["short", "", "x" * 63, " " * 64])
    def test_a_short_secret_stops_the_start(self, tmp_path: Path, secret: str) -> None:
        settings = app_settings(tmp_path, session__secret=secret)
        with pytest.raises(
            SettingsError, match=r"session\.secret = .* at least 64 char"
        ) as refused:
            make_app(settings, {})
        assert not secret.strip() or secret not in str(refused.value)

    def test_the_secret_may_come_from_the_environment(self, tmp_path: Path) -> None:
        app = make_app(app_settings(tmp_path), {"PPC_SESSION_SECRET": SECRET})
        assert Browser(app).log_in("writer")
        close(app)

    def test_pypiclouds_keys_are_accepted_and_its_cookies_are_not(
        self, start: Callable[..., Browser], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        browser = start(
            session__secret=None,
            session__encrypt_key="abc",
            session__validate_key="def",
            session__secure="false",
            session__invalidate_corrupt="true",
            session__type="cookie",
        )
        assert "session.encrypt_key has no effect" in caplog.text
        assert "session.validate_key has no effect" in caplog.text
        browser.get("/", status=200)
        cookie = {"Cookie": "beaker.session.id=0123456789abcdef"}
        assert ask(browser, None, headers=cookie).status_int == 401
