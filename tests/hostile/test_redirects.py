"""Hostile hosts, proxies and redirects. The numbers are those of the list of hostile inputs that
we keep.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import html5lib
import pytest

from pypicloud_lite.app import make_app
from tests.conftest import Client, close
from tests.support.credentials import SLOW, ask, basic, good
from tests.support.dists import sdist, wheel
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import PASSWORDS, Server, app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
FILE = f"/api/package/demo/{WHEEL}"
TRUSTED = {"pypi.trusted_hosts": "pypi.example.com\n[::1] other.example:8443"}
#: Every redirect within the server, and where it leads.
OWN = {
    "/simple": "simple/", "/pypi": "pypi/", "/simple/demo": "demo/", "/simple/De_mo/": "../de-mo/",
    "/pypi/Demo/": "../demo/", "/+simple/Demo/": "../demo/", "/demo": "simple/demo/",
    "/Demo/": "../simple/demo/", "/api/package": "package/", "/legacy/+simple/demo": "demo/",
}  # fmt: skip


class TestLogin:
    @pytest.fixture
    def client(self, make_client: Callable[..., Client]) -> Client:
        return make_client(session__secret="s" * 64)

    def leads_to(self, client: Client, wanted: str) -> str:
        form = client.get("/").forms[0]
        body = {"username": "writer", "password": PASSWORDS["writer"], "next": wanted}
        answer = client.post("/login", body | {"csrf_token": form["csrf_token"].value}, status=303)
        return str(answer.headers["Location"])

    @pytest.mark.parametrize(
        "wanted",
        ["//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil",
         " //evil.example", "\x0b//evil.example", "\x0c/evil", "/\x0b/evil", "/ /evil", "\u00a0//x",
         "https://evil.example", "https:evil", "javascript:alert(1)", "data:text/html,x", "evil",
         "/\r\nX-Evil: 1", "/a\nb", "/\u2028x", "/caf\u00e9", "", ".", "..//evil", "?x", "#x",
         "/\x00", "/\x7f", "http:///evil", "//", "/\\/evil"],
    )  # fmt: skip
    def test_r01_a_login_leads_to_no_other_host(self, client: Client, wanted: str) -> None:
        """303 to the landing page"""
        assert self.leads_to(client, wanted) == "./"

    @pytest.mark.parametrize(
        "wanted", ["/", "/simple/", "/simple/demo/?a=//b", "/a/..//b", "/%2F/x"]
    )
    def test_r01_but_to_any_path_of_this_one(self, client: Client, wanted: str) -> None:
        """303 to that path"""
        assert self.leads_to(client, wanted) == wanted
        assert urljoin("https://pypi.example/login", wanted).startswith("https://pypi.example/")


class TestRedirects:
    @pytest.mark.parametrize(("path", "location"), OWN.items())
    @pytest.mark.parametrize(
        "query", ["", "?a=%0d%0a//evil", "?//evil.example", "?\\evil", "?a=<script>"]
    )
    def test_r02_redirects_are_relative_and_printable(
        self, client: Client, path: str, location: str, query: str
    ) -> None:
        """301 to a path on the same host, whatever the Host header says"""
        answer = ask(client, None, path + query, headers={"Host": "evil.example"})
        assert answer.status_int == 301
        assert answer.headers["Location"] == location + query.translate(
            {ord(odd): quote(odd) for odd in "<>\\"}
        )
        found = urljoin(f"https://pypi.example/prefix{path}{query}", answer.headers["Location"])
        assert found.startswith("https://pypi.example/prefix/")

    @pytest.mark.parametrize(
        "path",
        ["//evil.example", "//evil.example/", "///evil.example/simple", "/%2Fevil.example",
         "/%2F%2Fevil.example/", "/simple//evil.example", "/\\evil.example", "/%5Cevil.example/",
         "/https:%2F%2Fevil.example", "/simple/https:%2F%2Fevil.example", "/.%2F%2Fevil.example"],
    )  # fmt: skip
    def test_r02_a_path_never_becomes_a_host(self, client: Client, path: str) -> None:
        """404, or a redirect that stays here"""
        request = path.replace("%2F", "/").replace("%5C", "\\")
        sent = ask(client, None, path), ask(client, None, "/", path_info=request)
        for answer in sent:
            if answer.status_int in (301, 302, 303):
                found = urljoin("https://pypi.example/x/y", answer.headers["Location"])
                assert found.startswith("https://pypi.example/")
            else:
                assert answer.status_int in (400, 404)

    @pytest.mark.parametrize("name", ["requests", "Requests", "re_quests", "a.b"])
    def test_r08_the_other_index_is_the_configured_one(
        self, make_client: Callable[..., Client], name: str
    ) -> None:
        """302 to the configured base and the normalized name"""
        client = make_client(
            pypi__fallback="redirect", pypi__fallback_base_url="https://upstream.example/root"
        )
        normalized = re.sub(r"[-_.]+", "-", name).lower()
        for base in ("https://evil.example", "//evil.example"):
            path = f"/simple/{normalized}/?url={base}&next={base}"
            answer = ask(client, None, path, headers={"Host": "evil.example", "Referer": base})
            assert answer.status_int == 302
            expected = f"https://upstream.example/root/simple/{normalized}/"
            assert answer.headers["Location"] == expected
        for strange in (
            "@evil.example",
            "..%2f..%2fadmin",
            "x%3Fy",
            "x%23y",
            "%2e%2e",
            "evil.example:1",
        ):
            answer = ask(client, None, f"/simple/{strange}/")
            assert answer.status_int == 404
            assert "Location" not in answer.headers

    def test_r09_a_signed_url_is_for_who_may_read_and_for_no_cache(
        self, moto_server: S3Server, tmp_path: Path
    ) -> None:
        """401 or 403 without a Location; else private"""
        settings = app_settings(tmp_path, storage__dir=None, pypi__default_read="authenticated")
        settings["package.demo.user.writer"] = "rw"
        app = make_app(settings | moto_server.settings(new_bucket()), {})
        client = Client(app)
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        for path in (FILE, f"{FILE}.metadata"):
            for header, expected in (
                (None, 401), (basic("writer", "x"), 401), (good("reader"), 403),
            ):  # fmt: skip
                answer = ask(client, header, path)
                assert answer.status_int == expected
                assert "Location" not in answer.headers
                assert "Signature" not in answer.text
            answer = ask(client, good("writer"), path)
            assert "X-Amz-Signature=" in answer.headers["Location"]
            assert answer.headers["Cache-Control"].startswith("private")
            assert answer.headers["Vary"] == "Authorization, Cookie"
        close(app)


class TestCaches:
    @pytest.mark.parametrize("path", ["/simple/", "/simple/demo/", "/", FILE, "/api/package/"])
    def test_r07_no_shared_cache_mixes_users(
        self, make_client: Callable[..., Client], path: str
    ) -> None:
        """Cache-Control: private, and Vary on what says who it is"""
        client = make_client(pypi__default_read="authenticated")
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        for header in (good("writer"), good("reader"), None, basic("writer", "x")):
            answer = ask(client, header, path)
            assert answer.headers["Cache-Control"].startswith("private")
            if answer.status_int == 200 and answer.content_type != "application/json":
                assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))
            known = {"If-None-Match": answer.headers.get("ETag", '"x"')}
            again = ask(client, header, path, headers=known)
            assert again.headers["Cache-Control"] == answer.headers["Cache-Control"]

    def test_r07_what_anyone_may_see_does_not_depend_on_who_it_is(self, client: Client) -> None:
        """the same bytes for everyone where Cache-Control is public"""
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        for path in ("/simple/", "/simple/demo/", FILE):
            answers = [ask(client, header, path) for header in (None, good("writer"))]
            assert {answer.body for answer in answers} == {answers[0].body}
            assert all("public" in answer.headers["Cache-Control"] for answer in answers)


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        ["pypi.example.com", "PyPI.Example.COM", "pypi.example.com:6543", "[::1]", "[::1]:80",
         "other.example:8443"],
    )  # fmt: skip
    def test_r03_a_trusted_host_is_answered(
        self, make_client: Callable[..., Client], host: str
    ) -> None:
        """200"""
        client = make_client(**TRUSTED)
        assert ask(client, None, headers={"Host": host}).status_int == 200

    @pytest.mark.parametrize(
        "host",
        ["", "evil.example", "pypi.example.com.evil.example", "evil.example:80",
         "pypi.example.com.", "pypi.example.com@evil.example", "evil.example#pypi.example.com",
         "xpypi.example.com", "pypi.example.com:x", "other.example", "other.example:80", "[::2]",
         "127.0.0.1", "pypi.example.com evil.example", "pypi.example.com, evil.example",
         "pypi.example.com/x"],
    )  # fmt: skip
    def test_r03_another_host_is_refused_before_anything_else(
        self, make_client: Callable[..., Client], host: str
    ) -> None:
        """400, before the password is looked at"""
        client = make_client(**TRUSTED, **SLOW)
        for method, path in (("GET", "/simple/"), ("POST", "/legacy/"), ("GET", "/health")):
            for _attempt in range(6):
                header = basic("writer", "wrong")
                answer = ask(client, header, path, method=method, headers={"Host": host})
                assert answer.status_int == 400
                assert "Host" in answer.text or "name" in answer.text
        trusted = {"Host": "pypi.example.com"}
        assert ask(client, good("writer"), headers=trusted).status_int == 200
        assert ask(client, basic("writer", "wrong"), headers=trusted).status_int == 401

    def test_r03_absolute_urls_come_from_the_settings(
        self, make_client: Callable[..., Client]
    ) -> None:
        """those of pypi.download_url, whatever the Host header says"""
        client = make_client(pypi__download_url="https://pypi.example.com/index")
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        headers = {"Host": "evil.example"}
        for path in ("/", "/api/package/demo/", "/pypi/demo/json", "/simple/demo/"):
            answer = ask(client, None, path, headers=headers)
            assert "evil" not in answer.text + str(answer.headerlist)
        url = ask(client, None, "/api/package/demo/", headers=headers).json["packages"][0]["url"]
        assert url == f"https://pypi.example.com/index{FILE}"

    def test_r03_pages_have_no_absolute_urls_at_all(self, client: Client) -> None:
        """the same bytes for every Host header"""
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        for path in ("/simple/", "/simple/demo/"):
            pages = {
                ask(client, None, path, headers={"Host": host}).body
                for host in ("pypi.example.com", "evil.example")
            }
            assert len(pages) == 1


class TestMount:
    def test_r10_every_link_stays_below_the_prefix(
        self, make_client: Callable[..., Client]
    ) -> None:
        """links, forms and redirects lead below it"""
        client = make_client(session__secret="s" * 64)
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        mounted = {"SCRIPT_NAME": "/mount"}
        found = []
        for path in ("/", "/simple/", "/simple/demo/", "/pypi/demo/", "/+simple/demo/"):
            tree = html5lib.parse(
                client.get(path, extra_environ=mounted).text, namespaceHTMLElements=False
            )
            for element in tree.iter():
                for name in ("href", "src", "action"):
                    if element.attrib.get(name, "data:,") != "data:,":  # the icon that is none
                        found.append(
                            urljoin(f"https://x.example/mount{path}", element.attrib[name])
                        )
        for path in OWN:
            location = client.get(path, extra_environ=mounted, status=301).headers["Location"]
            found.append(urljoin(f"https://x.example/mount{path}", location))
        assert len(found) > 15
        assert [url for url in found if not url.startswith("https://x.example/mount/")] == []
        url = client.get("/api/package/demo/", extra_environ=mounted).json["packages"][0]["url"]
        assert url.endswith(f"/mount{FILE}")


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Not behind a proxy; a wrong password counts long and shuts out early."""
    yield from served(tmp_path_factory.mktemp("direct"))


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Told to believe a proxy at 127.0.0.1."""
    lines = (
        "egg:pypicloud_lite\ntrusted_proxy = 127.0.0.1\n"
        "trusted_proxy_headers = x-forwarded-for x-forwarded-host x-forwarded-proto"
    )
    yield from served(tmp_path_factory.mktemp("proxied"), runner=lines)


def served(folder: Path, **more: Any) -> Iterator[Server]:
    settings = app_settings(folder, pypi__trusted_hosts="pypi.example.com 127.0.0.1", **SLOW)
    with Server(folder, settings, **more) as running:
        yield running


def raw(server: Server, *lines: bytes) -> bytes:
    """The answer to exactly these lines."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"\r\n".join((*lines, b"Connection: close")) + b"\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


GET, HOST = b"GET / HTTP/1.1", b"Host: pypi.example.com"
CLAIMS = (
    b"X-Forwarded-For: 192.0.2.77", b"X-Forwarded-Host: evil.example", b"X-Forwarded-Proto: https",
    b"X-Forwarded-Port: 666", b"X-Forwarded-By: evil",
    b"Forwarded: for=192.0.2.77;host=evil.example",
)  # fmt: skip


class TestProxies:
    def test_r04_forwarded_headers_of_anyone_are_ignored(self, direct: Server) -> None:
        """as if they were not there"""
        answer = raw(direct, GET, HOST, *CLAIMS)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"http://pypi.example.com/simple/" in answer
        assert b"https://" not in answer
        assert b"evil" not in answer
        wrong = b"Authorization: " + basic("reader", "wrong").encode()
        raw(direct, GET, HOST, wrong, *CLAIMS)
        lines = [line for line in direct.log.read_text().splitlines() if "wrong-password" in line]
        assert lines
        assert all('"address": "127.0.0.1"' in line for line in lines)
        assert "192.0.2.77" not in direct.log.read_text()

    def test_r04_those_of_the_trusted_proxy_are_believed(self, proxied: Server) -> None:
        """address, host and scheme are those of the client"""
        claims = (
            b"X-Forwarded-For: 192.0.2.77", b"X-Forwarded-Host: pypi.example.com",
            b"X-Forwarded-Proto: https",
        )  # fmt: skip
        wrong = b"Authorization: " + basic("reader", "wrong").encode()
        assert raw(proxied, GET, b"Host: 127.0.0.1", wrong, *claims).startswith(b"HTTP/1.1 401 ")
        assert '"address": "192.0.2.77"' in proxied.log.read_text()
        answer = raw(proxied, GET, b"Host: 127.0.0.1", *claims)
        assert b"https://pypi.example.com/simple/" in answer
        other = (b"X-Forwarded-Host: evil.example",)
        assert raw(proxied, GET, HOST, *other).startswith(b"HTTP/1.1 400 ")

    @pytest.mark.parametrize(
        "header",
        [b"Remote_User: admin", b"REMOTE_USER: admin", b"X_Forwarded_For: 192.0.2.78",
         b"X_Forwarded_Host: evil.example", b"Authorization_: x", b"HTTP_AUTHORIZATION: x",
         b"Remote-User: admin", b"X-Remote-User: admin", b"Script_Name: /evil",
         b"Wsgi.url_scheme: https", b"X-Script-Name: /evil"],
    )  # fmt: skip
    def test_r05_no_header_is_taken_for_something_else(
        self, direct: Server, proxied: Server, header: bytes
    ) -> None:
        """dropped: the answer is that of the anonymous"""
        for server in (direct, proxied):
            plain, answer = raw(server, GET, HOST), raw(server, GET, HOST, header)
            assert re.sub(rb"(?m)^Date:.*$", b"", answer) == re.sub(rb"(?m)^Date:.*$", b"", plain)
            request = b"POST /admin/rebuild HTTP/1.1"
            assert raw(server, request, HOST, header).startswith(b"HTTP/1.1 401 ")
            assert b"192.0.2.78" not in server.log.read_bytes()

    @pytest.mark.parametrize(
        "hosts",
        [(b"Host: pypi.example.com", b"Host: evil.example"),
         (b"Host: evil.example", b"Host: pypi.example.com"),
         (b"Host: pypi.example.com", b"Host: pypi.example.com"), (b"Host:",), (),
         (b"Host: pypi.example.com\tevil",), (b"Host : pypi.example.com",),
         (b"Host: pypi.example.com", b" evil.example"), (b"Host: \xff",)],
    )  # fmt: skip
    def test_r06_there_is_one_host(self, direct: Server, hosts: tuple[bytes, ...]) -> None:
        """400"""
        assert raw(direct, GET, *hosts).split(b" ")[1] == b"400"

    @pytest.mark.parametrize("target", [b"http://evil.example/simple/", b"//evil.example/simple/"])
    def test_r03_the_host_in_the_request_line_counts_for_nothing(
        self, direct: Server, target: bytes
    ) -> None:
        """the Host header decides, and nothing leads to the other"""
        for host in (HOST, b"Host: evil.example"):
            answer = raw(direct, b"GET " + target + b" HTTP/1.1", host)
            assert answer.split(b" ")[1] in ((b"200", b"404") if host == HOST else (b"400",))
            assert b"evil" not in answer

    def test_r02_bytes_in_a_query_stay_out_of_the_header_or_are_escaped(
        self, direct: Server
    ) -> None:
        """ASCII in Location"""
        for query in (b"\xff", b"\xc3\xa9", b"\x01", b"%0d%0aX-Evil:1", b"a\tb"):
            answer = raw(direct, b"GET /simple/Demo/?" + query + b" HTTP/1.1", HOST)
            head = answer.partition(b"\r\n\r\n")[0]
            assert b"X-Evil:" not in head.replace(b"%0d%0aX-Evil:1", b"")
            for line in head.split(b"\r\n"):
                assert line.isascii(), line
                assert re.fullmatch(rb"[\x20-\x7e]*", line), line


def test_two_hosts_are_refused_even_where_any_is_trusted(client: Client) -> None:
    client.as_("writer").upload("demo-1.tar.gz", sdist("demo", "1"), status=200)
    for host in ("a, b", "a b", "a/b", "a@b", "a:b", "<a>", "a\\b", "\u00e9", "[::1", "a:123456"):
        assert ask(client, None, headers={"Host": host}).status_int == 400, host
    for host in ("a", "a_b", "a.b.", "127.0.0.1:80", "[::1]:80", "xn--caf-dma.example"):
        assert ask(client, None, headers={"Host": host}).status_int == 200, host
