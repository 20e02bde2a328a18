"""Making the queue that collects a bucket's events (``pypicloud-lite s3-events``)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pypicloud_lite.errors import StorageUnavailable
from pypicloud_lite.settings.storages import S3Settings
from pypicloud_lite.storage.s3.errors import explain

_NAME = "pypicloud-lite"
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")


def queue_policy(queue_arn: str, bucket: str, partition: str = "aws") -> dict[str, Any]:
    """The statement of a queue's policy that lets a bucket send to it."""
    account = queue_arn.split(":")[4]
    return {
        "Sid": statement_id(bucket),
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:{partition}:s3:::{bucket}"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }


def bucket_notification(queue_arn: str, prefix: str) -> dict[str, Any]:
    """The part of a bucket's notification configuration that sends events to a queue."""
    configuration: dict[str, Any] = {
        "Id": notification_id(queue_arn, prefix),
        "QueueArn": queue_arn,
        "Events": list(EVENTS),
    }
    if prefix:
        rules = [{"Name": "prefix", "Value": prefix}]
        configuration["Filter"] = {"Key": {"FilterRules": rules}}
    return configuration


def documents(settings: S3Settings, region: str, name: str) -> dict[str, Any]:
    """What :func:`set_up` would make, for who makes it with other tools.

    Args:
        region: of the bucket.
        name: of the queue.
    """
    arn = f"arn:aws:sqs:{region}:ACCOUNT_ID:{name}"
    notification = bucket_notification(arn, settings.prefix)
    return {
        "QueueName": name,
        "QueuePolicy": _policy(queue_policy(arn, settings.bucket)),
        "Bucket": settings.bucket,
        "NotificationConfiguration": {"QueueConfigurations": [notification]},
    }


def statement_id(bucket: str) -> str:
    """That of a policy: one for each bucket that sends to the queue. Letters and digits only."""
    return f"PypicloudLite{_digest(bucket)}"


def notification_id(queue_arn: str, prefix: str) -> str:
    """That of a bucket's configuration: one for each queue and prefix."""
    return f"{_NAME}-{_digest(f'{queue_arn}|{prefix}')}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without(entries: list[dict[str, Any]], name: str, value: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry.get(name) != value]


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def set_up(s3: Any, sqs: Any, settings: S3Settings, name: str) -> str:
    """Make the queue and let the bucket send its events there; what is there already is kept.

    Args:
        s3: boto3's client of S3.
        sqs: that of SQS.
        name: of the queue.

    Returns:
        The queue's URL.

    Raises:
        StorageUnavailable: it isn't allowed, or another configuration is in the way.
    """
    try:
        url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
        wanted = {"AttributeNames": ["QueueArn", "Policy"]}
        attributes = sqs.get_queue_attributes(QueueUrl=url, **wanted)["Attributes"]
        arn = attributes["QueueArn"]
        policy = json.loads(attributes.get("Policy") or "{}")
        statement = queue_policy(arn, settings.bucket, arn.split(":")[1])
        others = _without(policy.get("Statement", []), "Sid", statement["Sid"])
        policy = _policy() | policy | {"Statement": [*others, statement]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        found = s3.get_bucket_notification_configuration(Bucket=settings.bucket)
        found.pop("ResponseMetadata", None)
        ours = bucket_notification(arn, settings.prefix)
        queues = _without(found.get("QueueConfigurations", []), "Id", ours["Id"])
        found["QueueConfigurations"] = [*queues, ours]
        s3.put_bucket_notification_configuration(
            Bucket=settings.bucket, NotificationConfiguration=found
        )
    except (ClientError, BotoCoreError) as exc:
        raise StorageUnavailable(f"The events could not be set up: {explain(exc)}.") from exc
    return url
