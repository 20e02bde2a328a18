"""Downloading distribution files and their core metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import IO, Any

from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.model import DistributionFile
from pypicloud_lite.names import ProjectName
from pypicloud_lite.settings.table import IMMUTABLE_SECONDS
from pypicloud_lite.storage.base import LocalFile, RemoteUrl
from pypicloud_lite.views.handover import handed_over
from pypicloud_lite.views.headers import Headers
from pypicloud_lite.views.lasting import HOLD, MOMENT, UNCHANGED, Hold
from pypicloud_lite.views.ranges import Unsatisfiable, parse_range
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import VARY_BY_USER, Exact, Redirect, cache_control, matches

METADATA_SUFFIX = ".metadata"
_OK, _NOT_MODIFIED = "200 OK", "304 Not Modified"
_MODIFIED = "Last-Modified"
_BLOCK = 1 << 18


@view_config(route_name="download", request_method="GET", permission="read", lasting=MOMENT)
def download(context: ProjectResource, request: Request) -> Response:
    """A file of this project, or its core metadata."""
    catalog = request.services.catalog
    filename: str = request.matchdict["filename"]
    if filename.endswith(METADATA_SUFFIX):
        file = catalog.file(context.project, filename.removesuffix(METADATA_SUFFIX))
        return _core_metadata(request, file)
    file = catalog.file(context.project, filename)
    location = catalog.locate(file)
    if isinstance(location, RemoteUrl) and _may_redirect(request, location):
        # A URL signed for GET fails for HEAD; what clients ask HEAD for, the index knows.
        return (
            _head(request, file)
            if request.environ["REQUEST_METHOD"] == "HEAD"
            else _elsewhere(location)
        )
    file, stream = catalog.open(file)
    request.environ[HOLD] = Hold(MOMENT.seconds, seen=(file.key, file.stamp))
    return _stream(request, file, stream, location if isinstance(location, LocalFile) else None)


def _may_redirect(request: Request, location: RemoteUrl) -> bool:
    """Whether the client shall fetch the bytes from the storage itself.

    Not when the storage has the name and port of this server: the client would send it our
    Authorization header, which S3 refuses beside a signature.
    """
    if request.services.settings.stream_files:
        return False
    return location.url.split("/", 3)[2] != request.environ.get("HTTP_HOST")


def _core_metadata(request: Request, file: DistributionFile) -> Response:
    catalog = request.services.catalog
    location = catalog.locate_core_metadata(file)
    if location is not None and request.method == "GET" and _may_redirect(request, location):
        return _elsewhere(location)
    content = catalog.core_metadata(file)
    request.environ[HOLD] = UNCHANGED  # as in the catalog, which keeps it by its digest
    etag = f'"{file.core_metadata_sha256}"'
    headers = [("ETag", etag), *_caching(request, file.project)]
    if matches(request.environ.get("HTTP_IF_NONE_MATCH"), etag):
        return Exact(status=_NOT_MODIFIED, headerlist=headers)
    headers += [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(len(content))),
    ]
    return Exact(status=_OK, headerlist=headers, app_iter=[content])


def _elsewhere(location: RemoteUrl) -> Response:
    # The URL is a key to the file: no shared cache may hand it to others.
    kept = cache_control(public=False, max_age=location.seconds)
    return Redirect(location.url, caching=(("Cache-Control", kept), ("Vary", VARY_BY_USER)))


def _caching(request: Request, project: ProjectName) -> Headers:
    """For how long, and for whom, what is said of a file of this project may be kept."""
    services = request.services
    max_age = services.settings.package_max_age
    if max_age is None:
        max_age = 0 if services.rules.overwrite_groups else IMMUTABLE_SECONDS
    immutable = max_age >= IMMUTABLE_SECONDS
    if services.rules.is_public(project):
        return (
            ("Cache-Control", cache_control(public=True, max_age=max_age, immutable=immutable)),
        )
    private = cache_control(public=False, max_age=max_age, immutable=immutable)
    return ("Cache-Control", private), ("Vary", VARY_BY_USER)


def _etag(file: DistributionFile) -> str:
    return f'"{file.sha256 or file.stamp}"'


@lru_cache(maxsize=4096)
def _about(filename: str, etag: str, modified: datetime) -> Headers:
    """What every answer about a file says of it."""
    return (
        ("ETag", etag),
        (_MODIFIED, format_datetime(modified.replace(microsecond=0), usegmt=True)),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", f'attachment; filename="{filename}"'),
    )


def _is_known(environ: dict[str, Any], etag: str, file: DistributionFile) -> bool:
    """Whether the client has the file (RFC 9110: the entity tag goes before the date)."""
    tags = environ.get("HTTP_IF_NONE_MATCH")
    if tags is not None:
        return matches(tags, etag)
    date = environ.get("HTTP_IF_MODIFIED_SINCE")
    if date is None:
        return False
    try:
        since = parsedate_to_datetime(date)
    except ValueError:
        return False
    return since.tzinfo is not None and file.upload_time.replace(microsecond=0) <= since


def _head(request: Request, file: DistributionFile) -> Response:
    headers = [
        *_about(file.filename, _etag(file), file.upload_time),
        *_caching(request, file.project),
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(file.size)),
    ]
    return Exact(status=_OK, headerlist=headers, app_iter=[])


def _stream(
    request: Request, file: DistributionFile, stream: IO[bytes], local: LocalFile | None
) -> Response:
    """The bytes, whole or the range that the client wants (RFC 9110, section 14).

    Args:
        local: where they lie; then reading never waits, and servers may do so as they like.
    """
    environ = request.environ
    etag = _etag(file)
    about = _about(file.filename, etag, file.upload_time)
    headers = [*about, *_caching(request, file.project)]
    size = file.size
    if _is_known(environ, etag, file):
        stream.close()
        return Exact(status=_NOT_MODIFIED, headerlist=headers)
    proxy = request.services.settings.proxy_sends_files
    if proxy is not None and local is not None and environ["REQUEST_METHOD"] == "GET":
        stream.close()  # opening it has shown that these are still the bytes of the index
        return handed_over(proxy, headers, local)
    start, stop, status = 0, size, _OK
    condition = environ.get("HTTP_IF_RANGE")
    fits = condition is None or condition in (etag, dict(about)[_MODIFIED])
    if fits and environ["REQUEST_METHOD"] == "GET":
        try:
            wanted = parse_range(environ.get("HTTP_RANGE"), size)
        except Unsatisfiable:
            stream.close()
            return Exact(status="416 Range Not Satisfiable", headerlist=_unsatisfiable(size))
        if wanted is not None:
            start, stop = wanted
            status = "206 Partial Content"
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    headers.append(("Content-Type", "application/octet-stream"))
    headers.append(("Content-Length", str(stop - start)))
    stream.seek(start)
    body = _body(environ, stream, stop - start, whole=local is not None and stop - start == size)
    return Exact(status=status, headerlist=headers, app_iter=body)


def _unsatisfiable(size: int) -> list[tuple[str, str]]:
    return [
        ("Content-Range", f"bytes */{size}"),
        ("Content-Length", "0"),
        ("Cache-Control", "no-store"),  # it is about the request, not the file
    ]


def _body(
    environ: dict[str, Any], stream: IO[bytes], length: int, *, whole: bool
) -> Iterable[bytes]:
    if length <= _BLOCK:
        with closing(stream):
            content = stream.read(length)
            return [content, *_Range(stream, length - len(content))]
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None and whole:
        wrapped: Iterable[bytes] = wrapper(stream, _BLOCK)
        return wrapped
    return _Range(stream, length)


class _Range:
    """A number of bytes from where a file stands, in blocks."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream = stream
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (block := self._stream.read(min(_BLOCK, self._left))):
            self._left -= len(block)
            yield block

    def close(self) -> None:
        """WSGI servers call this in any case."""
        self._stream.close()
