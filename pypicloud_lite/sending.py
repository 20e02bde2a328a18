"""How large answers are sent: in turns, and files by the kernel."""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from socket import socket
from typing import Any, ClassVar

from waitress.buffers import OverflowableBuffer, ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel

#: What a connection may send in one turn, in bytes: beside others that wait, and alone.
_TURN, _ALONE = 1 << 16, 1 << 19
#: What is taken off a connection at a time that no request has begun on, in bytes. Getting memory
#: for more costs as much as reading a whole head.
_HEAD = 1 << 15
#: Up to how many bytes copying is faster than telling the system of two places.
_COPIED = 1 << 14
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: What a thread that answers sends for itself, which is all of most answers.
_FIRST = 1 << 20
#: The file lies where the kernel can't send it from.
_NOT_HERE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW})


class SentFile(ReadOnlyFileBasedBuffer):
    """``wsgi.file_wrapper`` (PEP 3333) for files that need not come into this process."""

    remain: int
    file: Any
    descriptor: int | None = None

    def prepare(self, size: int | None = None) -> int:
        """How many bytes will be sent."""
        try:
            self.descriptor = self.file.fileno()
        except (AttributeError, OSError):
            pass  # not a file of the disk
        remain: int = super().prepare(size)
        return remain

    def get(self, numbytes: int = -1, skip: bool = False) -> bytes | Piece:
        """The next bytes, or where they are."""
        if self.descriptor is None or skip:
            content: bytes = super().get(numbytes, skip)
            return content
        size = self.remain if numbytes < 0 else min(numbytes, self.remain)
        return Piece(self, self.file.tell(), size)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file that were not read."""

    source: SentFile
    start: int
    size: int

    def send(self, socket: int) -> int:
        """Let the kernel send them; how many it did.

        Raises:
            OSError: the connection or the file is broken.
        """
        descriptor = self.source.descriptor
        if descriptor is None:
            return 0
        try:
            sent = os.sendfile(socket, descriptor, self.start, self.size)
        except BlockingIOError:
            return 0
        except OSError as exc:
            if exc.errno not in _NOT_HERE:
                raise
            self.source.descriptor = None  # it is read, then
            return 0
        if not sent:
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        return sent


class Turns:
    """Whose turn it is, among the connections of a server that take whatever they are sent.

    A few send in each round of the main loop, which hears between two rounds who asks for
    something.
    """

    def __init__(self) -> None:
        self._waiting: deque[Channel] = deque()
        #: How many waited when the round began.
        self._rivals = 0

    def size(self) -> int:
        """How many bytes the connection may send whose turn it is."""
        return _TURN if self._rivals > 1 or self._waiting else _ALONE

    def end(self, channel: Channel) -> None:
        """Let a connection wait that has more to send."""
        channel.waits = True
        self._waiting.append(channel)

    def begin(self, most: int) -> int:
        """Let connections go on that wait longest, so many at most; how many they are."""
        self._rivals = len(self._waiting)
        count = min(most, self._rivals)
        for _turn in range(count):
            self._waiting.popleft().waits = False
        return count

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)


class Channel(HTTPChannel):
    """A connection that lets others go on while it sends a large answer.

    waitress sends as long as the client takes something, which a fast client does to the end;
    meanwhile nobody else is heard.
    """

    turns: ClassVar[Turns]

    #: Whether it has had its turn, and others have not.
    waits = False
    _left = 0
    socket: socket
    total_outbufs_len: int
    current_outbuf_count: int
    request: Any

    def _flush_some(self, do_close: bool = True) -> bool:
        if do_close:  # by the main loop, else by a thread that answers
            self._left = self.turns.size()
        else:
            self._left = _FIRST
        self.sendbuf_len = self._left
        flushed: bool = super()._flush_some(do_close=do_close)
        if do_close and self._left <= 0 and self.total_outbufs_len > 0:
            self.turns.end(self)
        return flushed

    def writable(self) -> bool:
        """Whether the main loop shall send, once the client takes something."""
        return not self.waits and bool(super().writable())

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Send a whole answer, as much of it as the client takes; the rest when it takes more.

        What waitress has to send it puts aside first, and the main loop looks for it there. While
        a thread sends, that loop finds something to do again and again that only the thread can
        do, and keeps the interpreter from it.

        Raises:
            ClientDisconnected: nobody is there.
        """
        parts = (head + body,) if len(body) <= _COPIED else (head, body)
        with self.outbuf_lock:
            sent = self._send_now(*parts)
            if sent < len(head) + len(body):
                self.write_soon(b"".join(parts)[sent:])

    def _send_now(self, *parts: bytes) -> int:
        """Send some of what there is, if nothing is left that comes before; how many bytes."""
        if not self.connected or self.total_outbufs_len:
            return 0
        with suppress(OSError):  # as waitress will find, and say
            return self.socket.sendmsg(parts)
        return 0

    def recv(self, buffer_size: int) -> bytes:
        """What arrived, as much of it at once as pays."""
        if self.request is None:
            buffer_size = min(buffer_size, _HEAD)
        received: bytes = super().recv(buffer_size)
        return received

    def send_continue(self) -> None:
        """Let the client send its body (RFC 9110, section 10.1.1).

        Called with the lock of the requests, which the main loop needs: it never waits until the
        main loop has sent what comes before it.
        """
        self.request.expect_continue = False
        self.sent_continue = True
        self.request.completed = False
        with self.outbuf_lock:
            rest = _CONTINUE[self._send_now(_CONTINUE) :]
            if rest:
                buffer = OverflowableBuffer(self.adj.outbuf_overflow)
                buffer.append(rest)
                self.outbufs.append(buffer)
                self.total_outbufs_len += len(rest)
                self.current_outbuf_count = len(rest)
                self.server.pull_trigger()

    def handle_write(self) -> None:
        """Send what is left. waitress does so without the lock while no request is worked on,
        though the thread that worked on the last one may still send.
        """
        with self.outbuf_lock:
            super().handle_write()

    def send(self, data: bytes | Piece, do_close: bool = True) -> int:
        """Send some of the data; 0 when the client takes nothing, or the turn is over.

        Raises:
            OSError: the connection or the file is broken.
        """
        if self._left <= 0:
            return 0
        if isinstance(data, Piece):
            sent = self._send_piece(data, do_close=do_close)
        else:
            sent = super().send(data, do_close=do_close)
        self._left -= sent
        return sent

    def _send_piece(self, piece: Piece, *, do_close: bool) -> int:
        try:
            return piece.send(self.socket.fileno())
        except ConnectionError:  # as in waitress
            if do_close:
                self.handle_close()
            return 0
