"""The values that everything else speaks of: frozen, without I/O, without HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self, get_args

from pypicloud_lite.names import (
    LEGACY_TYPES,
    STANDARD_TYPES,
    FileName,
    ProjectName,
    extension_of,
)

#: Status markers of PEP 792.
Status = Literal["active", "archived", "quarantined", "deprecated"]
STATUSES: tuple[Status, ...] = get_args(Status)
#: NUL, and halves of surrogate pairs, which JSON can spell and UTF-8 can't.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One distribution file as a listing of the storage shows it: cheap, without its facts."""

    #: Where the storage keeps the bytes; opaque to everyone else.
    key: str
    filename: str
    project: ProjectName
    version: str
    #: Bytes.
    size: int
    #: Changes whenever the bytes change: an mtime, an ETag. Opaque.
    stamp: str
    #: Aware, UTC.
    modified: datetime
    #: What the listing shows beside the file: suffix of the sidecar -> its stamp.
    beside: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def listed(
        cls,
        stamp: Stamp,
        name: FileName,
        modified: datetime,
        beside: Mapping[str, str] | None = None,
    ) -> Self:
        """The entry of a file whose name could be read."""
        return cls(
            key=stamp.key,
            filename=name.filename,
            project=name.project,
            version=name.version,
            size=stamp.size,
            stamp=stamp.stamp,
            modified=modified,
            beside=beside or {},
        )


class Stamp(NamedTuple):
    """What tells whether a file is still the one that it was when it was looked at."""

    key: str
    filename: str
    #: Bytes.
    size: int
    #: See :class:`StoredFile`.
    stamp: str

    @classmethod
    def of(cls, stored: StoredFile) -> Self:
        """That of a listed file."""
        return cls(stored.key, stored.filename, stored.size, stored.stamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionFile:
    """One distribution file with every fact that the index serves."""

    project: ProjectName
    version: str
    filename: str
    #: Where the storage keeps the bytes; opaque to everyone else.
    key: str
    #: PEP 700: bytes.
    size: int
    #: See :class:`StoredFile`.
    stamp: str
    #: PEP 503/691: lower-case hex, of the file's bytes. ``None`` for a file that someone else put
    #: where reading it whole would cost too much.
    sha256: str | None
    md5: str | None = None
    blake2b_256: str | None = None
    #: PEP 503: version specifier from the file's own metadata, not escaped.
    requires_python: str | None = None
    summary: str | None = None
    #: PEP 658/714: sha256 of the wheel's METADATA; ``None`` when it can't be offered.
    core_metadata_sha256: str | None = None
    uploader: str | None = None
    #: PEP 700: aware, UTC.
    upload_time: datetime
    #: PEP 592: ``None`` is not yanked; else the reason, possibly empty.
    yanked: str | None = None
    #: PEP 740: URL of the provenance object.
    provenance: str | None = None

    @property
    def packagetype(self) -> str:
        """``sdist``, ``bdist_wheel`` or a retired type, as the upload API names them."""
        extension = extension_of(self.filename) or ""
        return (STANDARD_TYPES | LEGACY_TYPES).get(extension, "")

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel, by its extension."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """PEP 792: the status marker of a project and why."""

    status: Status = "active"
    reason: str = ""

    @property
    def accepts_uploads(self) -> bool:
        """Whether new files may be uploaded."""
        return self.status not in ("archived", "quarantined")

    @property
    def offers_files(self) -> bool:
        """Whether clients get to see and download files."""
        return self.status != "quarantined"


@dataclass(frozen=True, slots=True)
class Project:
    """A project with all its distribution files."""

    name: ProjectName
    #: Grows with every change of the project, across all processes.
    serial: int
    status: ProjectStatus
    files: Sequence[DistributionFile] = ()


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """One line of the list of projects."""

    name: ProjectName
    summary: str | None
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of the bytes received, lower-case hex, by the name of the upload API's field."""

    sha256: str
    md5: str
    others: Mapping[str, str] = field(default_factory=dict)


def clean(text: str) -> str:
    """Without what no database or page can hold: NUL, and halves of surrogate pairs."""
    return _UNSTORABLE.sub("", text)


def utcnow() -> datetime:
    """The time now: aware, UTC."""
    return datetime.now(UTC)


def is_storable(value: object) -> bool:
    """Whether it is a text that every database and storage can keep."""
    return isinstance(value, str) and _UNSTORABLE.search(value) is None


def iso_utc(when: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SS.ffffffZ`` (PEP 700 ``upload-time``)."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_iso_utc(text: str) -> datetime:
    """Read what :func:`iso_utc` wrote.

    Raises:
        ValueError: another format.
    """
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return when.astimezone(UTC)
