"""What can go wrong, as exceptions that know nothing of HTTP.

``views.errors`` maps each class to a status, once. ``code`` is the stable word that logs
carry, so that an operator can count refusals without parsing sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

#: What old build tools did to archives that harms nobody, and that a setting may let pass.
Oddity = Literal["framing", "record", "layout"]
ODDITIES: tuple[Oddity, ...] = get_args(Oddity)


class PypicloudLiteError(Exception):
    """Root of every error that this package raises on purpose."""

    #: Stable reason code for logs.
    code = "error"

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return str(self)


class SettingsError(PypicloudLiteError):
    """The configuration can't be used; carries every problem found, not only the first."""

    code = "settings"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the settings:\n{lines}")


class Rejected(PypicloudLiteError):
    """What the client sent is wrong; nothing was changed."""

    code = "rejected"


class InvalidName(Rejected):
    """Not a valid project name (PyPA name format)."""

    code = "invalid-name"


class InvalidFilename(Rejected):
    """Not the name of a distribution file, or one that no client could use."""

    code = "invalid-filename"


class InvalidForm(Rejected):
    """The upload form is malformed, incomplete or contradicts itself."""

    code = "invalid-form"


class UnsupportedCoding(Rejected):
    """The request's body is in a coding that this server doesn't read."""

    code = "unsupported-coding"


class DigestMismatch(Rejected):
    """The bytes received aren't those that the client announced."""

    code = "digest-mismatch"


class InvalidArchive(Rejected):
    """The file isn't a readable wheel or sdist, or no installer should be given it.

    Args:
        oddity: the group of ``pypi.upload_checks`` that lets it pass; ``None`` when nothing does.
    """

    code = "invalid-archive"

    def __init__(self, sentence: str, oddity: Oddity | None = None) -> None:
        super().__init__(sentence)
        self.oddity = oddity
        if oddity is not None:
            self.code = f"odd-{oddity}"


class InvalidMetadata(Rejected):
    """The core metadata in the file is missing, broken or contradicts the form."""

    code = "invalid-metadata"


class GoneAction(Rejected):
    """An upload ``:action`` that package indexes no longer offer."""

    code = "gone-action"


class TooLarge(PypicloudLiteError):
    """More bytes than a limit of this server allows."""

    code = "too-large"


class FileExists(PypicloudLiteError):
    """The filename is taken by other bytes."""

    code = "file-exists"

    def __init__(self, filename: str) -> None:
        self.filename = filename
        super().__init__(
            f"File already exists ('{filename}'): it was published with other content, and "
            "published files don't change. Upload a new version."
        )


class Denied(PypicloudLiteError):
    """The user lacks a right; anonymous users are asked to log in, others are refused."""

    code = "denied"


class WrongPassword(PypicloudLiteError):
    """The password in a login form is wrong: the page asks for another, and not the browser."""

    code = "bad-credentials"


class Forged(PypicloudLiteError):
    """A form that no page of ours can have sent for this session."""

    code = "csrf"


class ProjectClosed(PypicloudLiteError):
    """The project's status doesn't accept uploads (PEP 792)."""

    code = "project-closed"


class Missing(PypicloudLiteError):
    """What was asked for doesn't exist."""

    code = "missing"


class ProjectMissing(Missing):
    """No such project in this index."""

    code = "project-missing"


class FileMissing(Missing):
    """No such distribution file in this project, or in the storage."""

    code = "file-missing"


class Unavailable(PypicloudLiteError):
    """Something that we depend on fails for now; the same request may work later."""

    code = "unavailable"


class StorageUnavailable(Unavailable):
    """The storage failed; raised from the library's own exception."""

    code = "storage-unavailable"


class FileRefused(StorageUnavailable):
    """The storage doesn't let us read this file; others may be readable."""

    code = "file-refused"


class FileChanged(StorageUnavailable):
    """The bytes behind a name were replaced since the index was read."""

    code = "file-changed"


class StorageFull(Unavailable):
    """No space left where the files lie."""

    code = "storage-full"


class SyncRefused(Unavailable):
    """A listing lacks so many files that it is taken for a fault of the storage."""

    code = "sync-refused"


class IndexBuilding(Unavailable):
    """The index was never complete, or can't be brought in step."""

    code = "index-building"


class IndexUnavailable(Unavailable):
    """The index database failed; raised from the library's own exception."""

    code = "index-unavailable"
