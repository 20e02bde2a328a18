"""What is taken off a connection: stricter than waitress, which receives the whole body of a
request before the application sees its headers.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask
from waitress.utilities import Error

from pypicloud_lite.answering import RepeatingChannel, Task
from pypicloud_lite.repeating import Answers
from pypicloud_lite.sending import Turns

LOG = logging.getLogger(__name__)

_TRANSFER_CODING = re.compile(rb"^transfer-encoding:(.*)$", re.IGNORECASE | re.MULTILINE)
_MAX_LOGGED = 200


def channel_class(
    max_anonymous_body: int | None, answers: Answers | None = None
) -> type[RepeatingChannel]:
    """The class of the connections of a server.

    Args:
        max_anonymous_body: in bytes, what a request without an ``Authorization`` header may
            send; more is answered 401 and never received. ``None``: what waitress takes.
        answers: where answers that last are kept.
    """
    parser = type("Parser", (_Parser,), {"max_anonymous_body": max_anonymous_body})
    parts = {
        "answers": answers,
        "turns": Turns(),
        "parser_class": parser,
        "task_class": Task,
        "error_task_class": _Refusal,
    }
    return type("Channel", (RepeatingChannel,), parts)


class _LoginRequired(Error):
    code = 401
    reason = "Unauthorized"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """With the challenge that a 401 must have (RFC 9110, section 15.5.2)."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("WWW-Authenticate", 'Basic realm="pypi", charset="UTF-8"')], body


class _Parser(HTTPRequestParser):
    """Refuses what proxies may understand otherwise, and large bodies of strangers."""

    max_anonymous_body: int | None = None
    error: Any
    headers_finished: bool
    #: What its answer is kept by.
    key: bytes | None = None
    #: All that was sent, if it came at once, with nothing else.
    head = b""

    def received(self, data: bytes) -> int:
        """Take what arrived; the number of bytes that belong to this request."""
        begins = not self.header_bytes_received
        consumed: int = super().received(data)
        alone = begins and self.headers_finished and consumed == len(data)
        self.head = data if alone else b""
        if self.error is None and self._is_too_much():
            self.error = _LoginRequired("Log in before sending this much.")
            self.completed = True
        if self.error is not None:
            self.expect_continue = False  # waitress would ask for the body that was refused
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head; one that frames its body twice or oddly is refused (RFC 9112, 6.1).

        Raises:
            ParsingError: the head is malformed.
        """
        super().parse_header(header_plus)
        if b"transfer-encoding" not in header_plus.lower():
            return
        codings = [value.strip().lower() for value in _TRANSFER_CODING.findall(header_plus)]
        if codings and (
            codings != [b"chunked"] or self.version != "1.1" or "CONTENT_LENGTH" in self.headers
        ):
            raise ParsingError("Transfer-Encoding is repeated, or not alone in saying the length")

    def _is_too_much(self) -> bool:
        size = max(self.content_length, self.body_bytes_received)
        limit = self.max_anonymous_body
        return limit is not None and size > limit and "AUTHORIZATION" not in self.headers


class _Refusal(ErrorTask):
    """The answer to a request that the application never sees."""

    def execute(self) -> None:
        """Answer, with a short echo at most, and leave a line in the log."""
        error: Any = self.request.error
        error.body = ascii(error.body).strip("'")[:_MAX_LOGGED]
        if error.code != 500:  # waitress logged those
            code = error.reason.lower().replace(" ", "-")
            LOG.info("refused (%s) by %s: %s", code, self.channel.addr, error.body)
        super().execute()
