"""What an upload costs, counted: no step of it is done more often than needed."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from pypicloud_lite.storage.base import Spool
from pypicloud_lite.storage.files import FileStorage
from tests.conftest import Client
from tests.support.dists import sdist, sha256, wheel
from tests.support.forms import multipart
from tests.support.statements import statements

SMALL = wheel()
#: Larger than what is hashed and inflated at once.
LARGE = wheel(files={f"demo/m{n}.bin": random.Random(n).randbytes(200_000) for n in range(20)})


def name_of(version: str) -> str:
    return f"demo-{version}-py3-none-any.whl"


@dataclass
class Costs:
    """Of all that was done while they were counted."""

    #: What was waited for to be on the disk: ``file`` or ``folder``.
    syncs: list[str] = field(default_factory=list)
    #: First words of statements, and of transactions.
    sql: list[str] = field(default_factory=list)
    #: Bytes that went into digests, by algorithm.
    hashed: Counter[str] = field(default_factory=Counter)
    #: Bytes that were read of the received file.
    read: int = 0


class CountedDigest:
    """A digest of hashlib that counts."""

    def __init__(self, costs: Costs, make: Any, *args: Any, **options: Any) -> None:
        self._costs = costs
        self._digest = make(*args, **options)
        self.name = self._digest.name
        costs.hashed[self.name] += len(args[0]) if args else 0

    def update(self, data: bytes) -> None:
        self._costs.hashed[self.name] += len(data)
        self._digest.update(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._digest, name)


class CountedFile:
    """A file that counts what is read of it."""

    def __init__(self, costs: Costs, file: Any) -> None:
        self._costs = costs
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._costs.read += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def costs(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Costs]:
    """Counted from here on, after an upload that has opened what stays open."""
    client.as_("writer").upload(name_of("0"), wheel("demo", "0"), status=200)
    found = Costs()
    sync, spool, read_at = os.fsync, FileStorage.spool, os.pread

    def counted_read(descriptor: int, size: int, start: int) -> bytes:
        data = read_at(descriptor, size, start)
        found.read += len(data)
        return data

    def counted_sync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        found.syncs.append("folder" if is_folder else "file")
        sync(descriptor)

    @contextmanager
    def counted_spool(storage: FileStorage) -> Iterator[Spool]:
        with spool(storage) as spooled:
            yield Spool(spooled.path, CountedFile(found, spooled.file))  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pread", counted_read)
    thread = threading.get_ident()  # a synchronization may still run in another one

    def on_statement(statement: str) -> None:
        if threading.get_ident() == thread:
            found.sql.append(" ".join(statement.split()[:3]))

    monkeypatch.setattr(os, "fsync", counted_sync)
    monkeypatch.setattr(FileStorage, "spool", counted_spool)
    for name in ("sha256", "md5", "blake2b"):
        monkeypatch.setattr(hashlib, name, partial(CountedDigest, found, getattr(hashlib, name)))
    with statements(on_statement):
        yield found


def test_the_disk_is_waited_for_as_seldom_as_the_promise_allows(
    client: Client, costs: Costs
) -> None:
    client.as_("writer").upload(name_of("1.0"), SMALL, status=200)
    # The wheel and its facts, before they get their names; then the names, up to storage.dir.
    assert costs.syncs == ["file", "file", "folder", "folder", "folder"]


def test_core_metadata_that_no_digest_protects_is_waited_for(client: Client, costs: Costs) -> None:
    client.as_("writer").upload("demo-1.0.tar.gz", sdist(), status=200)
    assert costs.syncs.count("file") == 3


def test_the_same_bytes_again_wait_for_nothing(client: Client, costs: Costs) -> None:
    client.as_("writer").upload(name_of("0"), wheel("demo", "0"), status=200)
    assert costs.syncs == []


def test_few_statements_are_executed(client: Client, costs: Costs) -> None:
    client.as_("writer").upload(name_of("1.0"), SMALL, status=200)
    assert costs.sql == [
        "SELECT status, status_reason",  # may it take uploads?
        "SELECT filename FROM",  # is the name taken?
        "BEGIN IMMEDIATE",
        "SELECT project FROM",
        "UPDATE lite_state SET",
        "INSERT INTO lite_projects",
        "INSERT INTO lite_files",
        "COMMIT",
    ]


def test_digests_are_computed_once(client: Client, costs: Costs) -> None:
    client.as_("writer").upload(name_of("1.0"), LARGE, status=200)
    assert costs.hashed["md5"] == len(LARGE)
    # And of core metadata and of what is found in headers.
    assert len(LARGE) < costs.hashed["sha256"] < len(LARGE) + 1000
    assert costs.hashed["blake2b"] == 0


def test_a_digest_that_the_client_announces_is_computed_on_the_way(
    client: Client, costs: Costs
) -> None:
    writer = client.as_("writer")
    digest = hashlib.blake2b(LARGE, digest_size=32).hexdigest()
    costs.hashed.clear()
    writer.upload(name_of("1.0"), LARGE, blake2_256_digest=digest, status=200)
    assert costs.hashed["blake2b"] == len(LARGE)
    assert costs.read < len(LARGE) * 1.2


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_the_received_file_is_read_once(client: Client, costs: Costs, content: bytes) -> None:
    client.as_("writer").upload(name_of("1.0"), content, status=200)
    # Its end and its directory are looked at first.
    assert len(content) * 0.9 < costs.read < len(content) * 1.1 + (1 << 16) + 3 * len(SMALL)


class TestLargeFiles:
    """Digests of large files are computed in threads."""

    def test_all_digests_are_right(self, client: Client) -> None:
        writer = client.as_("writer")
        blake2 = hashlib.blake2b(LARGE, digest_size=32).hexdigest()
        writer.upload(name_of("1.0"), LARGE, blake2_256_digest=blake2, status=200)
        assert writer.get("/pypi/demo/json").json["urls"][0]["digests"] == {
            "sha256": sha256(LARGE),
            "md5": hashlib.md5(LARGE).hexdigest(),
            "blake2b_256": blake2,
        }

    @pytest.mark.parametrize("name", ["sha256_digest", "md5_digest", "blake2_256_digest"])
    def test_a_wrong_digest_is_noticed(self, client: Client, name: str) -> None:
        wrong = "0" * (32 if name == "md5_digest" else 64)
        answer = client.as_("writer").upload(name_of("1.0"), LARGE, status=400, **{name: wrong})
        assert "does not match" in answer.text

    def test_a_form_that_breaks_off_leaves_no_thread(self, client: Client) -> None:
        body, content_type = multipart([("content", name_of("1.0"), LARGE)])
        client.as_("writer").send("/legacy/", body[:-100], content_type, 400)
        assert [thread for thread in threading.enumerate() if "digest" in thread.name] == []
