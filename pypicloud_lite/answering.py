"""How an answer is sent: the head made once, and in one piece with a small body."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from waitress.task import WSGITask
from waitress.utilities import build_http_date

from pypicloud_lite.sending import SentFile

#: How many heads are kept, of about half a kilobyte each; then all are dropped.
_KEPT = 1024
#: Up to this size a body is copied rather than sent for itself, in bytes.
_SMALL = 1 << 16
#: What waitress makes of status and headers: before and after the value of Date.
_heads: dict[tuple[object, ...], tuple[bytes, bytes]] = {}


class Task(WSGITask):
    """Writes the same head for the same answer without making it again, and sends a whole small
    answer at once.

    It also keeps connections open after answers that have no body (RFC 9112, section 6.3), which
    waitress closes since they have no length: clients that revalidate send one after the other.
    """

    close_on_finish: bool
    wrote_header: bool
    content_length: int | None
    response_headers: list[tuple[str, str]]

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment (PEP 3333)."""
        environ: dict[str, Any] = super().get_environment()
        environ["wsgi.file_wrapper"] = SentFile
        return environ

    def write(self, data: bytes) -> None:
        """Send some of the body, the head before it."""
        whole = len(data) == self.content_length and self.has_body and self.complete
        if self.wrote_header or not whole or not 0 < len(data) <= _SMALL:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header = True
        self.content_bytes_written = len(data)

    def build_response_header(self) -> bytes:
        """The status line and all headers."""
        wish = self.request.headers.get("CONNECTION", "").lower()
        if self.version != "1.1" or wish not in ("", "keep-alive") or self.close_on_finish:
            return super().build_response_header()
        ident = self.channel.server.adj.ident
        key = (ident, self.status, self.content_length, *self.response_headers)
        date = _date(int(self.start_time))
        head = _heads.get(key)
        if head is not None:
            return head[0] + date + head[1]
        made: bytes = super().build_response_header()
        if not self.has_body:
            self.close_on_finish = False
            made = made.replace(b"\r\nConnection: close\r\n", b"\r\n", 1)
        before, found, after = made.partition(date)
        if found and not self.close_on_finish and not self.chunked_response:
            if len(_heads) >= _KEPT:
                _heads.clear()
            _heads[key] = before, after
        return made


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return b"\r\nDate: " + build_http_date(second).encode("ascii") + b"\r\n"
