"""The facts of a file as metadata of its object, in pypicloud's names.

S3 takes 2 KB of ASCII. What is cut or folded to fit is whole in a sidecar object.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pypicloud_lite.errors import InvalidName
from pypicloud_lite.model import DistributionFile, StoredFile, clean, iso_utc, parse_iso_utc
from pypicloud_lite.names import ProjectName, project_name

#: What S3 allows for names and values together, in bytes.
LIMIT = 2048
#: Some servers count the names as they stand in the request.
_PREFIX = len("x-amz-meta-")
_SHA256 = re.compile(r"\A[0-9a-f]{64}\Z")


def to_object_metadata(file: DistributionFile) -> tuple[dict[str, str], bool]:
    """The object's metadata, and whether it holds all facts unchanged."""
    facts = {
        "name": file.project,
        "version": file.version,
        "hash-sha256": file.sha256,
        "hash-md5": file.md5,
        "upload-time": iso_utc(file.upload_time),
        "hash-blake2b-256": file.blake2b_256,
        "core-metadata-sha256": file.core_metadata_sha256,
        "requires-python": file.requires_python,
        "uploader": file.uploader,
        "summary": file.summary,
    }
    metadata: dict[str, str] = {}
    lossless = file.yanked is None and file.provenance is None
    room = LIMIT
    for name, value in facts.items():
        if not value:
            lossless = lossless and value is None
            continue
        folded = fold(value)
        fitting = folded[: max(0, room - _PREFIX - len(name))].strip()
        lossless = lossless and fitting == value
        if fitting:
            metadata[name] = fitting
            room -= _PREFIX + len(name) + len(fitting)
    return metadata, lossless


def fold(value: str) -> str:
    """ASCII only, as pypicloud folds: accents dropped, white space single."""
    decomposed = unicodedata.normalize("NFKD", value)
    ascii_only = "".join(char for char in decomposed if " " <= char < "\x7f" or char.isspace())
    return re.sub(r"\s+", " ", ascii_only)


def from_object_metadata(
    stored: StoredFile, raw: Mapping[str, str], modified: datetime
) -> DistributionFile:
    """The facts in an object's metadata, ours or pypicloud's; what is missing is ``None``."""
    metadata = {
        name.lower().replace("_", "-"): clean(value) for name, value in raw.items() if value
    }
    sha256 = metadata.get("hash-sha256", "").lower()
    core = metadata.get("core-metadata-sha256", "").lower()
    project, version = _named(stored, metadata)
    return DistributionFile(
        project=project,
        version=version,
        filename=stored.filename,
        key=stored.key,
        size=stored.size,
        stamp=stored.stamp,
        sha256=sha256 if _SHA256.match(sha256) else None,
        md5=metadata.get("hash-md5"),
        blake2b_256=metadata.get("hash-blake2b-256"),
        requires_python=metadata.get("requires-python"),
        summary=metadata.get("summary"),
        core_metadata_sha256=core if _SHA256.match(core) else None,
        uploader=metadata.get("uploader"),
        upload_time=_time(metadata, modified),
    )


def _named(stored: StoredFile, metadata: Mapping[str, str]) -> tuple[ProjectName, str]:
    """The project that the object's metadata names, and the version that its file name does.

    pypicloud took the version from the upload form, unchecked; it counts where the name has none.
    """
    try:
        return project_name(metadata["name"]), stored.version or metadata["version"]
    except (KeyError, InvalidName):
        return stored.project, stored.version


def _time(metadata: Mapping[str, Any], modified: datetime) -> datetime:
    try:
        return parse_iso_utc(metadata["upload-time"])
    except (KeyError, ValueError):
        return modified
