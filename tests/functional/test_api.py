"""pypicloud's API, pypi.org's JSON, the landing page, health, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import pytest

from pypicloud_lite.errors import IndexUnavailable, StorageUnavailable
from tests.conftest import Client
from tests.support.dists import metadata, sdist, sha256, wheel

WHEEL = "demo-1.0-py3-none-any.whl"
CORE = metadata(
    "Demo",
    "1.0",
    "Summary: A demo",
    "Requires-Python: >=3.8",
    "Author: Someone",
    "License-Expression: MIT",
    "Classifier: Private :: Do Not Upload",
    "Requires-Dist: attrs",
    "Project-URL: Home, https://example.org/",
    "Keywords: a,b",
    body="# Readme",
)


@pytest.fixture
def full(client: Client) -> Client:
    writer = client.as_("writer")
    writer.upload(WHEEL, wheel("Demo", core=CORE), status=200)
    writer.upload("demo-2.0rc1.tar.gz", sdist(version="2.0rc1"), status=200)
    return client


class TestPypicloudApi:
    def test_the_list_of_names(self, full: Client) -> None:
        assert full.get("/api/package/").json == {"packages": ["demo"]}

    def test_the_verbose_list(self, full: Client) -> None:
        (entry,) = full.get("/api/package/?verbose=true").json["packages"]
        assert entry["name"] == "demo"
        assert entry["summary"] == "A demo"
        assert isinstance(entry["last_modified"], int)

    @pytest.mark.parametrize("path", ["/api/package/demo/", "/api/package/demo"])
    def test_the_files_of_a_project(self, full: Client, path: str) -> None:
        document = full.get(path).json
        assert document["write"] is False
        newest, oldest = document["packages"]
        assert (newest["version"], oldest["version"]) == ("2.0rc1", "1.0")
        assert oldest["url"] == f"http://localhost/api/package/demo/{WHEEL}"
        assert oldest["metadata"] == {
            "summary": "A demo",
            "requires_python": ">=3.8",
            "hash_sha256": sha256(wheel("Demo", core=CORE)),
            "hash_md5": oldest["metadata"]["hash_md5"],
            "uploader": "writer",
        }
        assert full.as_("writer").get(path).json["write"] is True

    def test_an_absent_project_is_missing(self, full: Client) -> None:
        full.get("/api/package/nothing/", status=404)

    def test_the_configured_url_is_used(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__download_url="https://pypi.example/base/")
        answer = client.as_("writer").upload(WHEEL, wheel(), status=200).json
        assert answer["url"] == f"https://pypi.example/base/api/package/demo/{WHEEL}"


class TestPypiJson:
    @pytest.mark.parametrize("path", ["/pypi/demo/json", "/pypi/Demo/json/", "/simple/demo/json"])
    def test_the_newest_final_release_is_described(self, full: Client, path: str) -> None:
        document = full.get(path).json
        info = document["info"]
        assert (info["name"], info["version"]) == ("Demo", "1.0")
        assert info["summary"] == "A demo"
        assert info["author"] == "Someone"
        assert info["license_expression"] == "MIT"
        assert info["requires_dist"] == ["attrs"]
        assert info["requires_python"] == ">=3.8"
        assert info["project_urls"] == {"Home": "https://example.org/"}
        assert info["keywords"] == "a,b"
        assert info["description"] == "# Readme"
        assert info["yanked"] is False
        assert set(document["releases"]) == {"1.0", "2.0rc1"}
        (url,) = document["urls"]
        assert url["packagetype"] == "bdist_wheel"
        assert url["python_version"] == "py3"
        assert url["digests"]["sha256"] == sha256(wheel("Demo", core=CORE))
        assert url["size"] == len(wheel("Demo", core=CORE))

    def test_a_release_can_be_asked_for(self, full: Client) -> None:
        document = full.get("/pypi/demo/2.0.0rc1/json").json
        assert document["info"]["version"] == "2.0rc1"
        assert document["urls"][0]["packagetype"] == "sdist"
        assert document["urls"][0]["python_version"] == "source"

    def test_yanked_releases_are_not_the_newest(self, full: Client) -> None:
        writer = full.as_("writer")
        writer.post("/api/package/demo/yank", {"version": "1.0", "reason": "bad"}, status=200)
        assert full.get("/pypi/demo/json").json["info"]["version"] == "2.0rc1"
        info = full.get("/pypi/demo/1.0/json").json["info"]
        assert (info["yanked"], info["yanked_reason"]) == (True, "bad")

    @pytest.mark.parametrize("path", ["/pypi/nothing/json", "/pypi/demo/9.9/json"])
    def test_what_is_not_there_is_missing(self, full: Client, path: str) -> None:
        full.get(path, status=404)


class TestLandingPage:
    def test_it_is_valid_html_with_this_servers_addresses(self, full: Client) -> None:
        response = full.get("/", headers={"Host": "pypi.example:8080"})
        html5lib.HTMLParser(strict=True).parse(response.text)
        for snippet in (
            "pip install --index-url http://pypi.example:8080/simple/",
            "trusted-host = pypi.example",
            'publish-url = "http://pypi.example:8080/legacy/"',
            "poetry source add --priority=primary private http://pypi.example:8080/simple/",
            "repository = http://pypi.example:8080/legacy/",
        ):
            assert snippet in response.text
        assert "<script" not in response.text

    def test_a_secure_server_needs_no_trusted_host(self, full: Client) -> None:
        response = full.get("/", extra_environ={"wsgi.url_scheme": "https"})
        assert "trusted-host" not in response.text

    def test_the_prefix_is_part_of_every_address(self, full: Client) -> None:
        response = full.get("/", extra_environ={"SCRIPT_NAME": "/prefix"})
        assert 'href="/prefix/simple/"' in response.text
        assert 'href="/prefix/static/style.css"' in response.text
        assert "/prefix/legacy/" in response.text

    def test_a_hostile_host_is_refused(self, full: Client) -> None:
        response = full.get("/", headers={"Host": 'a"><script>alert(1)</script>'}, status=400)
        assert "<script" not in response.text

    def test_it_runs_nothing(self, full: Client) -> None:
        assert "default-src 'none'" in full.get("/").headers["Content-Security-Policy"]

    def test_the_style_sheet_is_there(self, full: Client) -> None:
        assert full.get("/static/style.css").content_type == "text/css"
        full.get("/static/", status=404)
        full.get("/static/..%2fapp.py", status=404)


class TestHealth:
    def test_a_healthy_server_says_ok(self, client: Client) -> None:
        assert client.get("/health").json == {"status": "ok", "storage": "ok", "index": "ok"}

    def test_a_lost_storage_is_reported(self, client: Client, tmp_path: Path) -> None:
        (tmp_path / "packages").rename(tmp_path / "elsewhere")
        document = client.get("/health", status=503).json
        assert document["status"] == "failing"
        assert document["index"] == "ok"
        assert document["storage"] != "ok"

    def test_a_lost_index_is_reported(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> None:
            raise IndexUnavailable("no database")

        monkeypatch.setattr(client.app.registry.services.index, "check", broken)
        assert client.get("/health", status=503).json["index"] == "no database"


class TestErrors:
    def test_a_browser_gets_a_page(self, client: Client) -> None:
        accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        response = client.get("/simple/nothing/", headers=accept, status=404)
        assert response.content_type == "text/html"
        html5lib.HTMLParser(strict=True).parse(response.text)

    def test_echoed_input_is_escaped(self, client: Client) -> None:
        accept = {"Accept": "text/html"}
        response = client.get("/api/package/demo/%3Cscript%3E", headers=accept, status=404)
        assert "<script>" not in response.text

    @pytest.mark.parametrize(
        "error", [StorageUnavailable("disk broken"), IndexUnavailable("db broken")]
    )
    def test_trouble_outside_is_503_with_a_hint_when_to_retry(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def broken(*_args: Any) -> Any:
            raise error

        monkeypatch.setattr(client.app.registry.services.index, "serial", broken)
        response = client.get("/simple/demo/", status=503)
        assert int(response.headers["Retry-After"]) > 0

    def test_a_defect_shows_nothing_and_logs_all(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_args: Any) -> Any:
            raise RuntimeError("internal detail")

        monkeypatch.setattr(client.app.registry.services.index, "serial", broken)
        response = client.get("/simple/demo/", status=500)
        assert "internal detail" not in response.text
        assert "internal detail" in caplog.text

    def test_a_refusal_is_logged_once_with_its_reason(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="pypicloud_lite")
        client.as_("writer").upload("nonsense", b"x", status=400)
        client.page("missing", status=404)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 2
        assert '"code": "invalid-filename"' in lines[0]
        assert '"user": "writer"' in lines[0]
        assert lines[1].startswith("refused (project-missing) GET /simple/missing/ by anonymous: ")

    def test_control_characters_do_not_reach_the_log(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="pypicloud_lite")
        client.get("/simple/a%0aERROR%20forged/", status=404)
        assert "\n" not in "".join(record.getMessage() for record in caplog.records)
