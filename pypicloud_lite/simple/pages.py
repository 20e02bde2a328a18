"""The pages of the simple repository API as values, before any format.

The API version is 1.4: the newest of the specification, and the last one of its HTML form
(PEP 833).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pypicloud_lite.model import DistributionFile, Project, ProjectStatus
from pypicloud_lite.names import ProjectName, version_key

API_VERSION = "1.4"


@dataclass(frozen=True, slots=True)
class FileLink:
    """A file on a project's page, with the URL that the page gives for it."""

    file: DistributionFile
    #: Without fragment.
    url: str
    #: Whether ``<url>.metadata`` answers with the core metadata (PEP 658).
    has_metadata: bool


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """The page of one project (PEP 691 "project detail")."""

    name: ProjectName
    status: ProjectStatus
    #: PEP 700: every version that has a file.
    versions: Sequence[str]
    links: Sequence[FileLink]


@dataclass(frozen=True, slots=True)
class ProjectListPage:
    """The page of all projects that the caller may read (PEP 691 "project list")."""

    names: Sequence[ProjectName]


def download_path(project: ProjectName, filename: str) -> str:
    """The path of a file below the root of this server, percent-encoded."""
    return f"api/package/{project}/{quote(filename, safe='')}"


def project_page(
    project: Project, page_url: Callable[[DistributionFile], str | None], *, root: str
) -> ProjectPage:
    """Make the page of a project.

    Args:
        page_url: the storage's own URL for a file, where pages carry it instead of ours.
        root: relative URL from the page to the root of this server, such as ``../../``.
    """
    files = sorted(project.files, key=lambda file: (version_key(file.version), file.filename))
    if not project.status.offers_files:
        files = []
    links = []
    for file in files:
        url = page_url(file)
        # Clients append ".metadata" to the path: impossible after a signed query.
        has_metadata = url is None and file.core_metadata_sha256 is not None
        links.append(
            FileLink(file, url or root + download_path(file.project, file.filename), has_metadata)
        )
    versions = tuple(dict.fromkeys(file.version for file in files))
    return ProjectPage(project.name, project.status, versions, links)
