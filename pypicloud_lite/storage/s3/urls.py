"""URLs that let a client fetch an object, the same for a whole window of time.

A URL that changed with each request would miss every cache of pip, of proxies and of CDNs. So the
time of signing is rounded down to a window, a quarter of the validity: all processes and hosts
give the same URL, and each one given is valid for at least three quarters of ``expire_after``.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import NoCredentialsError

from pypicloud_lite.errors import StorageUnavailable
from pypicloud_lite.settings.storages import MAX_SIGV4_SECONDS, S3Settings
from pypicloud_lite.storage.base import RemoteUrl

#: A window is this part of the validity.
_FRACTION = 4
_REMEMBERED = 65_536
#: Credentials that end sooner than this are renewed or refused by botocore.
_MARGIN = 30


def quote_key(key: str) -> str:
    """A key in a URL's path: only unreserved characters stay, so that no client changes it."""
    return quote(key, safe="/~")


class Urls(ABC):
    """Makes the URLs of a backend."""

    @abstractmethod
    def url(self, key: str) -> RemoteUrl:
        """A URL for reading the object ``key``, and how long it is good for at least."""

    def epoch(self) -> Hashable:
        """Changes whenever :meth:`url` gives another URL for the same key."""
        return 0


class PublicUrls(Urls):
    """Plain URLs below a base (a public bucket, or CloudFront without signatures)."""

    def __init__(self, base: str, *, seconds: int) -> None:
        self._base = base.rstrip("/")
        self._seconds = seconds

    def url(self, key: str) -> RemoteUrl:
        """See :class:`Urls`."""
        return RemoteUrl(f"{self._base}/{quote_key(key)}", self._seconds)


class WindowedUrls(Urls):
    """Signed URLs that stay the same for a window of time.

    Args:
        expire_after: validity in seconds, from the beginning of the window.
        clock: seconds since the epoch.
    """

    def __init__(self, expire_after: int, clock: Callable[[], float] = time.time) -> None:
        self.expire_after = expire_after
        self._window = max(1, expire_after // _FRACTION)
        self._clock = clock
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self.sign)

    def epoch(self) -> Hashable:
        """See :class:`Urls`."""
        return (int(self._clock()) // self._window, self.identity())

    def url(self, key: str) -> RemoteUrl:
        """See :class:`Urls`."""
        now = self._clock()
        begin = int(now) // self._window * self._window
        identity = self.identity()
        ends = min(begin + self._window, self.ends(identity) or math.inf)
        return RemoteUrl(self._remembered(key, begin, identity), max(1, int(ends - now)))

    def identity(self) -> Any:
        """What else than key and time a URL depends on; hashable."""
        return None

    def ends(self, identity: Any) -> int | None:
        """When URLs of this identity end whatever they say, in seconds since the epoch."""
        return None

    @abstractmethod
    def sign(self, key: str, begin: int, identity: Any) -> str:
        """The URL for ``key`` in the window that begins at ``begin``."""


class PresignedUrls(WindowedUrls):
    """S3's presigned URLs (AWS Signature Version 4, query parameters).

    Made here and not by botocore, which signs for the time of the call only, at a fraction of the
    speed.

    Args:
        base: the URL that keys are appended to, as botocore has it, see ``connect.bucket_url``.
        method: of the requests that the URLs are good for.
    """

    def __init__(
        self,
        client: Any,
        base: str,
        settings: S3Settings,
        clock: Callable[[], float] = time.time,
        method: str = "GET",
    ) -> None:
        super().__init__(min(settings.expire_after, MAX_SIGV4_SECONDS), clock)
        self._client = client
        self._method = method
        self._region = client.meta.region_name or "us-east-1"
        parts = urlsplit(base)
        self._scheme, self._host, self._path = parts.scheme, parts.netloc, parts.path.rstrip("/")

    def identity(self) -> tuple[str, str, str | None, int | None]:
        """The credentials of now: roles change theirs every few hours."""
        credentials = self._client._request_signer._credentials  # noqa: SLF001 - has no accessor
        if credentials is None:
            raise StorageUnavailable("The storage failed: no AWS credentials were found.")
        try:
            frozen = credentials.get_frozen_credentials()
        except NoCredentialsError as exc:
            raise StorageUnavailable("The storage failed: no AWS credentials were found.") from exc
        expiry: datetime | None = getattr(credentials, "_expiry_time", None)
        ends = None if expiry is None else int(expiry.timestamp())
        return (frozen.access_key, frozen.secret_key, frozen.token, ends)

    def ends(self, identity: Any) -> int | None:
        """When the credentials end, if they are temporary."""
        ends: int | None = identity[3]
        return ends

    def sign(self, key: str, begin: int, identity: Any) -> str:
        """See :class:`WindowedUrls`."""
        access_key, secret_key, token, ends = identity
        seconds = self.expire_after
        if ends is not None:
            seconds = max(1, min(seconds, ends - begin - _MARGIN))
        when = datetime.fromtimestamp(begin, UTC)
        stamp, day = when.strftime("%Y%m%dT%H%M%SZ"), when.strftime("%Y%m%d")
        scope = f"{day}/{self._region}/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        if token:
            query["X-Amz-Security-Token"] = token
        canonical_query = "&".join(
            f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items())
        )
        path = f"{self._path}/{quote_key(key)}"
        request = (
            f"{self._method}\n{path}\n{canonical_query}\nhost:{self._host}\n\nhost\n"
            "UNSIGNED-PAYLOAD"
        )
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signing_key = _signing_key(secret_key, day, self._region)
        signature = hmac.new(signing_key, to_sign.encode(), hashlib.sha256).hexdigest()
        return f"{self._scheme}://{self._host}{path}?{canonical_query}&X-Amz-Signature={signature}"


class BotocoreUrls(PresignedUrls):
    """Presigned URLs in another signature version than 4, as botocore makes them."""

    def __init__(
        self,
        client: Any,
        base: str,
        settings: S3Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, base, settings, clock)
        WindowedUrls.__init__(self, settings.expire_after, clock)
        self._bucket = settings.bucket

    def sign(self, key: str, begin: int, identity: Any) -> str:
        """See :class:`WindowedUrls`; valid until a time that the window decides."""
        ends = begin + self.expire_after
        if identity[3] is not None:
            ends = min(ends, identity[3] - _MARGIN)
        url: str = self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": key},
            ExpiresIn=max(1, ends - int(self._clock())),
        )
        return url


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key
