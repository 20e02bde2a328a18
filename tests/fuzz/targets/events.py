"""Bodies of messages about a bucket."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

from pypicloud_lite.storage.base import Hints
from pypicloud_lite.storage.s3.connect import OWN
from pypicloud_lite.storage.s3.events import EventQueue

WORDS = (
    b'{"Records":[', b'"s3":{', b'"bucket":{"name":"packages"}', b'"object":{"key":"p/a/a-1.zip"}',
    b'"Type":"Notification"', b'"Message":', b'"source":"aws.s3"', b'"detail":{', b'"\\ud800"',
    b'"Event":"s3:TestEvent"', b"p/", OWN.encode(), b"status/a.json", b"%00", b"+", b"null",
    b"[", b"{", b"\\u0000", b".metadata", b".meta",
)  # fmt: skip
_BUCKET, _PREFIX = "packages", "p/"
_QUEUE = EventQueue(None, "https://sqs.example.com/q", _BUCKET, _PREFIX)
#: What S3 allows, in bytes.
_LONGEST = 1024


def seeds() -> dict[str, bytes]:
    key = "p/demo/demo-1.0+local.tar.gz"
    event = _event(key)
    bridge = {"source": "aws.s3", "detail": {"bucket": {"name": _BUCKET}, "object": {"key": key}}}
    documents: dict[str, Any] = {
        "event": event,
        "sidecar": _event(key + ".metadata"),
        "other-bucket": _event(key, "others"),
        "other-prefix": _event("q/demo/demo-1.0.zip"),
        "status": _event(f"{_PREFIX}{OWN}status/demo.json"),
        "own": _event(f"{_PREFIX}{OWN}snapshot"),
        "sns": {"Type": "Notification", "Message": json.dumps(event)},
        "bridge": bridge,
        "test": {"Event": "s3:TestEvent"},
        "surrogate": {**bridge, "detail": {**bridge["detail"], "object": {"key": "p/\ud800"}}},
        "empty": _event(_PREFIX),
        "number": 1,
        "no-text": {"Records": [{"s3": {"bucket": {"name": _BUCKET}, "object": {"key": 1}}}]},
    }
    nested = {"deep": b"[" * 2000, "no-json": b"{", "not-utf8": b'"\xff"'}
    return {name: json.dumps(value).encode() for name, value in documents.items()} | nested


def _event(key: str, bucket: str = _BUCKET) -> dict[str, Any]:
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key)}}}]}


def check(data: bytes) -> None:
    body = data.decode("utf-8", "surrogateescape")
    hints = _hints(body)
    assert not hints.everything
    assert not hints.below
    for key in hints.keys:
        assert key.startswith(_PREFIX)
        assert not key.startswith(_PREFIX + OWN)
        assert "\0" not in key
        assert 0 < len(key.encode()) <= _LONGEST
        assert set(_hints(json.dumps(_event(key))).keys) == {key}
    # A message that means nothing keeps no other from being understood.
    other = json.dumps(_event("p/a/a-1.zip"))
    both = _hints(body, other)
    assert set(both.keys) == {*hints.keys, "p/a/a-1.zip"}
    assert both.statuses == hints.statuses


def _hints(*bodies: str) -> Hints:
    return _QUEUE._hints([{"Body": body} for body in bodies])
