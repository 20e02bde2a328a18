"""Which format a client gets (PEP 691 "version + format selection")."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from webob.acceptparse import (
    AcceptEncodingValidHeader,
    AcceptValidHeader,
    create_accept_encoding_header,
    create_accept_header,
)


class Format(Enum):
    """The content types of index pages."""

    HTML = "text/html"
    V1_HTML = "application/vnd.pypi.simple.v1+html"
    V1_JSON = "application/vnd.pypi.simple.v1+json"

    @property
    def is_json(self) -> bool:
        """Whether it is the JSON form."""
        return self is Format.V1_JSON


#: What may be asked for -> what is sent. Earlier wins where the client values both the same.
_OFFERS: dict[str, Format] = {
    **{format_.value: format_ for format_ in Format},
    "application/vnd.pypi.simple.latest+html": Format.V1_HTML,
    "application/vnd.pypi.simple.latest+json": Format.V1_JSON,
}
CONTENT_TYPES = tuple(_OFFERS)
#: No client sends more; longer headers are not worth the time.
_MAX_HEADER = 2048


def choose_format(accept: str | None, query: str | None = None) -> Format | None:
    """The format for a request, or ``None`` when the client takes none of ours (406).

    Args:
        accept: the Accept header. One that can't be parsed counts as absent.
        query: the value of ``?format=``, which overrides the header.
    """
    if query is not None:  # where a plus sign that wasn't encoded has become a space
        return _OFFERS.get(query.strip().replace(" ", "+").lower())
    if accept is None or len(accept) > _MAX_HEADER:
        return Format.HTML
    return _negotiated(accept)


@lru_cache(maxsize=512)
def _negotiated(accept: str) -> Format | None:
    if accept.strip() in ("", "*/*"):
        return Format.HTML
    header = create_accept_header(accept)
    if not isinstance(header, AcceptValidHeader):
        return Format.HTML
    offers = header.acceptable_offers(list(_OFFERS))
    return _OFFERS[offers[0][0]] if offers else None


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the client takes gzip and doesn't prefer the plain bytes."""
    if not accept_encoding or len(accept_encoding) > _MAX_HEADER:
        return False
    return _takes_gzip(accept_encoding)


@lru_cache(maxsize=512)
def _takes_gzip(accept_encoding: str) -> bool:
    header = create_accept_encoding_header(accept_encoding)
    if not isinstance(header, AcceptEncodingValidHeader):
        return False
    offers = header.acceptable_offers(["gzip", "identity"])
    return bool(offers) and offers[0][0] == "gzip"
