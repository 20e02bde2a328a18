"""The simple repository API, as PEPs 503, 592, 629, 658, 691, 700, 714 and 792 have it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import html5lib
import pytest
from webob import Request

from tests.conftest import Client
from tests.support.dists import metadata, sdist, sha256, wheel

HTML = "text/html"
V1_HTML = "application/vnd.pypi.simple.v1+html"
V1_JSON = "application/vnd.pypi.simple.v1+json"
WHEEL = "demo-1.0-py3-none-any.whl"
PIP = f"{V1_JSON}, {V1_HTML};q=0.1, text/html;q=0.01"
UV = f"{V1_JSON}, {V1_HTML};q=0.2, text/html;q=0.01"
POETRY = f"{V1_JSON}, */*;q=0.1"


@pytest.fixture
def full(client: Client) -> Client:
    """An index with a wheel and an sdist of one project."""
    writer = client.as_("writer")
    writer.upload(WHEEL, wheel(), status=200)
    writer.upload("demo-2.0.tar.gz", sdist(version="2.0"), status=200)
    return client


def anchors(body: str) -> list[tuple[dict[str, str], str]]:
    """Attributes and text of each link; the document must be valid HTML5."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False, strict=True)
    document = parser.parse(body)
    return [(dict(link.attrib), link.text or "") for link in document.iter("a")]


class TestNegotiation:
    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            (None, HTML),
            ("*/*", HTML),
            ("text/html", HTML),
            ("text/*", HTML),
            (V1_HTML, V1_HTML),
            (V1_JSON, V1_JSON),
            ("application/vnd.pypi.simple.latest+json", V1_JSON),
            ("application/vnd.pypi.simple.latest+html", V1_HTML),
            (PIP, V1_JSON),
            (UV, V1_JSON),
            (POETRY, V1_JSON),
            (f"text/html, {V1_JSON};q=0.9", HTML),
            (f"text/html;q=0.5, {V1_JSON};q=0.9", V1_JSON),
            (f"{V1_JSON};q=0, */*", HTML),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
            ("this is ; not, a header;;", HTML),
            ("", HTML),
            ("x" * 8000, HTML),
        ],
    )
    def test_the_client_gets_what_it_values_most(
        self, full: Client, accept: str | None, content_type: str
    ) -> None:
        headers = {} if accept is None else {"Accept": accept}
        for path in ("/simple/", "/simple/demo/"):
            assert full.get(path, headers=headers, status=200).content_type == content_type

    @pytest.mark.parametrize(
        "accept",
        [
            "application/vnd.pypi.simple.v999+json",
            "image/png",
            "application/json",
            "*/*;q=0",
            "text/html;q=0",
        ],
    )
    def test_what_we_do_not_have_is_not_acceptable(self, full: Client, accept: str) -> None:
        response = full.get("/simple/demo/", headers={"Accept": accept}, status=406)
        assert V1_JSON in response.text

    @pytest.mark.parametrize(
        ("format_", "content_type"),
        [
            (V1_JSON, V1_JSON),
            (V1_HTML, V1_HTML),
            (HTML, HTML),
            ("application/vnd.pypi.simple.latest+json", V1_JSON),
        ],
    )
    def test_the_query_overrides_the_header(
        self, full: Client, format_: str, content_type: str
    ) -> None:
        response = full.get("/simple/demo/", {"format": format_}, headers={"Accept": "image/png"})
        assert response.content_type == content_type

    def test_an_unknown_format_in_the_query_is_not_acceptable(self, full: Client) -> None:
        full.get("/simple/demo/?format=application/x-foo", status=406)

    def test_html_says_that_it_is_utf8(self, full: Client) -> None:
        assert full.get("/simple/demo/").headers["Content-Type"] == "text/html; charset=utf-8"


class TestProjectPage:
    def test_the_json_has_everything(self, full: Client) -> None:
        document = full.page("demo").json
        assert document["meta"] == {"api-version": "1.4"}
        assert document["name"] == "demo"
        assert document["versions"] == ["1.0", "2.0"]
        assert document["project-status"] == {"status": "active"}
        wheel_entry, sdist_entry = document["files"]
        core_digest = sha256(metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8"))
        assert wheel_entry["filename"] == WHEEL
        assert wheel_entry["hashes"] == {"sha256": sha256(wheel())}
        assert wheel_entry["size"] == len(wheel())
        assert wheel_entry["requires-python"] == ">=3.8"
        assert wheel_entry["core-metadata"] == {"sha256": core_digest}
        assert wheel_entry["yanked"] is False
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", wheel_entry["upload-time"])
        when = datetime.fromisoformat(wheel_entry["upload-time"])
        assert abs((datetime.now(UTC) - when).total_seconds()) < 60
        assert "core-metadata" not in sdist_entry

    def test_the_html_has_everything_and_is_valid(self, full: Client) -> None:
        body = full.get("/simple/demo/").text
        assert '<meta name="pypi:repository-version" content="1.4">' in body
        assert '<meta name="pypi:project-status" content="active">' in body
        (attributes, text), (_other, other_text) = anchors(body)
        assert (text, other_text) == (WHEEL, "demo-2.0.tar.gz")
        assert attributes["href"].endswith(f"/demo/{WHEEL}#sha256={sha256(wheel())}")
        assert attributes["data-requires-python"] == ">=3.8"
        assert attributes["data-core-metadata"] == attributes["data-dist-info-metadata"]
        assert "data-yanked" not in attributes
        assert 'data-requires-python="&gt;=3.8"' in body

    @pytest.mark.parametrize("page", ["/simple/demo/", "/pypi/demo/", "/+simple/demo/"])
    def test_links_are_relative_and_lead_to_the_file(self, full: Client, page: str) -> None:
        (attributes, _text), *_rest = anchors(full.get(page).text)
        assert attributes["href"].startswith("../../")
        response = full.get(page).click(href="demo-1.0", index=0)
        assert response.body == wheel()

    def test_versions_are_sorted_as_versions(self, client: Client) -> None:
        writer = client.as_("writer")
        for version in ("1.10", "1.9", "1.9rc1", "1!0.1"):
            writer.upload(f"demo-{version}.tar.gz", sdist(version=version), status=200)
        assert client.page("demo").json["versions"] == ["1.9rc1", "1.9", "1.10", "1!0.1"]

    def test_special_characters_are_encoded_in_links(self, client: Client) -> None:
        filename = "demo-1!1.0+abc-py3-none-any.whl"
        client.as_("writer").upload(filename, wheel(version="1!1.0+abc"), status=200)
        (entry,) = client.page("demo").json["files"]
        assert entry["url"] == "../../api/package/demo/demo-1%211.0%2Babc-py3-none-any.whl"
        assert client.get("/api/package/demo/" + entry["url"].rpartition("/")[2]).status_int == 200

    def test_an_unknown_project_is_missing(self, client: Client) -> None:
        assert client.get("/simple/nothing/", status=404).content_type == "text/plain"
        assert client.page("nothing", status=404).content_type == "application/json"

    def test_the_core_metadata_is_the_wheels_own(self, full: Client) -> None:
        response = full.get(f"/api/package/demo/{WHEEL}.metadata")
        assert response.body == metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")
        digest = full.page("demo").json["files"][0]["core-metadata"]["sha256"]
        assert sha256(response.body) == digest

    @pytest.mark.parametrize(
        "name", ["demo-2.0.tar.gz.metadata", "demo-9.0-py3-none-any.whl.metadata",
                 f"{WHEEL}.metadata.metadata", f"{WHEEL}.meta"],
    )  # fmt: skip
    def test_there_is_no_other_core_metadata(self, full: Client, name: str) -> None:
        full.get(f"/api/package/demo/{name}", status=404)

    def test_the_page_of_hatch_is_html_whatever_it_accepts(self, full: Client) -> None:
        assert full.get("/+simple/demo/", headers={"Accept": V1_JSON}).content_type == HTML


class TestProjectList:
    def test_it_lists_every_project_in_both_formats(self, full: Client) -> None:
        full.as_("writer").upload("other-1.tar.gz", sdist("other", "1"), status=200)
        body = full.get("/simple/").text
        assert anchors(body) == [({"href": "demo/"}, "demo"), ({"href": "other/"}, "other")]
        document = full.get("/simple/", headers={"Accept": V1_JSON}).json
        assert document == {
            "meta": {"api-version": "1.4"},
            "projects": [{"name": "demo"}, {"name": "other"}],
        }

    def test_an_empty_index_has_an_empty_page(self, client: Client) -> None:
        assert anchors(client.get("/simple/").text) == []


class TestRedirects:
    @pytest.mark.parametrize(
        ("path", "location"),
        [
            ("/simple", "simple/"),
            ("/pypi", "pypi/"),
            ("/simple/demo", "demo/"),
            ("/simple/Demo", "demo/"),
            ("/simple/De__mo/", "../de-mo/"),
            ("/simple/Foo_Bar.baz/", "../foo-bar-baz/"),
            ("/pypi/Foo/", "../foo/"),
            ("/demo/", "../simple/demo/"),
            ("/demo", "simple/demo/"),
            ("/Foo.Bar", "simple/foo-bar/"),
            (f"/simple/Foo/?format={V1_JSON}", f"../foo/?format={V1_JSON}"),
            ("/api/package", "package/"),
        ],
    )
    def test_other_spellings_lead_to_the_page_by_relative_urls(
        self, client: Client, path: str, location: str
    ) -> None:
        response = client.get(path, status=301)
        assert response.headers["Location"] == location

    def test_the_host_of_the_request_is_never_repeated(self, client: Client) -> None:
        response = client.get("/simple/Foo/", headers={"Host": "evil.example"}, status=301)
        assert "evil" not in str(response.headers)

    def test_redirects_work_below_a_mount_prefix(self, full: Client) -> None:
        response = full.get("/simple/DEMO", extra_environ={"SCRIPT_NAME": "/prefix"}, status=301)
        assert response.headers["Location"] == "demo/"

    @pytest.mark.parametrize(
        "path",
        [
            "/simple/-/", "/simple/foo-/", "/simple/./", "/simple/../", "/simple/%2e%2e/",
            "/simple/..%2f..%2fetc%2fpasswd/", "/simple/%252e%252e%252f/", "//simple//demo//",
            "/simple/r%D0%B5quests/", "/simple/%EF%BC%91/", "/simple/" + "x" * 300 + "/",
            "/%2F%2F%2F..%2F..%2Fetc/passwd", "//evil.example/simple", "/simple/a%0d%0aX:y/",
            "/simple/a%00b/", "/api/package/a/..%5c..%5cx", "/simple/demo/extra/more",
        ],
    )  # fmt: skip
    def test_odd_paths_are_missing(self, full: Client, path: str) -> None:
        response = full.get(path, status=404)
        assert "Location" not in response.headers

    @pytest.mark.parametrize(
        "path", ["/simple/%ff/", "/simple/%c0%ae%c0%ae/", "/simple/?format=%ff"]
    )
    def test_bytes_that_are_not_utf8_are_refused(self, client: Client, path: str) -> None:
        client.get(path, status=400)


class TestCaching:
    def test_a_page_is_revalidated_by_its_etag(self, full: Client) -> None:
        first = full.get("/simple/demo/")
        etag = first.headers["ETag"]
        assert etag.startswith('"')
        again = full.get("/simple/demo/", headers={"If-None-Match": etag}, status=304)
        assert again.body == b""
        assert again.headers["ETag"] == etag
        assert "Vary" in again.headers
        for tag in (f"W/{etag}", f'"other", {etag}', "*"):
            full.get("/simple/demo/", headers={"If-None-Match": tag}, status=304)
        full.get("/simple/demo/", headers={"If-None-Match": '"other"'}, status=200)

    def test_an_upload_changes_the_page_at_once(self, full: Client) -> None:
        etag = full.get("/simple/demo/").headers["ETag"]
        full.as_("writer").upload("demo-3.0.tar.gz", sdist(version="3.0"), status=200)
        response = full.get("/simple/demo/", headers={"If-None-Match": etag}, status=200)
        assert "demo-3.0.tar.gz" in response.text

    def test_a_new_project_is_on_the_list_at_once(self, full: Client) -> None:
        etag = full.get("/simple/").headers["ETag"]
        full.as_("writer").upload("new-1.tar.gz", sdist("new", "1"), status=200)
        assert "new/" in full.get("/simple/", headers={"If-None-Match": etag}, status=200)

    def test_formats_and_encodings_have_etags_of_their_own(self, full: Client) -> None:
        tags = {
            full.get("/simple/demo/", headers=headers).headers["ETag"]
            for headers in (
                {"Accept": HTML},
                {"Accept": V1_JSON},
                {"Accept": HTML, "Accept-Encoding": "gzip"},
                {"Accept": V1_JSON, "Accept-Encoding": "gzip"},
            )
        }
        assert len(tags) == 4

    def test_gzip_gives_the_same_page(self, full: Client) -> None:
        plain = full.get("/simple/demo/")
        request = Request.blank("/simple/demo/", headers={"Accept-Encoding": "gzip, deflate, zstd"})
        packed = request.get_response(full.app)  # WebTest would unpack it
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert "Content-Encoding" not in plain.headers

    @pytest.mark.parametrize(
        "encoding", ["gzip;q=0", "identity", "br", "identity, gzip;q=0.5", ";;"]
    )
    def test_gzip_is_sent_only_where_it_is_wanted(self, full: Client, encoding: str) -> None:
        response = full.get("/simple/demo/", headers={"Accept-Encoding": encoding})
        assert "Content-Encoding" not in response.headers

    def test_a_public_page_may_be_kept_by_shared_caches(self, full: Client) -> None:
        headers = full.get("/simple/demo/").headers
        assert headers["Cache-Control"] == "public, no-cache"
        assert headers["Vary"] == "Accept, Accept-Encoding"

    def test_a_private_page_may_not(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__default_read="authenticated").as_("writer")
        client.upload(WHEEL, wheel())
        for path in ("/simple/demo/", "/simple/"):
            headers = client.get(path).headers
            assert headers["Cache-Control"] == "private, no-cache"
            assert "Authorization" in headers["Vary"]

    def test_the_age_of_pages_is_a_setting(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__page_max_age="600")
        assert client.get("/simple/").headers["Cache-Control"] == "public, max-age=600"

    def test_pages_can_run_nothing(self, full: Client) -> None:
        headers = full.get("/simple/demo/").headers
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"

    def test_head_is_get_without_a_body(self, full: Client) -> None:
        for path in ("/simple/", "/simple/demo/", f"/api/package/demo/{WHEEL}", "/health", "/"):
            got, headed = full.get(path), full.head(path)
            assert headed.body == b""
            assert headed.headers["Content-Length"] == str(len(got.body))


class TestStatusAndYank:
    def test_a_yank_shows_its_reason_escaped(self, full: Client) -> None:
        reason = '<b>"broken" & worse'
        full.as_("writer").post(
            "/api/package/demo/yank", {"filename": WHEEL, "reason": reason}, status=200
        )
        assert full.page("demo").json["files"][0]["yanked"] == reason
        (attributes, _text), _other = anchors(full.get("/simple/demo/").text)
        assert attributes["data-yanked"] == reason

    def test_a_yank_without_a_reason_is_true_or_empty(self, full: Client) -> None:
        full.as_("writer").post("/api/package/demo/yank", {"filename": WHEEL}, status=200)
        assert full.page("demo").json["files"][0]["yanked"] is True
        (attributes, _text), _other = anchors(full.get("/simple/demo/").text)
        assert attributes["data-yanked"] == ""

    def test_a_release_is_yanked_whole_and_back(self, full: Client) -> None:
        writer = full.as_("writer")
        writer.upload("demo-1.0.tar.gz", sdist(), status=200)
        writer.post("/api/package/demo/yank", {"version": "1.0.0", "reason": "bad"}, status=200)
        yanked = [entry["yanked"] for entry in full.page("demo").json["files"]]
        assert yanked == ["bad", "bad", False]
        writer.post_json("/api/package/demo/unyank", {"version": "1.0"}, status=200)
        yanked = [entry["yanked"] for entry in full.page("demo").json["files"]]
        assert yanked == [False, False, False]

    def test_yanked_files_can_still_be_downloaded(self, full: Client) -> None:
        full.as_("writer").post("/api/package/demo/yank", {"filename": WHEEL}, status=200)
        assert full.get(f"/api/package/demo/{WHEEL}").body == wheel()

    @pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined", "active"])
    def test_the_status_is_shown_in_both_formats(self, full: Client, status: str) -> None:
        full.as_("writer").post(
            "/api/package/demo/status", {"status": status, "reason": "<moved>"}, status=200
        )
        document = full.page("demo").json
        assert document["project-status"] == {"status": status, "reason": "<moved>"}
        body = full.get("/simple/demo/").text
        assert f'<meta name="pypi:project-status" content="{status}">' in body
        assert 'name="pypi:project-status-reason" content="&lt;moved&gt;"' in body
        anchors(body)

    @pytest.mark.parametrize("status", ["archived", "quarantined"])
    def test_a_closed_project_takes_no_uploads(self, full: Client, status: str) -> None:
        writer = full.as_("writer")
        writer.post("/api/package/demo/status", {"status": status}, status=200)
        response = writer.upload("demo-3.0.tar.gz", sdist(version="3.0"), status=403)
        assert status in response.text
        writer.post("/api/package/demo/status", {"status": "active"}, status=200)
        writer.upload("demo-3.0.tar.gz", sdist(version="3.0"), status=200)

    def test_a_quarantined_project_offers_no_files(self, full: Client) -> None:
        full.as_("writer").post("/api/package/demo/status", {"status": "quarantined"}, status=200)
        assert full.page("demo").json["files"] == []
        full.get(f"/api/package/demo/{WHEEL}", status=404)
        full.get(f"/api/package/demo/{WHEEL}.metadata", status=404)

    @pytest.mark.parametrize(
        ("action", "fields"),
        [
            ("yank", {}),
            ("yank", {"version": "1.0", "filename": WHEEL}),
            ("yank", {"version": "1.0", "other": "x"}),
            ("yank", {"version": "1.0", "reason": "x" * 1001}),
            ("yank", {"version": "1.0", "reason": "a\0b"}),
            ("status", {"status": "gone"}),
            ("status", {}),
        ],
    )
    def test_nonsense_is_refused(self, full: Client, action: str, fields: dict[str, str]) -> None:
        full.as_("writer").post(f"/api/package/demo/{action}", fields, status=400)
        assert not any(entry["yanked"] for entry in full.page("demo").json["files"])

    @pytest.mark.parametrize(
        ("action", "fields"),
        [("yank", {"version": "9"}), ("yank", {"filename": "x"})],
    )
    def test_what_is_not_there_is_missing(
        self, full: Client, action: str, fields: dict[str, str]
    ) -> None:
        full.as_("writer").post(f"/api/package/demo/{action}", fields, status=404)
        full.as_("writer").post("/api/package/nothing/status", {"status": "archived"}, status=404)

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"version": 1}', b"[" * 60000])
    def test_broken_json_is_refused(self, full: Client, body: bytes) -> None:
        full.as_("writer").post(
            "/api/package/demo/yank", body, content_type="application/json", status=400
        )

    def test_yanks_and_status_survive_the_loss_of_the_index(
        self, full: Client, make_client: Callable[..., Client], tmp_path: Path
    ) -> None:
        writer = full.as_("writer")
        writer.post("/api/package/demo/yank", {"filename": WHEEL, "reason": "bad"}, status=200)
        writer.post("/api/package/demo/status", {"status": "deprecated"}, status=200)
        before = full.page("demo").json
        fresh = make_client(db__url=f"sqlite:///{tmp_path / 'fresh.sqlite'}")
        assert fresh.page("demo").json == before
