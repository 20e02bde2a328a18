"""The fields of short requests: urlencoded forms, and JSON objects."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from pypicloud_lite.errors import InvalidForm, TooLarge
from pypicloud_lite.views.request import Request

_MAX_BODY = 1 << 16


def is_json(request: Request) -> bool:
    """Whether the body is said to be JSON, which browsers send for other sites only if we agree."""
    return bool(request.content_type == "application/json")


def read_fields(request: Request, allowed: set[str], *, query: bool = True) -> dict[str, str]:
    """The fields of a urlencoded form or a JSON object, and of the query; empty ones are absent.

    Raises:
        InvalidForm: the body is neither, or has other fields than those allowed.
        TooLarge: the body is longer than 64 KiB.
    """
    body = request.environ["wsgi.input"].read(_MAX_BODY + 1) if request.content_length else b""
    if len(body) > _MAX_BODY:
        raise TooLarge(f"The request is longer than {_MAX_BODY} bytes.")
    given: dict[str, Any] = dict(request.GET) if query else {}
    try:
        if is_json(request):
            document = json.loads(body or b"{}")
            if not isinstance(document, dict):
                raise InvalidForm("The JSON body must be an object.")
            given |= document
        else:
            given |= dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True))
        for value in given.values():
            str(value).encode()  # JSON can name half of a character
    except (UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise InvalidForm("The body is neither a form nor a JSON object.") from exc
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise InvalidForm(
            f"Unknown field {unknown[0][:100]!r}; known: {', '.join(sorted(allowed))}."
        )
    fields = {name: value for name, value in given.items() if value not in (None, "")}
    if not all(isinstance(value, str) for value in fields.values()):
        raise InvalidForm("Every field must be a text.")
    return fields
