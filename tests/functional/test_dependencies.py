"""``make audit`` fails for a known vulnerability, and says when it could ask nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.support.server import free_port

ROOT = Path(__file__).parents[2]
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
pytestmark = pytest.mark.skipif(
    not PIP_AUDIT.exists(), reason="pip-audit is not installed (make check installs it)"
)

Found = Callable[[str], list[dict[str, Any]]]


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def osv(found: Found) -> Iterator[tuple[str, list[str]]]:
    """A service that knows of these vulnerabilities, and the packages that it is asked about."""
    asked: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        query = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        name = query["package"]["name"]
        asked.append(name)
        start_response("200 OK", [("Content-Type", "application/json")])
        vulnerabilities = found(name)
        return [json.dumps({"vulns": vulnerabilities} if vulnerabilities else {}).encode()]

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query", asked
        server.shutdown()
        thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".ci" / "audit", PIP_AUDIT],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OSV_URL": url, "NO_PROXY": "127.0.0.1"},
    )


def pinned() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line.partition("==")[0] for line in lines if line and not line.startswith("#")]


def test_nothing_known_is_no_failure() -> None:
    with osv(lambda _name: []) as (url, asked):
        done = audit(url)
    assert done.returncode == 0, done.stdout
    assert "No known vulnerabilities found" in done.stdout
    assert len(asked) == len(pinned())


def test_a_known_vulnerability_is_a_failure() -> None:
    made_up = {
        "id": "PYSEC-2000-1",
        "modified": "2000-01-01T00:00:00Z",
        "summary": "made up",
        "affected": [{"package": {"name": "waitress", "ecosystem": "PyPI"}, "ranges": []}],
    }
    with osv(lambda name: [made_up] if name == "waitress" else []) as (url, _asked):
        done = audit(url)
    assert done.returncode == 1
    assert "PYSEC-2000-1" in done.stdout


def test_who_can_ask_nobody_says_so() -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert done.returncode == 0
    assert done.stdout.startswith("NOT AUDITED: http://127.0.0.1:")
