"""Noticing at once what someone does to a folder by hand (``pypi.watch``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from watchfiles import watch

from pypicloud_lite.errors import StorageUnavailable
from pypicloud_lite.names import extension_of
from pypicloud_lite.storage.base import Hints
from pypicloud_lite.storage.files import CORE_METADATA, STATUSES_FOLDER
from pypicloud_lite.storage.walk import META

#: How often waiting files are looked at, in milliseconds.
_TICK = 500
#: A file that was written to within this time may still be growing, in seconds.
_SETTLED = 1.0


def watch_folder(folder: Path, stop: threading.Event) -> Iterator[Hints]:
    """Yield what was made, changed or removed, once nobody writes to it any more.

    Raises:
        StorageUnavailable: the folder can't be watched.
    """
    waiting: set[Path] = set()
    begun = False
    try:
        watched = folder.stat()
        for found in watch(
            folder,
            watch_filter=lambda _change, path: _is_of_others(folder, Path(path)),
            stop_event=stop,
            rust_timeout=_TICK,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            now = folder.stat()
            if (now.st_dev, now.st_ino) != (watched.st_dev, watched.st_ino):
                raise StorageUnavailable(f"{folder} is another folder now")
            for _change, path in found:
                waiting.update(_files(folder, Path(path)))
            ready = {path for path in waiting if _is_settled(path)}
            waiting -= ready
            if ready or not begun:
                yield _hints(folder, ready, everything=not begun)
            begun = True
    except (OSError, RuntimeError) as exc:  # more folders than the system watches, say
        raise StorageUnavailable(f"{folder} can't be watched: {exc}") from exc


def _is_of_others(folder: Path, path: Path) -> bool:
    """Whether it isn't in a dot-folder, such as most of our own."""
    key = path.relative_to(folder).as_posix()
    return _is_status(key) or not any(part.startswith(".") for part in key.split("/"))


def _is_status(key: str) -> bool:
    return key.startswith(f"{STATUSES_FOLDER}/")


def _files(folder: Path, path: Path) -> Iterator[Path]:
    """What to look at when something happened at ``path``: of a folder, all that is in it."""
    if not path.is_dir():
        yield path
        return
    for found in path.rglob("*"):
        if _is_of_others(folder, found) and not found.is_dir():
            yield found


def _is_settled(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return True
    return not 0 <= age < _SETTLED


def _hints(folder: Path, paths: set[Path], *, everything: bool) -> Hints:
    keys, below, statuses = set(), set(), False
    for path in paths:
        key = path.relative_to(folder).as_posix()
        if _is_status(key):
            statuses = True
        elif key.endswith(META):
            keys.add(key.removesuffix(CORE_METADATA).removesuffix(META))
        elif extension_of(path.name) is None and not path.exists():
            below.add(f"{key}/")  # a folder that is gone, with all that was in it
        else:
            keys.add(key)
    return Hints(frozenset(keys), frozenset(below), statuses=statuses, everything=everything)
