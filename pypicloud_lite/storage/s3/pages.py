"""Reading the pages of a bucket's listing.

botocore reads any answer of any service by its model, which takes most of the time that the
listing of a large bucket takes. This reads one answer, and leaves to botocore what it isn't sure
of.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

#: The event of botocore's before it reads such an answer.
EVENT = "before-parse.s3.ListObjectsV2"


def read_page(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_more: Any
) -> None:
    """A handler of :data:`EVENT`: what we need of an answer to ``ListObjectsV2``."""
    if response_dict["status_code"] != 200:
        return
    try:
        page = _page(response_dict["body"])
    except (ET.ParseError, KeyError, ValueError, TypeError):
        return
    customized_response_dict.update(page)
    response_dict["body"] = b"<ListBucketResult/>"


def _page(body: bytes) -> dict[str, Any]:
    root = ET.fromstring(body)  # noqa: S314 - as botocore does, from the same server
    start = root.tag.removesuffix("ListBucketResult")
    if start == root.tag:
        raise ValueError(root.tag)
    encoded = root.findtext(f"{start}EncodingType") == "url"
    names = {f"{start}{name}": name for name in ("Key", "Size", "ETag", "LastModified")}
    page = {
        "IsTruncated": root.findtext(f"{start}IsTruncated") == "true",
        "Contents": [
            _entry({names[child.tag]: child.text or "" for child in entry if child.tag in names},
                   encoded=encoded)
            for entry in root.iterfind(f"{start}Contents")
        ],
    }  # fmt: skip
    token = root.findtext(f"{start}NextContinuationToken")
    return page if token is None else page | {"NextContinuationToken": token}


def _entry(texts: dict[str, str], *, encoded: bool) -> dict[str, Any]:
    modified = datetime.fromisoformat(texts["LastModified"])
    if modified.tzinfo is None:
        raise ValueError("a time without zone")
    return {
        # A blank is a plus here, and a plus is quoted.
        "Key": unquote(texts["Key"].replace("+", " ")) if encoded else texts["Key"],
        "Size": int(texts["Size"]),
        "ETag": texts["ETag"],
        "LastModified": modified,
    }
