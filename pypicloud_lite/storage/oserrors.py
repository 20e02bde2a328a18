"""From the operating system's errors to ours, once."""

from __future__ import annotations

import errno
from collections.abc import Callable

from pypicloud_lite.errors import FileMissing, FileRefused, StorageFull, StorageUnavailable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class os_translated:  # noqa: N801 - like contextlib.suppress
    """Raise our errors instead of ``OSError``, in a ``with`` statement.

    Args:
        what: the file, for the sentence.
        may_be_missing: a file that isn't there is simply missing; else it is the storage's fault.
            A function is asked when something failed.

    Raises:
        FileMissing, FileRefused, StorageFull, StorageUnavailable: from the error.
    """

    __slots__ = ("_may_be_missing", "_what")

    def __init__(self, what: str, *, may_be_missing: bool | Callable[[], bool] = True) -> None:
        self._what = what
        self._may_be_missing = may_be_missing

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, _kind: type[BaseException] | None, exc: BaseException | None, _trace: object
    ) -> None:
        """Translate."""
        if isinstance(exc, OSError):
            raise self._translated(exc) from exc

    def _translated(self, exc: OSError) -> Exception:
        may_be_missing = self._may_be_missing
        if callable(may_be_missing):
            may_be_missing = may_be_missing()
        if may_be_missing and isinstance(exc, FileNotFoundError | NotADirectoryError):
            return FileMissing(f"No file {self._what!r} in the storage.")
        reason = exc.strerror or str(exc)
        if may_be_missing and isinstance(exc, PermissionError):
            return FileRefused(f"The storage doesn't let us read {self._what!r} ({reason}).")
        if exc.errno in _FULL:
            return StorageFull(f"The storage is full ({reason}).")
        return StorageUnavailable(f"The storage failed: {reason}.")
