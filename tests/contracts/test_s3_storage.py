"""The S3 backend against several servers: the contract, and what is special about buckets."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import HTTPClientError

from pypicloud_lite.errors import FileExists
from pypicloud_lite.settings.options import Section, Source
from pypicloud_lite.storage.base import RemoteUrl, Storage
from pypicloud_lite.storage.s3.backend import S3Storage, make_urls
from pypicloud_lite.storage.s3.connect import connect
from pypicloud_lite.storage.s3.heads import Heads
from pypicloud_lite.storage.s3.urls import PresignedUrls
from tests.contracts.storage import SDIST, WHEEL, StorageContract, publish
from tests.support.dists import metadata, sdist, sha256, wheel
from tests.support.keys import pem, rsa_key
from tests.support.s3 import S3Server, new_bucket, open_storage


class S3Contract(StorageContract):
    """The contract on a fresh bucket of one server."""

    @pytest.fixture
    def settings(self, server: S3Server) -> dict[str, str]:
        return server.settings(new_bucket())

    @pytest.fixture
    def storage(self, settings: dict[str, str]) -> Storage:
        return open_storage(settings)

    @pytest.fixture
    def again(self, settings: dict[str, str]) -> Callable[[], Storage]:
        return lambda: open_storage(settings)


class TestMoto(S3Contract):
    @pytest.fixture
    def server(self, moto_server: S3Server) -> S3Server:
        return moto_server


class TestSeaweed(S3Contract):
    @pytest.fixture
    def server(self, seaweed_server: S3Server) -> S3Server:
        return seaweed_server


class TestSeaweedInParts(S3Contract):
    """Every file goes up in parts."""

    @pytest.fixture
    def settings(self, seaweed_server: S3Server) -> dict[str, str]:
        return seaweed_server.settings(new_bucket(), storage__multipart_threshold="1")


class TestSeaweedWithoutChecksums(S3Contract):
    """As for servers that refuse the newer checksums, below a prefix, without hashes in keys."""

    @pytest.fixture
    def settings(self, seaweed_server: S3Server) -> dict[str, str]:
        return seaweed_server.settings(
            new_bucket(),
            storage__request_checksum_calculation="when_required",
            storage__prefix="some/packages-",
            storage__prepend_hash="false",
        )


class TestServerThatIgnoresConditions(S3Contract):
    """One winner all the same, as long as all writers are on one host."""

    @pytest.fixture
    def settings(self, juicefs_server: S3Server) -> dict[str, str]:
        return juicefs_server.settings(
            new_bucket(), storage__request_checksum_calculation="when_required"
        )

    def test_it_is_noticed(
        self, settings: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        open_storage(settings)
        assert "ignores If-None-Match" in caplog.text


class TestCloudFront(S3Contract):
    @pytest.fixture
    def settings(self, moto_server: S3Server) -> dict[str, str]:
        return moto_server.settings(
            new_bucket(),
            pypi__storage="cloudfront",
            storage__cloud_front_domain="https://dabcdefgh12345.cloudfront.net",
            storage__cloud_front_key_id="KTESTKEY",
            storage__cloud_front_key_string=pem(rsa_key()),
        )


def objects(server: S3Server, bucket: str) -> dict[str, Any]:
    """Every object of a bucket, with what S3 says of it."""
    client = server.client()
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: client.head_object(Bucket=bucket, Key=item["Key"]) for item in listed}


class TestLayout:
    def test_keys_and_metadata_are_pypiclouds(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        storage = open_storage(moto_server.settings(bucket, storage__prefix="pkgs/"))
        publish(storage, WHEEL, wheel(), metadata("demo", "1.0"), summary="Größe")
        found = objects(moto_server, bucket)
        key = f"pkgs/d80f/demo/{WHEEL}"
        assert set(found) == {key, f"{key}.meta", f"{key}.metadata"}
        about = found[key]["Metadata"]
        assert about["name"] == "demo"
        assert about["version"] == "1.0"
        assert about["summary"] == "Groe"
        assert about["hash-sha256"] == sha256(wheel())
        assert about["requires-python"] == ">=3.8"
        assert about["uploader"] == "writer"
        assert found[key]["CacheControl"] == "max-age=31536000, immutable"
        assert found[key]["ContentType"] == "application/octet-stream"

    def test_a_file_whose_facts_fit_has_no_sidecar(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        publish(open_storage(moto_server.settings(bucket)), SDIST, sdist(), summary="plain")
        assert len(objects(moto_server, bucket)) == 1

    def test_metadata_never_exceeds_what_s3_takes(self, seaweed_server: S3Server) -> None:
        bucket = new_bucket()
        storage = open_storage(seaweed_server.settings(bucket))
        publish(storage, SDIST, sdist(), summary="x" * 9000, requires_python=">=3," * 300)
        (about,) = [
            head["Metadata"]
            for key, head in objects(seaweed_server, bucket).items()
            if key.endswith(".gz")
        ]
        assert sum(len(name) + len(value) for name, value in about.items()) <= 2048
        assert about["hash-sha256"] == sha256(sdist())

    @pytest.mark.parametrize("separator", ["-", "_"])
    def test_a_bucket_of_pypicloud_is_served_as_it_is(
        self, moto_server: S3Server, separator: str
    ) -> None:
        bucket = new_bucket()
        client = moto_server.client()
        client.create_bucket(Bucket=bucket)
        about = {
            "name": "demo", "version": "1.0", "summary": "old", "uploader": "someone",
            "requires-python": ">=2.7", "hash-sha256": sha256(wheel()), "hash-md5": "0" * 32,
        }  # fmt: skip
        about = {name.replace("-", separator): value for name, value in about.items()}
        client.put_object(Bucket=bucket, Key=f"abcd/demo/{WHEEL}", Body=wheel(), Metadata=about)
        client.put_object(Bucket=bucket, Key=f"demo/{SDIST}", Body=sdist())
        client.put_object(Bucket=bucket, Key="somewhere/else-2.0.tar.gz", Body=b"x")
        client.put_object(Bucket=bucket, Key="notes.txt", Body=b"x")
        client.put_object(Bucket=bucket, Key="empty-1.0.tar.gz", Body=b"")
        storage = open_storage(moto_server.settings(bucket))
        files = {stored.filename: storage.describe(stored) for stored in storage.scan()}
        assert set(files) == {WHEEL, SDIST, "else-2.0.tar.gz"}
        assert files[WHEEL].sha256 == sha256(wheel())
        assert files[WHEEL].uploader == "someone"
        assert files[WHEEL].requires_python == ">=2.7"
        assert files[SDIST].sha256 is None
        assert (files[SDIST].project, files[SDIST].version) == ("demo", "1.0")

    def test_both_kinds_of_keys_may_be_mixed(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        plain = open_storage(moto_server.settings(bucket, storage__prepend_hash="false"))
        hashed = open_storage(moto_server.settings(bucket))
        publish(plain, SDIST, sdist())
        publish(hashed, WHEEL, wheel())
        keys = {stored.filename: stored.key for stored in plain.scan()}
        assert keys == {SDIST: f"demo/{SDIST}", WHEEL: f"d80f/demo/{WHEEL}"}

    def test_only_what_lies_below_the_prefix_is_ours(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        publish(open_storage(moto_server.settings(bucket)), SDIST, sdist())
        below = open_storage(moto_server.settings(bucket, storage__prefix="pkgs/"))
        assert list(below.scan()) == []

    def test_long_listings_are_read_to_their_end(self, seaweed_server: S3Server) -> None:
        bucket = new_bucket()
        client = seaweed_server.client()
        client.create_bucket(Bucket=bucket)
        for number in range(1100):
            client.put_object(Bucket=bucket, Key=f"demo/demo-{number}.tar.gz", Body=b"x")
        assert len(list(open_storage(seaweed_server.settings(bucket)).scan())) == 1100

    def test_options_reach_the_object(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        for threshold in ("100MiB", "1"):
            storage = open_storage(
                moto_server.settings(
                    bucket,
                    storage__server_side_encryption="aws:kms",
                    storage__sse_kms_key_id="key-1",
                    storage__storage_class="STANDARD_IA",
                    storage__object_acl="public-read",
                    storage__multipart_threshold=threshold,
                )
            )
            file = publish(storage, SDIST, sdist())
            client = moto_server.client()
            head = client.head_object(Bucket=bucket, Key=file.key)
            assert head["ServerSideEncryption"] == "aws:kms"
            assert head["SSEKMSKeyId"] == "key-1"
            assert head["StorageClass"] == "STANDARD_IA"
            grants = client.get_object_acl(Bucket=bucket, Key=file.key)["Grants"]
            assert any(grant["Permission"] == "READ" for grant in grants)
            storage.delete(file)


class TestHeads:
    """A rebuild asks for each object; through boto3 that would take ten times as long."""

    @pytest.mark.parametrize("addressing_style", ["path", "auto"])
    def test_objects_are_asked_for_without_boto3(
        self, seaweed_server: S3Server, monkeypatch: pytest.MonkeyPatch, addressing_style: str
    ) -> None:
        settings = seaweed_server.settings(
            new_bucket(), storage__addressing_style=addressing_style, storage__prefix="a b~ü/"
        )
        storage = open_storage(settings)
        file = publish(storage, SDIST, sdist(), summary="plain")
        quick: list[bool] = []
        original = Heads._quickly

        def watched(self: Heads, key: str) -> Any:
            found = original(self, key)
            quick.append(found is not None)
            return found

        monkeypatch.setattr(Heads, "_quickly", watched)
        (listed,) = storage.scan()
        assert storage.describe(listed) == file
        assert quick == [True]

    def test_what_fails_there_is_asked_for_through_boto3(
        self, seaweed_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = open_storage(seaweed_server.settings(new_bucket()))
        file = publish(storage, SDIST, sdist(), summary="plain")
        (listed,) = storage.scan()

        def broken(_request: Any) -> Any:
            raise HTTPClientError(error="down")

        monkeypatch.setattr(storage._heads, "_send", broken)  # type: ignore[attr-defined]
        assert storage.describe(listed) == file

    def test_both_ways_say_the_same(self, seaweed_server: S3Server) -> None:
        storage = open_storage(seaweed_server.settings(new_bucket()))
        file = publish(storage, SDIST, sdist(), summary="plain")
        heads = storage._heads  # type: ignore[attr-defined]
        assert heads._quickly(file.key) == heads._thoroughly(file.key)


class TestCutOff:
    def test_an_upload_that_died_before_its_core_metadata_is_completed_by_a_retry(
        self, seaweed_server: S3Server
    ) -> None:
        bucket = new_bucket()
        storage = open_storage(seaweed_server.settings(bucket))
        core = metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")
        file = publish(storage, WHEEL, wheel(), core)
        client = seaweed_server.client()
        client.delete_object(Bucket=bucket, Key=f"{file.key}.metadata")
        healed = publish(storage, WHEEL, wheel(), core)
        assert healed.core_metadata_sha256 == sha256(core)
        assert client.get_object(Bucket=bucket, Key=f"{file.key}.metadata")["Body"].read() == core

    def test_or_by_the_next_listing(self, seaweed_server: S3Server) -> None:
        bucket = new_bucket()
        storage = open_storage(seaweed_server.settings(bucket))
        core = metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")
        file = publish(storage, WHEEL, wheel(), core)
        client = seaweed_server.client()
        client.delete_object(Bucket=bucket, Key=f"{file.key}.metadata")
        (listed,) = storage.scan()
        assert storage.describe(listed).core_metadata_sha256 == sha256(core)
        assert client.get_object(Bucket=bucket, Key=f"{file.key}.metadata")["Body"].read() == core

    def test_a_file_without_a_recorded_digest_is_compared_by_its_bytes(
        self, moto_server: S3Server
    ) -> None:
        bucket = new_bucket()
        storage = open_storage(moto_server.settings(bucket))
        key = storage.key_for("demo", "1.0", SDIST)  # type: ignore[arg-type]
        moto_server.client().put_object(Bucket=bucket, Key=key, Body=sdist())
        publish(storage, SDIST, sdist())
        other = bytearray(sdist())
        other[-1] ^= 1
        with pytest.raises(FileExists):
            publish(storage, SDIST, bytes(other))

    def test_broken_facts_are_taken_from_the_object(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        storage = open_storage(moto_server.settings(bucket))
        file = publish(storage, SDIST, sdist(), yanked="x")
        client = moto_server.client()
        for content in (b"", b"{", b"[]", json.dumps({"pypicloud_lite": {"size": 1}}).encode()):
            client.put_object(Bucket=bucket, Key=f"{file.key}.meta", Body=content)
            (listed,) = storage.scan()
            assert storage.describe(listed).sha256 == sha256(sdist())

    def test_no_upload_in_parts_is_left_behind_when_the_name_is_taken(
        self, seaweed_server: S3Server
    ) -> None:
        bucket = new_bucket()
        settings = seaweed_server.settings(bucket, storage__multipart_threshold="1")
        storage = open_storage(settings)
        publish(storage, SDIST, sdist())
        with pytest.raises(FileExists):
            publish(storage, SDIST, sdist(version="1.0", requires_python=None))
        uploads = seaweed_server.client().list_multipart_uploads(Bucket=bucket)
        assert uploads.get("Uploads", []) == []

    def test_a_large_file_goes_up_in_several_parts(self, seaweed_server: S3Server) -> None:
        content = bytes(range(256)) * (20 << 12)
        storage = open_storage(
            seaweed_server.settings(new_bucket(), storage__multipart_threshold="10MiB")
        )
        file = publish(storage, SDIST, content, summary="plain")
        with storage.open(file) as stream:
            assert sha256(stream.read()) == sha256(content)
        assert file.stamp.endswith("-3")  # the ETag of an object of three parts


def fetch(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        content: bytes = response.read()
    return content


def url_of(storage: Storage, file: Any) -> str:
    location = storage.locate(file)
    assert isinstance(location, RemoteUrl)
    return location.url


class TestPresigned:
    @pytest.mark.parametrize("version", [None, "s3v4"])
    @pytest.mark.parametrize("filename", [WHEEL, "demo-1!1.0+local.1-py3-none-any.whl"])
    def test_a_url_gives_the_file_and_nothing_else(
        self, seaweed_server: S3Server, version: str | None, filename: str
    ) -> None:
        changes = {"storage__signature_version": version, "storage__prefix": "a b~ü/"}
        storage = open_storage(seaweed_server.settings(new_bucket(), **changes))
        content = wheel()
        url = url_of(storage, publish(storage, filename, content))
        assert fetch(url) == content
        assert fetch(url, Range="bytes=10-19") == content[10:20]
        for tampered in (url.replace("demo-1", "demo-2"), url[:-4] + "beef"):
            with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
                fetch(tampered)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(url.partition("?")[0])

    def test_the_older_signatures_work_too(self, seaweed_server: S3Server) -> None:
        settings = seaweed_server.settings(new_bucket())
        storage = open_storage(settings)
        file = publish(storage, WHEEL, wheel())
        older = Section(Source(settings | {"storage.signature_version": "s3"}), "storage.")
        s3, options = S3Storage.read_settings(older)
        url = make_urls(connect(s3, options, older), s3, options).url(file.key).url
        assert "AWSAccessKeyId=" in url
        assert fetch(url) == wheel()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(url.replace("Signature=", "Signature=x"))

    def test_a_url_ends(self, seaweed_server: S3Server) -> None:
        settings = seaweed_server.settings(new_bucket(), storage__expire_after="60")
        file = publish(open_storage(settings), WHEEL, wheel())
        section = Section(Source(settings), "storage.")
        s3, options = S3Storage.read_settings(section)
        connection = connect(s3, options, section)
        for age, ended in ((0, False), (120, True)):
            urls = PresignedUrls(
                connection.client,
                connection.base,
                s3,
                lambda age=age: time.time() - age,  # type: ignore[misc]
            )
            url = urls.url(file.key).url
            if ended:
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    fetch(url)
            else:
                assert fetch(url) == wheel()

    def test_core_metadata_has_a_url_too(self, seaweed_server: S3Server) -> None:
        storage = open_storage(seaweed_server.settings(new_bucket()))
        core = metadata("demo", "1.0")
        location = storage.locate_core_metadata(publish(storage, WHEEL, wheel(), core))
        assert location is not None
        assert fetch(location.url) == core

    def test_a_url_stays_the_same_for_every_process(self, seaweed_server: S3Server) -> None:
        settings = seaweed_server.settings(new_bucket())
        first, second = open_storage(settings), open_storage(settings)
        file = publish(first, WHEEL, wheel())
        assert url_of(first, file) == url_of(first, file) == url_of(second, file)

    def test_a_public_bucket_has_plain_urls(self, moto_server: S3Server) -> None:
        bucket = new_bucket()
        storage = open_storage(
            moto_server.settings(
                bucket, storage__public_url="true", storage__object_acl="public-read"
            )
        )
        file = publish(storage, WHEEL, wheel())
        assert url_of(storage, file) == f"{moto_server.url}/{bucket}/{file.key}"
        assert fetch(url_of(storage, file)) == wheel()

    def test_pages_may_carry_the_urls(self, seaweed_server: S3Server) -> None:
        settings = seaweed_server.settings(new_bucket(), storage__redirect_urls="false")
        storage = open_storage(settings)
        url = storage.page_url(publish(storage, WHEEL, wheel()))
        assert url is not None
        assert fetch(url) == wheel()
