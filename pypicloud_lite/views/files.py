"""Downloading distribution files and their core metadata."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import format_datetime, parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urlsplit

from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.model import DistributionFile
from pypicloud_lite.settings.table import IMMUTABLE_SECONDS
from pypicloud_lite.storage.base import LocalFile, RemoteUrl
from pypicloud_lite.views.handover import handed_over
from pypicloud_lite.views.ranges import Unsatisfiable, parse_range
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import VARY_BY_USER, Redirect, cache_control, matches

METADATA_SUFFIX = ".metadata"
_BLOCK = 1 << 18


@view_config(route_name="file", request_method="GET", permission="read")
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
        return _head(request, file) if request.method == "HEAD" else _elsewhere(location)
    return _stream(request, *catalog.open(file), local=isinstance(location, LocalFile))


def _may_redirect(request: Request, location: RemoteUrl) -> bool:
    """Whether the client shall fetch the bytes from the storage itself.

    Not when the storage has the name and port of this server: the client would send it our
    Authorization header, which S3 refuses beside a signature.
    """
    if request.services.settings.stream_files:
        return False
    return urlsplit(location.url).netloc != request.environ.get("HTTP_HOST")


def _core_metadata(request: Request, file: DistributionFile) -> Response:
    catalog = request.services.catalog
    location = catalog.locate_core_metadata(file)
    if location is not None and request.method == "GET" and _may_redirect(request, location):
        return _elsewhere(location)
    content = catalog.core_metadata(file)
    headers = _caching(request, file, f'"{file.core_metadata_sha256}"')
    if matches(request.environ.get("HTTP_IF_NONE_MATCH"), headers[0][1]):
        return Response(status=304, headerlist=headers)
    headers += [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(len(content))),
    ]
    return Response(status=200, headerlist=headers, app_iter=[content])


def _elsewhere(location: RemoteUrl) -> Response:
    response = Redirect(location.url)
    # The URL is a key to the file: no shared cache may hand it to others.
    response.headers["Cache-Control"] = cache_control(public=False, max_age=location.seconds)
    response.headers["Vary"] = VARY_BY_USER
    return response


def _caching(request: Request, file: DistributionFile, etag: str) -> list[tuple[str, str]]:
    services = request.services
    max_age = services.settings.package_max_age
    if max_age is None:
        max_age = 0 if services.rules.overwrite_groups else IMMUTABLE_SECONDS
    public = services.rules.is_public(file.project)
    immutable = max_age >= IMMUTABLE_SECONDS
    headers = [
        ("ETag", etag),
        ("Cache-Control", cache_control(public=public, max_age=max_age, immutable=immutable)),
    ]
    return headers if public else [*headers, ("Vary", VARY_BY_USER)]


def _file_headers(request: Request, file: DistributionFile) -> dict[str, str]:
    """What every answer about a file says of it."""
    modified = format_datetime(file.upload_time.replace(microsecond=0), usegmt=True)
    return {
        **dict(_caching(request, file, f'"{file.sha256 or file.stamp}"')),
        "Last-Modified": modified,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{file.filename}"',
    }


def _is_known(environ: dict[str, Any], etag: str, file: DistributionFile) -> bool:
    """Whether the client has the file (RFC 9110: the entity tag goes before the date)."""
    tags = environ.get("HTTP_IF_NONE_MATCH")
    if tags is not None:
        return matches(tags, etag)
    try:
        since = parsedate_to_datetime(environ.get("HTTP_IF_MODIFIED_SINCE", ""))
    except ValueError:
        return False
    return since.tzinfo is not None and file.upload_time.replace(microsecond=0) <= since


def _head(request: Request, file: DistributionFile) -> Response:
    headers = _file_headers(request, file) | {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(file.size),
    }
    return Response(status=200, headerlist=list(headers.items()), app_iter=[])


def _stream(
    request: Request, file: DistributionFile, stream: IO[bytes], *, local: bool
) -> Response:
    """The bytes, whole or the range that the client wants (RFC 9110, section 14).

    Args:
        local: reading never waits, so that the server may do so outside of its threads.
    """
    environ = request.environ
    about = _file_headers(request, file)
    etag, modified = about["ETag"], about["Last-Modified"]
    headers = list(about.items())
    size = file.size
    if _is_known(environ, etag, file):
        stream.close()
        return Response(status=304, headerlist=headers)
    proxy = request.services.settings.proxy_sends_files
    if proxy is not None and local and request.method == "GET":
        stream.close()  # opening it has shown that these are still the bytes of the index
        return handed_over(proxy, headers, request.services.storage, file)
    start, stop, status = 0, size, 200
    condition = environ.get("HTTP_IF_RANGE")
    if request.method == "GET" and condition in (None, etag, modified):
        try:
            wanted = parse_range(environ.get("HTTP_RANGE"), size)
        except Unsatisfiable:
            stream.close()
            headers.append(("Content-Range", f"bytes */{size}"))
            return Response(status=416, headerlist=[*headers, ("Content-Length", "0")])
        if wanted is not None:
            start, stop = wanted
            status = 206
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    headers.append(("Content-Type", "application/octet-stream"))
    headers.append(("Content-Length", str(stop - start)))
    stream.seek(start)
    return Response(
        status=status,
        headerlist=headers,
        app_iter=_body(environ, stream, stop - start, whole=local and stop - start == size),
    )


def _body(environ: dict[str, Any], stream: IO[bytes], length: int, *, whole: bool) -> Any:
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None and whole:
        return wrapper(stream, _BLOCK)
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
