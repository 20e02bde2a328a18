"""Upload forms: the first byte says how the body arrives, the first line is its Content-Type."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pypicloud_lite.errors import Rejected, TooLarge
from pypicloud_lite.storage.base import Spool
from pypicloud_lite.views.form import SINGLE_FIELDS, FormLimits, received_upload

WORDS = (
    b"--B", b"--B--", b"\r\n", b"\r\n\r\n", b"Content-Disposition: form-data; ", b'name="content"',
    b'; filename="demo-1.0.tar.gz"', b"filename*=UTF-8''x", b'name=":action"', b"file_upload",
    b"Content-Type: ", b"Content-Transfer-Encoding: base64", b"multipart/form-data; boundary=B",
    b"Content-Length: 5", b"sha256_digest", b"blake2_256_digest", b"%22", b'\\"', b"--",
)  # fmt: skip
#: Bytes of a file.
_MOST = 1000
_LIMITS = FormLimits(file=_MOST, field=1 << 16, long_field=1 << 18, text=1 << 20, fields=1000)
_TYPE = b"multipart/form-data; boundary=B"


def seeds() -> dict[str, bytes]:
    content = (b'name="content"; filename="demo-1.0.tar.gz"', b"some\r\n--bytes\0")
    action = (b'name=":action"', b"file_upload")
    digest = (b'name="blake2_256_digest"', b"00" * 32)
    other = (b'name="gpg_signature"; filename="demo-1.0.tar.gz.asc"', b"signature")
    good = _form(action, digest, content, other)
    return {
        "whole": b"\0" + good,
        "in-pieces": b"\1" + good,
        "without-length": b"\2" + good,
        "twice": b"\0" + _form(content, content),
        "no-file": b"\0" + _form(action),
        "star": b"\0" + _form((b"name=content; filename*=UTF-8''demo-1.0.tar.gz", b"x")),
        "too-large": b"\0" + _form((content[0], bytes(_MOST + 1))),
        "quoted-boundary": b'\0multipart/form-data; boundary="B"' + good[len(_TYPE) :],
        "cut-off": b"\0" + good[:-7],
        "goes-on": b"\0" + good + b"epilogue",
    }


def _form(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        b"--B\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return _TYPE + b"\n" + body + b"--B--\r\n"


def check(data: bytes) -> None:
    how, rest = (data[0], data[1:]) if data else (0, b"")
    content_type, _newline, body = rest.partition(b"\n")
    environ: dict[str, Any] = {"CONTENT_TYPE": content_type.decode("latin-1")}
    if how & 2:
        environ["wsgi.input_terminated"] = True
    else:
        environ["CONTENT_LENGTH"] = str(len(body))
    received = _received(environ, io.BytesIO(body))
    in_pieces = _received(environ, _Pieces(body, 1 + how // 4))
    # Of malformed bodies, the parser refuses more when it gets them in small pieces.
    assert in_pieces in (received, None)
    if received is None:
        return
    _filename, fields, content, digests = received
    assert len(content) <= _MOST
    assert content in body
    assert digests.sha256 == hashlib.sha256(content).hexdigest()
    assert digests.md5 == hashlib.md5(content).hexdigest()
    blake2 = hashlib.blake2b(content, digest_size=32).hexdigest()
    assert digests.others in ({}, {"blake2_256_digest": blake2})
    assert fields.keys() <= SINGLE_FIELDS
    for text in fields.values():
        assert text.encode() in body
        assert "\0" not in text


def _received(environ: dict[str, Any], body: Any) -> tuple[Any, ...] | None:
    try:
        with received_upload({**environ, "wsgi.input": body}, _spool, limits=_LIMITS) as got:
            got.spool.file.seek(0)
            content = got.spool.file.read()
            assert got.size == len(content)
            return got.filename, got.fields, content, got.digests
    except (Rejected, TooLarge) as exc:
        assert exc.message.isprintable()
        return None


@contextmanager
def _spool() -> Iterator[Spool]:
    yield Spool(None, io.BytesIO())


class _Pieces(io.BytesIO):
    """Gives fewer bytes than one asks for, as a socket does."""

    def __init__(self, content: bytes, length: int) -> None:
        super().__init__(content)
        self._length = length

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._length if size is None or size < 0 else min(size, self._length))
