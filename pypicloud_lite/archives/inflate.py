"""Inflating in small pieces."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator

from pypicloud_lite.errors import InvalidArchive

_INPUT = 1 << 18
_OUTPUT = 1 << 20

#: For zlib: a bare deflate stream (RFC 1951), or one with a gzip header (RFC 1952).
RAW, GZIP = -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS


def inflated(read: Callable[[int], bytes], wbits: int) -> Generator[bytes, None, bytes]:
    """The content of one deflate stream, in pieces of at most a mebibyte.

    The generator returns what was read beyond the end of the stream.

    Raises:
        InvalidArchive: the stream doesn't end.
        zlib.error: it is broken.
    """
    stream = zlib.decompressobj(wbits)
    while not stream.eof:
        data = stream.unconsumed_tail or read(_INPUT)
        piece = stream.decompress(data, _OUTPUT)
        if piece:
            yield piece
        elif not data:
            raise InvalidArchive("it is truncated: a compressed stream has no end")
    return stream.unused_data
