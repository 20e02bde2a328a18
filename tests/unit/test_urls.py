"""URLs to S3 and CloudFront: signatures that others verify, and the same URL for a while."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from pypicloud_lite.settings.storages import S3Settings
from pypicloud_lite.storage.cloudfront import CloudFrontUrls, base_url
from pypicloud_lite.storage.s3.connect import bucket_url, make_client
from pypicloud_lite.storage.s3.options import BotoOptions
from pypicloud_lite.storage.s3.urls import BotocoreUrls, PresignedUrls
from tests.support.keys import ec_key, rsa_key

KEYS = [
    "d80f/demo/demo-1.0-py3-none-any.whl",
    "pre fix~ü/demo/demo-1!1.0+local.1.tar.gz",
    "a/b%20c/#?&=.zip",
]
NOW = 1_800_000_123
HOUR = 3600
NO_OPTIONS = BotoOptions({}, {}, {})


def settings(**changes: Any) -> S3Settings:
    values = {"bucket": "bucket", "access_key": "AKIATEST", "secret_key": "verysecret"}
    return S3Settings(**(values | changes))


def presigned(
    chosen: S3Settings, options: BotoOptions = NO_OPTIONS, now: float = NOW
) -> PresignedUrls:
    client = make_client(chosen, options)
    return PresignedUrls(client, bucket_url(chosen, options), chosen, lambda: now)


class TestSigV4:
    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize(
        ("changes", "config"),
        [
            ({"region_name": "us-east-1"}, {"s3": {"addressing_style": "virtual"}}),
            ({"region_name": "eu-central-1"}, {"s3": {"addressing_style": "virtual"}}),
            ({"region_name": "eu-central-1"}, {"s3": {"addressing_style": "path"}}),
            ({"region_name": "eu-west-1"}, {"s3": {"use_accelerate_endpoint": True}}),
            ({"region_name": "us-west-2", "bucket": "dots.in.it"}, {}),
            ({"region_name": "us-west-2", "endpoint_url": "http://127.0.0.1:9000"}, {}),
            ({"region_name": "us-west-2"}, {"use_dualstack_endpoint": True,
                                            "s3": {"addressing_style": "virtual"}}),
        ],
    )  # fmt: skip
    def test_it_is_the_url_that_botocore_makes_at_that_time(
        self, key: str, changes: dict[str, Any], config: dict[str, Any]
    ) -> None:
        chosen = settings(expire_after=HOUR, **changes)
        urls = presigned(chosen, BotoOptions({}, {}, config))
        begin = NOW // (HOUR // 4) * (HOUR // 4)
        client = make_client(chosen, BotoOptions({}, {}, config), signature_version="s3v4")
        when = dt.datetime.fromtimestamp(begin, dt.UTC)
        with mock.patch("botocore.auth.get_current_datetime", return_value=when):
            expected = client.generate_presigned_url(
                "get_object", Params={"Bucket": chosen.bucket, "Key": key}, ExpiresIn=HOUR
            )
        assert parts_of(urls.url(key).url) == parts_of(expected)

    def test_a_new_bucket_is_addressed_in_its_region(self) -> None:
        urls = presigned(settings(region_name="eu-central-1"))
        assert urls.url("x").url.startswith("https://bucket.s3.eu-central-1.amazonaws.com/x?")

    def test_seven_days_are_the_limit(self) -> None:
        urls = presigned(settings(expire_after=30 * 86400))
        assert parse_qs(urlsplit(urls.url("x").url).query)["X-Amz-Expires"] == ["604800"]

    def test_the_older_signatures_have_no_limit(self) -> None:
        chosen = settings(expire_after=30 * 86400)
        options = BotoOptions({}, {}, {"signature_version": "s3"})
        client = make_client(chosen, options)
        urls = BotocoreUrls(client, bucket_url(chosen, options), chosen)
        expires = int(parse_qs(urlsplit(urls.url("x").url).query)["Expires"][0])
        remaining = expires - dt.datetime.now(dt.UTC).timestamp()
        assert 0.7 * 30 * 86400 < remaining <= 30 * 86400

    def test_temporary_credentials_sign_with_their_token_and_no_longer_than_they_live(
        self,
    ) -> None:
        ends = dt.datetime.fromtimestamp(NOW + 600, dt.UTC)
        chosen = settings(access_key=None, secret_key=None, region_name="eu-west-1")
        client = boto3.client("s3", region_name="eu-west-1", config=Config(), aws_access_key_id="x",
                              aws_secret_access_key="y")  # fmt: skip
        refreshed = {
            "access_key": "ASIATEMP", "secret_key": "s", "token": "to/ken+==",
            "expiry_time": ends.isoformat(),
        }  # fmt: skip
        with mock.patch("botocore.credentials._local_now",
                        return_value=dt.datetime.fromtimestamp(NOW, dt.UTC)):  # fmt: skip
            client._request_signer._credentials = RefreshableCredentials.create_from_metadata(
                refreshed, lambda: refreshed, "test"
            )
            urls = PresignedUrls(client, "https://b.s3.amazonaws.com/", chosen, lambda: NOW)
            found = urls.url("x")
        query = parse_qs(urlsplit(found.url).query)
        assert query["X-Amz-Security-Token"] == ["to/ken+=="]
        begin = dt.datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%S%z").timestamp()
        assert begin + int(query["X-Amz-Expires"][0]) <= NOW + 600
        assert found.seconds <= 600


def parts_of(url: str) -> tuple[str, dict[str, list[str]]]:
    """What decides about a URL, whatever the order of its parameters."""
    parts = urlsplit(url)
    return (f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query))


class TestWindows:
    def urls(self, now: float, expire_after: int = HOUR) -> PresignedUrls:
        return presigned(settings(expire_after=expire_after, region_name="us-east-1"), now=now)

    def test_a_url_is_the_same_for_a_quarter_of_its_validity(self) -> None:
        begin = NOW // 900 * 900
        first = self.urls(begin).url("x").url
        assert self.urls(begin + 899).url("x").url == first
        assert self.urls(begin + 900).url("x").url != first

    @pytest.mark.parametrize("offset", [0, 1, 450, 899])
    def test_every_url_is_valid_for_most_of_its_time(self, offset: int) -> None:
        now = NOW // 900 * 900 + offset
        found = self.urls(now).url("x")
        query = parse_qs(urlsplit(found.url).query)
        begin = dt.datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%S%z").timestamp()
        assert begin <= now
        assert begin + HOUR - now >= 0.75 * HOUR
        assert 0 < found.seconds <= 900

    def test_pages_with_urls_are_made_anew_when_the_urls_change(self) -> None:
        begin = NOW // 900 * 900
        assert self.urls(begin).epoch() == self.urls(begin + 899).epoch()
        assert self.urls(begin).epoch() != self.urls(begin + 900).epoch()

    def test_signing_happens_once_per_file_and_window(self) -> None:
        urls = self.urls(NOW)
        for _ in range(100):
            urls.url("x")
        assert urls._remembered.cache_info().misses == 1


def check_cloudfront(url: str, key: Any) -> dict[str, Any]:
    """Verify a URL as CloudFront does, from its documentation: the policy is rebuilt from the
    URL without its own parameters, and the signature must be of these bytes."""
    bare, _mark, query = url.partition("?")
    values = dict(item.split("=", 1) for item in query.split("&"))
    assert set(values) <= {"Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"}
    policy = json.dumps(
        {
            "Statement": [
                {
                    "Resource": bare,
                    "Condition": {"DateLessThan": {"AWS:EpochTime": int(values["Expires"])}},
                }
            ]
        },
        separators=(",", ":"),
    ).encode()
    alphabet = str.maketrans("-_~", "+=/")
    signature = base64.b64decode(values["Signature"].translate(alphabet), validate=True)
    algorithm = {"SHA256": hashes.SHA256(), "SHA1": hashes.SHA1()}[
        values.get("Hash-Algorithm", "SHA1")
    ]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key.public_key().verify(signature, policy, ec.ECDSA(algorithm))
    else:
        key.public_key().verify(signature, policy, padding.PKCS1v15(), algorithm)
    return values


class TestCloudFront:
    BASE = "https://dabcdefgh12345.cloudfront.net"

    @pytest.mark.parametrize("path", KEYS)
    @pytest.mark.parametrize("algorithm", ["SHA1", "SHA256"])
    @pytest.mark.parametrize("make_key", [rsa_key, ec_key])
    def test_cloudfront_would_let_it_pass(self, path: str, algorithm: str, make_key: Any) -> None:
        key = make_key()
        urls = CloudFrontUrls(self.BASE, "K1", key, algorithm, expire_after=HOUR, clock=lambda: NOW)
        url = urls.url(path).url
        values = check_cloudfront(url, key)
        assert values["Key-Pair-Id"] == "K1"
        assert values.get("Hash-Algorithm") == ("SHA256" if algorithm == "SHA256" else None)
        assert NOW + 0.75 * HOUR <= int(values["Expires"]) <= NOW + HOUR
        assert unquote(urlsplit(url).path) == f"/{path}"
        for tampered in (url.replace("demo", "dem0"), url.replace("Expires=1", "Expires=2")):
            if tampered != url:
                with pytest.raises(InvalidSignature):
                    check_cloudfront(tampered, key)

    @pytest.mark.parametrize("path", KEYS)
    def test_rsa_signatures_are_botocores_byte_for_byte(self, path: str) -> None:
        key = rsa_key()
        urls = CloudFrontUrls(self.BASE, "K1", key, expire_after=HOUR, clock=lambda: NOW)
        url = urls.url(path).url
        values = check_cloudfront(url, key)
        signer = CloudFrontSigner(
            "K1", lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA1())
        )
        expires = dt.datetime.fromtimestamp(int(values["Expires"]), dt.UTC)
        expected = signer.generate_presigned_url(url.partition("?")[0], date_less_than=expires)
        assert parse_qs(urlsplit(url).query) == parse_qs(urlsplit(expected).query)

    @pytest.mark.parametrize(
        "domain",
        [
            "d.cloudfront.net",
            "https://d.cloudfront.net",
            "https://d.cloudfront.net/",
            " d.cloudfront.net/ ",
        ],
    )
    def test_the_domain_may_be_written_either_way(self, domain: str) -> None:
        assert base_url(domain) == "https://d.cloudfront.net"
