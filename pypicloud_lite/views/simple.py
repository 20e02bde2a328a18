"""The simple repository API."""

from __future__ import annotations

from pyramid.httpexceptions import HTTPNotAcceptable
from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.simple.negotiation import CONTENT_TYPES, Format, choose_format
from pypicloud_lite.views.contexts import RedirectTo, query_of
from pypicloud_lite.views.lasting import UNCHANGED
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import page_response


def _format(request: Request) -> Format:
    environ = request.environ
    query = request.GET.get("format") if environ.get("QUERY_STRING") else None
    chosen = choose_format(environ.get("HTTP_ACCEPT"), query)
    if chosen is None:
        raise HTTPNotAcceptable(f"This index has: {', '.join(CONTENT_TYPES)}")
    return chosen


@view_config(route_name="page", request_method="GET", permission="read", lasting=UNCHANGED)
@view_config(route_name="pypi_page", request_method="GET", permission="read")
def project_page(context: ProjectResource, request: Request) -> Response:
    """The page of one project."""
    return _page(context, request, _format(request))


@view_config(route_name="hatch_0", request_method="GET", permission="read")
@view_config(route_name="hatch_1", request_method="GET", permission="read")
@view_config(route_name="hatch_2", request_method="GET", permission="read")
@view_config(route_name="hatch_3", request_method="GET", permission="read")
def hatch_page(context: ProjectResource, request: Request) -> Response:
    """The same page where hatch looks for files that exist already: always HTML."""
    return _page(context, request, Format.HTML)


def _page(context: ProjectResource, request: Request, format_: Format) -> Response:
    services = request.services
    return page_response(
        request,
        services.catalog.project_page(context.project, format_),
        format_,
        public=services.rules.is_public(context.project),
        max_age=services.settings.page_max_age,
    )


@view_config(route_name="list", request_method="GET", permission="list", lasting=UNCHANGED)
@view_config(route_name="pypi_list", request_method="GET", permission="list")
def project_list(request: Request) -> Response:
    """The page of all projects that the caller may read."""
    services = request.services
    format_ = _format(request)
    return page_response(
        request,
        services.catalog.project_list_page(request.identity, format_),
        format_,
        public=services.rules.is_public_list(request.identity),
        max_age=services.settings.page_max_age,
    )


@view_config(route_name="list_bare", request_method="GET", permission="list")
@view_config(route_name="pypi_list_bare", request_method="GET", permission="list")
def project_list_without_slash(request: Request) -> Response:
    """PEP 503: pages end in a slash."""
    name = request.path_info.rpartition("/")[2]
    raise RedirectTo(f"{name}/{query_of(request)}", permanent=True)
