"""The JSON documents about projects and files: pypicloud's own, and those of pypi.org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pypicloud_lite.archives import parse_core_metadata
from pypicloud_lite.errors import InvalidMetadata
from pypicloud_lite.model import DistributionFile, Project, iso_utc
from pypicloud_lite.names import extension_of, parse_version, same_version, version_key
from pypicloud_lite.views.request import Request


def server_url(request: Request) -> str:
    """The URL of this server: as configured, else as the client wrote it."""
    return (request.services.settings.download_url or request.application_url).rstrip("/")


def file_url(request: Request, file: DistributionFile) -> str:
    """The absolute URL that this server serves the file at."""
    filename = quote(file.filename, safe="")
    return f"{server_url(request)}/api/package/{file.project}/{filename}"


def file_document(request: Request, file: DistributionFile) -> dict[str, Any]:
    """A file as pypicloud's API describes it, and what it didn't know."""
    metadata = {
        "summary": file.summary,
        "requires_python": file.requires_python,
        "hash_sha256": file.sha256,
        "hash_md5": file.md5,
        "uploader": file.uploader,
    }
    return {
        "name": file.project,
        "filename": file.filename,
        "last_modified": int(file.upload_time.timestamp()),
        "version": file.version,
        "url": file_url(request, file),
        "summary": file.summary,
        "metadata": {name: value for name, value in metadata.items() if value},
        "size": file.size,
        "upload_time": iso_utc(file.upload_time),
        "yanked": file.yanked is not None,
        "yanked_reason": file.yanked or None,
    }


def newest(files: Sequence[DistributionFile]) -> str | None:
    """The version that installers would choose: final before pre-release, not yanked first."""

    def rank(file: DistributionFile) -> tuple[bool, bool, Any]:
        try:
            final = not parse_version(file.version).is_prerelease
        except ValueError:
            final = False
        return (file.yanked is None, final, version_key(file.version))

    return max(files, key=rank).version if files else None


def project_document(
    request: Request, project: Project, version: str, core_metadata: bytes | None
) -> dict[str, Any]:
    """A release of a project in the shape of pypi.org's JSON API."""
    releases: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(project.files, key=lambda file: (version_key(file.version), file.filename)):
        releases.setdefault(file.version, []).append(_release_file(request, file))
    return {
        "info": _info(project, version, core_metadata),
        "last_serial": project.serial,
        "releases": releases,
        "urls": [
            entry
            for stored, entries in releases.items()
            if same_version(stored, version)
            for entry in entries
        ],
        "vulnerabilities": [],
    }


def _info(project: Project, version: str, core_metadata: bytes | None) -> dict[str, Any]:
    fields: Mapping[str, Any] = {}
    name: str = project.name
    if core_metadata is not None:
        try:
            parsed = parse_core_metadata(core_metadata)
            name, fields = parsed.display_name, parsed.fields
        except InvalidMetadata:
            pass
    chosen = [file for file in project.files if same_version(file.version, version)]
    yanked = [file.yanked for file in chosen if file.yanked is not None]
    all_yanked = bool(chosen) and len(yanked) == len(chosen)
    text_fields = (
        "author", "author_email", "maintainer", "maintainer_email", "license",
        "license_expression", "description_content_type", "home_page", "download_url",
    )  # fmt: skip
    return {
        "name": name,
        "version": version,
        "summary": fields.get("summary") or next((f.summary for f in chosen if f.summary), ""),
        "description": fields.get("description", ""),
        **{field: fields.get(field) or "" for field in text_fields},
        "keywords": ",".join(fields.get("keywords", [])),
        "classifiers": fields.get("classifiers", []),
        "platform": ",".join(fields.get("platforms", [])),
        "project_urls": fields.get("project_urls") or None,
        "requires_dist": fields.get("requires_dist") or None,
        "requires_python": fields.get("requires_python")
        or next((f.requires_python for f in chosen if f.requires_python), None),
        "provides_extra": fields.get("provides_extra") or None,
        "dynamic": fields.get("dynamic") or None,
        "yanked": all_yanked,
        "yanked_reason": (yanked[0] or None) if all_yanked else None,
    }


def _release_file(request: Request, file: DistributionFile) -> dict[str, Any]:
    digests = {"sha256": file.sha256, "md5": file.md5, "blake2b_256": file.blake2b_256}
    return {
        "filename": file.filename,
        "packagetype": file.packagetype,
        "python_version": _python_version(file),
        "url": file_url(request, file),
        "size": file.size,
        "digests": {name: value for name, value in digests.items() if value},
        "md5_digest": file.md5,
        "requires_python": file.requires_python,
        "upload_time": iso_utc(file.upload_time)[:19],
        "upload_time_iso_8601": iso_utc(file.upload_time),
        "yanked": file.yanked is not None,
        "yanked_reason": file.yanked or None,
        "has_sig": False,
        "comment_text": "",
        "downloads": -1,
    }


def _python_version(file: DistributionFile) -> str:
    if file.is_wheel:
        return file.filename.removesuffix(".whl").split("-")[-3]
    return "source" if extension_of(file.filename) else ""
