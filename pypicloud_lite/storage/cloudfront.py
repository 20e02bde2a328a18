"""Distribution files in S3, fetched by clients through CloudFront.

Only the URLs differ from the S3 backend. CloudFront itself is never called: a URL is signed with
a canned policy and a key that the distribution trusts.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pypicloud_lite.settings.options import Section
from pypicloud_lite.settings.storages import CloudFrontSettings, S3Settings
from pypicloud_lite.storage.s3.backend import S3Storage
from pypicloud_lite.storage.s3.connect import connect
from pypicloud_lite.storage.s3.urls import PublicUrls, Urls, WindowedUrls, quote_key

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_HASHES = {"SHA1": hashes.SHA1, "SHA256": hashes.SHA256}
#: CloudFront's own alphabet for base64 in a query.
_URL_SAFE = bytes.maketrans(b"+=/", b"-_~")


class CloudFrontStorage(S3Storage):
    """S3 with CloudFront in front (``pypi.storage = cloudfront``)."""

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        settings, options = cls.read_settings(section)
        front = section.group(CloudFrontSettings)
        key = _read_key(section, front)
        section.finish()
        connection = connect(settings, options, section)
        urls = cloudfront_urls(settings, front, key)
        return cls.build(connection, settings, options, urls)


def cloudfront_urls(
    settings: S3Settings, front: CloudFrontSettings, key: PrivateKey | None
) -> Urls:
    """What makes the URLs of a distribution: signed with a key, plain without."""
    base = base_url(front.domain)
    if key is None or front.key_id is None:
        return PublicUrls(base, seconds=settings.expire_after)
    return CloudFrontUrls(
        base, front.key_id, key, front.hash_algorithm, expire_after=settings.expire_after
    )


def base_url(domain: str) -> str:
    """A domain as the beginning of URLs, whether it was given with a scheme and slash or not."""
    text = domain.strip().rstrip("/")
    return text if "://" in text else f"https://{text}"


class CloudFrontUrls(WindowedUrls):
    """CloudFront's signed URLs with a canned policy.

    Args:
        hash_algorithm: SHA1 or SHA256.
    """

    def __init__(
        self,
        base: str,
        key_id: str,
        key: PrivateKey,
        hash_algorithm: str = "SHA1",
        *,
        expire_after: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(expire_after, clock)
        self._base = base
        self._key_id = key_id
        self._key = key
        self._hash = _HASHES[hash_algorithm]()
        self._suffix = "&Hash-Algorithm=SHA256" if hash_algorithm == "SHA256" else ""

    def sign(self, key: str, begin: int, identity: Any) -> str:
        """See :class:`WindowedUrls`."""
        resource = f"{self._base}/{quote_key(key)}"
        expires = begin + self.expire_after
        policy = canned_policy(resource, expires)
        signature = base64.b64encode(self._signature(policy)).translate(_URL_SAFE).decode()
        return (
            f"{resource}?Expires={expires}&Signature={signature}&Key-Pair-Id={self._key_id}"
            f"{self._suffix}"
        )

    def _signature(self, policy: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(policy, padding.PKCS1v15(), self._hash)
        return self._key.sign(policy, ec.ECDSA(self._hash))


def canned_policy(resource: str, expires: int) -> bytes:
    """The policy that CloudFront rebuilds from a signed URL, byte for byte."""
    return (
        f'{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":'
        f'{{"AWS:EpochTime":{expires}}}}}}}]}}'
    ).encode()


def _read_key(section: Section, front: CloudFrontSettings) -> PrivateKey | None:
    """The private key, or ``None`` when URLs are not signed; problems go to ``section``."""
    if front.domain and not urlsplit(base_url(front.domain)).hostname:
        section.problem(f"storage.cloud_front_domain = {front.domain!r}: is no domain.")
    if front.key_file is not None and front.key_string is not None:
        section.problem(
            "storage.cloud_front_key_file and storage.cloud_front_key_string: give one of them."
        )
    has_key = front.key_file is not None or front.key_string is not None
    if has_key != (front.key_id is not None):
        section.problem(
            "storage.cloud_front_key_id and the private key (storage.cloud_front_key_file or "
            "storage.cloud_front_key_string) belong together."
        )
    if not has_key:
        return None
    name = "key_string" if front.key_string is not None else "key_file"
    try:
        if front.key_string is not None:
            pem = front.key_string.replace("\\n", "\n").encode()
        else:
            assert front.key_file is not None
            pem = front.key_file.read_bytes()
        key = load_pem_private_key(pem, password=None)
    except OSError as exc:
        section.problem(f"storage.cloud_front_{name} = {front.key_file}: {exc.strerror}.")
        return None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        section.problem(f"storage.cloud_front_{name}: is no private key in PEM without password.")
        return None
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return key
    section.problem(f"storage.cloud_front_{name}: CloudFront takes RSA and ECDSA P-256 keys only.")
    return None
