"""Following a bucket by its event notifications, which an SQS queue collects.

An event is a hint: it may come late, twice, out of order, or be of an old version. What counts is
what the bucket shows when it is looked at.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pypicloud_lite.errors import SettingsError, StorageUnavailable
from pypicloud_lite.model import is_storable
from pypicloud_lite.names import extension_of
from pypicloud_lite.settings.storages import S3Settings
from pypicloud_lite.storage.base import Hints
from pypicloud_lite.storage.s3.connect import OWN, credentials
from pypicloud_lite.storage.s3.errors import code_of, explain
from pypicloud_lite.storage.s3.listing import SIDECARS, status_prefix
from pypicloud_lite.storage.s3.options import BotoOptions

LOG = logging.getLogger(__name__)

#: How long a request waits for messages, in seconds: what SQS allows at most.
_WAIT = 20
#: How long nobody else gets a message that was taken, in seconds.
_HIDDEN = 120
_MESSAGES = 10
#: An event may be wrapped by SNS, and by EventBridge before.
_WRAPPINGS = 3
#: In bytes.
_LONGEST_KEY = 1024
_REGION = re.compile(r"\b[a-z]{2}(?:-[a-z]+)+-\d\b")
#: Options of botocore's Config that are about the network, not about S3.
_NETWORK = ("connect_timeout", "retries", "proxies", "proxies_config", "client_cert")
_MISSING = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


def make_queue_client(
    settings: S3Settings, options: BotoOptions, region: str, url: str | None
) -> Any:
    """A client of SQS with the credentials of the bucket.

    Args:
        region: where the bucket is; taken where the URL names none.
        url: of a queue, or of the service; ``None``: AWS.

    Raises:
        SettingsError: it is no URL.
    """
    network = {name: options.config[name] for name in _NETWORK if name in options.config}
    arguments: dict[str, Any] = {"region_name": region}
    if url is not None:
        parts = urlsplit(url)
        found = _REGION.search(parts.netloc)
        arguments = {
            "region_name": found[0] if found else region,
            "endpoint_url": f"{parts.scheme}://{parts.netloc}",
        }
    try:
        return options.boto_session.client(
            "sqs",
            config=Config(**network, read_timeout=_WAIT + 10),
            **credentials(settings, options),
            **arguments,
        )
    except (BotoCoreError, ValueError) as exc:
        raise SettingsError([f"pypi.s3_events_queue = {url}: {explain(exc)}."]) from exc


class EventQueue:
    """The messages of one queue about one bucket.

    Args:
        client: boto3's, of SQS.
        url: of the queue.
        prefix: of the keys in the bucket.
    """

    def __init__(self, client: Any, url: str, bucket: str, prefix: str) -> None:
        self._client = client
        self._url = url
        self._bucket = bucket
        self._prefix = prefix

    def hints(self, stop: threading.Event) -> Iterator[Hints]:
        """What the messages speak of; they are deleted when the next ones are asked for.

        Raises:
            StorageUnavailable: the queue can't be read.
        """
        while not stop.is_set():
            with _translated():
                answer = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=_MESSAGES,
                    WaitTimeSeconds=_WAIT,
                    VisibilityTimeout=_HIDDEN,
                )
            messages = answer.get("Messages", [])
            yield self._hints(messages)
            if messages:
                self._delete(messages)

    def _delete(self, messages: list[Mapping[str, Any]]) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        with _translated():
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def _hints(self, messages: list[Mapping[str, Any]]) -> Hints:
        keys: set[str] = set()
        statuses = False
        for message in messages:
            try:
                found = set(map(_checked, _keys(json.loads(message["Body"]), self._bucket)))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
                LOG.warning("a message in the queue is no event of S3 and is dropped: %s", exc)
                continue
            for key in found:
                if key.startswith(status_prefix(self._prefix)):
                    statuses = True
                elif self._is_file(owner := _owner(key)):
                    keys.add(owner)
        return Hints(frozenset(keys), statuses=statuses)

    def _is_file(self, key: str) -> bool:
        """Whether it may be a distribution file. Of a folder's key, a look would show all in it."""
        ours = key.startswith(self._prefix) and not key.startswith(self._prefix + OWN)
        return ours and extension_of(key) is not None


def _keys(document: Any, bucket: str, wrappings: int = _WRAPPINGS) -> Iterator[str]:
    """The keys in ``bucket`` that an event is about, as S3, SNS and EventBridge write it.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no event.
    """
    if document.get("Type") == "Notification" and wrappings:
        yield from _keys(json.loads(document["Message"]), bucket, wrappings - 1)
    elif document.get("Event") == "s3:TestEvent":
        return
    elif document.get("source") == "aws.s3":
        detail = document["detail"]
        if detail["bucket"]["name"] == bucket:
            yield str(detail["object"]["key"])
    elif "Records" in document:
        for record in document["Records"]:
            if record["s3"]["bucket"]["name"] == bucket:
                yield unquote_plus(record["s3"]["object"]["key"])
    else:
        raise ValueError(f"it has {sorted(document)[:10]!a}")


def _checked(key: str) -> str:
    """A key as S3 has it; asking for any other would fail again and again.

    Raises:
        ValueError: it is none.
    """
    if not is_storable(key) or not 0 < len(key.encode()) <= _LONGEST_KEY:
        raise ValueError(f"it has the impossible key {key[:100]!a}")
    return key


def _owner(key: str) -> str:
    """The distribution file that a key is, or lies beside."""
    for suffix in SIDECARS:
        key = key.removesuffix(suffix)
    return key


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as exc:
        missing = code_of(exc) in _MISSING
        reason = "it does not exist; check pypi.s3_events_queue" if missing else explain(exc)
        raise StorageUnavailable(f"the queue of events can't be read: {reason}") from exc
