"""Requests with exactly these credentials, from exactly this address."""

from __future__ import annotations

import base64
from typing import Any

from webob import Request

from tests.conftest import Client
from tests.support.server import PASSWORDS
from tests.support.tokens import MadeToken

HERE, THERE = "192.0.2.1", "198.51.100.1"
#: A day: no wrong password that a test counts is forgotten while it runs.
SLOW = {"auth.failure_window": "86400"}


def basic(user: str | bytes, password: str | bytes) -> str:
    user, password = (part.encode() if isinstance(part, str) else part for part in (user, password))
    return "Basic " + base64.b64encode(user + b":" + password).decode()


def good(user: str) -> str:
    return basic(user, PASSWORDS[user])


def as_token(made: MadeToken) -> str:
    return basic("__token__", made.secret)


def ask(
    client: Client, header: str | None, path: str = "/simple/", address: str = HERE, **more: Any
) -> Any:
    """The answer to a request with this ``Authorization`` header, whatever its status."""
    environ = {"REMOTE_ADDR": address} | ({} if header is None else {"HTTP_AUTHORIZATION": header})
    request = Request.blank(path, environ=environ, **more)
    answer = request.get_response(client.app)
    answer.body  # noqa: B018 - read, so that files are closed
    return answer


def status(client: Client, header: str | None, path: str = "/simple/", **more: Any) -> int:
    return int(ask(client, header, path, **more).status_int)
