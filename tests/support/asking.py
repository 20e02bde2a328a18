"""Requests to a server, and the whole of its answers."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.server import PASSWORDS, Listening, Server

_SIMPLE = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def files(self) -> dict[str, str]:
        """Filename to sha256, as the page of a project has it."""
        return {entry["filename"]: entry["hashes"]["sha256"] for entry in self.json["files"]}

    @property
    def projects(self) -> set[str]:
        """The names on the page of all projects."""
        return {entry["name"] for entry in self.json["projects"]}


def ask(
    server: Listening,
    path: str,
    method: str = "GET",
    *,
    user: str | None = None,
    body: bytes | None = None,
    **headers: str,
) -> Answer:
    """Send one request; ``content_type="x"`` is a header."""
    sent = {"Accept": _SIMPLE} | {
        name.replace("_", "-").title(): value for name, value in headers.items()
    }
    if user is not None:
        token = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
        sent["Authorization"] = f"Basic {token}"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def page(server: Listening, project: str = "demo") -> Answer:
    return ask(server, f"/simple/{project}/")


def publish(server: Listening, filename: str, content: bytes, user: str = "writer") -> Answer:
    """Upload a file."""
    head = f'Content-Disposition: form-data; name="content"; filename="{filename}"'
    body = f"--B\r\n{head}\r\n\r\n".encode() + content + b"\r\n--B--\r\n"
    content_type = "multipart/form-data; boundary=B"
    return ask(server, "/legacy/", "POST", user=user, body=body, content_type=content_type)


def delete(server: Server, filename: str, project: str = "demo") -> Answer:
    return ask(server, f"/api/package/{project}/{filename}", "DELETE", user="writer")


def rebuild(server: Listening) -> Answer:
    return ask(server, "/admin/rebuild", "POST", user="admin")


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what a server does by itself."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
