"""Keeping the index in step with the storage, in the background."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass

from pypicloud_lite.errors import IndexBuilding, IndexUnavailable, PypicloudLiteError
from pypicloud_lite.index import snapshot
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.sync import Progress, SyncReport, sync
from pypicloud_lite.storage.base import Storage

LOG = logging.getLogger(__name__)

#: How long a start may take for the first synchronization, in seconds: without a complete index,
#: and with one, which can be served at once. The application is made meanwhile.
START_WAIT, READY_WAIT = 1.0, 0.05
#: How soon a synchronization that failed, or that another process does, is tried again.
_RETRY = 5.0
#: How long the pauses between failures become, in seconds.
_MAX_RETRY = 300.0
#: A synchronization within this share of the interval needs no other.
_LATELY = 0.9
#: How often it is looked whether the snapshot in the storage is too old, in seconds.
_SNAPSHOT_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the last synchronization, and of the one under way."""

    running: bool = False
    progress: Progress | None = None
    report: SyncReport | None = None
    #: Why the last one failed.
    problem: str | None = None
    #: Whether another process was at it.
    elsewhere: bool = False


class Follower:
    """A thread that synchronizes at the start, on request, and every so often.

    Of all processes that share the database one synchronizes at a time.

    Args:
        interval: seconds between synchronizations; 0: only at the start and on request.
    """

    def __init__(self, storage: Storage, index: Index, *, interval: float) -> None:
        self._storage = storage
        self._index = index
        self._interval = interval
        self._wanted = threading.Condition()
        self._request: tuple[bool, bool] | None = (False, False)
        self._stopping = False
        self._asked = self._wait_until = 0.0
        self._failures = 0
        self.state = State()
        #: Set whenever a synchronization has ended.
        self.idle = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._wait_until = time.monotonic() + (READY_WAIT if self._is_ready() else START_WAIT)
        self._start_thread()
        # The child of a fork has none of its parent's threads.
        os.register_at_fork(after_in_child=self._start_thread)

    def wait_for_first(self) -> None:
        """Wait for the first synchronization, but not if it takes too long."""
        self.idle.wait(max(0.0, self._wait_until - time.monotonic()))

    def _start_thread(self) -> None:
        self._wanted = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a synchronization under way is finished first."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify_all()
        self._thread.join()

    def request(self, *, rebuild: bool = False, force: bool = False) -> bool:
        """Ask for a synchronization, after the one under way; False when one waits already."""
        with self._wanted:
            if self._request is not None:
                return False
            self._request = (rebuild, force)
            self.idle.clear()
            self._wanted.notify_all()
        return True

    def _is_ready(self) -> bool:
        try:
            return self._index.ready(self._storage.identity())
        except IndexUnavailable:
            return False

    def require_ready(self) -> None:
        """Do nothing if the index is complete, by whatever process.

        Raises:
            IndexBuilding: it isn't yet, or not any more: then it is being built again.
        """
        if self._index.ready(self._storage.identity()):
            return
        if not self.state.running and time.monotonic() - self._asked > _RETRY:
            self._asked = time.monotonic()
            self.request()
        raise IndexBuilding(self.describe())

    def describe(self) -> str:
        """How far the first synchronization is, as a sentence."""
        state = self.state
        if state.problem is not None:
            return f"The index can't be built yet: {state.problem}"
        if state.progress is None:
            return "The index is being built."
        return f"The index is being built: {state.progress}."

    def check(self) -> None:
        """Do nothing if the index is complete and its last synchronization was good.

        Raises:
            IndexBuilding: otherwise, with the reason.
        """
        self.require_ready()
        if self.state.problem is not None:
            raise IndexBuilding(self.state.problem)

    def _run(self) -> None:
        self._look_for_damage()
        next_time: float | None = 0.0
        while True:
            with self._wanted:
                if self._request is None and not self._stopping:
                    self._wanted.wait(_until(next_time))
                if self._stopping:
                    return
                request, self._request = self._request, None
            if request is None and not _is_due(next_time):
                self._save_snapshot()
                continue
            if request is None and not self._is_old():
                next_time = time.monotonic() + self._interval
                continue
            rebuild, force = request or (False, False)
            self.state = State(running=True, report=self.state.report)
            pause = self._once(rebuild=rebuild, force=force)
            next_time = None if pause is None else time.monotonic() + pause
            with self._wanted:
                if self._request is None:
                    self.idle.set()

    def _is_old(self) -> bool:
        """Whether nobody who shares the index synchronized lately; then it is our turn."""
        if not self._interval or self._failures or self.state.report is None:
            return True
        try:
            age = time.time() - self._index.synced()
        except IndexUnavailable:
            return True
        return not 0 <= age < _LATELY * self._interval

    def _look_for_damage(self) -> None:
        try:
            self._index.look_for_damage()
        except PypicloudLiteError as exc:
            LOG.error("%s", exc)

    def _once(self, *, rebuild: bool, force: bool) -> float | None:
        """Synchronize once; how long to wait before the next time (``None``: for ever)."""
        report, problem, leads = None, None, True
        try:
            with self._index.leading() as leads:
                if leads:
                    report = sync(
                        self._storage,
                        self._index,
                        rebuild=rebuild,
                        force=force,
                        progress=self._on_progress,
                    )
            ready = self._index.ready(self._storage.identity())
        except PypicloudLiteError as exc:
            problem = exc.message
            LOG.error("the index could not be brought in step with the storage: %s", exc)
        except Exception as exc:
            problem = f"{type(exc).__name__}, see the log"
            LOG.exception("the index could not be brought in step with the storage")
        report = report or self.state.report
        self.state = State(report=report, problem=problem, elsewhere=not leads)
        self._failures = 0 if problem is None else self._failures + 1
        if problem is not None or not ready:
            return min(_RETRY * 2.0 ** min(max(self._failures - 1, 0), 10), _MAX_RETRY)
        self._save_snapshot()
        return self._interval or None

    def _save_snapshot(self) -> None:
        """Renew the snapshot if that pays, and nobody else does. Nothing depends on it."""
        try:
            if snapshot.is_due(self._storage, self._index):
                with self._index.leading() as leads:
                    if leads and snapshot.is_due(self._storage, self._index):
                        snapshot.save(self._storage, self._index)
        except PypicloudLiteError as exc:
            LOG.warning("no snapshot of the index was kept: %s", exc)
        except Exception:
            LOG.exception("no snapshot of the index was kept")

    def _on_progress(self, progress: Progress) -> None:
        self.state = State(running=True, progress=progress, report=self.state.report)
        if progress.done and progress.total:
            LOG.info("indexing: %d of %d files", progress.done, progress.total)
        elif progress.total is None:
            LOG.info("listing: %d files", progress.done)


def _until(when: float | None) -> float:
    """Seconds to wait, with a look at the snapshot in between."""
    return _SNAPSHOT_EVERY if when is None else min(_SNAPSHOT_EVERY, when - time.monotonic())


def _is_due(when: float | None) -> bool:
    return when is not None and time.monotonic() >= when
