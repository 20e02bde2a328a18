"""The client, and the bucket that it finds or makes."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.settings.options import Section
from pypicloud_lite.settings.storages import S3Settings
from pypicloud_lite.storage.s3 import pages
from pypicloud_lite.storage.s3.errors import CONFLICT, TAKEN, code_of, explain
from pypicloud_lite.storage.s3.options import BotoOptions

LOG = logging.getLogger(__name__)

#: Requests that may be under way at once: those of a rebuild and of a few uploads.
POOL = 96
#: Where our own objects lie that are not beside a file, after the prefix.
OWN = ".pypicloud-lite/"


@dataclass(frozen=True)
class Connection:
    """A client and the bucket that it is for."""

    client: Any
    #: The URL that keys are appended to.
    base: str


def connect(settings: S3Settings, options: BotoOptions, section: Section) -> Connection:
    """A boto3 client; nothing is sent yet.

    Raises:
        SettingsError: the options don't go together, or the bucket has an impossible name.
    """
    try:
        return Connection(make_client(settings, options), bucket_url(settings, options))
    except (BotoCoreError, ValueError, TypeError) as exc:
        problem = f"{section.prefix}bucket = {settings.bucket}: {explain(exc)}."
        raise SettingsError([problem]) from exc


def find_bucket(client: Any, settings: S3Settings) -> None:
    """See to it that the bucket is there.

    Raises:
        SettingsError: with a sentence that says which setting to change.
    """
    try:
        ensure_bucket(client, settings)
    except (ClientError, BotoCoreError) as exc:
        where = settings.endpoint_url or "AWS"
        raise SettingsError(
            [f"storage.bucket = {settings.bucket} at {where}: {explain(exc)}."]
        ) from exc


def make_client(settings: S3Settings, options: BotoOptions, **changes: Any) -> Any:
    """A client with all options; nothing is sent.

    Args:
        changes: what differs in its ``Config``.
    """
    own = {"region_name": settings.region_name, "endpoint_url": settings.endpoint_url}
    given = {name: value for name, value in own.items() if value is not None}
    config = {"max_pool_connections": POOL} | dict(options.config) | changes
    client = options.boto_session.client(
        "s3",
        config=Config(**config),
        **(dict(options.client) | credentials(settings, options) | given),
    )
    client.meta.events.register(pages.EVENT, pages.read_page)
    return client


def credentials(settings: S3Settings, options: BotoOptions) -> dict[str, Any]:
    """What the settings say of who we are and whom to trust, as arguments of a client."""
    own = {"aws_access_key_id": settings.access_key, "aws_secret_access_key": settings.secret_key}
    given = {name: value for name, value in own.items() if value is not None}
    names = ("aws_session_token", "aws_account_id", "verify")
    return {name: options.client[name] for name in names if name in options.client} | given


def bucket_url(settings: S3Settings, options: BotoOptions) -> str:
    """The URL that keys are appended to, with a slash at its end, as the client's options have it.

    On AWS it names the region: the global name redirects for a new bucket, which breaks
    signatures. A bucket with dots in its name fits no certificate and goes into the path.
    """
    s3 = dict(options.config.get("s3", {}))
    if settings.endpoint_url is None and "." not in settings.bucket:
        s3.setdefault("addressing_style", "virtual")
    client = make_client(settings, options, signature_version=UNSIGNED, s3=s3)
    url: str = client.generate_presigned_url(
        "get_object", Params={"Bucket": settings.bucket, "Key": "x"}
    )
    return url.removesuffix("x")


def ensure_bucket(client: Any, settings: S3Settings) -> None:
    """Find the bucket, or create it in the configured region.

    Raises:
        ClientError, BotoCoreError: it can't be used.
    """
    try:
        client.list_objects_v2(Bucket=settings.bucket, Prefix=settings.prefix, MaxKeys=1)
    except ClientError as exc:
        if code_of(exc) not in ("NoSuchBucket", "404"):
            raise
        _create_bucket(client, settings)


def _create_bucket(client: Any, settings: S3Settings) -> None:
    region = client.meta.region_name
    arguments: dict[str, Any] = {}
    if region not in (None, "us-east-1", "aws-global"):
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": region}
    LOG.info("creating the bucket %s in %s", settings.bucket, region or "us-east-1")
    try:
        client.create_bucket(Bucket=settings.bucket, **arguments)
    except ClientError as exc:
        if code_of(exc) != "BucketAlreadyOwnedByYou":  # another process was faster
            raise
    client.get_waiter("bucket_exists").wait(
        Bucket=settings.bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def honours_if_none_match(client: Any, settings: S3Settings) -> bool | None:
    """Whether the server refuses to write a key twice when it is told so.

    AWS does; some S3-compatible servers ignore the condition. ``None``: it could not be found out
    now, because the server doesn't let us write, or fails.
    """
    key = f"{settings.prefix}{OWN}probe/{uuid.uuid4().hex}"
    probe = {"Bucket": settings.bucket, "Key": key, "Body": b"", "IfNoneMatch": "*"}
    try:
        client.put_object(**probe)
    except (ClientError, BotoCoreError) as exc:
        LOG.warning("the storage can't be written to: %s", explain(exc))
        return False if code_of(exc) == "NotImplemented" else None
    try:
        client.put_object(**probe)
    except (ClientError, BotoCoreError) as exc:
        return True if code_of(exc) in TAKEN | CONFLICT else None
    else:
        return False
    finally:
        try:
            client.delete_object(Bucket=settings.bucket, Key=key)
        except (ClientError, BotoCoreError) as exc:
            LOG.warning("files can't be deleted from the storage: %s", explain(exc))
