"""``storage.*``: the settings of the built-in storage backends.

Declared here, apart from the backends, so that the reference can be made without loading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pypicloud_lite.settings.kinds import (
    boolean,
    choice,
    integer,
    path,
    secret,
    size,
    text,
    url,
    verbatim,
)
from pypicloud_lite.settings.options import option, options_of


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """``pypi.storage = file``."""

    dir: Path = option(
        "storage.dir",
        path,
        help="The directory where the package files are stored. It is made when absent.",
    )


#: Seven days: what SigV4 allows at most.
MAX_SIGV4_SECONDS = 604_800


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """``pypi.storage = s3``. Every other option of boto3's clients and botocore's ``Config`` works
    too, see ``storage.s3.options``.
    """

    bucket: str = option(
        "storage.bucket",
        text,
        help="The name of the S3 bucket to store packages in. It is created in "
        "storage.region_name when it doesn't exist.",
    )
    region_name: str | None = option(
        "storage.region_name",
        text,
        None,
        "The region of the bucket, such as eu-central-1. Without it: what the AWS environment or "
        "profile says, else us-east-1.",
    )
    access_key: str | None = option(
        "storage.access_key",
        text,
        None,
        "AWS access key id. Without it the usual sources are tried: AWS_ACCESS_KEY_ID, profiles, "
        "web identity, the instance's or container's role.",
        aliases=("storage.aws_access_key_id",),
    )
    secret_key: str | None = option(
        "storage.secret_key",
        secret,
        None,
        "AWS secret access key, together with storage.access_key.",
        aliases=("storage.aws_secret_access_key",),
    )
    endpoint_url: str | None = option(
        "storage.endpoint_url",
        url,
        None,
        "URL of an S3-compatible server. Without it: AWS.",
    )
    prefix: str = option(
        "storage.prefix",
        verbatim,
        "",
        "Put before every key as it is, so end it with a slash to get a folder: packages/",
    )
    prepend_hash: bool = option(
        "storage.prepend_hash",
        boolean,
        True,
        "Put four digits of a hash before the key of each new file, as pypicloud does. Existing "
        "files are found either way.",
    )
    expire_after: int = option(
        "storage.expire_after",
        integer(60, unit="seconds"),
        86400,
        "How long generated URLs are valid. URLs stay the same for a quarter of that time, so that "
        "caches work. AWS allows seven days at most for its current signatures.",
    )
    redirect_urls: bool = option(
        "storage.redirect_urls",
        boolean,
        True,
        "true: pages link to this server, which redirects to the storage. false: pages carry the "
        "storage's URLs themselves, for clients that can't follow redirects; then clients can't "
        "fetch core metadata by itself.",
    )
    public_url: bool = option(
        "storage.public_url",
        boolean,
        False,
        "Give plain URLs instead of signed ones; the bucket must be public.",
    )
    server_side_encryption: str | None = option(
        "storage.server_side_encryption",
        choice("AES256", "aws:kms", "aws:kms:dsse"),
        None,
        "Encrypt objects at rest.",
    )
    sse_kms_key_id: str | None = option(
        "storage.sse_kms_key_id",
        text,
        None,
        "Key for storage.server_side_encryption = aws:kms. Without it: the account's S3 key.",
    )
    object_acl: str | None = option(
        "storage.object_acl",
        text,
        None,
        "Canned ACL of new objects, such as bucket-owner-full-control.",
    )
    storage_class: str | None = option(
        "storage.storage_class",
        text,
        None,
        "Storage class of new objects, such as STANDARD_IA.",
    )
    spool_dir: Path | None = option(
        "storage.spool_dir",
        path,
        None,
        "Folder that uploads are received into before they go to S3.",
        default_text="the system's folder for temporary files",
    )
    multipart_threshold: int = option(
        "storage.multipart_threshold",
        size,
        100 * 2**20,
        "Files from this size on are uploaded in parts. S3 takes at most 5GiB in one.",
        default_text="100MiB",
    )


@dataclass(frozen=True, kw_only=True)
class CloudFrontSettings:
    """``pypi.storage = cloudfront``: those of s3, and these."""

    domain: str = option(
        "storage.cloud_front_domain",
        text,
        help="The CloudFront domain that has the bucket as its origin, such as "
        "https://dabcdefgh12345.cloudfront.net",
    )
    key_id: str | None = option(
        "storage.cloud_front_key_id",
        text,
        None,
        "Id of the public key that CloudFront verifies signed URLs with. Without it, URLs are not "
        "signed.",
    )
    key_file: Path | None = option(
        "storage.cloud_front_key_file",
        path,
        None,
        "PEM file with the private key, RSA or ECDSA P-256.",
    )
    key_string: str | None = option(
        "storage.cloud_front_key_string",
        secret,
        None,
        "The private key itself instead of a file. In one line, write line breaks as \\n; or "
        "set PPC_STORAGE_CLOUD_FRONT_KEY_STRING.",
    )
    hash_algorithm: str = option(
        "storage.cloud_front_hash_algorithm",
        choice("SHA1", "SHA256"),
        "SHA1",
        "Hash of the signatures. SHA1 is what CloudFront assumes; SHA256 is said in the URL.",
    )


#: Settings, without ``storage.``, that a folder has no use for but that may stay in its ini.
OBJECT_STORE_NAMES = tuple(
    name.removeprefix("storage.")
    for group in (S3Settings, CloudFrontSettings)
    for _field, declared in options_of(group)
    for name in (declared.name, *declared.aliases)
)

#: Heading in the reference, and the settings under it.
STORAGE_GROUPS: tuple[tuple[str, type], ...] = (
    ("Storage: file", FileSettings),
    ("Storage: s3", S3Settings),
    ("Storage: cloudfront", CloudFrontSettings),
)
