"""Ready pages: the bytes, plain and compressed, with their entity tags."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: Smaller pages aren't worth compressing, in bytes.
_MIN_GZIP = 500
#: What an entry costs besides its bytes, roughly.
_OVERHEAD = 1000


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page in one format, or another small document.

    Entity tags are strong: they change with every byte (RFC 9110).
    """

    body: bytes
    etag: str
    #: ``None`` where compression doesn't pay.
    gzip_body: bytes | None
    gzip_etag: str

    @property
    def cost(self) -> int:
        """Bytes of memory, roughly."""
        return len(self.body) + len(self.gzip_body or b"") + _OVERHEAD


def render(body: bytes) -> Rendered:
    """Make a page's bytes ready to be sent."""
    digest = hashlib.sha256(body).hexdigest()[:40]
    compressed = gzip.compress(body, 6, mtime=0) if len(body) >= _MIN_GZIP else None
    return Rendered(body, f'"{digest}"', compressed, f'"{digest}-gzip"')


class PageCache:
    """Ready pages in memory, the least recently used dropped first.

    An entry is good for one serial: pages of other serials are never returned, and replaced.

    Args:
        limit: bytes in all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Hashable, tuple[Hashable, Rendered]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, serial: Hashable, make: Callable[[], Rendered]) -> Rendered:
        """The page ``key`` as of ``serial``, made and kept when it isn't there."""
        found = self._entries.get(key)
        if found is not None and found[0] == serial:
            try:
                self._entries.move_to_end(key)
            except KeyError:
                pass  # dropped by another thread just now
            return found[1]
        page = make()
        self._put(key, serial, page)
        return page

    def _put(self, key: Hashable, serial: Hashable, page: Rendered) -> None:
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._size -= old[1].cost
            if page.cost > self._limit:
                return
            self._entries[key] = (serial, page)
            self._size += page.cost
            while self._size > self._limit:
                _key, (_serial, dropped) = self._entries.popitem(last=False)
                self._size -= dropped.cost
