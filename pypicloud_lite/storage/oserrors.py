"""From the operating system's errors to ours, once."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pypicloud_lite.errors import FileMissing, FileRefused, StorageFull, StorageUnavailable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def os_translated(what: str, *, may_be_missing: bool | Callable[[], bool] = True) -> Iterator[None]:
    """Raise our errors instead of ``OSError``.

    Args:
        what: the file, for the sentence.
        may_be_missing: a file that isn't there is simply missing; else it is the storage's fault.
            A function is asked when something failed.

    Raises:
        FileMissing, FileRefused, StorageFull, StorageUnavailable: from the error.
    """
    try:
        yield
    except OSError as exc:
        if callable(may_be_missing):
            may_be_missing = may_be_missing()
        if may_be_missing and isinstance(exc, FileNotFoundError | NotADirectoryError):
            raise FileMissing(f"No file {what!r} in the storage.") from exc
        reason = exc.strerror or str(exc)
        if may_be_missing and isinstance(exc, PermissionError):
            raise FileRefused(f"The storage doesn't let us read {what!r} ({reason}).") from exc
        if exc.errno in _FULL:
            raise StorageFull(f"The storage is full ({reason}).") from exc
        raise StorageUnavailable(f"The storage failed: {reason}.") from exc
