"""Project names, versions and the names of distribution files.

``packaging`` decides what is valid, behind an ASCII allow-list of our own: its parsers accept
path separators, NUL and markup. Names that passed are typed ``ProjectName``, so that a type
checker can require the check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType, cast

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from pypicloud_lite.errors import InvalidFilename, InvalidName

#: A normalized project name (PEP 503); only :func:`project_name` makes one.
ProjectName = NewType("ProjectName", str)

#: Longest file name in bytes: sidecar and temporary suffixes must still fit in 255.
MAX_FILENAME = 200
MAX_PROJECT_NAME = 150
#: Longest version text in characters; longer integers are a denial of service in ``int()``.
MAX_VERSION = 150
_MAX_WHEEL_TAGS = 2000

_NAME = re.compile(r"\A(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9])\Z", re.ASCII)
_FILENAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._+!-]*\Z", re.ASCII)
_EGG = re.compile(r"\A(?P<name>[^-]+)-(?P<version>[^-]+)(?:-py\d.*)?\Z")
_WININST = re.compile(r"\.(?:win32|win-amd64|win-arm64|linux-\w+|macosx-[\w.]+)(?:-py\d[\d.]*)?\Z")

#: Extensions that every upload may have, with the ``filetype`` of the legacy upload API.
STANDARD_TYPES = {".whl": "bdist_wheel", ".tar.gz": "sdist", ".zip": "sdist"}
#: Extensions of retired formats: served from old stores, uploaded only where a setting allows.
LEGACY_TYPES = {
    ".tar.bz2": "sdist",
    ".tar.xz": "sdist",
    ".tgz": "sdist",
    ".tbz": "sdist",
    ".tar": "sdist",
    ".egg": "bdist_egg",
    ".exe": "bdist_wininst",
    ".msi": "bdist_msi",
    ".rpm": "bdist_rpm",
}
_ALL_TYPES = STANDARD_TYPES | LEGACY_TYPES


@lru_cache(maxsize=16384)
def project_name(name: str) -> ProjectName:
    """Normalize a project name after PEP 503.

    Raises:
        InvalidName: the text isn't a name after the PyPA name format specification.
    """
    if len(name) > MAX_PROJECT_NAME or _NAME.match(name) is None:
        raise InvalidName(
            f"{name[:MAX_PROJECT_NAME]!r} is not a valid project name: ASCII letters and digits, "
            "with '.', '-' and '_' between them."
        )
    return cast(ProjectName, canonicalize_name(name))


def parse_version(text: str) -> Version:
    """Parse a version (PyPA version specifiers).

    Raises:
        ValueError: not a version, or absurdly long.
    """
    if len(text) > MAX_VERSION or text != text.strip():
        raise InvalidVersion(f"Invalid version: {text[:MAX_VERSION]!r}")
    return Version(text)


def version_key(text: str) -> tuple[int, Version | str]:
    """Sort key for version texts; those that no tool can parse come first, by their text."""
    try:
        return (1, parse_version(text))
    except ValueError:
        return (0, text)


def same_version(left: str, right: str) -> bool:
    """Whether two texts mean one version (1.0 and 1.0.0 do)."""
    try:
        return parse_version(left) == parse_version(right)
    except ValueError:
        return left == right


@dataclass(frozen=True, slots=True)
class FileName:
    """The name of a distribution file and what it says."""

    filename: str
    project: ProjectName
    #: The version as ``packaging`` prints it, or as written when it can't be parsed (old files).
    version: str
    #: ``bdist_wheel``, ``sdist`` or a retired type.
    packagetype: str
    extension: str

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel, by its extension."""
        return self.extension == ".whl"


def check_filename(filename: str) -> None:
    """Refuse whatever could not be a plain file name.

    Raises:
        InvalidFilename: empty, too long, or with characters outside of the allow-list.
    """
    if not filename:
        raise InvalidFilename("The uploaded file has no name.")
    if "/" in filename or "\\" in filename:
        raise InvalidFilename("Cannot upload a file with '/' or '\\' in the name.")
    if len(filename) > MAX_FILENAME:
        raise InvalidFilename(f"The filename is longer than {MAX_FILENAME} characters.")
    if _FILENAME.match(filename) is None:
        raise InvalidFilename(
            f"Filename {filename!r} is not allowed: it must begin with a letter or digit and hold "
            "only ASCII letters, digits and . _ + ! -"
        )


def extension_of(filename: str) -> str | None:
    """The known extension of ``filename``, or ``None``."""
    return next((ext for ext in _ALL_TYPES if filename.endswith(ext)), None)


@lru_cache(maxsize=16384)
def parse_filename(filename: str, *, legacy: bool = True) -> FileName:
    """Read project, version and type from the name of a distribution file.

    Args:
        legacy: also take formats that package indexes retired (eggs, wininst, …).

    Raises:
        InvalidFilename: with a sentence for the uploader.
    """
    check_filename(filename)
    extension = extension_of(filename)
    if extension is None or (extension in LEGACY_TYPES and not legacy):
        raise InvalidFilename(
            f"Filename {filename!r} has no extension that this index takes: "
            f"{', '.join(sorted(_ALL_TYPES if legacy else STANDARD_TYPES))}"
        )
    stem = filename.removesuffix(extension)
    try:
        if extension == ".whl":
            name, version = _parse_wheel(filename)
        elif extension in STANDARD_TYPES:
            name, version = _parse_sdist(filename)
        else:
            name, version = _parse_legacy(stem, extension)
        if len(version) > MAX_VERSION:
            raise InvalidVersion(f"its version is longer than {MAX_VERSION} characters")
    except (InvalidSdistFilename, InvalidWheelFilename, InvalidVersion, InvalidName) as exc:
        raise InvalidFilename(f"Filename {filename!r} is invalid: {exc}") from exc
    except ValueError as exc:  # int() of a version with thousands of digits
        raise InvalidFilename(f"Filename {filename!r} has an invalid version.") from exc
    return FileName(filename, name, version, _ALL_TYPES[extension], extension)


def _parse_wheel(filename: str) -> tuple[ProjectName, str]:
    tags = filename.removesuffix(".whl").split("-")[-3:]
    combinations = 1
    for tag in tags:
        combinations *= tag.count(".") + 1
    if combinations > _MAX_WHEEL_TAGS:
        raise InvalidWheelFilename("too many compressed tags")
    name, version, _build, _tags = parse_wheel_filename(filename)
    return project_name(name), str(version)


def _parse_sdist(filename: str) -> tuple[ProjectName, str]:
    name, version = parse_sdist_filename(filename)
    return project_name(name), str(version)


def _parse_legacy(stem: str, extension: str) -> tuple[ProjectName, str]:
    if extension == ".egg":
        match = _EGG.match(stem)
        if match is None:
            raise InvalidFilename("not <name>-<version>[-py<X.Y>].egg")
        name, version = match["name"], match["version"]
    else:
        name, dash, version = _WININST.sub("", stem).rpartition("-")
        if not dash:
            raise InvalidFilename("not <name>-<version>")
    return project_name(name), str(parse_version(version))


def parse_stored_filename(filename: str, project: str | None, version: str | None) -> FileName:
    """Read the name of a file that lies in ``<project>/<version>/`` (pypicloud's layout).

    The folders decide where the name alone is ambiguous, or has a version that no longer counts
    as one; pass ``None`` for a file that lies elsewhere.

    Raises:
        InvalidFilename: neither the name nor the folders make sense of it.
    """
    extension = extension_of(filename)
    if project is None or version is None or extension is None:
        return parse_filename(filename)
    try:
        folder_project = project_name(project)
        parsed = parse_filename(filename)
    except InvalidName:
        return parse_filename(filename)
    except InvalidFilename:
        parsed = None
    if parsed is not None and parsed.project == folder_project:
        return parsed
    check_filename(filename)
    stem = filename.removesuffix(extension)
    if canonicalize_name(stem).startswith(canonicalize_name(f"{project}-{version}")):
        return FileName(filename, folder_project, version, _ALL_TYPES[extension], extension)
    return parsed if parsed is not None else parse_filename(filename)
