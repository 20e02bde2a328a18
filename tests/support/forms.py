"""Upload forms, exactly as given, which no client library would let us send."""

from __future__ import annotations

from typing import Any

from webob import Request

from tests.conftest import Client
from tests.support.credentials import HERE, good

#: Name, filename (of a file) or ``None`` (for a text), content.
Part = tuple[str, str | None, bytes]


def multipart(parts: list[Part], boundary: str = "XXboundaryXX") -> tuple[bytes, str]:
    """The body of a form, and its content type."""
    body = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"'
        if filename is not None:
            disposition += f'; filename="{filename}"'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n"
        body += head.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Body:
    """A body that counts what is read of it, and may go on for ever."""

    def __init__(self, start: bytes, endless: bytes = b"") -> None:
        self._rest = start
        self._endless = endless
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "read without a limit"
        while self._endless and len(self._rest) < size:
            self._rest += self._endless * (size // len(self._endless) + 1)
        taken, self._rest = self._rest[:size], self._rest[size:]
        self.taken += len(taken)
        return taken


def post(
    client: Client,
    body: Body,
    content_type: str,
    *,
    length: int | str | None,
    user: str | None = "writer",
    path: str = "/legacy/",
) -> Any:
    """Send a body as a WSGI server would hand it over; ``length`` ``None``: it has an end."""
    environ = {
        "REMOTE_ADDR": HERE,
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "wsgi.input": body,
        "wsgi.input_terminated": length is None,
    }
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    if user is not None:
        environ["HTTP_AUTHORIZATION"] = good(user)
    return Request.blank(path, environ=environ).get_response(client.app)
