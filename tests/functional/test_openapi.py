"""docs/openapi.yaml against the application: the same routes, and answers as it says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

from tests.conftest import Client
from tests.hostile.test_routes import REDIRECTING, views
from tests.support.credentials import good
from tests.support.dists import sdist, wheel

DOCUMENT = yaml.safe_load(
    (Path(__file__).parents[2] / "docs/openapi.yaml").read_text(encoding="utf-8")
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]
#: Requests for each operation and kind of user.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "10"))


def routes(client: Client) -> set[tuple[str, str]]:
    """What the application answers to, as the document writes it."""
    found = {(view.method or "GET", view.pattern) for view in views(client)}
    for entry in client.app.registry.introspector.get_category("routes"):
        if entry["introspectable"]["name"] in REDIRECTING:
            found.add(("GET", entry["introspectable"]["pattern"]))
    return {(method, _described(pattern)) for method, pattern in found}


def _described(pattern: str) -> str:
    """Without what a part may be."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", pattern.replace("*subpath", "{subpath}"))


def test_it_has_every_route_and_no_other(client: Client) -> None:
    described = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert {(method, f"/{path.lstrip('/')}") for method, path in routes(client)} == described


@pytest.fixture
def filled(make_client: Callable[..., Client]) -> Client:
    """An application with something in it."""
    client = make_client(package__closed__user__writer="rw")
    writer = client.as_("writer")
    writer.upload("demo-1.0-py3-none-any.whl", wheel(), status=200)
    writer.upload("demo-1.0.tar.gz", sdist(), status=200)
    writer.upload("closed-1.0.tar.gz", sdist("closed"), status=200)
    return client


def whole(app: Any) -> Callable[..., list[bytes]]:
    """The application, whose answers are read to their end and closed, as servers do."""

    def wrapped(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = app(environ, start_response)
        try:
            return [b"".join(body)]
        finally:
            if hasattr(body, "close"):
                body.close()

    return wrapped


@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_described(filled: Client, label: str) -> None:
    operation = OPERATIONS[label]
    operation.app = whole(filled.app)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def holds(case: Any) -> None:
        for user in (None, "writer", "admin"):
            headers = {"Accept-Encoding": "identity"}
            if user is not None:
                headers["Authorization"] = good(user)
            case.validate_response(case.call(headers=headers), checks=CHECKS)

    holds()
