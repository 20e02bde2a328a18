"""Responses that several views share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from pyramid.response import Response
from webob.response import EmptyResponse

from pypicloud_lite.simple.cache import Rendered
from pypicloud_lite.simple.negotiation import Format, accepts_gzip
from pypicloud_lite.views.headers import Headers
from pypicloud_lite.views.request import Request

#: What an answer depends on that not everyone may see.
VARY_BY_USER = "Authorization, Cookie"
_VARY_PUBLIC = "Accept, Accept-Encoding"
_VARY_PRIVATE = f"{_VARY_PUBLIC}, {VARY_BY_USER}"


_STATUS_LINES = {status: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Exact(Response):
    """A response whose headers are sent as they are.

    WebOb would look for a Location, and complete it from the Host header, with the scheme that
    this process sees instead of the one that the client used.

    Args:
        status: code and phrase.
    """

    def __init__(
        self, *, status: str, headerlist: list[tuple[str, str]], app_iter: Iterable[bytes] = ()
    ) -> None:
        # What WebOb's own would look at, parse and complete is right already.
        self._status, self._headerlist, self._app_iter = status, headerlist, app_iter
        self._headers = None

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer with just these headers; HEAD without the body."""
        start_response(self._status, self._headerlist)
        if environ["REQUEST_METHOD"] == "HEAD":
            return EmptyResponse(self._app_iter)
        return self._app_iter


class Redirect(Exact):
    """A redirect without a body."""

    def __init__(
        self,
        location: str,
        status: HTTPStatus = HTTPStatus.FOUND,
        *,
        caching: Headers = (("Cache-Control", "no-cache"),),
    ) -> None:
        headers = [("Location", location), ("Content-Length", "0"), *caching]
        super().__init__(status=_STATUS_LINES[status], headerlist=headers, app_iter=[])


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
    if matches(environ.get("HTTP_IF_NONE_MATCH"), etag):
        return Exact(status="304 Not Modified", headerlist=[*_known_page(etag, public, max_age)])
    body = page.gzip_body if compressed else page.body
    assert body is not None
    headers = [*_known_page(etag, public, max_age), *_content(format_, len(body), compressed)]
    return Exact(status="200 OK", headerlist=headers, app_iter=[body])


@lru_cache(maxsize=1024)
def _known_page(etag: str, public: bool, max_age: int) -> Headers:
    return (
        ("ETag", etag),
        ("Cache-Control", cache_control(public=public, max_age=max_age)),
        ("Vary", _VARY_PUBLIC if public else _VARY_PRIVATE),
    )


@lru_cache(maxsize=1024)
def _content(format_: Format, size: int, compressed: bool) -> Headers:
    content_type = format_.value if format_.is_json else f"{format_.value}; charset=utf-8"
    headers = (("Content-Type", content_type), ("Content-Length", str(size)))
    return (*headers, ("Content-Encoding", "gzip")) if compressed else headers


def json_response(document: Any, *, status: int = 200) -> Response:
    """A JSON document that no cache keeps."""
    body = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "private, no-cache"),
    ]
    return Response(status=status, headerlist=headers, app_iter=[body])
