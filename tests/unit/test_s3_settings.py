"""The settings of S3 and CloudFront: every option, and a sentence for what can't work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from cryptography.hazmat.primitives.asymmetric import ec

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.settings.options import Section, Source
from pypicloud_lite.storage.cloudfront import CloudFrontStorage, CloudFrontUrls
from pypicloud_lite.storage.s3.backend import S3Storage
from pypicloud_lite.storage.s3.connect import make_client
from pypicloud_lite.storage.s3.urls import PublicUrls
from tests.support.keys import ec_key, pem, rsa_key
from tests.support.s3 import S3Server, new_bucket, open_storage
from tests.support.server import free_port


def client_of(**changes: str) -> Any:
    """The boto3 client that these settings give."""
    ini = {"storage.bucket": "b"} | {f"storage.{name}": value for name, value in changes.items()}
    section = Section(Source(ini), "storage.")
    settings, options = S3Storage.read_settings(section)
    section.finish()
    return make_client(settings, options)


def problems(ini: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        open_storage(ini)
    return str(caught.value)


class TestBotoOptions:
    def test_options_of_config_reach_it(self) -> None:
        config = client_of(
            region_name="eu-west-1",
            user_agent_extra="extra/1",
            connect_timeout="3",
            read_timeout="2.5",
            max_pool_connections="7",
            retries="total_max_attempts = 9\n mode = standard",
            proxies="http = foo.bar:3128\nhttps = foo.bar:4012",
            tcp_keepalive="true",
            request_checksum_calculation="when_required",
            client_cert="/a/cert /a/key",
            signature_version="s3v4",
        ).meta.config
        assert config.user_agent_extra == "extra/1"
        assert config.connect_timeout == 3
        assert config.read_timeout == 2.5
        assert config.max_pool_connections == 7
        assert config.retries["total_max_attempts"] == 9
        assert config.retries["mode"] == "standard"
        assert config.proxies == {"http": "foo.bar:3128", "https": "foo.bar:4012"}
        assert config.tcp_keepalive is True
        assert config.request_checksum_calculation == "when_required"
        assert config.client_cert == ("/a/cert", "/a/key")
        assert config.signature_version == "s3v4"

    def test_parameters_are_validated_unless_told_otherwise(self) -> None:
        with pytest.raises(ParamValidationError):
            client_of().head_object(Bucket="b", Key=5)
        with pytest.raises(Exception) as caught:
            client_of(
                parameter_validation="false", endpoint_url="http://127.0.0.1:1",
                access_key="a", secret_key="b", retries="total_max_attempts = 1",
            ).head_object(Bucket="b", Key=5)  # fmt: skip
        assert not isinstance(caught.value, ParamValidationError)

    def test_options_of_the_s3_dictionary_reach_it(self) -> None:
        config = client_of(
            use_accelerate_endpoint="true",
            addressing_style="virtual",
            payload_signing_enabled="yes",
            us_east_1_regional_endpoint="regional",
        ).meta.config
        assert config.s3["use_accelerate_endpoint"] is True
        assert config.s3["addressing_style"] == "virtual"
        assert config.s3["payload_signing_enabled"] is True
        assert config.s3["us_east_1_regional_endpoint"] == "regional"

    def test_options_of_the_client_reach_it(self) -> None:
        assert client_of(use_ssl="false").meta.endpoint_url.startswith("http://")
        assert (
            client_of(endpoint_url="https://s3.example").meta.endpoint_url == "https://s3.example"
        )
        client = client_of(verify="false", region_name="ap-south-1", api_version="2006-03-01")
        assert client.meta.region_name == "ap-south-1"
        assert client._endpoint.http_session._verify is False
        assert client_of(verify="/etc/ca.pem")._endpoint.http_session._verify == "/etc/ca.pem"

    @pytest.mark.parametrize(
        "names", [("access_key", "secret_key"), ("aws_access_key_id", "aws_secret_access_key")]
    )
    def test_keys_have_two_names(self, names: tuple[str, str]) -> None:
        client = client_of(**dict(zip(names, ("AKIA", "secret"), strict=True)))
        credentials = client._request_signer._credentials.get_frozen_credentials()
        assert (credentials.access_key, credentials.secret_key) == ("AKIA", "secret")

    def test_a_session_token_goes_with_them(self) -> None:
        client = client_of(access_key="A", secret_key="B", aws_session_token="T")
        assert client._request_signer._credentials.get_frozen_credentials().token == "T"

    def test_without_keys_the_environment_and_profiles_count(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "credentials").write_text(
            "[other]\naws_access_key_id = PROFILE\naws_secret_access_key = x\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        credentials = client_of(profile_name="other")._request_signer._credentials
        assert credentials.get_frozen_credentials().access_key == "PROFILE"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRON")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        credentials = client_of(user_agent_extra="fresh")._request_signer._credentials
        assert credentials.get_frozen_credentials().access_key == "ENVIRON"

    @pytest.mark.parametrize(
        ("name", "value", "part"),
        [
            ("connect_timeout", "soon", "must be a number"),
            ("max_pool_connections", "many", "must be a whole number"),
            ("parameter_validation", "perhaps", "must be true or false"),
            ("proxies", "nonsense", "must be lines of the form name = value"),
            ("use_accelerate_endpoint", "maybe", "must be true or false"),
            ("addresing_style", "path", "Did you mean storage.addressing_style?"),
            ("reigon_name", "x", "Did you mean storage.region_name?"),
            ("secret_key", "alone", "belong together"),
            ("aws_access_key_id", "alone", "belong together"),
            ("sse_kms_key_id", "k", "needs storage.server_side_encryption = aws:kms"),
            ("server_side_encryption", "rot13", "must be one of AES256"),
            ("expire_after", "never", "must be a whole number of seconds"),
            ("endpoint_url", "s3.example", "must be an http:// or https:// URL"),
            ("bucket", None, "storage.bucket is missing"),
        ],
    )
    def test_a_wrong_option_is_a_sentence(self, name: str, value: str | None, part: str) -> None:
        ini = {"pypi.storage": "s3", "storage.bucket": "b", f"storage.{name}": value}
        text = problems({key: given for key, given in ini.items() if given is not None})
        assert part in text
        assert "alone" not in text

    @pytest.mark.parametrize(
        "name", ["s3", "pypicloud.storage.S3Storage", "pypicloud.storage.s3.S3Storage"]
    )
    def test_every_name_of_the_backend_works(self, moto_server: S3Server, name: str) -> None:
        storage = open_storage(moto_server.settings(new_bucket(), pypi__storage=name))
        assert type(storage) is S3Storage


class TestStart:
    def test_an_absent_bucket_is_created_in_its_region(self, moto_server: S3Server) -> None:
        for region in ("us-east-1", "eu-central-1"):
            bucket = new_bucket()
            open_storage(moto_server.settings(bucket, storage__region_name=region))
            location = moto_server.client().get_bucket_location(Bucket=bucket)
            assert location["LocationConstraint"] == (None if region == "us-east-1" else region)

    def test_a_dotted_bucket_works(self, seaweed_server: S3Server) -> None:
        open_storage(seaweed_server.settings("dots.in." + new_bucket())).check()

    def test_unknown_keys_are_said_to_be_unknown(self, seaweed_server: S3Server) -> None:
        ini = seaweed_server.settings(new_bucket(), storage__access_key="WRONG")
        text = problems(ini)
        assert "storage.access_key" in text
        assert "testingsecret" not in text

    def test_a_wrong_secret_is_said_to_be_wrong(self, seaweed_server: S3Server) -> None:
        text = problems(seaweed_server.settings(new_bucket(), storage__secret_key="hunter2"))
        assert "check storage.secret_key" in text
        assert "hunter2" not in text

    def test_missing_credentials_are_said_to_be_missing(
        self, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        ini = moto_server.settings(
            new_bucket(), storage__access_key=None, storage__secret_key=None,
            storage__user_agent_extra="no-credentials",
        )  # fmt: skip
        assert "no AWS credentials were found; set storage.access_key" in problems(ini)

    def test_a_server_that_is_down_is_said_to_be_down(self) -> None:
        server = S3Server(f"http://127.0.0.1:{free_port()}")
        ini = server.settings(new_bucket(), storage__retries="total_max_attempts = 1")
        begin = time.monotonic()
        assert "can't be reached" in problems(ini)
        assert "check storage.endpoint_url" in problems(ini)
        assert time.monotonic() - begin < 30

    def test_an_invalid_bucket_name_is_a_sentence(self, moto_server: S3Server) -> None:
        assert "storage.bucket = No_Such!" in problems(moto_server.settings("No_Such!"))


class TestCloudFront:
    def ini(self, server: S3Server, **changes: str | None) -> dict[str, str]:
        base: dict[str, str | None] = {
            "pypi__storage": "cloudfront",
            "storage__cloud_front_domain": "d.cloudfront.net",
        }
        return server.settings(new_bucket(), **(base | changes))

    def key_of(self, storage: Any) -> Any:
        assert isinstance(storage, CloudFrontStorage)
        assert isinstance(storage._urls, CloudFrontUrls)
        return storage._urls._key

    def test_without_a_key_urls_are_plain(self, moto_server: S3Server) -> None:
        storage = open_storage(self.ini(moto_server))
        assert isinstance(storage, CloudFrontStorage)
        assert isinstance(storage._urls, PublicUrls)
        assert storage._urls.url("a b+c").url == "https://d.cloudfront.net/a%20b%2Bc"

    @pytest.mark.parametrize("make_key", [rsa_key, ec_key])
    @pytest.mark.parametrize("form", ["PKCS8", "old"])
    def test_keys_come_as_file_or_string_in_any_form(
        self, moto_server: S3Server, tmp_path: Path, make_key: Any, form: str
    ) -> None:
        text = pem(make_key(), form)
        path = tmp_path / "key.pem"
        path.write_text(text)
        for changes in (
            {"storage__cloud_front_key_file": str(path)},
            {"storage__cloud_front_key_string": text},
            {"storage__cloud_front_key_string": text.replace("\n", "\\n")},
        ):
            ini = self.ini(moto_server, storage__cloud_front_key_id="K1", **changes)
            found = self.key_of(open_storage(ini)).private_numbers()
            assert found == make_key().private_numbers()

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"storage__cloud_front_domain": None}, "storage.cloud_front_domain is missing"),
            ({"storage__cloud_front_key_id": "K1"}, "belong together"),
            ({"storage__cloud_front_key_string": pem(rsa_key())}, "belong together"),
            (
                {"storage__cloud_front_key_id": "K1", "storage__cloud_front_key_string": "hunter2"},
                "is no private key in PEM",
            ),
            (
                {"storage__cloud_front_key_id": "K1", "storage__cloud_front_key_file": "/no/file"},
                "No such file",
            ),
            (
                {
                    "storage__cloud_front_key_id": "K1",
                    "storage__cloud_front_key_string": pem(ec.generate_private_key(ec.SECP384R1())),
                },
                "RSA and ECDSA P-256 keys only",
            ),
            ({"storage__cloud_front_hash_algorithm": "MD5"}, "must be one of SHA1, SHA256"),
        ],
    )
    def test_what_cannot_work_is_a_sentence(
        self, moto_server: S3Server, changes: dict[str, str | None], part: str
    ) -> None:
        text = problems(self.ini(moto_server, **changes))
        assert part in text
        assert "hunter2" not in text
        assert "PRIVATE KEY-" not in text
