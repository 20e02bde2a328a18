"""Pages as HTML5 and as JSON, from one page value each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from pypicloud_lite.model import iso_utc
from pypicloud_lite.simple.pages import API_VERSION, FileLink, ProjectListPage, ProjectPage


def project_html(page: ProjectPage) -> bytes:
    """PEP 503 with the additions of PEPs 592, 629, 658, 714 and 792."""
    title = f"Links for {escape(page.name)}"
    meta = f'<meta name="pypi:project-status" content="{page.status.status}">\n'
    if page.status.reason:
        reason = escape(page.status.reason, quote=True)
        meta += f'<meta name="pypi:project-status-reason" content="{reason}">\n'
    return _html(title, meta, (_anchor(link) for link in page.links))


def project_list_html(page: ProjectListPage) -> bytes:
    """PEP 503: the root page. Normalized names need no escaping."""
    return _html("Simple index", "", (f'<a href="{name}/">{name}</a>' for name in page.names))


def _html(title: str, meta: str, anchors: Iterator[str]) -> bytes:
    body = "".join(f"{anchor}<br>\n" for anchor in anchors)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n{meta}'
        f"<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    ).encode()


def _anchor(link: FileLink) -> str:
    file = link.file
    fragment = f"#sha256={file.sha256}" if file.sha256 else ""
    parts = [f'<a href="{escape(link.url + fragment, quote=True)}"']
    if file.requires_python:
        parts.append(f' data-requires-python="{escape(file.requires_python, quote=True)}"')
    if link.has_metadata:
        digest = escape(f"sha256={file.core_metadata_sha256}", quote=True)
        parts.append(f' data-core-metadata="{digest}" data-dist-info-metadata="{digest}"')
    if file.yanked is not None:
        parts.append(f' data-yanked="{escape(file.yanked, quote=True)}"')
    if file.provenance:
        parts.append(f' data-provenance="{escape(file.provenance, quote=True)}"')
    # Not in the specification, but uv reads them where it is given HTML.
    parts.append(f' data-size="{file.size}" data-upload-time="{iso_utc(file.upload_time)}"')
    parts.append(f">{escape(file.filename)}</a>")
    return "".join(parts)


def project_json(page: ProjectPage) -> bytes:
    """PEP 691 with the additions of PEPs 700, 714, 740 and 792."""
    status: dict[str, str] = {"status": page.status.status}
    if page.status.reason:
        status["reason"] = page.status.reason
    return _json(
        {
            "meta": {"api-version": API_VERSION},
            "name": page.name,
            "project-status": status,
            "versions": list(page.versions),
            "files": [_file(link) for link in page.links],
        }
    )


def project_list_json(page: ProjectListPage) -> bytes:
    """PEP 691: the root page."""
    return _json(
        {
            "meta": {"api-version": API_VERSION},
            "projects": [{"name": name} for name in page.names],
        }
    )


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _file(link: FileLink) -> dict[str, Any]:
    file = link.file
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": link.url,
        "hashes": {"sha256": file.sha256} if file.sha256 else {},
        "size": file.size,
        "upload-time": iso_utc(file.upload_time),
        "yanked": False if file.yanked is None else file.yanked or True,
    }
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    if link.has_metadata:
        digest = {"sha256": file.core_metadata_sha256}
        entry["core-metadata"] = digest
        entry["dist-info-metadata"] = digest
    if file.provenance:
        entry["provenance"] = file.provenance
    return entry
