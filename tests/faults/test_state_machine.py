"""Uploads, deletions, yanks, synchronizations and crashes in any order, against a dictionary.

After each step: what was acknowledged is listed and downloads byte for byte, what is listed is
complete and has the digest that its page gives, nothing deleted comes back, and an index made from
the folder alone equals the one that was kept.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import md5
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pypicloud_lite.access.identity import Identity
from pypicloud_lite.access.rules import AUTHENTICATED, Rules
from pypicloud_lite.errors import FileExists, FileMissing
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.index.sync import sync
from pypicloud_lite.model import Digests, DistributionFile
from pypicloud_lite.names import parse_filename
from pypicloud_lite.publishing import Publishing, Upload
from pypicloud_lite.storage.base import Storage
from pypicloud_lite.storage.files import FileStorage
from tests.support.dists import sha256, wheel
from tests.support.s3 import S3Server, new_bucket, open_storage

WRITER = Identity("writer")
NAMES = ("demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl", "other-1.0-py3-none-any.whl")
names = st.sampled_from(NAMES)
variants = st.integers(0, 2)
#: After how many system calls and index writes the process dies; 0: it lives.
crashes = st.one_of(st.just(0), st.integers(1, 45))


@cache
def contents_of(filename: str) -> list[bytes]:
    """Three different files of one size, which only their digests tell apart."""
    name, version, *_tags = filename.split("-")
    made = [wheel(name, version, summary=f"variant {number:03}") for number in range(60)]
    size = Counter(map(len, made)).most_common(1)[0][0]
    return [content for content in made if len(content) == size][:3]


def content_of(filename: str, variant: int) -> bytes:
    return contents_of(filename)[variant]


class Died(BaseException):
    """The process was killed here."""


class Murder:
    """Kills the process before or after the n-th step that reaches disk or database."""

    def __init__(self, after: int) -> None:
        self._left = after

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*args: Any, **kwargs: Any) -> Any:
            self._count()
            result = function(*args, **kwargs)
            self._count()
            return result

        return stepping

    def _count(self) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                raise Died


@contextmanager
def killed_after(steps: int, points: list[tuple[Any, str]]) -> Iterator[None]:
    """Run the block in a process that dies after so many steps, if it comes so far.

    Args:
        points: owners and names of what a step is.
    """
    murder = Murder(steps)
    originals = [getattr(owner, name) for owner, name in points]
    own = [name in vars(owner) for owner, name in points]
    for (owner, name), original in zip(points, originals, strict=True):
        setattr(owner, name, murder.step(original))
    try:
        yield
    finally:
        for (owner, name), original, was_own in zip(points, originals, own, strict=True):
            if was_own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)


class Index(RuleBasedStateMachine):
    """In a folder."""

    def open_storage(self) -> Storage:
        return FileStorage(self.root / "packages")

    def steps(self) -> list[tuple[Any, str]]:
        """What the storage does, piece by piece."""
        return [
            *((os, name) for name in ("link", "replace", "fsync")),
            *((Path, name) for name in ("unlink", "mkdir", "rmdir")),
        ]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        #: filename -> (content, reason of its yank)
        self.model: dict[str, tuple[bytes, str | None]] = {}
        self.opened: list[SqlIndex] = []
        self.open()

    def open(self) -> None:
        self.storage = self.open_storage()
        self.index = SqlIndex(open_database(f"sqlite:///{self.root / 'index.sqlite'}"))
        self.opened.append(self.index)
        sync(self.storage, self.index)
        rules = Rules(
            default_write=frozenset({AUTHENTICATED}), overwrite_groups=frozenset({"editors"}),
            groups={"editors": frozenset({"editor"})},
        )  # fmt: skip
        self.publishing = Publishing(self.index, self.storage, rules)

    def points(self) -> list[tuple[Any, str]]:
        writes = ("put", "remove", "merge", "end_sync", "begin_sync")
        return self.steps() + [(self.index, name) for name in writes]

    def teardown(self) -> None:
        for index in self.opened:
            index.close()
        self.folder.cleanup()

    def attempt(self, steps: int, filename: str, change: Callable[[], Any]) -> Any:
        """Make a change that may be cut off; then the file is as before or as wanted."""
        before = self.model.get(filename)
        try:
            with killed_after(steps, self.points()):
                return change()
        except Died:
            self.open()  # as after a restart
            now = self.actual(filename)
            wanted = self.wanted
            allowed = [before, wanted]
            if before is not None and wanted is not None and before[0] != wanted[0]:
                allowed += [(before[0], None), (wanted[0], None)]  # its old facts go first
            assert now in allowed, (filename, before, wanted)
            if now is None:
                self.model.pop(filename, None)
            else:
                self.model[filename] = now
            return None

    def actual(self, filename: str) -> tuple[bytes, str | None] | None:
        file = self.index.file(parse_filename(filename).project, filename)
        if file is None:
            return None
        with self.storage.open(file) as stream:
            return stream.read(), file.yanked

    @rule(filename=names, variant=variants, editor=st.booleans(), steps=crashes)
    def upload(self, filename: str, variant: int, editor: bool, steps: int) -> None:
        content = content_of(filename, variant)
        before = self.model.get(filename)
        same = before is not None and before[0] == content
        refused = before is not None and not same and not editor
        self.wanted = before if same or refused else (content, None)

        def change() -> None:
            with self.publishing.spool() as spool:
                spool.write(content)
                spool.flush()
                upload = Upload(
                    filename,
                    spool,
                    len(content),
                    Digests(sha256(content), md5(content).hexdigest()),
                    {},
                )
                try:
                    self.publishing.publish(upload, Identity("editor") if editor else WRITER)
                except FileExists:
                    assert refused
                else:
                    assert not refused
            if self.wanted is not None:
                self.model[filename] = self.wanted

        self.attempt(steps, filename, change)

    @rule(filename=names, steps=crashes)
    def delete(self, filename: str, steps: int) -> None:
        self.wanted = None

        def change() -> None:
            try:
                self.publishing.delete(parse_filename(filename).project, filename, WRITER)
            except FileMissing:
                assert filename not in self.model
            self.model.pop(filename, None)

        self.attempt(steps, filename, change)

    @rule(filename=names, reason=st.sampled_from([None, "", "bad"]), steps=crashes)
    def yank(self, filename: str, reason: str | None, steps: int) -> None:
        before = self.model.get(filename)
        self.wanted = None if before is None else (before[0], reason)

        def change() -> None:
            project = parse_filename(filename).project
            try:
                self.publishing.yank(project, reason, WRITER, filename=filename)
            except FileMissing:
                assert before is None
            if self.wanted is not None:
                self.model[filename] = self.wanted

        self.attempt(steps, filename, change)

    @rule(rebuild=st.booleans(), steps=crashes)
    def synchronize(self, rebuild: bool, steps: int) -> None:
        try:
            with killed_after(steps, self.points()):
                sync(self.storage, self.index, rebuild=rebuild)
        except Died:
            self.open()

    @rule()
    def restart(self) -> None:
        self.open()

    @invariant()
    def what_was_acknowledged_is_there_and_nothing_else(self) -> None:
        listed = {file.filename for file in self.files()}
        assert listed == set(self.model)
        for filename, expected in self.model.items():
            assert self.actual(filename) == expected

    @invariant()
    def what_is_listed_has_the_digest_on_its_page(self) -> None:
        for file in self.files():
            assert sha256(self.model[file.filename][0]) == file.sha256
            assert sha256(self.storage.core_metadata(file)) == file.core_metadata_sha256

    @invariant()
    def the_folder_alone_tells_the_same(self) -> None:
        stored = {each.filename: self.storage.describe(each) for each in self.storage.scan()}
        assert stored == {file.filename: file for file in self.files()}

    def files(self) -> list[DistributionFile]:
        found = []
        for project in self.index.project_names():
            known = self.index.project(project)
            assert known is not None
            found += known.files
        return found


def examples(count: int, steps: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


Index.TestCase.settings = examples(100, 25)
TestAnyOrder = Index.TestCase


class BucketIndex(Index):
    """In a bucket."""

    server: ClassVar[S3Server]

    def __init__(self) -> None:
        self.bucket = new_bucket()
        super().__init__()

    def open_storage(self) -> Storage:
        return open_storage(self.server.settings(self.bucket))

    def steps(self) -> list[tuple[Any, str]]:
        storage: Any = self.storage
        return [(storage._client, "_make_api_call"), (storage._heads, "_send")]


BucketIndex.TestCase.settings = examples(20, 12)


@pytest.mark.usefixtures("_bucket_server")
class TestAnyOrderInABucket(BucketIndex.TestCase):
    @pytest.fixture
    def _bucket_server(self, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BucketIndex, "server", moto_server, raising=False)
