"""Changing the index: uploads, deletions, yanks and project status.

The order is always storage, then index, then answer: what was answered is in the storage, and a
retry after any failure ends in the same state.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pypicloud_lite.access.identity import Identity
from pypicloud_lite.access.rules import Permission, Rules
from pypicloud_lite.archives import Checks, check_archive
from pypicloud_lite.archives.metadata import (
    CoreMetadata,
    absent,
    check_requires_python,
    parse_core_metadata,
)
from pypicloud_lite.digesting import Digest
from pypicloud_lite.errors import (
    Denied,
    DigestMismatch,
    FileExists,
    FileMissing,
    InvalidFilename,
    InvalidForm,
    InvalidMetadata,
    InvalidName,
    ProjectClosed,
    ProjectMissing,
    Unavailable,
)
from pypicloud_lite.index.base import Index
from pypicloud_lite.model import Digests, DistributionFile, ProjectStatus, utcnow
from pypicloud_lite.names import (
    MAX_FILENAME,
    MAX_PROJECT_NAME,
    MAX_VERSION,
    FileName,
    ProjectName,
    parse_filename,
    parse_version,
    project_name,
    same_version,
)
from pypicloud_lite.storage.base import Spool, Storage

LOG = logging.getLogger(__name__)

_CHUNK = 1 << 20


#: Digest fields of the upload API -> how to compute them.
DIGEST_FIELDS: dict[str, tuple[str, int, Callable[[], Digest]]] = {
    "md5_digest": ("MD5", 32, lambda: hashlib.md5(usedforsecurity=False)),
    "sha256_digest": ("SHA256", 64, hashlib.sha256),
    "blake2_256_digest": ("BLAKE2b-256", 64, lambda: hashlib.blake2b(digest_size=32)),
}


@dataclass(frozen=True, slots=True)
class Upload:
    """A received upload: the spooled bytes, and what the client says of them."""

    filename: str
    spool: Spool
    size: int
    digests: Digests
    #: Single-valued text fields of the form (PyPA legacy upload API), empty ones left out.
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of an upload."""

    file: DistributionFile
    #: False: the same bytes were there already.
    changed: bool
    #: Other bytes had the name before.
    replaced: bool = False
    #: What is odd about the archive and was let pass, as sentences.
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Which uploads are taken, as far as an operator decides."""

    #: Also formats that package indexes retired.
    legacy_formats: bool = False
    #: Characters.
    max_filename: int = MAX_FILENAME
    max_project_name: int = MAX_PROJECT_NAME
    archives: Checks = field(default_factory=Checks)


class Publishing:
    """All that changes what the index shows.

    Args:
        acceptance: which uploads are taken.
        gate: raises while the index isn't complete: then nothing is missing. Uploads are taken.
    """

    def __init__(
        self,
        index: Index,
        storage: Storage,
        rules: Rules,
        acceptance: Acceptance = Acceptance(),
        *,
        gate: Callable[[], None] = lambda: None,
    ) -> None:
        self._index = index
        self._storage = storage
        self._rules = rules
        self._acceptance = acceptance
        self._gate = gate

    def spool(self) -> AbstractContextManager[Spool]:
        """A temporary file to receive an upload into."""
        return self._storage.spool()

    def publish(self, upload: Upload, identity: Identity) -> Published:
        """Publish an uploaded file.

        The same bytes under the same name again change nothing and succeed, so that clients may
        retry.

        Raises:
            Rejected: the form, the name or the file is wrong.
            Denied: the user may not write to the project that the file belongs to.
            ProjectClosed: its status takes no uploads.
            FileExists: other bytes have the name, and the user may not replace them.
        """
        name = self._name(upload.filename)
        self._require(identity, name.project, Permission.WRITE)
        self._require_open(name.project)
        if not upload.size:
            raise InvalidForm("The uploaded file is empty.")
        _check_digests(upload)
        checked = check_archive(upload.spool.file, name, self._acceptance.archives)
        for oddity, sentence in checked.oddities:
            LOG.warning(
                "accepted (odd-%s) %s by %s: %s",
                oddity,
                name.filename,
                identity.user or "anonymous",
                ascii(sentence),
            )
        file = self._describe(upload, name, checked.core_metadata, identity.user)
        with self._storage.changing(name.filename):
            published = self._put(file, checked.core_metadata, upload.spool, identity)
        return replace(published, warnings=[sentence for _oddity, sentence in checked.oddities])

    def _name(self, filename: str) -> FileName:
        """Read the name of an uploaded file, within the operator's limits."""
        name = parse_filename(filename, legacy=self._acceptance.legacy_formats)
        if len(filename) > self._acceptance.max_filename:
            raise InvalidFilename(
                f"The filename is longer than {self._acceptance.max_filename} characters."
            )
        if len(name.version) > MAX_VERSION:
            raise InvalidFilename(f"The version is longer than {MAX_VERSION} characters.")
        if len(name.project) > self._acceptance.max_project_name:
            raise InvalidFilename(
                f"The project name is longer than {self._acceptance.max_project_name} characters."
            )
        return name

    def _put(
        self, file: DistributionFile, core_metadata: bytes | None, spool: Spool, identity: Identity
    ) -> Published:
        """Storage first, then index, while nobody else changes this name."""
        known = self._known(file)
        if known is not None:
            if known.sha256 is not None and known.sha256 == file.sha256:
                return Published(known, changed=False)
            file = replace(file, key=known.key)
        may_replace = self._rules.permits(identity, file.project, Permission.OVERWRITE)
        published = self._storage.put(file, spool, core_metadata, replace=may_replace)
        self._index.put(published)
        return Published(published, changed=True, replaced=known is not None)

    def _known(self, file: DistributionFile) -> DistributionFile | None:
        """What the index says of the name, if the storage has it, too.

        Raises:
            FileExists: the name is taken in another case: on some disks it is the same file.
        """
        spellings = self._index.spellings(file.filename)
        if file.filename in spellings:
            known = self._index.file(file.project, file.filename)
            if known is not None and self._is_there(known):
                return known
        for spelling in spellings:
            if spelling != file.filename:
                raise FileExists(spelling)
        return None

    def _is_there(self, known: DistributionFile) -> bool:
        """Whether the storage has what the index says."""
        stored = self._storage.stat(known.key)
        return stored is not None and (stored.size, stored.stamp) == (known.size, known.stamp)

    def _describe(
        self, upload: Upload, name: FileName, content: bytes | None, user: str | None
    ) -> DistributionFile:
        """The facts of the file, its core metadata checked against name and form."""
        core = None if content is None else parse_core_metadata(content)
        _check_agreement(upload.fields, name, core)
        fields = upload.fields
        requires_python = (
            core.requires_python
            if core is not None
            else check_requires_python(absent(fields.get("requires_python")))
        )
        summary = core.summary if core is not None else absent(fields.get("summary"))
        offered = content is not None and name.is_wheel
        return DistributionFile(
            project=name.project,
            version=name.version,
            filename=name.filename,
            key=self._storage.key_for(name.project, name.version, name.filename),
            size=upload.size,
            stamp="",
            sha256=upload.digests.sha256,
            md5=upload.digests.md5,
            blake2b_256=upload.digests.others.get("blake2_256_digest"),
            requires_python=requires_python,
            summary=summary,
            core_metadata_sha256=hashlib.sha256(content or b"").hexdigest() if offered else None,
            uploader=user,
            upload_time=utcnow(),
        )

    def delete(self, project: ProjectName, filename: str, identity: Identity) -> DistributionFile:
        """Delete a file.

        Raises:
            Denied: the user may not.
            FileMissing: no such file in the project.
        """
        self._require(identity, project, Permission.WRITE)
        self._require(identity, project, Permission.DELETE)
        self._gate()
        with self._storage.changing(filename):
            file = self._index.file(project, filename)
            if file is None:
                raise FileMissing(f"No file {filename[:200]!r} in the project {project!r}.")
            self._index.remove(file.filename)  # first: no page ever lists what isn't there
            try:
                self._storage.delete(file)
            except Unavailable:
                if not self._is_gone(file):
                    self._index.put(file)
                    raise
            self._index.remove(file.filename)  # a synchronization may have seen it in between
        return file

    def _is_gone(self, file: DistributionFile) -> bool:
        """Whether a deletion took effect though its answer was lost."""
        try:
            return self._storage.stat(file.key) is None
        except Unavailable:
            return False

    def yank(
        self,
        project: ProjectName,
        reason: str | None,
        identity: Identity,
        *,
        filename: str | None = None,
        version: str | None = None,
    ) -> Sequence[DistributionFile]:
        """Yank a file or all files of a release (PEP 592); with ``reason`` ``None``, un-yank.

        Raises:
            Denied: the user may not write to the project.
            FileMissing: no such file or release.
        """
        self._require(identity, project, Permission.WRITE)
        self._gate()
        found = self._index.project(project)
        chosen = [
            file
            for file in (found.files if found else ())
            if (filename is None or file.filename == filename)
            and (version is None or same_version(file.version, version))
        ]
        if not chosen:
            wanted = filename or f"release {version}"
            raise FileMissing(f"No {wanted[:200]!r} in the project {project!r}.")
        return [self._annotate(file, reason) for file in chosen]

    def _annotate(self, file: DistributionFile, reason: str | None) -> DistributionFile:
        with self._storage.changing(file.filename):
            stored = self._storage.stat(file.key)
            if stored is None:
                self._index.remove(file.filename)
                raise FileMissing(f"No file {file.filename!r} in the project {file.project!r}.")
            # Its facts may be newer in the storage than in the index.
            current = self._storage.describe(stored)
            annotated = self._storage.annotate(replace(current, yanked=reason))
            self._index.put(annotated)
        return annotated

    def set_status(self, project: ProjectName, status: ProjectStatus, identity: Identity) -> None:
        """Set the status marker of a project (PEP 792).

        Raises:
            Denied: the user may not write to the project.
            ProjectMissing: it isn't here.
        """
        self._require(identity, project, Permission.WRITE)
        self._gate()
        if self._index.project(project) is None:
            raise ProjectMissing(f"No project {project!r} in this index.")
        self._storage.set_project_status(project, status)
        self._index.set_status(project, status)

    def _require(self, identity: Identity, project: ProjectName, permission: Permission) -> None:
        if not self._rules.permits(identity, project, permission):
            raise Denied(f"You have no right to {permission.value} the project {project!r}.")

    def _require_open(self, project: ProjectName) -> None:
        status = self._index.status(project)
        if not status.accepts_uploads:
            raise ProjectClosed(f"The project {project!r} is {status.status} and takes no uploads.")


def _check_digests(upload: Upload) -> None:
    """Verify every digest that the client sent.

    Raises:
        InvalidForm: one isn't a digest.
        DigestMismatch: one is of other bytes.
    """
    have = {
        "sha256_digest": upload.digests.sha256,
        "md5_digest": upload.digests.md5,
        **upload.digests.others,
    }
    for form_field, (label, length, algorithm) in DIGEST_FIELDS.items():
        claimed = upload.fields.get(form_field, "").lower()
        if not claimed:
            continue
        if len(claimed) != length or not set(claimed) <= set("0123456789abcdef"):
            raise InvalidForm(f"{form_field} is not a {label} digest of {length} hex digits.")
        computed = have.get(form_field)
        if computed is None:
            digest = algorithm()
            upload.spool.file.seek(0)
            while chunk := upload.spool.file.read(_CHUNK):
                digest.update(chunk)
            computed = digest.hexdigest()
        if not hmac.compare_digest(claimed, computed):
            raise DigestMismatch(
                f"The digest supplied does not match a digest calculated from the uploaded file: "
                f"{form_field} is {claimed}, the {label} of what arrived is {computed}."
            )


def _check_agreement(fields: Mapping[str, str], name: FileName, core: CoreMetadata | None) -> None:
    """Refuse a form, a file name and core metadata that speak of different things.

    Raises:
        InvalidMetadata: with both values in the sentence.
        InvalidForm: a field isn't what it should be.
        InvalidFilename: the name doesn't fit its type.
    """
    _check_core(name, core)
    _check_form_name(absent(fields.get("name")), name)
    _check_form_version(absent(fields.get("version")), name)
    filetype = absent(fields.get("filetype"))
    if filetype is not None and filetype != name.packagetype:
        raise InvalidFilename(
            f"The form says filetype {filetype[:50]!r}, the file name one of {name.packagetype!r}."
        )
    check_requires_python(absent(fields.get("requires_python")))


def _check_core(name: FileName, core: CoreMetadata | None) -> None:
    if core is None:
        return
    if core.name != name.project:
        raise InvalidMetadata(
            f"The file name says project {name.project!r}, its metadata {core.display_name!r}."
        )
    if not same_version(core.version, name.version):
        raise InvalidMetadata(
            f"The file name says version {name.version!r}, its metadata {core.version!r}."
        )


def _check_form_name(form_name: str | None, name: FileName) -> None:
    if form_name is None:
        return
    try:
        same = project_name(form_name) == name.project
    except InvalidName as exc:
        raise InvalidForm(f"Invalid value for name. {exc}") from exc
    if not same:
        raise InvalidMetadata(
            f"The form says project {form_name!r}, the file {name.filename!r} is of "
            f"{name.project!r}."
        )


def _check_form_version(form_version: str | None, name: FileName) -> None:
    if form_version is None:
        return
    try:
        parse_version(form_version)
    except ValueError as exc:
        raise InvalidForm(f"Invalid value for version: {form_version[:200]!r}.") from exc
    if not same_version(form_version, name.version):
        raise InvalidMetadata(
            f"The form says version {form_version!r}, the file {name.filename!r} is of "
            f"{name.version!r}."
        )
