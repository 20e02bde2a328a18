"""From botocore's exceptions to ours, once; and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from pypicloud_lite.errors import FileMissing, FileRefused, StorageUnavailable

#: Error codes and HTTP statuses -> the sentence for the operator.
_ADVICE = {
    "InvalidAccessKeyId": "the access key is unknown; check storage.access_key",
    "SignatureDoesNotMatch": "the secret key does not fit the access key; check storage.secret_key",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set storage.region_name",
    "PermanentRedirect": "the bucket is in another region; set storage.region_name",
    "IllegalLocationConstraintException": "the bucket is in another region; set "
    "storage.region_name",
    "301": "the bucket is in another region; set storage.region_name",
    "AccessDenied": "access is denied; check storage.access_key and the permissions of its user "
    "(docs/storage-s3.md)",
    "403": "access is denied; check storage.access_key, storage.secret_key and the permissions of "
    "their user (docs/storage-s3.md)",
    "ExpiredToken": "the temporary credentials have expired; renew storage.aws_session_token",
    "ExpiredTokenException": "the temporary credentials have expired; renew "
    "storage.aws_session_token",
    "InvalidToken": "the session token is not valid; check storage.aws_session_token",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "InvalidBucketName": "the name is no valid bucket name; check storage.bucket",
    "BucketAlreadyExists": "the bucket belongs to someone else; choose another storage.bucket",
    "NoSuchBucket": "the bucket does not exist",
    "SlowDown": "S3 asks us to slow down",
    "ServiceUnavailable": "S3 is unavailable",
    "InternalError": "S3 failed",
}
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
#: What an object that we have no right to, or no key for, looks like.
_REFUSED = frozenset({"AccessDenied", "403", "InvalidObjectState", "KMS.DisabledException"})
#: What a failed precondition looks like (If-None-Match).
TAKEN = frozenset({"PreconditionFailed", "412"})
#: Another conditional write of the same key is under way.
CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})


def code_of(exc: BaseException) -> str:
    """The error code of a ``ClientError``, else an empty text."""
    if not isinstance(exc, ClientError):
        return ""
    return str(exc.response.get("Error", {}).get("Code", ""))


def explain(exc: BaseException) -> str:
    """What happened and which setting to look at, without a secret."""
    if isinstance(exc, ClientError):
        return _explain_response(exc.response)
    if isinstance(exc, NoCredentialsError | PartialCredentialsError):
        return (
            "no AWS credentials were found; set storage.access_key and storage.secret_key, or one "
            "of the sources of docs/storage-s3.md"
        )
    if isinstance(exc, ProfileNotFound):
        return f"storage.profile_name: {exc}"
    if isinstance(exc, ConnectionError | HTTPClientError):
        return (
            f"the S3 server can't be reached ({type(exc).__name__}); check storage.endpoint_url, "
            "storage.region_name and the network"
        )
    return str(exc)


def _explain_response(response: Mapping[str, Any]) -> str:
    error = response.get("Error", {})
    code = str(error.get("Code", ""))
    region = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    advice = _ADVICE.get(code)
    if advice is None:
        return f"S3 answered {code or 'an error'}: {str(error.get('Message', ''))[:200]}"
    if "region_name" in advice and region:
        advice += f" = {region}"
    return f"{advice} ({code})"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise our errors instead of botocore's."""
    try:
        yield
    except ClientError as exc:
        if code_of(exc) in MISSING:
            raise FileMissing(f"No file {what!r} in the storage.") from exc
        if code_of(exc) in _REFUSED:
            raise FileRefused(f"The storage failed: {explain(exc)}.") from exc
        raise StorageUnavailable(f"The storage failed: {explain(exc)}.") from exc
    except (BotoCoreError, Boto3Error) as exc:
        raise StorageUnavailable(f"The storage failed: {explain(exc)}.") from exc
