"""What a request costs, counted: statements, looks at the storage, pages made, passwords verified.

A page that becomes slow does so because it asks again for what it knew. No test here measures time.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pypicloud_lite import catalog
from pypicloud_lite.access import passwords
from pypicloud_lite.app import make_app
from tests.conftest import Client, close
from tests.support.credentials import good
from tests.support.dists import sdist, wheel
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import app_settings, fast_hash
from tests.support.statements import statements

JSON = "application/vnd.pypi.simple.v1+json"
WHEEL = "demo-1.0-py3-none-any.whl"
FILE = f"/api/package/demo/{WHEEL}"
_STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
#: Methods of a storage that look at the disk, or ask the bucket.
_LOOKS = (
    "open", "verify", "core_metadata", "stat", "describe", "scan", "put", "delete", "annotate",
    "project_statuses", "set_project_status", "check", "spool", "prepare",
)  # fmt: skip


class Costs:
    """Counts what one application does."""

    def __init__(self, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._counts: Counter[str] = Counter()
        # Once a second a process asks the database whether a writer died; not in these tests.
        monkeypatch.setattr("pypicloud_lite.index.generation.RECHECK", float("inf"))
        services = app.registry.services
        services.follower.idle.wait(30)
        services.index.generation()
        for name in _LOOKS:
            self._count(monkeypatch, services.storage, name, "storage")
        self._count(monkeypatch, catalog, "render", "pages")
        self._count(monkeypatch, passwords, "_context", "hashes")

    def _count(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._counts[what] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    def _on_statement(self, statement: str) -> None:
        if statement.lstrip().startswith(_STATEMENTS):
            self._counts["sql"] += 1

    @contextmanager
    def of(self) -> Iterator[Counter[str]]:
        """What the block costs, when it has ended."""
        self._counts.clear()
        counts: Counter[str] = Counter()
        with statements(self._on_statement):
            yield counts
        counts.update(self._counts)


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    client = make_client()
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    client.as_("writer").upload("demo-1.0.tar.gz", sdist(), status=200)
    return client


@pytest.fixture
def costs(client: Client, monkeypatch: pytest.MonkeyPatch) -> Costs:
    return Costs(client.app, monkeypatch)


#: The address, the headers, and what it costs when it is asked for the first time.
READS = [
    ("/simple/demo/", {}, {"sql": 4, "pages": 1}),
    ("/simple/demo/", {"Accept": JSON}, {"sql": 4, "pages": 1}),
    ("/simple/", {}, {"sql": 3, "pages": 1}),
    ("/simple/", {"Accept": JSON}, {"sql": 3, "pages": 1}),
    ("/", {}, {"sql": 2}),
    ("/simple/absent/", {}, {"sql": 3}),
    (FILE, {}, {"sql": 2, "storage": 2}),
    (f"{FILE}.metadata", {}, {"sql": 2, "storage": 1}),
]


@pytest.mark.parametrize(("path", "headers", "cold"), READS)
def test_what_was_asked_for_before_costs_no_statement(
    client: Client, costs: Costs, path: str, headers: dict[str, str], cold: dict[str, int]
) -> None:
    # Others may have changed a file: whether it is the same is looked at each time.
    warm = {"storage": 1} if path == FILE else {}
    for expected in (cold, warm, warm):
        with costs.of() as counted:
            client.get(path, headers=headers, status="*")
        assert counted == expected


@pytest.mark.parametrize("path", ["/simple/demo/", FILE])
def test_who_revalidates_costs_no_more(client: Client, costs: Costs, path: str) -> None:
    etag = client.get(path).headers["ETag"]
    with costs.of() as counted:
        client.get(path, headers={"If-None-Match": etag}, status=304)
    assert counted["sql"] == counted["pages"] == 0


def test_compressed_and_plain_pages_are_made_together(client: Client, costs: Costs) -> None:
    with costs.of() as counted:
        for encoding in ("gzip", "identity", "gzip"):
            client.get("/simple/demo/", headers={"Accept-Encoding": encoding})
    assert counted["pages"] == 1


def test_a_change_costs_others_one_statement(client: Client, costs: Costs) -> None:
    """Pages of other projects are kept; it is only asked whether they were changed."""
    client.get("/simple/demo/")
    client.as_("writer").upload("other-1.0.tar.gz", sdist("other", "1.0"), status=200)
    with costs.of() as counted:
        client.get("/simple/demo/")
    assert counted == {"sql": 1}
    with costs.of() as counted:
        client.get("/simple/demo/")
    assert counted == {}


def test_a_password_is_hashed_once(client: Client, costs: Costs) -> None:
    reader = client.as_("reader")
    with costs.of() as counted:
        reader.get("/simple/demo/")
    assert counted["hashes"] > 0
    with costs.of() as counted:
        for path in ("/simple/demo/", "/simple/", FILE, f"{FILE}.metadata"):
            reader.get(path)
    assert counted["hashes"] == 0


def test_users_who_may_read_the_same_share_a_list(
    make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {f"user__u{number}": fast_hash("pw") for number in range(5)}
    users["package__secret__user__u0"] = "r"
    client = make_client(**users, group__team="u1 u2 u3 u4")
    costs = Costs(client.app, monkeypatch)
    with costs.of() as counted:
        for number in range(5):
            client.authorization = ("Basic", (f"u{number}", "pw"))
            client.get("/simple/")
    assert counted["pages"] == 2


def test_postgresql_is_asked_once(
    make_client: Callable[..., Client], postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other hosts change it, too, so that nothing but itself knows whether it did."""
    client = make_client(db__url=postgresql_database)
    client.as_("writer").upload(WHEEL, wheel(), status=200)
    costs = Costs(client.app, monkeypatch)
    for path in ("/simple/demo/", "/simple/", FILE):
        client.get(path)
        with costs.of() as counted:
            client.get(path)
        assert counted["sql"] == 1
        assert counted["pages"] == 0


def test_a_redirect_asks_neither_database_nor_bucket(
    moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = app_settings(tmp_path, storage__dir=None) | moto_server.settings(new_bucket())
    app = make_app(settings, {})
    try:
        client = Client(app)
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        costs = Costs(app, monkeypatch)
        requests: list[str] = []
        events = app.registry.services.storage._client.meta.events
        events.register("before-send.s3", lambda request, **_rest: requests.append(request.url))
        for path in (FILE, f"{FILE}.metadata", "/simple/demo/"):
            client.get(path)
            with costs.of() as counted:
                client.get(path)
            assert counted == {}
        assert requests == []
        app.registry.services.storage.check()
        assert requests  # so they would have been seen
    finally:
        close(app)


#: A server of a folder that takes a file and gives it, its page and the list.
_IN_A_FOLDER = """
import sys
from webtest import TestApp
from pypicloud_lite.app import make_app
app = make_app(dict(setting.split("=", 1) for setting in sys.argv[3:]), {})
client = TestApp(app)
with open(sys.argv[1], "rb") as file:
    content = file.read()
fields = {":action": "file_upload", "protocol_version": "1", "name": "demo", "version": "1.0",
          "filetype": "bdist_wheel", "pyversion": "py3", "metadata_version": "2.1"}
client.post("/legacy/", fields, {"Authorization": sys.argv[2]},
            upload_files=[("content", "demo-1.0-py3-none-any.whl", content)])
client.get("/simple/")
client.get("/simple/demo/")
client.get("/api/package/demo/demo-1.0-py3-none-any.whl")
print(*sorted({"boto3", "botocore", "s3transfer", "cryptography"} & set(sys.modules)))
import os
sys.stdout.flush()
os._exit(0)
"""


def test_a_server_of_a_folder_never_imports_what_buckets_need(tmp_path: Path) -> None:
    """A start would take longer, and the server more memory."""
    (tmp_path / WHEEL).write_bytes(wheel())
    settings = [f"{name}={value}" for name, value in app_settings(tmp_path).items()]
    done = subprocess.run(
        [sys.executable, "-c", _IN_A_FOLDER, str(tmp_path / WHEEL), good("writer"), *settings],
        capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.split() == []
