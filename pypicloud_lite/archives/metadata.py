"""Core metadata as the index needs it (PyPA core metadata specifications)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pypicloud_lite.errors import InvalidMetadata, InvalidName
from pypicloud_lite.names import ProjectName, parse_version, project_name

#: Longest metadata file that is read, in bytes.
MAX_METADATA = 1 << 20


@dataclass(frozen=True, slots=True)
class CoreMetadata:
    """The fields of a METADATA or PKG-INFO file that an index acts on, and all the others."""

    name: ProjectName
    #: The name as its author writes it.
    display_name: str
    #: As ``packaging`` prints it.
    version: str
    summary: str | None
    requires_python: str | None
    #: Every field that could be parsed, by its name in ``packaging.metadata.RawMetadata``.
    fields: Mapping[str, Any]


def absent(value: str | None) -> str | None:
    """``None`` for the values that old tools write where they mean nothing."""
    if value is None or value.strip() in ("", "UNKNOWN"):
        return None
    return value.strip()


def parse_core_metadata(content: bytes) -> CoreMetadata:
    """Parse a METADATA or PKG-INFO file.

    Fields and metadata versions that are newer than this code are kept or passed over, never
    refused.

    Raises:
        InvalidMetadata: no valid name, version or Requires-Python, or one of them twice, or a NUL.
    """
    if b"\0" in content:
        raise InvalidMetadata("The core metadata holds a NUL.")
    raw, unparsed = parse_email(content)
    fields = cast("dict[str, Any]", raw)
    for field in ("name", "version", "requires_python"):
        header = field.replace("_", "-")
        if header in unparsed:
            raise InvalidMetadata(f"The core metadata has no usable {header.title()}.")
    name, version = absent(fields.get("name")), absent(fields.get("version"))
    if name is None or version is None:
        raise InvalidMetadata("The core metadata has no Name or no Version.")
    try:
        project = project_name(name)
        parsed_version = str(parse_version(version))
    except (InvalidName, ValueError) as exc:
        raise InvalidMetadata(f"The core metadata is invalid: {exc}") from exc
    summary = absent(fields.get("summary"))
    return CoreMetadata(
        project,
        name,
        parsed_version,
        " ".join(summary.split()) if summary else None,
        check_requires_python(absent(fields.get("requires_python"))),
        fields,
    )


def check_requires_python(value: str | None) -> str | None:
    """Pass a valid ``Requires-Python`` on.

    Raises:
        InvalidMetadata: not a version specifier, which would make installers skip the file.
    """
    if value is None:
        return None
    try:
        SpecifierSet(value)
    except InvalidSpecifier as exc:
        raise InvalidMetadata(f"Requires-Python {value[:200]!r} is not a specifier.") from exc
    return value
