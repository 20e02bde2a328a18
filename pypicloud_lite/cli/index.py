"""``pypicloud-lite sync``, ``rebuild`` and ``fsck``: looking after the index by hand."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from typing import Any

from pypicloud_lite.cli.source import ini_settings
from pypicloud_lite.index import Index, snapshot
from pypicloud_lite.index.check import differences
from pypicloud_lite.index.sync import Progress, sync
from pypicloud_lite.services import open_store
from pypicloud_lite.storage.base import Storage


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    for name, text in (
        ("sync", "bring the index in step with the storage, looking only at what changed"),
        ("rebuild", "the same, looking at every file"),
    ):
        parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        parser.add_argument("ini")
        parser.add_argument(
            "--force", action="store_true", help="also when a large part of the files is gone"
        )
        parser.set_defaults(run=run_sync, rebuild=name == "rebuild")
    parser = commands.add_parser(
        "fsck",
        help="compare index and storage",
        description="Compare index and storage, and report each difference. Exit status 1 when "
        "there is one.",
    )
    parser.add_argument("ini")
    parser.add_argument("--hash", action="store_true", help="also read every file")
    parser.add_argument(
        "--repair", action="store_true", help="bring the index in step where it differs"
    )
    parser.add_argument(
        "--force", action="store_true", help="repair also when a large part of the files is gone"
    )
    parser.set_defaults(run=run_fsck)


def run_sync(arguments: argparse.Namespace) -> int:
    """Synchronize, if nobody else does."""
    storage, index = open_store(ini_settings(arguments.ini), os.environ)
    with closing(index), index.leading() as leads:
        if not leads:
            print("Another process is bringing the index in step right now.", file=sys.stderr)
            return 1
        report = sync(
            storage, index, rebuild=arguments.rebuild, force=arguments.force, progress=_show
        )
        if snapshot.is_due(storage, index):
            snapshot.save(storage, index)
    print(
        f"{report.listed} files, {report.changed} new or changed, {report.gone} gone, "
        f"in {report.seconds:.1f} s"
    )
    return 0


def run_fsck(arguments: argparse.Namespace) -> int:
    """Report each difference."""
    storage, index = open_store(ini_settings(arguments.ini), os.environ)
    with closing(index):
        return _check(storage, index, arguments)


def _check(storage: Storage, index: Index, arguments: argparse.Namespace) -> int:
    found = 0
    for sentence in differences(storage, index, read_all=arguments.hash):
        print(sentence)
        found += 1
    if found and arguments.repair:
        with index.leading() as leads:
            if not leads:
                print("Another process is bringing the index in step.", file=sys.stderr)
                return 1
            sync(storage, index, rebuild=True, force=arguments.force)
        left = list(differences(storage, index, read_all=arguments.hash))
        print(f"{found} differences, {len(left)} left after the repair")
        found = len(left)
    elif not found:
        print("index and storage agree")
    return 1 if found else 0


def _show(progress: Progress) -> None:
    """A bar where someone is looking."""
    if not sys.stderr.isatty() or progress.total == 0:
        return
    if progress.total is None:
        print(f"{progress.done} files listed", end="\r", file=sys.stderr, flush=True)
        return
    width = 40
    filled = width * progress.done // progress.total
    bar = "#" * filled + "." * (width - filled)
    end = "\n" if progress.done == progress.total else "\r"
    print(f"[{bar}] {progress.done} of {progress.total}", end=end, file=sys.stderr, flush=True)
