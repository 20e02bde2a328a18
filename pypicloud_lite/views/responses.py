"""Responses that several views share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pyramid.response import Response

from pypicloud_lite.simple.cache import Rendered
from pypicloud_lite.simple.negotiation import Format, accepts_gzip
from pypicloud_lite.views.request import Request

#: What an answer depends on that not everyone may see.
VARY_BY_USER = "Authorization, Cookie"
_VARY_PUBLIC = "Accept, Accept-Encoding"
_VARY_PRIVATE = f"{_VARY_PUBLIC}, {VARY_BY_USER}"


class Redirect(Response):
    """A redirect whose Location is sent as it is.

    WebOb would complete it from the Host header, with the scheme that this process sees instead
    of the one that the client used.
    """

    def __init__(self, location: str, status: int = 302) -> None:
        super().__init__(status=status, content_type="text/plain")
        self.headers["Location"] = location
        self.headers["Cache-Control"] = "no-cache"

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer with the headers exactly as they are."""
        start_response(self.status, self.headerlist)
        return []


def cache_control(*, public: bool, max_age: int, immutable: bool = False) -> str:
    """The Cache-Control header for what everyone (``public``) or only some may see."""
    scope = "public" if public else "private"
    if not max_age:
        return f"{scope}, no-cache"
    return f"{scope}, max-age={max_age}{', immutable' if immutable else ''}"


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names the entity tag (RFC 9110, weak comparison)."""
    if not header:
        return False
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in header.split(","))


def page_response(
    request: Request, page: Rendered, format_: Format, *, public: bool, max_age: int
) -> Response:
    """A ready page, compressed for who takes it, or 304 for who has it."""
    environ = request.environ
    compressed = page.gzip_body is not None and accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING"))
    etag = page.gzip_etag if compressed else page.etag
    headers = [
        ("ETag", etag),
        ("Cache-Control", cache_control(public=public, max_age=max_age)),
        ("Vary", _VARY_PUBLIC if public else _VARY_PRIVATE),
    ]
    if matches(environ.get("HTTP_IF_NONE_MATCH"), etag):
        return Response(status=304, headerlist=headers)
    body = page.gzip_body if compressed else page.body
    assert body is not None
    content_type = format_.value if format_.is_json else f"{format_.value}; charset=utf-8"
    headers += [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
    ]
    if compressed:
        headers.append(("Content-Encoding", "gzip"))
    return Response(status=200, headerlist=headers, app_iter=[body])


def json_response(document: Any, *, status: int = 200) -> Response:
    """A JSON document that no cache keeps."""
    body = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "private, no-cache"),
    ]
    return Response(status=status, headerlist=headers, app_iter=[body])
