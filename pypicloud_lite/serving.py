"""waitress with a clean stop, and stricter in what it receives: ``use = egg:pypicloud_lite`` in
``[server:main]``.

waitress by itself ends at SIGTERM in the middle of whatever it does. This runner takes no new
connections from then on, finishes the requests that it has, sends their answers, and ends.
"""

from __future__ import annotations

import gc
import logging
import select
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from pyramid.router import Router
from waitress.server import BaseWSGIServer, create_server
from waitress.wasyncore import close_all, readwrite

from pypicloud_lite.answering import Dispatcher
from pypicloud_lite.errors import SettingsError
from pypicloud_lite.receiving import channel_class
from pypicloud_lite.repeating import Answers

LOG = logging.getLogger(__name__)

#: How long running requests may take after SIGTERM, in seconds.
GRACE = 30.0
_TICK = 0.5
_ARRIVED = select.POLLIN | select.POLLPRI
#: After how many turns of connections that take whatever they are sent others get the processor,
#: and for how many seconds. Else the system stops this thread where it likes, and with it all that
#: wait for the interpreter.
_TURNS, _BREATH = 4, 0.00002
#: How many connections may be looked at for one such turn: a round looks at all of them.
_LOOKED_AT = 16
#: Larger descriptors are more than select() knows; poll() can't wait for less than a millisecond.
_FD_SETSIZE = 1024
#: What is taken off a connection at a time, in bytes: waitress's own 8 KiB cost as much time for
#: a large upload as all that is done with it later.
_RECEIVED = 1 << 18


def serve_paste(app: Any, global_conf: dict[str, str], **settings: str) -> int:
    """Serve the application until SIGTERM or SIGINT (``paste.server_runner``).

    Args:
        settings: as for :class:`Server`; and ``shutdown_grace`` in seconds.

    Raises:
        SettingsError: the address can't be listened on.
    """
    grace = float(settings.pop("shutdown_grace", GRACE))
    # A filter around the application may want to see each request.
    answers = Answers() if isinstance(app, Router) else None
    server = Server(app, settings, answers)
    server.waitress.print_listen("Serving on http://{}:{}")
    # What is there now stays to the end: no collection of garbage needs to look at it again.
    gc.collect()
    gc.freeze()
    stopping = _stop_on_signal()
    while not stopping():
        server.turn()
    LOG.info("stopping: no new connections, finishing %d", server.busy())
    server.stop_listening()
    end = time.monotonic() + grace
    while server.busy() and time.monotonic() < end:
        server.turn()
    server.waitress.task_dispatcher.shutdown(timeout=1)
    close_all(server.channels)
    LOG.info("stopped")
    return 0


class Server:
    """waitress's server, which listens, and its main loop.

    Args:
        settings: those of ``waitress``; and ``max_anonymous_body_size`` in bytes, as in
            :func:`.receiving.channel_class`.
        answers: where answers that last are kept.

    Attributes:
        channels: its sockets, by their descriptors.

    Raises:
        SettingsError: the address can't be listened on.
    """

    def __init__(self, app: Any, settings: dict[str, str], answers: Answers | None = None) -> None:
        anonymous = settings.pop("max_anonymous_body_size", None)
        connection = channel_class(None if anonymous is None else int(anonymous), answers)
        self._dispatcher = Dispatcher()
        settings.setdefault("recv_bytes", str(_RECEIVED))
        self.channels: dict[int, Any] = {}
        try:
            self.waitress = create_server(
                app, map=self.channels, _dispatcher=self._dispatcher, **settings
            )
        except OSError as exc:
            where = (
                settings.get("listen") or f"{settings.get('host', '')}:{settings.get('port', '')}"
            )
            raise SettingsError(
                [f"[server:main]: can't listen on {where}: {exc.strerror}."]
            ) from exc
        for listener in self.channels.values():
            if isinstance(listener, BaseWSGIServer):
                listener.channel_class = connection
        self._dispatcher.set_thread_count(self.waitress.adj.threads)
        self._turns = connection.turns
        self._since_rest = 0

    def turn(self, timeout: float = _TICK) -> None:
        """Wait until connections have something to do, at most for so many seconds; do it."""
        self._since_rest += self._turns.begin(1 + len(self.channels) // _LOOKED_AT)
        looked_at = select.poll()
        for fd, channel in list(self.channels.items()):
            flags = _ARRIVED if channel.readable() else 0
            if channel.writable() and not channel.accepting:
                flags |= select.POLLOUT
            if flags:
                looked_at.register(fd, flags)
        self._dispatcher.hand_over()
        for fd, found in looked_at.poll(0 if self._turns else timeout * 1000):
            channel = self.channels.get(fd)
            if found & select.POLLOUT:
                self._dispatcher.hand_over()  # sending lets go of the interpreter
            if channel is not None:
                # Who has left may have sent something before.
                readwrite(channel, found & ~select.POLLHUP if found & select.POLLIN else found)
        if self._since_rest >= _TURNS:
            self._since_rest = 0
            self._rest()

    def _rest(self) -> None:
        """Let others have the processor for a moment, and hear who asks for something meanwhile."""
        waiting = [
            fd for fd, channel in self.channels.items() if fd < _FD_SETSIZE and channel.readable()
        ]
        self._dispatcher.hand_over()
        for fd in select.select(waiting, [], [], _BREATH)[0]:
            channel = self.channels.get(fd)
            if channel is not None:
                readwrite(channel, select.POLLIN)

    def stop_listening(self) -> None:
        """Take no more connections."""
        for channel in list(self.channels.values()):
            if getattr(channel, "accepting", False):
                channel.accepting = False
                channel.del_channel(self.channels)
                channel.socket.close()

    def busy(self) -> int:
        """Connections with a request that is being received, worked on or answered."""
        return sum(
            1
            for channel in self.channels.values()
            if getattr(channel, "requests", None)
            or getattr(channel, "request", None)
            or getattr(channel, "total_outbufs_len", 0)
        )


def _stop_on_signal() -> Callable[[], bool]:
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return lambda: bool(received)
