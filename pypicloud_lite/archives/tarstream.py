"""The bytes of a tar archive, inflated in small pieces and not without end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

from pypicloud_lite.archives.checks import Checks, Oddities
from pypicloud_lite.archives.inflate import GZIP, inflated
from pypicloud_lite.archives.read import OPENERS
from pypicloud_lite.archives.tarheaders import BLOCK
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import FileName

_PIECE = 1 << 20


class TarStream:
    """Reads forward only."""

    def __init__(self, file: IO[bytes], name: FileName, checks: Checks, odd: Oddities) -> None:
        self._most = checks.inflated_from(file.seek(0, os.SEEK_END))
        file.seek(0)
        is_gzip = name.extension in (".tar.gz", ".tgz")
        self._pieces = _gunzip(file, odd) if is_gzip else _others(file, name)
        self._piece = b""
        self._at = 0
        self._total = 0

    def block(self) -> bytes:
        """The next block; shorter at the end of the file."""
        return b"".join(self._take(BLOCK))

    def data(self, size: int, most: int) -> bytes:
        """The data of a member, which must be small.

        Args:
            most: bytes.

        Raises:
            InvalidArchive: it is larger, truncated, or goes on in the padding, which some readers
                of headers read, too.
        """
        if size > most:
            raise InvalidArchive(f"it has a header or core metadata of more than {most} bytes")
        blocks = b"".join(self._whole_blocks(size))
        if any(blocks[size:]):
            raise InvalidArchive("a header or core metadata goes on behind its end")
        return blocks[:size]

    def skip(self, size: int) -> None:
        """Pass over the data of a member.

        Raises:
            InvalidArchive: it is truncated.
        """
        for _piece in self._whole_blocks(size):
            pass

    def rest_is_zero(self) -> bool:
        """Whether only zeros follow, to the end of the file."""
        pieces = iter(lambda: b"".join(self._take(_PIECE)), b"")
        return all(piece.count(0) == len(piece) for piece in pieces)

    def _whole_blocks(self, size: int) -> Iterator[bytes]:
        padded = -(-size // BLOCK) * BLOCK
        for piece in self._take(padded):
            padded -= len(piece)
            yield piece
        if padded:
            raise InvalidArchive("it is truncated inside of a member")

    def _take(self, size: int) -> Iterator[bytes]:
        while size:
            if self._at == len(self._piece):
                self._piece, self._at = next(self._pieces, b""), 0
                self._total += len(self._piece)
                if self._total > self._most:
                    raise InvalidArchive(f"it inflates to more than {self._most} bytes")
                if not self._piece:
                    return
            taken = self._piece[self._at : self._at + size]
            self._at += len(taken)
            size -= len(taken)
            yield taken


def _gunzip(file: IO[bytes], odd: Oddities) -> Iterator[bytes]:
    """One gzip stream, which is all of the file."""
    rest = yield from inflated(file.read, GZIP)
    while rest or (rest := file.read(_PIECE)):
        if rest.startswith(b"\x1f\x8b"):
            odd.note("framing", "it is made of more than one gzip stream")
            file.seek(-len(rest), os.SEEK_CUR)
            rest = yield from inflated(file.read, GZIP)
            continue
        if rest.count(0) != len(rest):
            raise InvalidArchive("data follows its compressed stream")
        odd.note("framing", "zeros follow its compressed stream")
        rest = b""


def _others(file: IO[bytes], name: FileName) -> Iterator[bytes]:
    """Retired formats."""
    with OPENERS[name.extension](file) as stream:
        yield from iter(lambda: stream.read(_PIECE), b"")
