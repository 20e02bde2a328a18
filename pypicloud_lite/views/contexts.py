"""From the names in a URL to the project that it is about; redirects where it has another one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pyramid.interfaces import ITraverser
from zope.interface import implementer

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.errors import Denied, InvalidName, ProjectMissing
from pypicloud_lite.names import ProjectName, project_name
from pypicloud_lite.views.request import Request

#: What a query may hold besides letters and digits (RFC 3986, section 3.4).
_QUERY = "%!$&'()*+,;=:@/?-._~"


class RedirectTo(Exception):
    """The client shall go elsewhere; the exception view makes the response.

    Args:
        location: an absolute URL of another server, or a reference relative to the request's URL,
            which keeps host, scheme and mount prefix whatever proxies are in front.
    """

    def __init__(self, location: str, *, permanent: bool = False) -> None:
        super().__init__(location)
        self.location = location
        self.permanent = permanent


@implementer(ITraverser)
class NothingBelow:
    """What Pyramid takes for traversal: there is nothing below the context of a route.

    Its own traverser would go where a header tells it that any client can send.
    """

    def __init__(self, root: object) -> None:
        self._root = root

    def __call__(self, request: Request) -> dict[str, Any]:
        """What Pyramid wants to know of the context."""
        matched: dict[str, Any] = request.matchdict or {}
        root = self._root
        return {
            "context": root,
            "root": root,
            "view_name": "",
            "subpath": matched.get("subpath", ()),
            "traversed": (),
            "virtual_root": root,
            "virtual_root_path": (),
        }


def _name(request: Request) -> ProjectName:
    raw: str = request.matchdict["project"]
    try:
        return project_name(raw)
    except InvalidName as exc:
        raise ProjectMissing(f"No project {raw[:200]!r} in this index.") from exc


def _reads(request: Request) -> bool:
    """Whether a redirect helps: other methods end here, with 405 at most."""
    return request.environ["REQUEST_METHOD"] in ("GET", "HEAD")


def query_of(request: Request) -> str:
    """The query of the request as the end of a Location: what no URL can hold is escaped."""
    if not request.query_string:
        return ""
    return "?" + quote(request.query_string, safe=_QUERY, encoding="latin-1")


def project(request: Request) -> ProjectResource:
    """The project of the URL, however it is spelled."""
    return ProjectResource(_name(request))


def page(request: Request) -> ProjectResource:
    """The project of a page; other spellings are redirected (PEP 503), absent ones sent on."""
    name = _name(request)
    if not _reads(request):
        return ProjectResource(name)
    if request.matchdict["project"] != name:
        raise RedirectTo(f"../{name}/{query_of(request)}", permanent=True)
    services = request.services
    upstream = services.upstream.page_url(name)
    if upstream is not None and not services.catalog.has(name):
        _refuse_wrong_credentials(request)
        raise RedirectTo(upstream)
    return ProjectResource(name)


def page_without_slash(request: Request) -> ProjectResource:
    """PEP 503: pages end in a slash."""
    name = _name(request)
    if _reads(request):
        raise RedirectTo(f"{name}/{query_of(request)}", permanent=True)
    return ProjectResource(name)


def root_page(request: Request) -> ProjectResource:
    """pypicloud took a page at the root, too."""
    name = _name(request)
    if _reads(request):
        up = "../" if request.path_info.endswith("/") else ""
        raise RedirectTo(f"{up}simple/{name}/{query_of(request)}", permanent=True)
    return ProjectResource(name)


def json_document(request: Request) -> ProjectResource:
    """The project of a JSON document; absent ones are sent on."""
    name = _name(request)
    version: str | None = request.matchdict.get("version")
    services = request.services
    upstream = services.upstream.json_url(name, version and quote(version, safe=""))
    if _reads(request) and upstream is not None and not services.catalog.has(name):
        _refuse_wrong_credentials(request)
        raise RedirectTo(upstream)
    return ProjectResource(name)


def _refuse_wrong_credentials(request: Request) -> None:
    if request.refusal is not None:
        raise Denied(request.refusal.message)
