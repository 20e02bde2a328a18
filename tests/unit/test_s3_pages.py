"""Reading a bucket's listing: the same as botocore reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pypicloud_lite.storage.s3.pages import EVENT, read_page
from tests.support.s3 import S3Server, new_bucket

ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>{when}</LastModified><ETag>&quot;abc&quot;</ETag>"
    "<Size>12</Size><Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>"
)


def page(key: str = "a", when: str = "2026-01-02T03:04:05.000Z", more: str = "") -> bytes:
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = ENTRY.format(key=key, when=when)
    return f"<ListBucketResult {space}>{more}{body}</ListBucketResult>".encode()


def read(body: bytes, status: int = 200) -> dict[str, Any]:
    found: dict[str, Any] = {}
    read_page({"status_code": status, "body": body}, found)
    return found


def test_what_is_needed_is_read() -> None:
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    assert read(page(more=more)) == {
        "IsTruncated": True,
        "NextContinuationToken": "t",
        "Contents": [
            {"Key": "a", "Size": 12, "ETag": '"abc"',
             "LastModified": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"<ListBucketResult>", 200),
        (b"<Error/>", 200),
        (page(when="yesterday"), 200),
        (page(when="2026-01-02T03:04:05"), 200),
        (page().replace(b"<Size>12</Size>", b""), 200),
        (page().replace(b"<Size>12</Size>", b"<Size>many</Size>"), 200),
        (page(), 403),
    ],
)
def test_what_looks_odd_is_left_to_botocore(body: bytes, status: int) -> None:
    answer = {"status_code": status, "body": body}
    found: dict[str, Any] = {}
    read_page(answer, found)
    assert found == {}
    assert answer["body"] == body


def test_it_reads_as_botocore_does(moto_server: S3Server, seaweed_server: S3Server) -> None:
    keys = ["a", "b c", "d+e", "f%20g", "h&i", "j/k<l>", "ä\N{SNOWMAN}", 'q"uote']
    for server in (moto_server, seaweed_server):
        bucket = new_bucket()
        theirs, ours = server.client(), server.client()
        ours.meta.events.register(EVENT, read_page)
        theirs.create_bucket(Bucket=bucket)
        for key in keys:
            theirs.put_object(Bucket=bucket, Key=key, Body=key.encode())
        token: dict[str, str] = {}
        for _page in range(4):
            wanted = theirs.list_objects_v2(Bucket=bucket, MaxKeys=3, **token)
            found = ours.list_objects_v2(Bucket=bucket, MaxKeys=3, **token)
            for name in ("Key", "Size", "ETag", "LastModified"):
                assert [entry[name] for entry in found.get("Contents", [])] == [
                    entry[name] for entry in wanted.get("Contents", [])
                ]
            assert found["IsTruncated"] == wanted["IsTruncated"]
            if not wanted["IsTruncated"]:
                break
            token = {"ContinuationToken": wanted["NextContinuationToken"]}
        else:
            raise AssertionError("never came to an end")
