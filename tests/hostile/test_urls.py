"""Hostile URLs, sent byte by byte to a real server. A test's name or the id of its parameter
begins with the number that the entry has in the list of hostile inputs that we keep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest

from tests.conftest import Client
from tests.hostile.test_routes import views
from tests.support import credentials
from tests.support.asking import ask, publish
from tests.support.dists import sdist, wheel
from tests.support.raw import Log, body, get, head, header, send, status
from tests.support.server import Server, app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
CONTENT = wheel()
FILE = f"/api/package/demo/{WHEEL}".encode()
V1_JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that sends unknown names on to another index, so that an odd one would show; a file lies
    beside its storage.
    """
    folder = tmp_path_factory.mktemp("server")
    settings = app_settings(folder, pypi__fallback="redirect")
    serving = {"max_request_header_size": "65536", "clear_untrusted_proxy_headers": "true"}
    with Server(folder, settings, serving=serving) as running:
        assert publish(running, WHEEL, CONTENT).status == 200
        (folder / "demo-9.0.tar.gz").write_bytes(sdist(version="9.0"))
        (folder / "packages" / "demo-9.0.tar.gz.meta").write_text("{}")
        yield running


def case(identifier: str, target: str | bytes, code: int, reason: str) -> object:
    target = target if isinstance(target, bytes) else target.encode("ascii")
    return pytest.param(target, code, reason, id=identifier)


REFUSED = [
    case("U01-encoded-slashes", "/simple/..%2f..%2fetc%2fpasswd/", 404, "not-found"),
    case("U01-of-a-file", "/api/package/demo/..%2f..%2fdemo-9.0.tar.gz", 404, "not-found"),
    case("U01-plain", "/api/package/demo/../../../demo-9.0.tar.gz", 404, "not-found"),
    case("U01-static", "/static/..%2f..%2fapp.py", 404, "not-found"),
    case("U01-static-plain", "/static/../../app.py", 404, "not-found"),
    case("U02-encoded-dots", "/simple/%2e%2e/", 404, "project-missing"),
    case("U03-backslashes", "/api/package/a/..%5c..%5cx", 404, "file-missing"),
    case("U03-of-a-file", "/api/package/demo/..%5cdemo-9.0.tar.gz", 404, "file-missing"),
    case("U04-encoded-twice", "/simple/%252e%252e%252f/", 404, "project-missing"),
    case("U04-of-a-file", f"/api/package/demo/{WHEEL.replace('-', '%252d')}", 404, "file-missing"),
    case("U05-nul-in-a-project", "/simple/demo%00/", 404, "project-missing"),
    case("U05-nul-in-a-filename", f"/api/package/demo/{WHEEL}%00", 404, "file-missing"),
    case("U05-nul-in-a-document", "/pypi/demo%00/json", 404, "project-missing"),
    case("U05-nul-in-a-version", "/pypi/demo/1.0%00/json", 404, "project-missing"),
    case("U05-nul-at-the-root", "/%00", 404, "project-missing"),
    case("U05-nul-in-a-static-file", "/static/style.css%00", 404, "not-found"),
    case("U06-overlong", "/simple/%c0%ae%c0%ae/", 400, "invalid-url"),
    case("U06-overlong-bytes", b"/simple/\xc0\xae\xc0\xae/", 400, "bad-request"),
    case("U07-not-utf8", "/simple/%ff/", 400, "invalid-url"),
    case("U07-not-utf8-in-a-filename", "/api/package/demo/%ff", 400, "invalid-url"),
    case("U07-not-utf8-bytes", b"/simple/\xff/", 400, "bad-request"),
    case("U08-query", "/simple/?format=%ff", 400, "invalid-url"),
    case("U08-query-of-a-file-list", "/api/package/?verbose=%ff", 400, "invalid-form"),
    case("U08-name-of-a-query", "/simple/demo/?%ff=x", 400, "invalid-url"),
    case("U09-empty-segments", "/%2F%2F%2F..%2F..%2Fetc/passwd", 404, "not-found"),
    case("U09-plain", "////../../etc/passwd", 404, "not-found"),
    case("U10-double-slashes", "//simple//demo//", 404, "not-found"),
    case("U11-another-host", "//evil.example/simple", 404, "not-found"),
    case("U11-another-host-and-a-name", "//evil.example/simple/Demo", 404, "not-found"),
    case("U15-dash-at-the-end", "/simple/foo-/", 404, "project-missing"),
    case("U15-dash", "/simple/-/", 404, "project-missing"),
    case("U15-dot", "/simple/./", 404, "project-missing"),
    case("U15-without-slash", "/simple/-", 404, "project-missing"),
    case("U15-document", "/pypi/-/json", 404, "project-missing"),
    case("U16-cyrillic", "/simple/r%D0%B5quests/", 404, "project-missing"),
    case("U16-cyrillic-document", "/pypi/r%D0%B5quests/json", 404, "project-missing"),
    case("U16-kelvin-sign", "/simple/%E2%84%AAeras/", 404, "project-missing"),
    case("U17-fullwidth-digit", "/simple/%EF%BC%91/", 404, "project-missing"),
    case("U17-fullwidth-letters", "/simple/%EF%BD%84%EF%BD%85mo/", 404, "project-missing"),
    case("U18", "/simple/" + "x" * (1 << 20), 431, "request-header-fields-too-large"),
    case("U19-long-name", "/simple/" + "x" * 300 + "/", 404, "project-missing"),
    case("U19-long-filename", "/api/package/demo/" + "x" * 300, 404, "file-missing"),
    case("U19-long-metadata", f"/api/package/demo/{'x' * 300}.metadata", 404, "file-missing"),
    case("U19-long-version", f"/pypi/demo/{'1' * 5000}/json", 404, "project-missing"),
    case("U20-in-a-page", "/simple/Demo%0d%0aSet-Cookie:x/", 404, "project-missing"),
    case("U20-without-slash", "/simple/demo%0d%0aSet-Cookie:x", 404, "project-missing"),
    case("U20-at-the-root", "/Demo%0d%0aSet-Cookie:x", 404, "project-missing"),
    case("U20-document", "/pypi/absent%0d%0aSet-Cookie:x/json", 404, "project-missing"),
    case("U20-newline-alone", "/simple/Demo%0a/", 404, "project-missing"),
    case("U21-params", f"/api/package/demo/{WHEEL};v=1", 404, "file-missing"),
    case("U21-question-mark", f"/api/package/demo/{WHEEL}%3Fx", 404, "file-missing"),
    case("U21-hash", f"/api/package/demo/{WHEEL}%23x", 404, "file-missing"),
    case("U22-facts", f"/api/package/demo/{WHEEL}.meta", 404, "file-missing"),
    case("U22-facts-in-the-folder", "/api/package/demo/demo-9.0.tar.gz.meta", 404, "file-missing"),
    case("U22-metadata", "/api/package/demo/demo-9.0.tar.gz.metadata", 404, "file-missing"),
    case("U22-own-folder", "/api/package/.pypicloud-lite/spool", 404, "project-missing"),
    case("U22-temporary", "/api/package/demo/.tmp%2fx", 404, "not-found"),
    case("U23-metadata-twice", f"/api/package/demo/{WHEEL}.metadata.metadata", 404, "file-missing"),
]


@pytest.mark.parametrize(("target", "code", "reason"), REFUSED)
def test_a_hostile_url_is_refused(server: Server, target: bytes, code: int, reason: str) -> None:
    log = Log(server)
    answer = get(server, target)
    assert status(answer) == code
    assert header(answer, "Location") is None
    assert header(answer, "Set-Cookie") is None
    assert header(answer, "Content-Type") == "text/plain; charset=utf-8"
    assert len(body(answer)) < 600
    assert log.reasons == [reason]
    assert len(log.text) < 1000


LEADING = [
    pytest.param("/simple/Foo_Bar.baz/", "../foo-bar-baz/", id="U12-spelling"),
    pytest.param("/pypi/Foo_Bar.baz/", "../foo-bar-baz/", id="U12-spelling-below-pypi"),
    pytest.param("/simple/Foo_Bar.baz", "foo-bar-baz/", id="U13-without-slash"),
    pytest.param("/simple", "simple/", id="U13-list-without-slash"),
    pytest.param("//evil.example/", "../simple/evil-example/", id="U11-host"),
    pytest.param("//evil.example", "simple/evil-example/", id="U11-host-without-slash"),
    pytest.param("//simple", "simple/", id="U11-list-without-slash"),
    pytest.param("/Foo_Bar.baz/", "../simple/foo-bar-baz/", id="U13-at-the-root"),
    pytest.param("/pypi/Demo?x=%0d%0aA:x", "demo/?x=%0d%0aa:x", id="U20-query"),
]


@pytest.mark.parametrize(("path", "location"), LEADING)
def test_a_redirect_is_relative_and_keeps_host_and_prefix(
    server: Server, path: str, location: str
) -> None:
    for target in (path, f"http://other.example{path}"):
        answer = get(server, target.encode(), b"X-Forwarded-Host: other.example")
        assert status(answer) == 301
        assert header(answer, "Location") == location
        assert urlsplit(urljoin(f"https://host/prefix{path}", location)).netloc == "host"
        assert b"other.example" not in answer
        assert header(answer, "Set-Cookie") is None


def test_u10_slashes_before_a_path_are_one(server: Server) -> None:
    answers = [
        get(server, path) for path in (b"/simple/demo/", b"//simple/demo/", FILE, b"/" + FILE)
    ]
    assert [status(answer) for answer in answers] == [200] * 4
    assert body(answers[0]) == body(answers[1])
    assert body(answers[2]) == body(answers[3]) == CONTENT


@pytest.mark.parametrize("path", ["/", "/simple", "/simple/", "/pypi", "/legacy"])
def test_u14_an_upload_is_never_redirected(server: Server, path: str) -> None:
    answer = ask(server, path, "POST", user="writer", body=b"x", content_type="text/plain")
    assert answer.status == 400
    assert b"multipart/form-data" in answer.body


def test_u18_a_long_url_does_not_fill_the_log(server: Server) -> None:
    log = Log(server)
    for _attempt in range(10):
        assert status(get(server, b"/simple/" + b"x" * 60_000 + b"/")) == 404
    assert len(log.reasons) == 10
    assert len(log.text) < 10_000


class TestMethods:
    """On every route there is, found by introspection."""

    def test_u24_head_is_get_without_a_body(self, client: Client) -> None:
        client.as_("writer").upload(WHEEL, CONTENT, status=200)
        asked = 0
        paths = {view.path("demo") for view in views(client) if view.method == "GET"}
        paths = {path.replace("demo-1.tar.gz", WHEEL) for path in paths} | {"/static/style.css"}
        for path in paths:
            for sent in ({}, {"Accept": V1_JSON}):
                got = client.as_("admin").get(path, headers=sent, status="*")
                headed = client.as_("admin").head(path, headers=sent, status="*")
                assert headed.status_int == got.status_int, path
                assert headed.body == b""
                changing = {"Date", "Last-Modified"}
                assert set(headed.headers) - changing == set(got.headers) - changing, path
                assert headed.headers.get("ETag") == got.headers.get("ETag"), path
                if "rebuild" not in path:
                    assert headed.content_length in (got.content_length, len(got.body)), path
            asked += 1
        assert asked > 20

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "PROPFIND", "TRACE", "CONNECT"])
    def test_u25_another_method_is_405(
        self, client: Client, method: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "pypicloud_lite")
        asked = 0
        for path in {view.path("demo") for view in views(client) if view.method}:
            caplog.clear()
            answer = credentials.ask(client, None, path, method=method)
            assert answer.status_int == 405
            assert set(answer.headers["Allow"].split(", ")) <= {"GET", "HEAD", "POST", "DELETE"}
            assert [line for line in caplog.messages if "(method-not-allowed)" in line]
            assert len(caplog.messages) == 1
            asked += 1
        assert asked > 20

    @pytest.mark.parametrize(
        "line", [b"G@T", b"get", b"", b"GET\x00", b"G" * 1000 + b"\xff", b"g" * 9000]
    )
    def test_u25_no_method_at_all_is_400(self, server: Server, line: bytes) -> None:
        log = Log(server)
        answer = get(server, b"/simple/", method=line)
        assert status(answer) == 400
        assert log.reasons == ["bad-request"]
        assert len(answer) < 1000


SIZE = len(CONTENT)
RANGES = [
    pytest.param("bytes=0-", 206, CONTENT, id="U26-everything"),
    pytest.param("bytes=-1", 206, CONTENT[-1:], id="U26-last-byte"),
    pytest.param("bytes=-99999999999", 206, CONTENT, id="U26-more-than-there-is"),
    pytest.param(f"bytes=5-{10**30}", 200, CONTENT, id="U26-number-without-end"),
    pytest.param(f"bytes={SIZE}-", 416, b"", id="U26-behind-the-end"),
    pytest.param("bytes=-0", 416, b"", id="U26-nothing"),
    pytest.param("bytes=-5-10", 200, CONTENT, id="U26-negative"),
    pytest.param("bytes=9-5", 200, CONTENT, id="U26-backwards"),
    pytest.param("bytes=0-0," * 1000 + "1-1", 200, CONTENT, id="U26-a-thousand-pieces"),
    pytest.param("bytes=0-," * 5000 + "0-", 200, CONTENT, id="U26-all-of-it-many-times"),
    pytest.param("lines=0-5", 200, CONTENT, id="U26-other-unit"),
    pytest.param("bytes=\u0661-", 200, CONTENT, id="U26-other-digits"),
]


@pytest.mark.parametrize(("wanted", "code", "content"), RANGES)
def test_a_hostile_range_is_met_or_ignored(
    server: Server, wanted: str, code: int, content: bytes
) -> None:
    answer = get(server, FILE, b"Range: " + wanted.encode())
    assert status(answer) == code
    assert body(answer) == content
    assert header(answer, "Content-Length") == str(len(content))


@pytest.mark.parametrize("version", ["v999", "v2", "v1.99", ""])
def test_u27_an_unknown_version_of_the_api_is_406(server: Server, version: str) -> None:
    log = Log(server)
    answer = get(
        server, b"/simple/demo/", f"Accept: application/vnd.pypi.simple.{version}+json".encode()
    )
    assert status(answer) == 406
    assert V1_JSON.encode() in answer
    assert log.reasons == ["not-acceptable"]


@pytest.mark.parametrize(
    "accept",
    [
        ",".join(f"x/{number};q=0.{number:03}" for number in range(1000)),
        ",".join(["a/b;c=d;q=0.1"] * 1000),
        "," * 8000,
        ";" * 8000,
        '"' * 8000,
        'text/html;a="' + "\\" * 8000,
        "*/" * 4000,
    ],
    ids=[f"U28-{number}" for number in range(7)],
)
def test_an_endless_accept_header_is_answered(server: Server, accept: str) -> None:
    for path in (b"/simple/", b"/simple/demo/", b"/simple/-/", FILE):
        answer = get(server, path, b"Accept: " + accept.encode())
        assert status(answer) in (200, 404, 406)


def test_u29_the_host_of_an_absolute_url_is_nobody(server: Server) -> None:
    answer = get(server, b"http://evil.example/simple/demo/", f"Accept: {V1_JSON}".encode())
    assert status(answer) == 200
    assert b"evil.example" not in answer
    assert re.search(rb'"url": ?"\.\./\.\./api/package/demo/', answer)


def test_u29_neither_is_that_of_a_tunnel(server: Server) -> None:
    for line in (b"CONNECT evil.example:443 HTTP/1.1", b"GET evil.example:443 HTTP/1.1"):
        answer = send(server, head(line, b"Connection: close"))
        assert status(answer) in (400, 404, 405)
        assert header(answer, "Location") is None
