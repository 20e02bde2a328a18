"""Uploading: the legacy upload API, and pypicloud's own address for it."""

from __future__ import annotations

from collections.abc import Mapping

from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.errors import GoneAction, InvalidForm, InvalidMetadata
from pypicloud_lite.names import parse_filename
from pypicloud_lite.publishing import Upload
from pypicloud_lite.settings.table import ServerSettings
from pypicloud_lite.views.documents import file_document
from pypicloud_lite.views.form import FormLimits, received_upload
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import json_response

_GONE = frozenset({"submit", "submit_pkg_info", "doc_upload", "verify"})


@view_config(route_name="home", request_method="POST", permission="upload")
@view_config(route_name="list", request_method="POST", permission="upload")
@view_config(route_name="list_bare", request_method="POST", permission="upload")
@view_config(route_name="pypi_list", request_method="POST", permission="upload")
@view_config(route_name="pypi_list_bare", request_method="POST", permission="upload")
@view_config(route_name="legacy", request_method="POST", permission="upload")
@view_config(route_name="legacy_bare", request_method="POST", permission="upload")
def upload(request: Request) -> Response:
    """The legacy upload API, answered at every address that clients know, never redirected."""
    services = request.services
    with received_upload(
        request.environ,
        services.publishing.spool,
        limits=_limits(services.settings),
        check=lambda fields: _check_action(request, fields),
    ) as received:
        return _publish(request, received)


@view_config(route_name="file", request_method="POST", permission="upload")
def upload_file(context: ProjectResource, request: Request) -> Response:
    """pypicloud's address: the URL names the project and the file."""
    services = request.services
    filename: str = request.matchdict["filename"]
    with received_upload(
        request.environ,
        services.publishing.spool,
        limits=_limits(services.settings),
    ) as received:
        if received.filename != filename:
            raise InvalidForm(f"The URL names {filename[:200]!r}, the form {received.filename!r}.")
        if parse_filename(filename).project != context.project:
            raise InvalidMetadata(
                f"The URL names the project {context.project!r}, but {filename!r} is another's."
            )
        return _publish(request, received)


def _limits(settings: ServerSettings) -> FormLimits:
    return FormLimits(
        file=settings.max_file_size,
        field=settings.max_form_field_size,
        long_field=settings.max_description_size,
        text=settings.max_form_size,
        fields=settings.max_form_fields,
    )


def _publish(request: Request, received: Upload) -> Response:
    request.facts.update(
        filename=received.filename, size=received.size, sha256=received.digests.sha256
    )
    published = request.services.publishing.publish(received, request.identity)
    file = published.file
    request.facts.update(project=file.project, version=file.version, changed=published.changed)
    if published.replaced:
        request.facts["action"] = "overwrite"
    document = file_document(request, file)
    if published.warnings:
        document |= {"warnings": published.warnings}
    return json_response(document)


def _check_action(request: Request, fields: Mapping[str, str]) -> None:
    action = fields.get(":action") or request.GET.get(":action") or "file_upload"
    if action in _GONE:
        raise GoneAction(f"The action {action!r} is no longer offered by package indexes.")
    if action != "file_upload":
        raise InvalidForm(f"Unknown action {action[:100]!r}.")
    if fields.get("protocol_version", "1") != "1":
        raise InvalidForm("Unknown protocol version.")
