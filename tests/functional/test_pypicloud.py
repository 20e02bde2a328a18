"""A pypicloud user changes one line of the ini and goes on."""

from __future__ import annotations

import configparser
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypicloud_lite.app import make_app
from tests.conftest import Client, close
from tests.support.dists import sdist, sha256, wheel

#: What its make-config wrote for a production server with files, but for the name of the egg.
INI = """
[app:main]
use = egg:pypicloud_lite

pyramid.reload_templates = False
pyramid.debug_authorization = false
pyramid.debug_notfound = false
pyramid.debug_routematch = false
pyramid.default_locale_name = en

pypi.default_read =
    authenticated

pypi.storage = file
storage.dir = %(here)s/packages

db.url = sqlite:///%(here)s/db.sqlite

auth.admins =
  stevearc

user.stevearc = $5$rounds=80000$yiWi67QBJLDTvbI/$d6qIG/bIoM3hp0lxH8v/vzxg8Qc4CJbxbxiUH4MlnE7

# For beaker
session.encrypt_key = dGVzdA==
session.validate_key = dGVzdA==
session.secure = True
session.invalidate_corrupt = true
"""
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """An application on a folder and an ini that pypicloud left behind."""
    folder = tmp_path / "packages" / "demo" / "1.0"
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(wheel())
    meta = {
        "summary": "A demo",
        "requires_python": ">=3.8",
        "hash_sha256": sha256(wheel()),
        "hash_md5": hashlib.md5(wheel()).hexdigest(),
        "uploader": "stevearc",
    }
    (folder / f"{WHEEL}.meta").write_text(json.dumps(meta))
    with sqlite3.connect(tmp_path / "db.sqlite") as database:
        database.execute("CREATE TABLE packages (filename TEXT PRIMARY KEY, name TEXT)")
        database.execute(f"INSERT INTO packages VALUES ('{WHEEL}', 'demo')")
    database.close()
    (tmp_path / "server.ini").write_text(INI)
    parser = configparser.ConfigParser(defaults={"here": str(tmp_path)}, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(tmp_path / "server.ini")
    app = make_app(dict(parser["app:main"]), {})
    yield Client(app)
    close(app)


@pytest.fixture
def steve(client: Client) -> Client:
    client.authorization = ("Basic", ("stevearc", "gunface"))
    return client


def test_its_files_are_served(steve: Client) -> None:
    (entry,) = steve.page("demo").json["files"]
    assert entry["hashes"] == {"sha256": sha256(wheel())}
    assert entry["requires-python"] == ">=3.8"
    assert entry["core-metadata"]
    assert steve.get(f"/api/package/demo/{WHEEL}").body == wheel()
    (document,) = steve.get("/api/package/demo/").json["packages"]
    assert document["metadata"]["uploader"] == "stevearc"


def test_its_users_log_in_and_others_do_not(client: Client) -> None:
    client.get("/simple/", status=401)
    client.authorization = ("Basic", ("stevearc", "wrong"))
    client.get("/simple/", status=401)


def test_new_files_lie_where_it_looks_for_them(steve: Client, tmp_path: Path) -> None:
    steve.upload("demo-2.0.tar.gz", sdist(version="2.0"), path="/simple/", status=200)
    path = tmp_path / "packages" / "demo" / "2.0" / "demo-2.0.tar.gz"
    assert path.read_bytes() == sdist(version="2.0")
    meta = json.loads(path.with_name(f"{path.name}.meta").read_text())
    assert meta["hash_sha256"] == sha256(sdist(version="2.0"))


def test_its_own_tables_are_left_alone(steve: Client, tmp_path: Path) -> None:
    steve.get("/simple/", status=200)
    database = sqlite3.connect(tmp_path / "db.sqlite")
    assert database.execute("SELECT * FROM packages").fetchall() == [(WHEEL, "demo")]
    database.close()


def test_absent_projects_are_still_sent_on(steve: Client) -> None:
    response = steve.get("/simple/requests/", status=302)
    assert response.headers["Location"] == "https://pypi.org/simple/requests/"
