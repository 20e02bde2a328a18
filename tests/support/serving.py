"""Our server in this process, around any application, which it asks less often than it answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

from waitress.channel import HTTPChannel
from waitress.wasyncore import close_all

from pypicloud_lite.repeating import Answers
from pypicloud_lite.serving import Server


class Keen(Answers):
    """Keeps what comes for the first time, so that what is asked is easily counted."""

    def is_worth_keeping(self, key: bytes) -> bool:
        return True


class Served:
    """A WSGI application behind a port; a context manager.

    Args:
        answers: where answers are kept.

    Attributes:
        asked: how often the application was asked.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        answers: Answers | None = None,
        **settings: str,
    ) -> None:
        self.asked = 0
        self._app = app
        serving = {"listen": "127.0.0.1:0", "threads": "2", **settings}
        self._server = Server(self._count, serving, answers or Keen())
        self.port = int(self._server.waitress.effective_port)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _count(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.asked += 1
        return self._app(environ, start_response)

    def narrow(self) -> None:
        """Let no connection take more than a little at once."""
        for channel in self._connections():
            channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)

    def held(self) -> int:
        """Bytes in the buffers of all connections, sent or not."""
        buffers = [buffer for channel in self._connections() for buffer in channel.outbufs]
        return sum(
            buffer.buf.file.getbuffer().nbytes if buffer.buf else len(buffer.strbuf)
            for buffer in buffers
        )

    def _connections(self) -> list[HTTPChannel]:
        channels = list(self._server.channels.values())
        return [channel for channel in channels if isinstance(channel, HTTPChannel)]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._server.turn(0.05)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._server.waitress.task_dispatcher.shutdown(timeout=5)
        for channel in self._connections():
            channel.handle_close()
        close_all(self._server.channels)
