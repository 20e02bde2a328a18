"""``pypicloud-lite s3-events``: making the queue for ``pypi.s3_events_queue``."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from pypicloud_lite.cli.source import ini_settings
from pypicloud_lite.errors import SettingsError
from pypicloud_lite.services import open_storage


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    text = "events of the bucket, so that what others write there is known within seconds"
    parser = commands.add_parser("s3-events", help=text, description=text.capitalize() + ".")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    text = "make an SQS queue and let the bucket send its events there"
    setup = actions.add_parser("setup", help=text, description=text.capitalize() + ".")
    setup.add_argument("ini")
    setup.add_argument(
        "--queue", default="pypicloud-lite", metavar="NAME", help="name of the queue (%(default)s)"
    )
    setup.add_argument(
        "--endpoint-url", metavar="URL", help="URL of the SQS service, where it isn't AWS"
    )
    setup.add_argument(
        "--print",
        action="store_true",
        dest="only_print",
        help="make nothing; print what the queue and the bucket need, for other tools",
    )
    setup.set_defaults(run=run_setup)


def run_setup(arguments: argparse.Namespace) -> int:
    """Make the queue, or print what it needs."""
    from pypicloud_lite.storage.s3.backend import S3Storage  # noqa: PLC0415 - it brings boto3

    storage = open_storage(ini_settings(arguments.ini), os.environ)
    if not isinstance(storage, S3Storage):
        raise SettingsError(["pypi.storage: only a bucket (s3, cloudfront) has events."])
    if arguments.only_print:
        print(json.dumps(storage.describe_events(arguments.queue), indent=2))
        return 0
    url = storage.set_up_events(arguments.queue, arguments.endpoint_url)
    print("The bucket sends its events to the queue. Add to [app:main]:\n")
    print(f"pypi.s3_events_queue = {url}")
    return 0
