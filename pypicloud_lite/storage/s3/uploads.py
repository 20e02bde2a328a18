"""Writing a distribution file to S3: whole or not at all, and never over another one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from pypicloud_lite.errors import StorageUnavailable
from pypicloud_lite.model import DistributionFile
from pypicloud_lite.settings.storages import S3Settings
from pypicloud_lite.storage.s3.connect import honours_if_none_match
from pypicloud_lite.storage.s3.errors import CONFLICT, TAKEN, code_of, translated

LOG = logging.getLogger(__name__)

#: What clients and CDNs may do with an object: its key never gets other bytes, but by overwriting.
CACHE_CONTROL = "max-age=31536000, immutable"
CONTENT_TYPE = "application/octet-stream"
_PART = 8 << 20
_CHUNK = 1 << 20
_PARALLEL = 3
_MAX_PARTS = 10_000
_RETRIES = 5


class Taken(Exception):
    """The key has an object already."""


class Uploader:
    """Puts objects with all options of the settings.

    Args:
        send_sha256: send a SHA-256 checksum; else Content-MD5, which every server knows.
    """

    def __init__(self, client: Any, settings: S3Settings, *, send_sha256: bool) -> None:
        self._client = client
        self._settings = settings
        self._send_sha256 = send_sha256
        self._conditional: bool | None = None

    def conditional(self) -> bool | None:
        """Whether the server honours ``If-None-Match``; asked again until it is known."""
        if self._conditional is None:
            self._conditional = honours_if_none_match(self._client, self._settings)
            if self._conditional is False:
                LOG.warning(
                    "the S3 server ignores If-None-Match: two hosts that upload different files "
                    "of one name at the same moment may both succeed; uploads through one host "
                    "are safe"
                )
        return self._conditional

    def put_file(
        self, file: DistributionFile, source: IO[bytes], metadata: dict[str, str], *, replace: bool
    ) -> str:
        """Write the object; its ETag.

        Raises:
            Taken: the key has an object, and ``replace`` is false.
            StorageUnavailable: nothing was written, or the same call may be made again.
        """
        arguments = self._arguments(metadata)
        if replace:
            return self._send(file, source, arguments)
        conditional = self.conditional()
        # Without the condition, a name is looked up first, under the lock that the callers on
        # one host share, which is a weaker promise.
        if not conditional and self._exists(file.key):
            raise Taken(file.key)
        condition = {} if conditional is False else {"IfNoneMatch": "*"}
        return self._send(file, source, arguments, **condition)

    def put_small(self, key: str, content: bytes, content_type: str = CONTENT_TYPE) -> str:
        """Write or replace a sidecar object; its ETag."""
        return self.put_own(key, io.BytesIO(content), content_type)

    def put_own(self, key: str, content: IO[bytes], content_type: str) -> str:
        """Write or replace an object that is no distribution file; its ETag.

        Args:
            content: seekable, and sent from its start.
        """
        arguments = self._arguments({}) | {"ContentType": content_type}
        del arguments["CacheControl"]
        checksum = self._checksum(content)
        content.seek(0)
        with translated(key):
            answer = self._client.put_object(
                Bucket=self._settings.bucket, Key=key, Body=content, **checksum, **arguments
            )
        return etag_of(answer)

    def _arguments(self, metadata: dict[str, str]) -> dict[str, Any]:
        settings = self._settings
        arguments = {
            "Metadata": metadata,
            "ContentType": CONTENT_TYPE,
            "CacheControl": CACHE_CONTROL,
            "ServerSideEncryption": settings.server_side_encryption,
            "SSEKMSKeyId": settings.sse_kms_key_id,
            "ACL": settings.object_acl,
            "StorageClass": settings.storage_class,
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def _checksum(self, content: IO[bytes]) -> dict[str, str]:
        name, digest = "ContentMD5", hashlib.md5(usedforsecurity=False)
        if self._send_sha256:
            name, digest = "ChecksumSHA256", hashlib.sha256()
        content.seek(0)
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
        return {name: base64.b64encode(digest.digest()).decode()}

    def _send(
        self,
        file: DistributionFile,
        source: IO[bytes],
        arguments: dict[str, Any],
        **condition: str,
    ) -> str:
        """One object, whatever its size; a conflict with a concurrent writer is tried again."""
        for attempt in range(_RETRIES):
            try:
                with translated(file.key):
                    if file.size < self._settings.multipart_threshold:
                        return self._send_whole(file, source, arguments, condition)
                    return self._send_parts(file, source, arguments, condition)
            except StorageUnavailable as exc:
                code = code_of(exc.__cause__) if exc.__cause__ else ""
                if code in TAKEN:
                    raise Taken(file.key) from exc
                if code not in CONFLICT or attempt == _RETRIES - 1:
                    raise
                LOG.info("a concurrent upload of %s is under way; trying again", file.filename)
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _send_whole(
        self,
        file: DistributionFile,
        source: IO[bytes],
        arguments: dict[str, Any],
        condition: dict[str, str],
    ) -> str:
        source.seek(0)
        if self._send_sha256:
            digest = bytes.fromhex(file.sha256 or "")
            checksum = {"ChecksumSHA256": base64.b64encode(digest).decode()}
        else:
            checksum = {"ContentMD5": base64.b64encode(bytes.fromhex(file.md5 or "")).decode()}
        answer = self._client.put_object(
            Bucket=self._settings.bucket,
            Key=file.key,
            Body=source,
            ContentLength=file.size,
            **checksum,
            **condition,
            **arguments,
        )
        return etag_of(answer)

    def _send_parts(
        self,
        file: DistributionFile,
        source: IO[bytes],
        arguments: dict[str, Any],
        condition: dict[str, str],
    ) -> str:
        target = {"Bucket": self._settings.bucket, "Key": file.key}
        if self._send_sha256:
            arguments = arguments | {"ChecksumAlgorithm": "SHA256"}
        upload = {
            **target,
            "UploadId": self._client.create_multipart_upload(**target, **arguments)["UploadId"],
        }
        try:
            parts = self._upload_parts(file, source, upload)
            answer = self._client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, **condition
            )
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**upload)
            raise
        return etag_of(answer)

    def _upload_parts(
        self, file: DistributionFile, source: IO[bytes], upload: dict[str, Any]
    ) -> list[dict[str, Any]]:
        size = max(_PART, -(-file.size // _MAX_PARTS))
        descriptor = source.fileno()

        def send(number: int) -> dict[str, Any]:
            content = os.pread(descriptor, size, (number - 1) * size)
            checksum = self._checksum(io.BytesIO(content))
            answer = self._client.upload_part(**upload, PartNumber=number, Body=content, **checksum)
            part = {"PartNumber": number, "ETag": answer["ETag"]}
            if "ChecksumSHA256" in checksum:
                part["ChecksumSHA256"] = checksum["ChecksumSHA256"]
            return part

        with ThreadPoolExecutor(_PARALLEL, "upload") as pool:
            return list(pool.map(send, range(1, -(-file.size // size) + 1)))

    def _exists(self, key: str) -> bool:
        with translated(key):
            answer = self._client.list_objects_v2(
                Bucket=self._settings.bucket, Prefix=key, MaxKeys=1
            )
        return any(found["Key"] == key for found in answer.get("Contents", ()))


def etag_of(answer: dict[str, Any]) -> str:
    """The ETag of an answer, without its quotes."""
    return str(answer["ETag"]).strip('"')
