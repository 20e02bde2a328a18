"""Who may do what, on pages and files alike: pypicloud's rules, and 401 or 403 but never 404."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.conftest import Client
from tests.support.dists import sdist
from tests.support.server import fast_hash

SECRET = {
    "package__secret__user__writer": "rw",
    "package__secret__group__auditors": "r",
    "group__auditors": "reader",
    "user__outsider": fast_hash("outsider-pw"),
}
FILE = "/api/package/secret/secret-1.tar.gz"
READS = ("/simple/secret/", "/pypi/secret/", "/+simple/secret/", FILE, "/api/package/secret/",
         "/pypi/secret/json", "/pypi/secret/1/json", "/simple/secret/json")  # fmt: skip


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """Everyone reads by default; ``secret`` is for writer, auditors and admins."""
    client = make_client(**SECRET)
    client.as_("writer").upload("secret-1.tar.gz", sdist("secret", "1"), status=200)
    client.as_("writer").upload("open-1.tar.gz", sdist("open", "1"), status=200)
    return client


def login(client: Client, user: str, password: str) -> Client:
    client.authorization = ("Basic", (user, password))
    return client


class TestReading:
    @pytest.mark.parametrize("path", READS)
    def test_who_may_read_reads(self, client: Client, path: str) -> None:
        for user in ("admin", "writer", "reader"):
            client.as_(user).get(path, status=200)

    @pytest.mark.parametrize("path", READS)
    def test_the_anonymous_are_asked_to_log_in(self, client: Client, path: str) -> None:
        response = client.get(path, status=401)
        assert response.headers["WWW-Authenticate"] == 'Basic realm="pypi", charset="UTF-8"'

    @pytest.mark.parametrize("path", READS)
    def test_the_known_are_refused(self, client: Client, path: str) -> None:
        login(client, "outsider", "outsider-pw").get(path, status=403)

    def test_a_private_name_without_files_is_not_given_away(self, client: Client) -> None:
        client.as_("writer").delete(FILE, status=200)
        client.get("/simple/secret/", status=401)
        login(client, "outsider", "outsider-pw").get("/simple/secret/", status=403)

    def test_lists_hold_only_what_the_caller_may_read(self, client: Client) -> None:
        def seen(asking: Client) -> list[set[str]]:
            json_type = {"Accept": "application/vnd.pypi.simple.v1+json"}
            page = asking.get("/simple/", headers=json_type).json["projects"]
            verbose = asking.get("/api/package/?verbose=true").json["packages"]
            return [
                {entry["name"] for entry in page},
                set(asking.get("/api/package/").json["packages"]),
                {entry["name"] for entry in verbose},
            ]

        assert seen(client) == [{"open"}] * 3
        for user in ("writer", "reader", "admin"):
            assert seen(client.as_(user)) == [{"open", "secret"}] * 3
        assert seen(login(client, "outsider", "outsider-pw")) == [{"open"}] * 3

    def test_the_landing_page_counts_only_what_the_caller_may_read(self, client: Client) -> None:
        assert "Browse 1 project<" in " ".join(client.get("/").text.split()).replace(" <", "<")
        assert "Browse 2" in " ".join(client.as_("reader").get("/").text.split())

    def test_a_server_without_public_projects_asks_for_a_login(
        self, make_client: Callable[..., Client]
    ) -> None:
        client = make_client(pypi__default_read=None)
        client.get("/simple/", status=401)
        client.get("/simple/nothing/", status=401)
        client.as_("reader").get("/simple/", status=200)
        client.as_("reader").get("/simple/nothing/", status=404)


class TestWriting:
    def test_a_rule_gives_write(self, client: Client) -> None:
        client.as_("writer").upload("secret-2.tar.gz", sdist("secret", "2"), status=200)

    def test_a_rule_to_read_is_none_to_write(self, client: Client) -> None:
        client.as_("reader").upload("secret-2.tar.gz", sdist("secret", "2"), status=403)
        for action in ("yank", "unyank", "status"):
            client.as_("reader").post(f"/api/package/secret/{action}", status=403)
            client.post(f"/api/package/secret/{action}", status=401)

    def test_a_project_with_rules_ignores_the_default(
        self, make_client: Callable[..., Client]
    ) -> None:
        client = make_client(package__mine__user__reader="rw")
        client.as_("writer").upload("mine-1.tar.gz", sdist("mine", "1"), status=403)
        client.as_("reader").upload("mine-1.tar.gz", sdist("mine", "1"), status=200)

    def test_everyone_may_be_allowed_to_write(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__default_write="everyone")
        client.upload("open-1.tar.gz", sdist("open", "1"), status=200)

    def test_the_spelling_in_the_ini_does_not_matter(
        self, make_client: Callable[..., Client]
    ) -> None:
        client = make_client(**{"package__Foo_Bar.baz__user__writer": "rw"})
        client.as_("writer").upload("foo_bar_baz-1.tar.gz", sdist("foo.bar-baz", "1"), status=200)
        client.get("/simple/foo-bar-baz/", status=401)

    def test_pypiclouds_sample_table_holds(self, make_client: Callable[..., Client]) -> None:
        """The example of its access control documentation, user by user."""
        client = make_client(
            pypi__default_read=None,
            pypi__default_write=None,
            group__writers=None,
            user__stevearc="$5$rounds=80000$yiWi67QBJLDTvbI/$d6qIG/bIoM3hp0lxH8v/vzxg8Qc4CJbxbxiUH4MlnE7",
            user__dsa=fast_hash("paranoia"),
            user__donlan=fast_hash("osptony"),
            group__sharkfest="stevearc dsa",
            group__brotatos="donlan\n dsa",
            package__django_unchained__user__stevearc="rw",
            package__django_unchained__group__sharkfest="rw",
            package__polite_requests__user__dsa="rw",
            package__polite_requests__group__authenticated="r",
            package__polite_requests__group__brotatos="rw",
            package__pyramid_head__group__brotatos="rw",
            package__pyramid_head__group__everyone="r",
        )
        rules = client.app.registry.services.rules
        from pypicloud_lite.access.identity import Identity
        from pypicloud_lite.access.rules import Permission
        from pypicloud_lite.names import project_name

        def may(user: str | None) -> list[str]:
            return [
                "".join(
                    short
                    for short, wanted in (("r", Permission.READ), ("w", Permission.WRITE))
                    if rules.permits(Identity(user), project_name(name), wanted)
                )
                for name in ("django_unchained", "polite_requests", "pyramid_head")
            ]

        assert may("stevearc") == ["rw", "r", "r"]
        assert may("dsa") == ["rw", "rw", "rw"]
        assert may("donlan") == ["", "rw", "rw"]
        assert may(None) == ["", "", "r"]
        assert may("admin") == ["rw", "rw", "rw"]
        login(client, "stevearc", "gunface").get("/api/package/", status=200)


class TestCredentials:
    @pytest.mark.parametrize(
        "header",
        [
            "Basic", "Basic ", "Basic é", "Basic !!!!", "Basic Og==", "Basic YTo=", "Basic OmI=",
            "Basic " + base64.b64encode(b"nocolon").decode(),
            "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
            "Basic " + base64.b64encode(b"writer:" + b"x" * 200_000).decode(),
            "Basic " + base64.b64encode(b"writer:writer-pw\0").decode(),
            "Basic " + base64.b64encode(b"writer:wrong").decode(),
            "Basic " + base64.b64encode(b"unknown:writer-pw").decode(),
            "Bearer abc", "Token abc", "Digest x", "x" * 5000, "",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("path", ["/simple/", "/simple/open/", FILE, "/simple/nothing/"])
    def test_wrong_credentials_are_refused_everywhere(
        self, client: Client, header: str, path: str
    ) -> None:
        response = client.get(path, extra_environ={"HTTP_AUTHORIZATION": header}, status=401)
        assert "WWW-Authenticate" in response.headers

    def test_the_health_page_needs_no_credentials(self, client: Client) -> None:
        client.get("/health", extra_environ={"HTTP_AUTHORIZATION": "Basic x"}, status=200)

    def test_a_password_may_hold_colons_and_anything_else(
        self, make_client: Callable[..., Client]
    ) -> None:
        password = "a:b:c ü \N{SNOWMAN}%$"
        client = make_client(user__odd=fast_hash(password))
        header = "Basic " + base64.b64encode(f"odd:{password}".encode()).decode()
        client.get("/simple/", extra_environ={"HTTP_AUTHORIZATION": header}, status=200)

    def test_the_realm_is_a_setting(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__default_read=None, pypi__realm="our index")
        header = client.get("/simple/", status=401).headers["WWW-Authenticate"]
        assert header.startswith('Basic realm="our index"')

    def test_errors_tell_no_secrets(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        login(client, "writer", "sesame-open").get("/simple/secret/", status=401)
        client.as_("writer").upload("bad name", b"x", status=400)
        assert "sesame" not in caplog.text
        assert "writer-pw" not in caplog.text
        assert "$5$" not in caplog.text
