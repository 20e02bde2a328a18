"""``Accept`` and ``Accept-Encoding``, and the value of ``?format=`` behind a newline."""

from __future__ import annotations

from webob.acceptparse import AcceptValidHeader, create_accept_header

from pypicloud_lite.simple.negotiation import (
    CONTENT_TYPES,
    Format,
    accepts_gzip,
    choose_format,
)
from pypicloud_lite.views.errors import _preferred

WORDS = (
    *(name.encode() for name in CONTENT_TYPES), b"*/*", b"text/*", b"application/*", b";q=0",
    b";q=0.5", b";q=1.000", b", ", b'; a="b\\"c"', b"gzip", b"identity", b"*;q=0",
    b"application/json", b";charset=utf-8", b"\t", b" ",
)  # fmt: skip
_ERRORS = {
    "text/plain",
    "text/html",
    "application/json",
    "application/vnd.pypi.simple.v1+json",
}


def seeds() -> dict[str, bytes]:
    v1 = b"application/vnd.pypi.simple.v1+"
    return {
        "pip": v1 + b"json, " + v1 + b"html;q=0.1, text/html;q=0.01",
        "uv": v1 + b"json, " + v1 + b"html;q=0.2, text/html;q=0.01",
        "poetry": v1 + b"json, */*;q=0.1",
        "browser": b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "nothing": b"*/*;q=0",
        "json": b"application/json",
        "encodings": b"gzip, deflate;q=0.5, identity;q=0",
        "parameters": b'text/html;level=1;a="b\\"c";q=0.5;x=y',
        "broken": b"text/html;q=2,,",
        "query": b"*/*\n" + v1 + b"json",
        "commas": b"a/b," * 400,
    }


def check(data: bytes) -> None:
    header, newline, query = data.decode("latin-1").partition("\n")
    chosen = choose_format(header, query if newline else None)
    if newline:
        assert chosen == choose_format(None, query)
        assert chosen is None or "/" in query
    elif len(header) < 2000:
        _check_negotiated(header, chosen)
    if accepts_gzip(header):
        assert "gzip" in header.lower() or "*" in header
        assert not accepts_gzip("")
    assert _preferred(header) in _ERRORS


def _check_negotiated(header: str, chosen: Format | None) -> None:
    # Who takes one more format that nobody has gets the same.
    if isinstance(create_accept_header(header), AcceptValidHeader):
        assert choose_format(f"{header}, x/y") == chosen
    if chosen is None:
        assert choose_format(f"{header}, {Format.V1_JSON.value}") is not None or (
            "q=0" in header.lower().replace(" ", "").replace("\t", "")
        )
    elif chosen is not Format.HTML:
        kind = "json" if chosen.is_json else "html"
        assert kind in header.lower() or "*" in header
