"""The facts of a distribution file: as JSON beside it, and as read from its content.

The JSON is pypicloud's ``.meta``, with its keys on the top level. What pypicloud doesn't know is
in one object under ``pypicloud_lite``: its reader passes every top-level key on as a keyword.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from typing import IO, Any

from pypicloud_lite.archives import parse_core_metadata, read_core_metadata
from pypicloud_lite.archives.metadata import CoreMetadata
from pypicloud_lite.errors import InvalidArchive, InvalidMetadata
from pypicloud_lite.model import (
    STATUSES,
    DistributionFile,
    ProjectStatus,
    StoredFile,
    clean,
    iso_utc,
    parse_iso_utc,
)
from pypicloud_lite.names import FileName

LOG = logging.getLogger(__name__)

_OURS = "pypicloud_lite"
_CHUNK = 1 << 20
_DIGITS = re.compile(r"\A[0-9a-f]+\Z")


def to_meta(
    file: DistributionFile, *, written: float | None = None, etag: str | None = None
) -> dict[str, Any]:
    """The content of the file's ``.meta``.

    Args:
        written: when the file was, seconds since the epoch; see :func:`was_written_at`.
        etag: of the object; see :func:`is_of_etag`.
    """
    known = {
        "summary": file.summary,
        "requires_python": file.requires_python,
        "hash_sha256": file.sha256,
        "hash_md5": file.md5,
        "uploader": file.uploader,
    }
    ours = {
        "size": file.size,
        "written": None if written is None else int(written),
        "etag": etag,
        "upload_time": iso_utc(file.upload_time),
        "blake2b_256": file.blake2b_256,
        "core_metadata_sha256": file.core_metadata_sha256,
        "yanked": file.yanked,
        "provenance": file.provenance,
    }
    meta: dict[str, Any] = {name: value for name, value in known.items() if value}
    meta[_OURS] = {name: value for name, value in ours.items() if value is not None}
    return meta


def from_meta(stored: StoredFile, meta: Mapping[str, Any]) -> DistributionFile | None:
    """The facts that our own ``.meta`` holds, or ``None`` if it isn't ours or not of this file."""
    ours = meta.get(_OURS)
    if not isinstance(ours, dict) or ours.get("size") != stored.size:
        return None
    try:
        return DistributionFile(
            project=stored.project,
            version=stored.version,
            filename=stored.filename,
            key=stored.key,
            size=stored.size,
            stamp=stored.stamp,
            sha256=_hex(meta.get("hash_sha256"), 64),
            md5=_hex(meta.get("hash_md5"), 32),
            blake2b_256=_hex(ours.get("blake2b_256"), 64),
            requires_python=_text(meta.get("requires_python")),
            summary=_text(meta.get("summary")),
            core_metadata_sha256=_hex(ours.get("core_metadata_sha256"), 64),
            uploader=_text(meta.get("uploader")),
            upload_time=parse_iso_utc(ours["upload_time"]),
            yanked=_text(ours.get("yanked")),
            provenance=_text(ours.get("provenance")),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def was_written_at(meta: Mapping[str, Any], when: float) -> bool:
    """Whether the facts were written for the file that was modified at ``when``.

    Otherwise it was copied without its time, or replaced: only its digest can tell.
    """
    ours = meta.get(_OURS)
    return isinstance(ours, dict) and ours.get("written") == int(when)


def is_of_etag(meta: Mapping[str, Any], etag: str) -> bool:
    """Whether the facts were written for the object that has this ETag."""
    ours = meta.get(_OURS)
    return isinstance(ours, dict) and ours.get("etag") == etag


def from_content(
    stored: StoredFile, name: FileName, file: IO[bytes], meta: Mapping[str, Any]
) -> DistributionFile:
    """The facts of a file that we did not publish, pypicloud's ``meta`` taken into account.

    A ``meta`` of ours that :func:`from_meta` refused is of other bytes, and not looked at.

    Digests that pypicloud recorded are trusted, since computing them means reading the whole
    file; Requires-Python and summary come from the file, since pypicloud took them from the form.
    """
    if _OURS in meta:
        LOG.warning("the facts beside %s are not its own; they are derived anew", stored.key)
        meta = {}
    core = core_metadata_of(file, name)
    content, parsed = core if core is not None else (None, None)
    sha256, md5 = _digests(meta) or hash_content(file)
    return DistributionFile(
        project=stored.project,
        version=stored.version,
        filename=stored.filename,
        key=stored.key,
        size=stored.size,
        stamp=stored.stamp,
        sha256=sha256,
        md5=md5,
        requires_python=parsed.requires_python if parsed else _word(meta.get("requires_python")),
        summary=parsed.summary if parsed else _word(meta.get("summary")),
        core_metadata_sha256=(
            hashlib.sha256(content).hexdigest() if content is not None and name.is_wheel else None
        ),
        uploader=_word(meta.get("uploader")),
        upload_time=stored.modified,
    )


def read_status(content: bytes, where: str) -> ProjectStatus | None:
    """The status of a project from its JSON; ``None`` when it can't be read."""
    try:
        status = json.loads(content)
        if status["status"] not in STATUSES:
            raise ValueError(status["status"])
        return ProjectStatus(status["status"], clean(str(status.get("reason", ""))))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        LOG.error("the status in %s can't be read and stays as it was: %s", where, exc)
        return None


def core_metadata_of(file: IO[bytes], name: FileName) -> tuple[bytes, CoreMetadata] | None:
    """The core metadata of a stored file, or ``None`` if it has none that can be used."""
    try:
        content = read_core_metadata(file, name)
        return None if content is None else (content, parse_core_metadata(content))
    except (InvalidArchive, InvalidMetadata) as exc:
        LOG.warning("%s is served without core metadata: %s", name.filename, exc)
        return None


def hash_content(file: IO[bytes]) -> tuple[str, str]:
    """The sha256 and md5 of the whole content, in hex."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(_CHUNK):
        sha256.update(chunk)
        md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _digests(meta: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """The digests that pypicloud recorded, if it did."""
    try:
        sha256, md5 = _hex(meta.get("hash_sha256"), 64), _hex(meta.get("hash_md5"), 32)
    except (TypeError, ValueError):
        return None
    return None if sha256 is None else (sha256, md5)


def _word(value: Any) -> str | None:
    """A text that someone else wrote, or nothing."""
    return clean(value) or None if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    """A text that we wrote; anything else raises ``TypeError``."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(value)
    return clean(value)


def _hex(value: Any, length: int) -> str | None:
    """A digest in hex; anything else raises ``ValueError`` or ``TypeError``."""
    text = _text(value)
    if text is not None and (len(text) != length or not _DIGITS.match(text.lower())):
        raise ValueError(value)
    return text and text.lower()
