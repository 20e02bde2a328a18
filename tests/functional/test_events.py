"""Following a bucket by its events: S3 and SQS of moto, in front of a real application."""

from __future__ import annotations

import configparser
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest

from pypicloud_lite.cli import main
from pypicloud_lite.errors import SettingsError
from pypicloud_lite.index import listen
from pypicloud_lite.storage.s3 import events
from tests.conftest import Client
from tests.support.dists import wheel
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, new_bucket, open_storage
from tests.support.server import app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
KEY = f"pkgs/0000/demo/{WHEEL}"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_WAIT", 1)
    monkeypatch.setattr(events, "_HIDDEN", 1)
    monkeypatch.setattr(listen, "_PAUSE", 0.05)
    monkeypatch.setattr(listen, "_MAX_PAUSE", 0.05)


def until(what: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came true")


class Site:
    """A bucket with a queue, and an application that follows it."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.bucket = new_bucket()
        self.s3 = server.client()
        self.s3.create_bucket(Bucket=self.bucket)
        self.sqs = self.service("sqs")
        self.sns = self.service("sns")
        self.settings = app_settings(folder, storage__dir=None) | server.settings(
            self.bucket, storage__prefix="pkgs/"
        )
        self.ini = folder / "server.ini"
        self.write_ini()

    def service(self, name: str) -> Any:
        return boto3.client(
            name, endpoint_url=self.server.url, aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY, region_name="us-east-1",
        )  # fmt: skip

    def write_ini(self) -> None:
        parser = configparser.ConfigParser(interpolation=None)
        parser["app:main"] = {"use": "egg:pypicloud_lite", **self.settings}
        with self.ini.open("w") as file:
            parser.write(file)

    def set_up(self, *arguments: str) -> int:
        return main(
            ["s3-events", "setup", str(self.ini), "--endpoint-url", self.server.url,
             "--queue", self.bucket, *arguments]
        )  # fmt: skip

    def put(self, key: str = KEY, content: bytes | None = None) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content or wheel())

    def send(self, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=text)

    @property
    def queue(self) -> str:
        url: str = self.sqs.get_queue_url(QueueName=self.bucket)["QueueUrl"]
        return url

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return sum(map(int, found["Attributes"].values()))


@pytest.fixture
def site(moto_server: S3Server, tmp_path: Path) -> Site:
    return Site(moto_server, tmp_path)


@pytest.fixture
def client(
    site: Site, make_client: Callable[..., Client], capsys: pytest.CaptureFixture[str]
) -> Iterator[Client]:
    """An application that follows the bucket's events, and would otherwise look once a week."""
    assert site.set_up() == 0
    name, _equals, url = capsys.readouterr().out.strip().splitlines()[-1].partition(" = ")
    return make_client(**{**site.settings, name: url, "pypi.sync_interval": "604800"})


def listed(client: Client, project: str = "demo") -> list[str]:
    response = client.page(project, status="*")
    return (
        [file["filename"] for file in response.json["files"]] if response.status_int == 200 else []
    )


def s3_event(bucket: str, key: str, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    about = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key)}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": event, "s3": about}]}


class TestFollowing:
    def test_what_others_put_and_delete_is_followed(self, client: Client, site: Site) -> None:
        assert listed(client) == []
        site.put()
        until(lambda: listed(client) == [WHEEL])
        replaced = wheel(summary="replaced by another server")
        site.put(content=replaced)
        until(lambda: client.page("demo").json["files"][0]["size"] == len(replaced))
        site.s3.delete_object(Bucket=site.bucket, Key=KEY)
        until(lambda: client.page("demo", status="*").status_int == 404)
        until(lambda: site.left() == 0)

    def test_another_server_of_the_bucket_is_followed(
        self, client: Client, site: Site, make_client: Callable[..., Client], tmp_path: Path
    ) -> None:
        """Upload, yank, status and deletion through a server with an index of its own."""
        url = f"sqlite:///{tmp_path / 'other.sqlite'}"
        other = make_client(**{**site.settings, "db.url": url}).as_("writer")
        other.upload(WHEEL, wheel(), status=200)
        until(lambda: listed(client) == [WHEEL])
        until(lambda: "core-metadata" in client.page("demo").json["files"][0])
        path = "/api/package/demo"
        other.post_json(f"{path}/yank", {"filename": WHEEL, "reason": "broken"}, status=200)
        until(lambda: client.page("demo").json["files"][0]["yanked"] == "broken")
        other.post_json(f"{path}/status", {"status": "archived"}, status=200)
        until(
            lambda: client.page("demo").json.get("project-status", {}).get("status") == "archived"
        )
        other.delete(f"/api/package/demo/{WHEEL}", status=200)
        until(lambda: listed(client) == [])

    @pytest.mark.parametrize("wrapping", ["direct", "sns", "eventbridge", "eventbridge over sns"])
    def test_events_come_in_every_wrapping(self, client: Client, site: Site, wrapping: str) -> None:
        site.s3.put_bucket_notification_configuration(
            Bucket=site.bucket, NotificationConfiguration={}
        )
        filename = "demo-1.0+a.b-py3-none-any.whl"
        key = f"pkgs/0000/demo/{filename}"
        site.put(key, wheel(version="1.0+a.b"))
        bridge = {
            "version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": site.bucket}, "object": {"key": key}},
        }  # fmt: skip
        body = {
            "direct": s3_event(site.bucket, key),
            "sns": {"Type": "Notification", "Message": json.dumps(s3_event(site.bucket, key))},
            "eventbridge": bridge,
            "eventbridge over sns": {"Type": "Notification", "Message": json.dumps(bridge)},
        }[wrapping]
        site.send(body)
        until(lambda: listed(client) == [filename])

    def test_real_sns_between_bucket_and_queue(self, client: Client, site: Site) -> None:
        topic = site.sns.create_topic(Name=site.bucket)["TopicArn"]
        found = site.sqs.get_queue_attributes(QueueUrl=site.queue, AttributeNames=["QueueArn"])
        site.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=found["Attributes"]["QueueArn"])
        site.s3.put_bucket_notification_configuration(
            Bucket=site.bucket,
            NotificationConfiguration={
                "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
            },
        )
        site.put()
        until(lambda: listed(client) == [WHEEL])


class TestHints:
    """Whatever a message says, the bucket has the last word."""

    def test_false_broken_and_foreign_messages_change_nothing_and_are_dropped(
        self, client: Client, site: Site
    ) -> None:
        bucket = site.bucket
        site.put()
        until(lambda: listed(client) == [WHEEL])
        before = client.page("demo").json
        messages = [
            s3_event(bucket, "pkgs/0000/absent/absent-1.0.tar.gz"),
            s3_event(bucket, KEY, "ObjectRemoved:Delete"),
            s3_event("another-bucket", KEY),
            s3_event(bucket, "elsewhere/demo-9.tar.gz"),
            s3_event(bucket, "pkgs/.pypicloud-lite/index/snapshot.jsonl.gz"),
            s3_event(bucket, "pkgs/0000/demo/"),
            s3_event(bucket, "pkgs/"),
            s3_event(bucket, "pkgs/../../etc/passwd"),
            {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket},
            {"Records": [{}]},
            {"Records": 7},
            {"source": "aws.s3"},
            {"Type": "Notification", "Message": "no JSON"},
            [],
            "no JSON at all",
            "[" * 5000,
        ]
        for message in messages * 2:
            site.send(message)
        until(lambda: site.left() == 0)
        assert client.page("demo").json == before
        assert client.get("/health", status=200).json["events"] == "ok"

    def test_a_message_is_deleted_only_when_it_was_taken_care_of(
        self, client: Client, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pypicloud_lite.errors import StorageUnavailable

        storage = client.app.registry.services.storage
        original = storage.describe

        def broken(_stored: Any) -> Any:
            raise StorageUnavailable("S3 is down")

        monkeypatch.setattr(storage, "describe", broken)
        site.put()
        until(lambda: client.get("/health", status=200).json["events"] == "S3 is down")
        assert site.left() == 1
        client.page("demo", status=404)
        monkeypatch.setattr(storage, "describe", original)
        until(lambda: listed(client) == [WHEEL])
        until(lambda: client.get("/health", status=200).json["events"] == "ok")

    def test_trouble_with_the_queue_is_shown_and_passes(self, client: Client, site: Site) -> None:
        url = site.queue
        site.sqs.delete_queue(QueueUrl=url)
        until(lambda: "does not exist" in client.get("/health", status=200).json["events"])
        client.as_("writer").upload(WHEEL, wheel(), status=200)  # nothing else is hurt
        assert listed(client) == [WHEEL]
        assert site.sqs.create_queue(QueueName=site.bucket)["QueueUrl"] == url
        until(lambda: client.get("/health", status=200).json["events"] == "ok")


class TestSetup:
    def test_it_may_be_run_again_and_keeps_what_others_configured(
        self, site: Site, capsys: pytest.CaptureFixture[str]
    ) -> None:
        topic = site.sns.create_topic(Name=f"{site.bucket}-other")["TopicArn"]
        other = {"Id": "other", "TopicArn": topic, "Events": ["s3:ObjectAcl:Put"]}
        site.s3.put_bucket_notification_configuration(
            Bucket=site.bucket, NotificationConfiguration={"TopicConfigurations": [other]}
        )
        url = site.sqs.create_queue(QueueName=site.bucket)["QueueUrl"]
        foreign = {"Sid": "foreign", "Effect": "Allow", "Principal": "*", "Action": "sqs:*"}
        policy = {"Version": "2012-10-17", "Statement": [foreign]}
        site.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        for _twice in range(2):
            assert site.set_up() == 0
            assert f"pypi.s3_events_queue = {url}" in capsys.readouterr().out
        found = site.s3.get_bucket_notification_configuration(Bucket=site.bucket)
        assert [each["Id"] for each in found["TopicConfigurations"]] == ["other"]
        (ours,) = found["QueueConfigurations"]
        assert ours["Filter"]["Key"]["FilterRules"][0]["Value"] == "pkgs/"
        attributes = site.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        statements = json.loads(attributes["Attributes"]["Policy"])["Statement"]
        assert len(statements) == 2
        assert statements[0]["Sid"] == "foreign"
        assert statements[1]["Condition"]["ArnLike"] == {
            "aws:SourceArn": f"arn:aws:s3:::{site.bucket}"
        }

    def test_each_prefix_may_have_a_queue_of_its_own(
        self, site: Site, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert site.set_up() == 0
        site.settings["storage.prefix"] = "staging/"
        site.write_ini()
        arguments = ["--endpoint-url", site.server.url, "--queue", f"{site.bucket}-staging"]
        assert main(["s3-events", "setup", str(site.ini), *arguments]) == 0
        found = site.s3.get_bucket_notification_configuration(Bucket=site.bucket)
        prefixes = {
            each["Filter"]["Key"]["FilterRules"][0]["Value"]: each["QueueArn"]
            for each in found["QueueConfigurations"]
        }
        assert set(prefixes) == {"pkgs/", "staging/"}
        assert len(set(prefixes.values())) == 2

    def test_it_prints_what_it_would_make(
        self, site: Site, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert site.set_up("--print") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["QueueName"] == site.bucket
        assert document["QueuePolicy"]["Statement"][0]["Action"] == "sqs:SendMessage"
        assert document["NotificationConfiguration"]["QueueConfigurations"][0]["Events"]
        assert not site.sqs.list_queues(QueueNamePrefix=site.bucket).get("QueueUrls")

    def test_trouble_is_a_sentence(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        site.settings["storage.bucket"] = new_bucket()
        site.write_ini()
        assert site.set_up() == 1
        assert "the bucket does not exist" in capsys.readouterr().err

    def test_a_folder_has_no_events(
        self, tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
    ) -> None:
        site.settings = app_settings(tmp_path)
        site.write_ini()
        assert site.set_up() == 1
        assert "only a bucket" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pypi.s3_events_queue": "https://sqs.eu-west-1.amazonaws.com/1/q"}, "only a bucket"),
        ({"pypi.s3_events_queue": "arn:aws:sqs:eu-west-1:1:q"}, "pypi.s3_events_queue"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    make_client: Callable[..., Client], changes: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_client(**changes)


def test_a_queue_may_be_in_another_region(site: Site) -> None:
    storage: Any = open_storage(site.server.settings(site.bucket))
    for url, region in {
        "https://sqs.eu-central-1.amazonaws.com/1/q": "eu-central-1",
        "https://eu-west-3.queue.amazonaws.com/1/q": "eu-west-3",
        "https://sqs.us-gov-west-1.amazonaws.com/1/q": "us-gov-west-1",
        "https://vpce-0a1-b2.sqs.ap-southeast-2.vpce.amazonaws.com/1/q": "ap-southeast-2",
        "http://127.0.0.1:9/1/q": "us-east-1",
    }.items():
        client = storage._queue_client(url)
        assert client.meta.region_name == region
        assert url.startswith(client.meta.endpoint_url)
