"""Uploads as twine sends them: one form for each file, over a connection that is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.speed.http import Answer, Connection, request_head

_BOUNDARY = "bench-of-pypicloud-lite"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Receiver:
    """Where a server takes uploads, with these headers."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Upload:
    """A wheel that is sent; its content is in memory, or in a file."""

    project: str
    version: str
    filename: str
    content: bytes | Path

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def digests(self) -> dict[str, str]:
        """Digests by their names in a form."""
        hashes = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
        for digest in hashes.values():
            if isinstance(self.content, bytes):
                digest.update(self.content)
                continue
            with self.content.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        return {f"{name}_digest": digest.hexdigest() for name, digest in hashes.items()}


@dataclass(frozen=True)
class Form:
    """A request that is ready to be sent."""

    upload: Upload
    prefix: bytes
    suffix: bytes

    @classmethod
    def of(cls, upload: Upload) -> Form:
        fields = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": upload.project,
            "version": upload.version,
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "summary": "A demo",
            "requires_python": ">=3.8",
            **upload.digests(),
        }
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="content"; '
            f'filename="{upload.filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        return cls(upload, "".join(parts).encode(), f"\r\n--{_BOUNDARY}--\r\n".encode())

    def send(self, connection: Connection, receiver: Receiver) -> Answer:
        """Send it.

        Raises:
            OSError: the server can't be reached, or ended the connection amid its answer.
        """
        length = len(self.prefix) + self.upload.size + len(self.suffix)
        headers = {
            **receiver.headers,
            "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
            "Content-Length": str(length),
        }
        head = request_head(connection.port, receiver.path, headers, "POST")
        if isinstance(self.upload.content, bytes):
            return connection.send(head, self.prefix + self.upload.content + self.suffix)
        return connection.send_file(head + self.prefix, self.upload.content, self.suffix)
