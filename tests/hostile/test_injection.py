"""What someone else wrote is shown, and never run. The numbers are those of the list of hostile
inputs that we keep.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import html5lib
import pytest

from tests.conftest import Client
from tests.support.credentials import ask, basic, good
from tests.support.dists import metadata, sdist, wheel
from tests.support.server import fast_hash

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = '"><img src=x onerror=alert(1)>'
TEMPLATE = "{{7*7}}${7*7}#{7*7}<%= 7*7 %>"
WHEEL = "demo-1.0-py3-none-any.whl"
PAGE = "/simple/demo/"
DOCUMENTS = ("/pypi/demo/json", "/api/package/demo/", "/api/package/?verbose=true")
#: Every kind of answer, with a way to get it.
KINDS = {
    "landing": ("GET", "/"),
    "list": ("GET", "/simple/"),
    "page": ("GET", PAGE),
    "page-json": ("GET", f"{PAGE}?format=application/vnd.pypi.simple.v1%2Bjson"),
    "file": ("GET", f"/api/package/demo/{WHEEL}"),
    "core-metadata": ("GET", f"/api/package/demo/{WHEEL}.metadata"),
    "api": ("GET", "/api/package/demo/"),
    "document": ("GET", "/pypi/demo/json"),
    "style": ("GET", "/static/style.css"),
    "robots": ("GET", "/robots.txt"),
    "health": ("GET", "/health"),
    "redirect": ("GET", "/simple/Demo/"),
    "not-modified": ("GET", PAGE),
    "unsatisfiable": ("GET", f"/api/package/demo/{WHEEL}"),
    "not-found": ("GET", "/simple/absent/"),
    "login-required": ("POST", "/legacy/"),
    "method": ("PUT", "/"),
    "bad-url": ("GET", "/simple/%ff/"),
    "bad-host": ("GET", "/"),
    "not-acceptable": ("GET", PAGE),
    "defect": ("GET", "/pypi/demo/json"),
}
SENT = {
    "unsatisfiable": {"Range": "bytes=99999-"},
    "bad-host": {"Host": "a b"},
    "not-acceptable": {"Accept": "image/png"},
}


def elements(page: str) -> set[str]:
    """The names of all elements as a browser parses them, and of their attributes."""
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    return {name for element in tree.iter() for name in (str(element.tag), *element.attrib)}


def put(folder: Path, filename: str, content: bytes, **facts: Any) -> None:
    """A file of an old storage, with facts that no upload could have."""
    target = folder / "packages" / "demo" / "1.0"
    target.mkdir(parents=True, exist_ok=True)
    (target / filename).write_bytes(content)
    facts = {"hash_sha256": hashlib.sha256(content).hexdigest()} | facts
    (target / f"{filename}.meta").write_text(json.dumps(facts))


class TestUploads:
    @pytest.mark.parametrize("name", [SCRIPT, ATTRIBUTE, "a'b", "{{x}}", "a\tb", "a;b", "a&b", "é"])
    def test_x01_names_and_versions_are_plain(self, client: Client, name: str) -> None:
        """400, and nothing is stored"""
        writer = client.as_("writer")
        for sent, fields in (
            (f"{name}-1.0.tar.gz", {}),
            (f"demo-{name}.tar.gz", {}),
            ("demo-1.0.tar.gz", {"name": name}),
            ("demo-1.0.tar.gz", {"version": name}),
        ):
            answer = writer.upload(sent, sdist("demo", "1.0"), status=400, **fields)
            assert answer.content_type == "text/plain"
        assert client.get("/api/package/").json == {"packages": []}

    @pytest.mark.parametrize("text", [SCRIPT, ATTRIBUTE, TEMPLATE, "</script><script>", "]]>"])
    def test_x02_a_summary_is_text_wherever_it_is_shown(self, client: Client, text: str) -> None:
        """JSON that no browser takes for HTML, and no page at all"""
        client.as_("writer").upload(WHEEL, wheel(summary=text), status=200)
        for path in DOCUMENTS:
            answer = client.get(path)
            assert text in json.dumps(answer.json, ensure_ascii=False).replace('\\"', '"')
            assert answer.content_type == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in answer.headers["Content-Security-Policy"]
        for path in (PAGE, "/simple/", "/"):
            assert text not in client.get(path).text
            assert "49" not in elements(client.get(path).text)

    @pytest.mark.parametrize(
        "text",
        ["<svg onload=alert(1)>", "[x](javascript:alert(1))", ">" * 100_000, "[" * 100_000,
         "- " * 50_000],
        ids=["svg", "javascript", "quotes", "brackets", "lists"],
    )  # fmt: skip
    def test_x03_a_readme_is_not_rendered(self, client: Client, text: str) -> None:
        """kept as it is, for JSON documents only; there is no page that shows it"""
        core = metadata("demo", "1.0", "Description-Content-Type: text/markdown", body=text)
        begin = time.monotonic()
        client.as_("writer").upload(WHEEL, wheel(core=core), status=200)
        document = client.get("/pypi/demo/json")
        assert time.monotonic() - begin < 20
        assert document.json["info"]["description"].strip() == text.strip()
        assert document.content_type == "application/json"
        assert text[:20] not in client.get(PAGE).text

    @pytest.mark.parametrize("value", ['>=3"><script>', "'", SCRIPT, ">=3 onload=x", ">=3\x00"])
    def test_x04_a_strange_requires_python_is_refused(self, client: Client, value: str) -> None:
        """400"""
        writer = client.as_("writer")
        writer.upload(WHEEL, wheel(requires_python=value), status=400)
        fields = {"requires_python": value}
        writer.upload("demo-1.0.tar.gz", sdist("demo", "1.0"), status=400, **fields)

    def test_x05_links_of_the_metadata_lead_nowhere(self, client: Client) -> None:
        """text in JSON; no page has them as links"""
        urls = ["Home-page: javascript:alert(1)", "Project-URL: Docs, javascript:alert(2)",
                "Download-URL: data:text/html,x"]  # fmt: skip
        client.as_("writer").upload(WHEEL, wheel("demo", "1.0", *urls), status=200)
        assert client.get("/pypi/demo/json").json["info"]["home_page"] == "javascript:alert(1)"
        for path in (PAGE, "/simple/", "/"):
            assert not re.search(r"javascript:|data:text", client.get(path).text)

    @pytest.mark.parametrize("reason", [SCRIPT, ATTRIBUTE, "' onload='x", TEMPLATE])
    def test_x05_reasons_are_escaped(self, client: Client, reason: str) -> None:
        """escaped in HTML"""
        writer = client.as_("writer")
        writer.upload(WHEEL, wheel(), status=200)
        writer.post_json("/api/package/demo/yank", {"version": "1.0", "reason": reason})
        status = {"status": "archived", "reason": reason}
        writer.post_json("/api/package/demo/status", status)
        page = client.get(PAGE).text
        names = elements(page)
        assert not names & {"script", "img", "onerror", "onload", "src"}
        tree = html5lib.parse(page, namespaceHTMLElements=False)
        assert [a.attrib["data-yanked"] for a in tree.iter("a")] == [reason]


class TestOldStorage:
    def test_x04_x05_facts_of_an_old_storage_are_escaped(
        self, tmp_path: Path, make_client: Callable[..., Client]
    ) -> None:
        """left out or escaped in HTML"""
        put(
            tmp_path,
            WHEEL,
            wheel(),
            requires_python=f">=3{ATTRIBUTE}",
            summary=SCRIPT,
            uploader=ATTRIBUTE,
            yanked=ATTRIBUTE,
        )
        client = make_client()
        page = client.get(PAGE).text
        assert WHEEL in page
        assert not elements(page) & {"script", "img", "onerror", "onload", "src"}
        for path in DOCUMENTS:
            assert client.get(path).content_type == "application/json"

    @pytest.mark.parametrize(
        "filename",
        ['demo-1.0"onclick="x.tar.gz', "demo-1.0<b>.tar.gz", "demo-1.0'.tar.gz",
         "demo-1.0\n.tar.gz", "demo-1.0%22.tar.gz", "demo-1.0;x.tar.gz", "demo-1.0 .tar.gz",
         "demo-1.0\u202e.tar.gz"],
    )  # fmt: skip
    def test_x06_a_strange_file_of_an_old_storage_is_not_served(
        self, tmp_path: Path, make_client: Callable[..., Client], filename: str
    ) -> None:
        """not listed, and 404"""
        put(tmp_path, filename, sdist("demo", "1.0"))
        put(tmp_path, WHEEL, wheel())
        client = make_client()
        page = client.get(PAGE).text
        assert page.count("<a ") == 1
        assert ask(client, None, f"/api/package/demo/{quote(filename)}").status_int == 404


class TestHeaders:
    @pytest.mark.parametrize("kind", KINDS)
    def test_x08_every_answer_forbids_what_it_does_not_need(
        self, make_client: Callable[..., Client], kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Content-Security-Policy, nosniff, Referrer-Policy and Permissions-Policy, once each"""
        client = make_client()
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        method, path = KINDS[kind]
        headers = {"Accept": "text/html"} if kind != "file" else {}
        headers |= SENT.get(kind, {})
        if kind == "not-modified":
            headers["If-None-Match"] = client.get(path, headers=headers).headers["ETag"]
        if kind == "defect":
            monkeypatch.setattr(client.app.registry.services.catalog, "_index", None)
        answer = ask(client, None, path, method=method, headers=headers)
        assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
        assert answer.headers.getall("Referrer-Policy") == ["same-origin"]
        assert "camera=()" in answer.headers["Permissions-Policy"]
        (policy,) = answer.headers.getall("Content-Security-Policy")
        rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
        assert rules["default-src"] == ["'none'"]
        assert rules["frame-ancestors"] == ["'none'"]
        assert rules["base-uri"] == ["'none'"]
        assert "unsafe" not in policy
        if kind == "landing":
            assert rules["style-src"] == rules["form-action"] == ["'self'"]
        elif answer.status_int >= 400 and kind != "unsatisfiable":
            page = ask(client, None, "/simple/absent/", headers={"Accept": "text/html"}).text
            (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            assert rules["style-src"] == [f"'sha256-{digest}'"]
        else:
            assert "style-src" not in rules
            assert rules["sandbox"] == ["allow-top-navigation", "allow-downloads"]
        expected = {
            "redirect": 301, "not-modified": 304, "unsatisfiable": 416, "not-found": 404,
            "login-required": 401, "method": 405, "bad-url": 400, "bad-host": 400,
            "not-acceptable": 406, "defect": 500,
        }  # fmt: skip
        assert answer.status_int == expected.get(kind, 200)

    def test_x09_a_file_is_saved_and_never_shown(self, client: Client) -> None:
        """Content-Disposition: attachment, application/octet-stream"""
        page = {"demo/index.html": SCRIPT.encode()}
        client.as_("writer").upload(WHEEL, wheel(files=page), status=200)
        client.as_("writer").upload("demo-1.0.tar.gz", sdist("demo", "1.0"), status=200)
        for filename in (WHEEL, "demo-1.0.tar.gz"):
            for headers in ({}, {"Accept": "text/html"}, {"Range": "bytes=0-9"}):
                path = f"/api/package/demo/{filename}"
                answer = ask(client, None, path, headers=headers)
                disposition = f'attachment; filename="{filename}"'
                assert answer.headers["Content-Disposition"] == disposition
                assert answer.content_type == "application/octet-stream"
        core = client.get(f"/api/package/demo/{WHEEL}.metadata")
        assert core.content_type == "application/octet-stream"
        client.get("/api/package/demo/index.html", status=404)
        client.get(f"/api/package/demo/{WHEEL}/demo/index.html", status=404)

    @pytest.mark.parametrize("sent", ["%0d%0aX-Evil:%201", "%0aX-Evil:1", "%0d", "%C4%8D%C4%8A"])
    def test_x10_no_line_break_gets_into_a_header(self, client: Client, sent: str) -> None:
        """escaped, or 400 or 404"""
        for path in (
            f"/simple/Demo{sent}/", f"/simple/Demo/?{sent}", f"/simple/demo{sent}",
            f"/Demo{sent}", f"/simple?{sent}", f"/api/package/demo/x{sent}.tar.gz",
            f"/pypi/demo{sent}/json", f"/{sent}", f"/api/package/demo/yank?reason={sent}",
        ):  # fmt: skip
            for method in ("GET", "POST"):
                answer = ask(client, good("writer"), path, method=method)
                assert "X-Evil" not in answer.headers
                for line in (answer.status, *map(str, answer.headerlist)):
                    assert not re.search(r"[\r\n\x00]", line)

    def test_x10_the_realm_has_no_quotes(self, make_client: Callable[..., Client]) -> None:
        """a realm that would break the header stops the start"""
        for realm in ('a"b', "a\r\nb", "a\\b", "\u00e9"):
            with pytest.raises(Exception, match=r"pypi\.realm"):
                make_client(pypi__realm=realm)

    def test_x14_what_a_spreadsheet_would_run_is_json_only(self, client: Client) -> None:
        """application/json; there is no other export"""
        client.as_("writer").upload(WHEEL, wheel(summary="=cmd|' /C calc'!A1"), status=200)
        for path in DOCUMENTS:
            for accept in ("text/csv", "*/*", "text/html"):
                answer = client.get(path, headers={"Accept": accept})
                assert answer.content_type == "application/json"


class TestRequests:
    @pytest.mark.parametrize("text", [SCRIPT, ATTRIBUTE, TEMPLATE, "x" * 3000])
    def test_x02_errors_repeat_nothing_unescaped(self, client: Client, text: str) -> None:
        """escaped in HTML"""
        for base in ("/simple/{}/", "/{}/", "/api/package/{}/", "/simple/?format={}"):
            path = base.format(text.replace("%", "%25").replace("#", "%23").replace("?", "%3F"))
            answer = ask(client, None, path, headers={"Accept": "text/html"})
            assert answer.status_int >= 400
            if answer.content_type == "text/html":
                assert not elements(answer.text) & {"script", "img", "onerror", "src"}
            assert len(answer.body) < 2000

    def test_x02_the_landing_page_escapes_the_name_of_a_user(
        self, make_client: Callable[..., Client]
    ) -> None:
        """escaped in HTML"""
        name = "<svg/onload=x>{{7*7}}"
        client = make_client(**{f"user.{name}": fast_hash("x")})
        page = ask(client, basic(name, "x"), "/").text
        assert "svg" not in elements(page)
        assert "{{7*7}}" in page

    @pytest.mark.parametrize(
        "body",
        [
            b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
            + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
            + b"]><methodCall><methodName>&a9;</methodName></methodCall>",
            b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><methodCall>&a;</methodCall>',
            b"<?xml version='1.0'?><methodCall><methodName>search</methodName></methodCall>",
        ],
        ids=["billion-laughs", "external-entity", "search"],
    )
    @pytest.mark.parametrize("path", ["/pypi", "/pypi/", "/RPC2", "/"])
    def test_x11_xml_is_not_read(self, client: Client, path: str, body: bytes) -> None:
        """400 or 405; XML-RPC is not spoken here"""
        more = {"method": "POST", "body": body, "content_type": "text/xml"}
        answer = ask(client, good("writer"), path, **more)
        assert answer.status_int in (400, 405)
        assert b"root:" not in answer.body

    def test_x12_a_line_of_the_log_stays_a_line(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        """control characters are escaped"""
        caplog.set_level(logging.DEBUG)
        evil = "%0aERROR%20fake%0d%1b[2Jx%00%e2%80%a8%c2%85"
        for path in (f"/simple/{evil}/", f"/api/package/demo/{evil}", f"/{evil}?{evil}"):
            for method in ("GET", "POST", "DELETE"):
                ask(client, good("writer"), path, method=method)
                ask(client, basic("writer\nfake", "x\nfake"), path, method=method)
        fields = {"name": "demo\nERROR fake", "summary": "x\x1b[2J\nERROR fake"}
        client.as_("writer").upload("demo\n-1.tar.gz", sdist("demo", "1"), status=400, **fields)
        ask(client, None, "/", headers={"Host": "a\nERROR fake"})
        assert len(caplog.records) > 10
        for record in caplog.records:
            assert record.getMessage().isprintable(), record.getMessage()

    @pytest.mark.parametrize(
        "name", ["%25", "_", "d%25", "demo%25", "_emo", "' OR '1'='1", "demo'--"]
    )
    def test_x13_no_wildcard_or_quote_gets_into_sql(self, client: Client, name: str) -> None:
        """404 or 400"""
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        for path in (
            f"/simple/{name}/", f"/api/package/{name}/", f"/pypi/{name}/json",
            f"/api/package/demo/{name}", f"/api/package/demo/{name}.metadata",
            f"/pypi/demo/{name}/json",
        ):  # fmt: skip
            assert ask(client, None, path).status_int == 404
        yank = {"filename": name.replace("%25", "%")}
        client.as_("writer").post_json("/api/package/demo/yank", yank, status=(404, 400))
        assert client.page("demo").json["files"][0]["yanked"] is False
