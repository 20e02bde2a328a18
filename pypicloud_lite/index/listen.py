"""Following what others change in the storage as it happens."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from pypicloud_lite.errors import PypicloudLiteError
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.refresh import refresh
from pypicloud_lite.storage.base import Hints, HintSource, Storage

LOG = logging.getLogger(__name__)

#: How long to wait after trouble, in seconds: at first, and at most.
_PAUSE, _MAX_PAUSE = 1.0, 60.0


class Listener:
    """A thread that looks at each file that is said to have changed.

    Serving depends on nothing of this: what is missed is found by the next synchronization.

    Args:
        source: tells what may have changed.
        resync: asks for a synchronization.
    """

    def __init__(
        self, source: HintSource, storage: Storage, index: Index, resync: Callable[[], object]
    ) -> None:
        self._source = source
        self._storage = storage
        self._index = index
        self._resync = resync
        self._stop = threading.Event()
        #: Why nothing can be heard for now.
        self.problem: str | None = None

    def start(self) -> None:
        """Begin."""
        self._start_thread()
        # The child of a fork has none of its parent's threads.
        os.register_at_fork(after_in_child=self._start_thread)

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more hints. A source that waits for some ends with the process."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        pause = _PAUSE
        while not self._stop.is_set():
            try:
                for hints in self._source(self._stop):
                    self._take(hints)
                    if self.problem is not None:
                        LOG.info("changes in the storage are followed again")
                    self.problem, pause = None, _PAUSE
            except PypicloudLiteError as exc:
                self._complain(exc.message)
            except Exception as exc:
                LOG.exception("changes in the storage can't be followed")
                self._complain(f"{type(exc).__name__}, see the log")
            self._stop.wait(pause)
            pause = min(2 * pause, _MAX_PAUSE)

    def _take(self, hints: Hints) -> None:
        if hints.everything:
            self._resync()
        refresh(self._storage, self._index, hints)

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            LOG.error("changes in the storage can't be followed: %s", problem)
        self.problem = problem
