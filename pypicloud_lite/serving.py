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
from waitress.wasyncore import close_all, loop, readwrite

from pypicloud_lite.answering import Dispatcher
from pypicloud_lite.errors import SettingsError
from pypicloud_lite.receiving import channel_class
from pypicloud_lite.repeating import Answers
from pypicloud_lite.sending import Channel

LOG = logging.getLogger(__name__)

#: How long running requests may take after SIGTERM, in seconds.
GRACE = 30.0
_TICK = 0.5
#: How long others get the processor between two rounds, in seconds, while several clients take
#: whatever they are sent. Else the system stops this thread where it likes, and with it all that
#: wait for the interpreter.
_BREATH = 0.00005
#: Larger descriptors are more than select() knows; poll() can't wait for less than a millisecond.
_FD_SETSIZE = 1024
#: What is taken off a connection at a time, in bytes: waitress's own 8 KiB cost as much time for
#: a large upload as all that is done with it later.
_RECEIVED = 1 << 18


def serve_paste(app: Any, global_conf: dict[str, str], **settings: str) -> int:
    """Serve the application until SIGTERM or SIGINT (``paste.server_runner``).

    Args:
        settings: as for :func:`make_server`; and ``shutdown_grace`` in seconds.

    Raises:
        SettingsError: the address can't be listened on.
    """
    grace = float(settings.pop("shutdown_grace", GRACE))
    channels: dict[int, Any] = {}
    # A filter around the application may want to see each request.
    answers = Answers() if isinstance(app, Router) else None
    server, connection = make_server(app, channels, settings, answers)
    server.print_listen("Serving on http://{}:{}")
    # What is there now stays to the end: no collection of garbage needs to look at it again.
    gc.collect()
    gc.freeze()
    stopping = _stop_on_signal()
    while not stopping():
        _turn(server, channels, connection)
    LOG.info("stopping: no new connections, finishing %d", _busy(channels))
    _close_listeners(channels)
    end = time.monotonic() + grace
    while _busy(channels) and time.monotonic() < end:
        _turn(server, channels, connection)
    server.task_dispatcher.shutdown(timeout=1)
    close_all(channels)
    LOG.info("stopped")
    return 0


def make_server(
    app: Any, channels: dict[int, Any], settings: dict[str, str], answers: Answers | None = None
) -> tuple[Any, type[Channel]]:
    """A server that listens, and the class of its connections.

    Args:
        channels: where the server puts its sockets.
        settings: those of ``waitress``; and ``max_anonymous_body_size`` in bytes, as in
            :func:`.receiving.channel_class`.
        answers: where answers that last are kept.

    Raises:
        SettingsError: the address can't be listened on.
    """
    anonymous = settings.pop("max_anonymous_body_size", None)
    connection = channel_class(None if anonymous is None else int(anonymous), answers)
    dispatcher = Dispatcher()
    settings.setdefault("recv_bytes", str(_RECEIVED))
    try:
        server = create_server(app, map=channels, _dispatcher=dispatcher, **settings)
    except OSError as exc:
        address = settings.get("listen") or f"{settings.get('host', '')}:{settings.get('port', '')}"
        raise SettingsError([f"[server:main]: can't listen on {address}: {exc.strerror}."]) from exc
    for listener in channels.values():
        if isinstance(listener, BaseWSGIServer):
            listener.channel_class = connection
    dispatcher.set_thread_count(server.adj.threads)
    return server, connection


def _turn(server: Any, channels: dict[int, Any], connection: type[Channel]) -> None:
    """One round of waitress's own loop."""
    connection.unfinished = 0
    loop(timeout=_TICK, use_poll=server.adj.asyncore_use_poll, map=channels, count=1)
    if connection.unfinished > 1:
        _rest(channels)


def _rest(channels: dict[int, Any]) -> None:
    """Let others have the processor for a moment, and hear who asks for something meanwhile."""
    waiting = [fd for fd, channel in channels.items() if fd < _FD_SETSIZE and channel.readable()]
    for fd in select.select(waiting, [], [], _BREATH)[0]:
        channel = channels.get(fd)
        if channel is not None:
            readwrite(channel, select.POLLIN)


def _stop_on_signal() -> Callable[[], bool]:
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return lambda: bool(received)


def _close_listeners(channels: dict[int, Any]) -> None:
    for channel in list(channels.values()):
        if getattr(channel, "accepting", False):
            channel.accepting = False
            channel.del_channel(channels)
            channel.socket.close()


def _busy(channels: dict[int, Any]) -> int:
    """Connections with a request that is being received, worked on or answered."""
    return sum(
        1
        for channel in channels.values()
        if getattr(channel, "requests", None)
        or getattr(channel, "request", None)
        or getattr(channel, "total_outbufs_len", 0)
    )
