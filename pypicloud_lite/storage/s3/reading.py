"""An object as a file that can be read and sought in."""

from __future__ import annotations

import io
from typing import Any

from pypicloud_lite.storage.s3.errors import translated


class ObjectReader(io.RawIOBase):
    """Reads an object by range requests: one for each run of bytes that is read in a row.

    Args:
        size: of the object, in bytes.
        etag: the object's; a replacement in between is noticed, never mixed in.
    """

    def __init__(self, client: Any, bucket: str, key: str, size: int, etag: str) -> None:
        super().__init__()
        self._client = client
        self._target = {"Bucket": bucket, "Key": key, "IfMatch": etag}
        self._key = key
        self._size = size
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere; costs a request only when something is read there."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        target = base + offset
        if target < 0:
            raise ValueError(f"negative seek value {target}")
        if target != self._position:
            self._drop()
            self._position = target
        return target

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes.

        Raises:
            StorageUnavailable: S3 failed, or sent less than it announced.
        """
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        with translated(self._key):
            if self._body is None:
                answer = self._client.get_object(**self._target, Range=f"bytes={self._position}-")
                self._body = answer["Body"]
            content: bytes = self._body.read(wanted)
        self._position += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, for ``io.BufferedReader``."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        """Give the connection back."""
        self._drop()
        super().close()
