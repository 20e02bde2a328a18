"""Yanking and project status: ``POST /api/package/<project>/...``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.errors import InvalidForm
from pypicloud_lite.model import ProjectStatus, Status
from pypicloud_lite.views.documents import file_document
from pypicloud_lite.views.fields import read_fields
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import json_response

#: Longest reason that is kept, in characters.
_MAX_REASON = 1000


@view_config(route_name="yank", request_method="POST", permission="yank")
def yank(context: ProjectResource, request: Request) -> Response:
    """Yank a file (``filename``) or a release (``version``), with an optional ``reason``."""
    return _yank(context, request, undo=False)


@view_config(route_name="unyank", request_method="POST", permission="unyank")
def unyank(context: ProjectResource, request: Request) -> Response:
    """Take a yank back."""
    return _yank(context, request, undo=True)


def _yank(context: ProjectResource, request: Request, *, undo: bool) -> Response:
    fields = read_fields(request, {"filename", "version", "reason"})
    filename, version = fields.get("filename"), fields.get("version")
    if (filename is None) == (version is None):
        raise InvalidForm("Give either filename, for one file, or version, for a release.")
    reason = None if undo else _reason(fields)
    request.facts.update(filename=filename, version=version, reason=reason or None)
    files = request.services.publishing.yank(
        context.project, reason, request.identity, filename=filename, version=version
    )
    request.facts["files"] = [file.filename for file in files]
    return json_response({"packages": [file_document(request, file) for file in files]})


@view_config(route_name="status", request_method="POST", permission="status")
def set_status(context: ProjectResource, request: Request) -> Response:
    """Set the project's status marker (PEP 792): ``status``, and an optional ``reason``."""
    fields = read_fields(request, {"status", "reason"})
    status = fields.get("status", "")
    if status not in get_args(Status):
        raise InvalidForm(f"status must be one of {', '.join(get_args(Status))}.")
    marker = ProjectStatus(cast(Status, status), _reason(fields))
    request.facts.update(status=marker.status, reason=marker.reason or None)
    request.services.publishing.set_status(context.project, marker, request.identity)
    return json_response(
        {"name": context.project, "status": marker.status, "reason": marker.reason or None}
    )


def _reason(fields: Mapping[str, str]) -> str:
    reason = " ".join(fields.get("reason", "").split())
    if len(reason) > _MAX_REASON or not reason.isprintable():
        raise InvalidForm(f"reason must be at most {_MAX_REASON} printable characters.")
    return reason
