"""The audit log: who changed what or tried to, one line each."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tests.conftest import Client
from tests.support.credentials import HERE, SLOW, as_token, ask, basic
from tests.support.dists import sdist
from tests.support.tokens import make_token

Lines = Callable[[], list[dict[str, Any]]]

MADE = make_token(projects="demo", expires=date(2999, 1, 1))


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    rule = {"package.mine.user.writer": "rw"}
    return make_client(pypi__allow_overwrite_groups="admin", **rule, **MADE.settings)


@pytest.fixture
def audit(caplog: pytest.LogCaptureFixture) -> Lines:
    """The lines since the last call."""
    caplog.set_level("INFO", logger="pypicloud_lite")

    def lines() -> list[dict[str, Any]]:
        records = [record for record in caplog.records if record.name == "pypicloud_lite.audit"]
        others = [r for r in caplog.records if r.name.startswith("pypicloud_lite.views")]
        assert not others, "said twice"
        caplog.clear()
        assert all(record.levelno == logging.INFO for record in records)
        return [json.loads(record.getMessage()) for record in records]

    return lines


def test_what_happened_is_one_line_each(client: Client, audit: Lines) -> None:
    file = "demo-1.tar.gz"
    first, second = sdist("demo", "1"), sdist("demo", "1", requires_python=None)
    robot = Client(client.app, extra_environ={"REMOTE_ADDR": HERE})
    robot.authorization = ("Basic", ("__token__", MADE.secret))
    admin = client.as_("admin")
    audit()

    robot.upload(file, first, status=200)
    (line,) = audit()
    assert line | {"sha256": "", "size": 0} == {
        "action": "upload", "result": "ok", "user": "writer", "token": "robot",
        "address": HERE, "request": "POST /legacy/", "project": "demo", "version": "1",
        "filename": file, "sha256": "", "size": 0, "changed": True,
    }  # fmt: skip
    assert len(line["sha256"]) == 64

    robot.upload(file, first, status=200)
    assert [(line["action"], line["changed"]) for line in audit()] == [("upload", False)]
    admin.upload(file, second, status=200)
    assert [(line["action"], line["user"]) for line in audit()] == [("overwrite", "admin")]

    base = "/api/package/demo"
    robot.post(f"{base}/yank", {"version": "1", "reason": "bad"}, status=200)
    robot.post(f"{base}/unyank", {"filename": file}, status=200)
    robot.post(f"{base}/status", {"status": "archived"}, status=200)
    admin.post("/admin/rebuild")
    admin.get("/admin/rebuild")
    robot.delete(f"{base}/{file}", status=200)
    yank, unyank, archived, *rebuilds, deleted = audit()
    assert (yank["action"], yank["reason"], yank["files"]) == ("yank", "bad", [file])
    assert (unyank["action"], unyank["filename"]) == ("unyank", file)
    assert (archived["action"], archived["status"]) == ("status", "archived")
    assert [line["action"] for line in rebuilds] == ["rebuild", "rebuild"]
    assert (deleted["action"], deleted["filename"], deleted["project"]) == (
        "delete", file, "demo",
    )  # fmt: skip
    assert {line["result"] for line in (yank, unyank, archived, *rebuilds, deleted)} == {"ok"}


def test_what_was_refused_is_one_line_each(client: Client, audit: Lines) -> None:
    file = "demo-1.tar.gz"
    writer, reader = client.as_("writer"), client.as_("reader")
    writer.upload(file, sdist("demo", "1"), status=200)
    audit()
    base = "/api/package/demo"

    client.upload(file, b"x", status=401)
    reader.upload(file, b"x", status=403)
    reader.upload(file, b"x", path=f"{base}/{file}", status=403)
    writer.upload(file, sdist("demo", "1", requires_python=None), status=409)
    writer.upload("demo-2.tar.gz", b"no archive", status=400)
    reader.delete(f"{base}/{file}", status=403)
    writer.delete(f"{base}/absent.whl", status=404)
    reader.post(f"{base}/yank", status=403)
    writer.post(f"{base}/yank", status=400)
    reader.post(f"{base}/status", status=403)
    client.post("/admin/rebuild", status=401)
    writer.get("/admin/rebuild", status=403)
    robot = Client(client.app)
    robot.authorization = ("Bearer", MADE.secret)
    robot.upload("mine-1.tar.gz", sdist("mine", "1"), status=403)

    told = ("action", "result", "code", "user")
    assert [tuple(line.get(name) for name in told) for line in audit()] == [
        ("upload", "denied", "login-required", None),
        ("upload", "denied", "denied", "reader"),
        ("upload", "denied", "denied", "reader"),
        ("upload", "rejected", "file-exists", "writer"),
        ("upload", "rejected", "invalid-archive", "writer"),
        ("delete", "denied", "denied", "reader"),
        ("delete", "rejected", "file-missing", "writer"),
        ("yank", "denied", "denied", "reader"),
        ("yank", "rejected", "invalid-form", "writer"),
        ("status", "denied", "denied", "reader"),
        ("rebuild", "denied", "login-required", None),
        ("rebuild", "denied", "denied", "writer"),
        ("upload", "denied", "denied", "writer"),
    ]


def test_refused_credentials_are_one_line_each(
    make_client: Callable[..., Client], audit: Lines
) -> None:
    old = make_token("old", expires=date(2020, 1, 1))
    client = make_client(auth__failures_per_user="2", **old.settings, **SLOW)
    audit()
    for header, path in (
        (basic("writer", "x"), "/simple/"),
        (basic("writer", "y"), "/simple/absent/"),
        (basic("writer", "z"), "/simple/"),
        (basic("nobody", "x"), "/simple/"),
        (as_token(old), "/api/package/"),
        (as_token(make_token()), "/"),
        ("Bearer x", "/"),
        ("Basic", "/"),
    ):
        ask(client, header, path)
    lines = audit()
    assert {(line["action"], line["result"], line["address"]) for line in lines} == {
        ("login", "denied", HERE)
    }
    assert [(line["code"], line.get("claimed")) for line in lines] == [
        ("wrong-password", "writer"),
        ("wrong-password", "writer"),
        ("throttled", "writer"),
        ("unknown-user", None),
        ("expired-token", "token old"),
        ("unknown-token", None),
        ("throttled", None),
        ("malformed", None),
    ]
    assert lines[1]["request"] == "GET /simple/absent/"
    ask(client, basic("writer", "x"), "/legacy/", method="POST")
    assert [(line["action"], line["code"]) for line in audit()] == [("upload", "throttled")]


def test_a_failure_of_the_storage_is_a_line_too(
    client: Client,
    audit: Lines,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_args: Any, **_more: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", broken)
    client.as_("writer").upload("demo-1.tar.gz", sdist("demo", "1"), status="5*")
    caplog.records[:] = [r for r in caplog.records if r.levelno < logging.ERROR]
    (line,) = audit()
    assert (line["action"], line["result"]) == ("upload", "failed")
    assert line["filename"] == "demo-1.tar.gz"


def test_control_characters_make_no_second_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pypicloud_lite.audit")
    writer = client.as_("writer")
    for name in (
        "a%0a%7b%22action%22%3a1%7d",
        "%1b[2J",
        "%7f",
        "%c2%85",
        "%e2%80%a8",
        "%e2%80%ae",
    ):
        writer.delete(f"/api/package/demo/{name}.whl", status=404)
    writer.post("/api/package/demo/yank", {"filename": "x\r\n\x1b\x00\x7f\u2028"}, status=404)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 7
    for message in messages:
        assert message.isascii()
        assert message.isprintable()
        json.loads(message)


def test_reading_is_not_audited(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="pypicloud_lite")
    client.get("/simple/", status=200)
    client.get("/simple/mine/", status=401)
    client.post("/health", status=405)
    assert [record.name for record in caplog.records] == ["pypicloud_lite.views.errors"] * 2
    assert "refused (method-not-allowed) POST /health by anonymous" in caplog.text
    assert "refused (login-required) GET /simple/mine/ by anonymous" in caplog.text
