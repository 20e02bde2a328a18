"""Receiving an upload: from the request's body straight into the storage's temporary file.

PyPA legacy upload API, multipart/form-data (RFC 7578). Memory is constant in the size of the
file, every part of the form is bounded, and the digests are computed on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from pypicloud_lite.digesting import Digest, Digesting
from pypicloud_lite.errors import InvalidFilename, InvalidForm, TooLarge, UnsupportedCoding
from pypicloud_lite.model import Digests
from pypicloud_lite.publishing import DIGEST_FIELDS, Upload
from pypicloud_lite.storage.base import Spool

_CHUNK = 1 << 18
#: Two dashes, carriage return and line feed.
_TAIL = 4
_MAX_BOUNDARY = 200
#: What the boundaries and headers of all parts may take of a body, in bytes.
_FRAMES = 1 << 20
#: Files that old clients send beside the distribution; they are read and dropped.
_OTHER_FILES = frozenset({"gpg_signature"})
#: READMEs and the like are longer than any other field, and we only pass over them.
_LONG_FIELDS = frozenset({"description", "license", "attestations"}) | _OTHER_FILES
#: Fields that mean something once: more than one is a contradiction.
SINGLE_FIELDS = frozenset(
    {
        ":action",
        "protocol_version",
        "filetype",
        "pyversion",
        "metadata_version",
        "name",
        "version",
        "summary",
        "requires_python",
        *DIGEST_FIELDS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """How much of a form is taken; all in bytes, but for the number of fields."""

    file: int
    field: int
    long_field: int
    #: All text together: what a body may have on top of its file.
    text: int
    fields: int


@dataclass
class _Part:
    """The part of the form that is being received."""

    name: str
    is_content: bool
    limit: int
    data: bytearray = field(default_factory=bytearray)


class _Receiver:
    """Takes the parser's events and keeps what matters."""

    def __init__(self, spool: Spool, limits: FormLimits) -> None:
        self._spool = spool
        self.limits = limits
        self._part: _Part | None = None
        self._form_size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._extra: dict[str, Digest] = {}
        self.digesting = Digesting([self._sha256, self._md5])
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.size = 0

    def begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        filename = _filename(segment)
        is_content = name == "content"
        if is_content:
            if filename is None:
                raise InvalidForm("Upload payload does not have a file: content is a text field.")
            if self.filename is not None:
                raise InvalidForm("Upload payload has more than one file.")
            self.filename = filename
            # The client said which digests it wants verified; sha256 and md5 we keep anyway.
            if "blake2_256_digest" in self.fields:
                blake2 = self._extra["blake2_256_digest"] = hashlib.blake2b(digest_size=32)
                self.digesting.add(blake2)
        elif filename is not None and name not in _OTHER_FILES:
            raise InvalidForm(f"{name[:100]!r} must be a text field, not a file.")
        elif name in self.fields:
            raise InvalidForm(f"The form has {name!r} more than once.")
        limits = self.limits
        limit = limits.long_field if name in _LONG_FIELDS else limits.field
        self._part = _Part(name, is_content, limit)

    def data(self, chunk: bytes) -> None:
        part = self._part
        if part is None:
            return
        if part.is_content:
            self.size += len(chunk)
            if self.size > self.limits.file:
                raise TooLarge(f"File too large. The limit is {self.limits.file} bytes.")
            self._spool.write(chunk)
            self.digesting.update(chunk)
            return
        self._form_size += len(chunk)
        if len(part.data) + len(chunk) > part.limit:
            raise InvalidForm(f"The field {part.name[:100]!r} is longer than {part.limit} bytes.")
        if self._form_size > self.limits.text:
            raise InvalidForm(f"The form's text is longer than {self.limits.text} bytes.")
        part.data += chunk

    def end(self) -> None:
        part, self._part = self._part, None
        if part is None or part.is_content or part.name in _OTHER_FILES:
            return
        try:
            text = part.data.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise InvalidForm(f"The field {part.name[:100]!r} is not UTF-8.") from exc
        if "\0" in text:
            raise InvalidForm(f"The field {part.name[:100]!r} holds a NUL character.")
        if part.name in SINGLE_FIELDS:
            self.fields[part.name] = text

    @property
    def digests(self) -> Digests:
        others = {name: digest.hexdigest() for name, digest in self._extra.items()}
        return Digests(self._sha256.hexdigest(), self._md5.hexdigest(), others)


@contextmanager
def received_upload(
    environ: Mapping[str, Any],
    spool: Callable[[], AbstractContextManager[Spool]],
    *,
    limits: FormLimits,
    check: Callable[[Mapping[str, str]], None] = lambda _fields: None,
) -> Iterator[Upload]:
    """Receive the form in a WSGI request.

    Args:
        spool: makes the temporary file; it is gone after the block unless it was published.
        check: raises when the text fields rule the request out, with or without a file.

    Raises:
        UnsupportedCoding: the body is compressed.
        InvalidForm: not a well-formed upload form, or over a limit of its fields.
        InvalidFilename: the file's name can't be told.
        TooLarge: the file is; before anything is read where Content-Length says so.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in ("", "identity"):
        raise UnsupportedCoding("A compressed request body is not supported.")
    boundary = _boundary(environ.get("CONTENT_TYPE", ""))
    length = _content_length(environ)
    if length > limits.file + limits.text + _FRAMES:
        raise TooLarge(f"File too large. The limit is {limits.file} bytes.")
    with spool() as spooled:
        receiver = _Receiver(spooled, limits)
        with receiver.digesting:
            _feed(receiver, environ["wsgi.input"], boundary, length)
        check(receiver.fields)
        if receiver.filename is None:
            raise InvalidForm("Upload payload does not have a file.")
        spooled.flush()
        yield Upload(receiver.filename, spooled, receiver.size, receiver.digests, receiver.fields)


def _feed(receiver: _Receiver, body: IO[bytes], boundary: str, length: int) -> None:
    try:
        parser = PushMultipartParser(
            boundary,
            content_length=length,
            max_segment_count=receiver.limits.fields + 1,  # and the file
            strict=True,
        )
        for event in parser.parse_blocking(_with_tail(body.read), _CHUNK):
            if isinstance(event, MultipartSegment):
                receiver.begin(event)
            elif event is None:
                receiver.end()
            else:
                receiver.data(bytes(event))
    except MultipartError as exc:
        raise InvalidForm(f"Invalid Form Data: {str(exc)[:200]}.") from exc


def _with_tail(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Reads that never leave the end of the last line alone: the parser drops what stands behind
    the last boundary, but takes it for an error where a read begins with it.
    """
    held = b""

    def more(size: int) -> bytes:
        nonlocal held
        chunk = b""
        while not chunk:
            data = read(size - len(held))
            if not data:
                chunk, held = held, b""
                break
            data = held + data
            chunk, held = data[:-_TAIL], data[-_TAIL:]
        return chunk

    return more


def _boundary(content_type: str) -> str:
    media_type, options = parse_options_header(content_type[:1000])
    if media_type != "multipart/form-data":
        raise InvalidForm(
            f"An upload is a multipart/form-data form, not {media_type[:100] or 'untyped'!r}."
        )
    boundary = options.get("boundary", "")
    if not boundary or len(boundary) > _MAX_BOUNDARY or not boundary.isascii():
        raise InvalidForm("The form's boundary is missing or too long.")
    return boundary


def _content_length(environ: Mapping[str, Any]) -> int:
    """The announced length in bytes, or -1 where the server only knows the end."""
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        if environ.get("wsgi.input_terminated"):
            return -1
        raise InvalidForm("The request has no Content-Length.")
    if not (text.isascii() and text.isdigit()):
        raise InvalidForm("The request's Content-Length is not a number.")
    return int(text)


def _filename(segment: MultipartSegment) -> str | None:
    """The file name of a part, exactly as sent: never a guess from a path."""
    raw = " ".join(
        value for name, value in segment.headerlist if name.lower() == "content-disposition"
    )
    if "filename*" in raw.lower():
        raise InvalidFilename("The file's name must be sent as plain filename, not as filename*.")
    if raw.lower().count("filename=") > 1:
        raise InvalidFilename("The file has more than one name.")
    if segment.filename is not None and "\\" in raw:
        raise InvalidFilename("Cannot upload a file with '/' or '\\' in the name.")
    return segment.filename
