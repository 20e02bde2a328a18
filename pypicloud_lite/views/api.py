"""The JSON APIs: pypicloud's ``/api/package/``, and pypi.org's ``/pypi/<project>/json``."""

from __future__ import annotations

from collections.abc import Sequence

from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.access.policy import ProjectResource
from pypicloud_lite.access.rules import Permission
from pypicloud_lite.errors import InvalidForm, ProjectMissing
from pypicloud_lite.model import DistributionFile, Project
from pypicloud_lite.names import same_version
from pypicloud_lite.settings.kinds import boolean
from pypicloud_lite.views.contexts import RedirectTo, query_of
from pypicloud_lite.views.documents import file_document, newest, project_document
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import json_response


@view_config(route_name="packages", request_method="GET", permission="list")
def packages(request: Request) -> Response:
    """The names of all projects that the caller may read; with ``verbose``, a line on each."""
    catalog = request.services.catalog
    if not _flag(request, "verbose"):
        return json_response({"packages": list(catalog.readable_projects(request.identity))})
    return json_response(
        {
            "packages": [
                {
                    "name": summary.name,
                    "summary": summary.summary,
                    "last_modified": int(summary.last_modified.timestamp()),
                }
                for summary in catalog.readable_summaries(request.identity)
            ]
        }
    )


@view_config(route_name="packages_bare", request_method="GET", permission="list")
def packages_without_slash(request: Request) -> Response:
    """pypicloud redirected this one, too."""
    raise RedirectTo(f"package/{query_of(request)}", permanent=True)


@view_config(route_name="package", request_method="GET", permission="read")
@view_config(route_name="package_bare", request_method="GET", permission="read")
def package(context: ProjectResource, request: Request) -> Response:
    """All files of a project, and whether the caller may write to it."""
    services = request.services
    project = services.catalog.project(context.project)
    may_write = services.rules.permits(request.identity, context.project, Permission.WRITE)
    files = _newest_first(project) if may_write or project.status.offers_files else []
    return json_response(
        {
            "packages": [file_document(request, file) for file in files],
            "write": may_write,
            "status": project.status.status,
            "status_reason": project.status.reason or None,
        }
    )


@view_config(route_name="file", request_method="DELETE", permission="delete")
def delete(context: ProjectResource, request: Request) -> Response:
    """Delete a file."""
    filename: str = request.matchdict["filename"]
    request.facts["filename"] = filename
    deleted = request.services.publishing.delete(context.project, filename, request.identity)
    request.facts.update(sha256=deleted.sha256, version=deleted.version)
    return json_response({"deleted": deleted.filename})


@view_config(route_name="pypi_json", request_method="GET", permission="read")
@view_config(route_name="pypi_json_slash", request_method="GET", permission="read")
@view_config(route_name="page_json", request_method="GET", permission="read")
@view_config(route_name="release_json", request_method="GET", permission="read")
def json_document(context: ProjectResource, request: Request) -> Response:
    """A project's newest or given release, as pypi.org describes it."""
    catalog = request.services.catalog
    project = catalog.project(context.project)
    files = project.files if project.status.offers_files else ()
    wanted: str | None = request.matchdict.get("version")
    version = _stored_version(files, wanted) if wanted else newest(files)
    if version is None:
        release = f"release {wanted[:200]!r}" if wanted else "release"
        raise ProjectMissing(f"No {release} of {context.project!r} in this index.")
    chosen = sorted(
        (file for file in files if same_version(file.version, version)),
        key=lambda file: (not file.is_wheel, file.filename),
    )
    core_metadata = catalog.any_core_metadata(chosen[0])
    shown = Project(project.name, project.serial, project.status, files)
    return json_response(project_document(request, shown, version, core_metadata))


def _stored_version(files: Sequence[DistributionFile], wanted: str) -> str | None:
    """The spelling that the index has for a version."""
    return next((file.version for file in files if same_version(file.version, wanted)), None)


def _newest_first(project: Project) -> list[DistributionFile]:
    return sorted(project.files, key=lambda file: (file.upload_time, file.filename), reverse=True)


def _flag(request: Request, name: str) -> bool:
    try:
        return bool(boolean.parse(request.GET.get(name, "false")))
    except ValueError as exc:
        raise InvalidForm(f"{name} must be true or false.") from exc
