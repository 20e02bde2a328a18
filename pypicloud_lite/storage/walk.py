"""Listing a folder of distribution files: names and states, and nothing of their content."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat as stat_module
from collections.abc import Iterator
from pathlib import Path

from pypicloud_lite.model import Stamp

LOG = logging.getLogger(__name__)

#: What the facts of a file end with, after its name.
META = ".meta"
#: What may be wrong with a file that went while it was listed, or that is nobody's business. Any
#: other error is the storage's: what it doesn't show is not gone.
_PASSED_OVER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)
#: What lies beside distribution files, ours or others'.
SIDECAR = re.compile(r"\.(?:meta|metadata|asc|sha256|md5)\Z")


def stamp_of(key: str, found: os.stat_result, facts: os.stat_result | None) -> Stamp | None:
    """That of a file, or ``None`` for what is no file, or empty."""
    if not stat_module.S_ISREG(found.st_mode) or found.st_size == 0:
        return None
    # What changes when someone else changes a fact belongs to the stamp.
    stamp = f"{found.st_mtime_ns}+{facts.st_mtime_ns}" if facts else str(found.st_mtime_ns)
    return Stamp(key, key.rpartition("/")[2], found.st_size, stamp)


def walk(
    folder: str, below: str = "", above: tuple[str, ...] = ()
) -> Iterator[tuple[str, os.stat_result, os.stat_result | None]]:
    """The key of every file below ``folder`` outside of dot-folders, in a stable order, each with
    its state and that of the facts beside it.

    Args:
        below: what the keys begin with.
        above: the folders that led here.
    """
    try:
        with os.scandir(folder) as found:
            entries = {entry.name: entry for entry in found}
    except OSError as exc:
        if not above or exc.errno not in _PASSED_OVER:
            raise
        LOG.warning("%s is passed over: %s", ascii(folder), exc)
        return
    for name in sorted(entries):
        entry = entries[name]
        if name.startswith(".") or SIDECAR.search(name):
            continue
        if not _is_unicode(name):
            LOG.warning("%s is passed over: its name is not Unicode", ascii(entry.path))
            continue
        try:
            if not entry.is_dir():
                facts = entries.get(name + META)
                yield below + name, entry.stat(), None if facts is None else facts.stat()
            elif entry.is_symlink() and _leads_back(entry.path, (*above, folder)):
                LOG.warning("%s leads back to a folder above it; passed over", entry.path)
            else:
                yield from walk(entry.path, f"{below}{name}/", (*above, folder))
        except OSError as exc:
            if exc.errno not in _PASSED_OVER:
                raise
            LOG.warning("%s is passed over: %s", entry.path, exc)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that aren't UTF-8 come as halves of surrogate pairs
        return False
    return True


def _leads_back(link: str, folders: tuple[str, ...]) -> bool:
    return any(Path(link).samefile(folder) for folder in folders)
