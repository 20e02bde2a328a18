"""What every storage backend must do. A backend's own test class adds only the two fixtures."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from pypicloud_lite.errors import FileExists, FileMissing
from pypicloud_lite.model import DistributionFile, ProjectStatus, utcnow
from pypicloud_lite.names import project_name
from pypicloud_lite.storage.base import LocalFile, RemoteUrl, Storage
from tests.support.dists import metadata, sdist, wheel


def facts(storage: Storage, filename: str, content: bytes, **changes: object) -> DistributionFile:
    """The facts that publishing would have found for these bytes."""
    name, version = "demo", "1.0"
    file = DistributionFile(
        project=project_name(name),
        version=version,
        filename=filename,
        key=storage.key_for(project_name(name), version, filename),
        size=len(content),
        stamp="",
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content).hexdigest(),
        requires_python=">=3.8",
        summary="A demo with ünïcode",
        uploader="writer",
        upload_time=utcnow(),
    )
    return replace(file, **changes)


def publish(
    storage: Storage,
    filename: str,
    content: bytes,
    core: bytes | None = None,
    *,
    replace: bool = False,
    **changes: object,
) -> DistributionFile:
    """Publish these bytes as the publishing service does."""
    if core is not None:
        changes["core_metadata_sha256"] = hashlib.sha256(core).hexdigest()
    with storage.spool() as spool:
        spool.file.write(content)
        return storage.put(
            facts(storage, filename, content, **changes), spool, core, replace=replace
        )


WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"


class StorageContract:
    """Subclasses provide ``storage``, and ``again``: another process's view of the same store."""

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError

    @pytest.fixture
    def again(self) -> Callable[[], Storage]:
        raise NotImplementedError

    def read(self, storage: Storage, file: DistributionFile) -> bytes:
        with storage.open(file) as stream:
            return stream.read()

    def test_what_was_put_is_read_back(self, storage: Storage) -> None:
        content = wheel()
        file = publish(storage, WHEEL, content)
        assert self.read(storage, file) == content

    def test_a_part_can_be_read(self, storage: Storage) -> None:
        content = wheel()
        file = publish(storage, WHEEL, content)
        with storage.open(file) as stream:
            assert stream.seek(0, 2) == len(content)
            stream.seek(10)
            assert stream.read(20) == content[10:30]

    def test_a_put_file_is_listed_with_its_size(self, storage: Storage) -> None:
        content = wheel()
        file = publish(storage, WHEEL, content, metadata("demo", "1.0"))
        (listed,) = storage.scan()
        assert (listed.filename, listed.key, listed.size, listed.stamp, listed.project) == (
            WHEEL,
            file.key,
            len(content),
            file.stamp,
            "demo",
        )

    def test_all_facts_survive_in_the_storage_alone(
        self, storage: Storage, again: Callable[[], Storage]
    ) -> None:
        file = publish(
            storage, WHEEL, wheel(), metadata("demo", "1.0"), yanked="bad", provenance="https://x/"
        )
        other = again()
        (listed,) = other.scan()
        assert other.describe(listed) == file

    def test_long_and_foreign_facts_survive(
        self, storage: Storage, again: Callable[[], Storage]
    ) -> None:
        summary = "Größe \N{SNOWMAN} " * 400
        file = publish(storage, WHEEL, wheel(), summary=summary, uploader="Zoë", yanked="ä" * 900)
        other = again()
        (listed,) = other.scan()
        assert other.describe(listed) == file

    def test_core_metadata_is_kept_byte_for_byte(self, storage: Storage) -> None:
        core = metadata("demo", "1.0", "Summary: naïve", body="line\r\nend")
        file = publish(storage, WHEEL, wheel(core=core), core)
        assert storage.core_metadata(file) == core

    def test_no_core_metadata_is_missing(self, storage: Storage) -> None:
        file = publish(storage, "demo-1.0.exe", b"MZ not an archive")
        with pytest.raises(FileMissing):
            storage.core_metadata(file)

    def test_the_same_bytes_again_change_nothing(self, storage: Storage) -> None:
        first = publish(storage, WHEEL, wheel(), uploader="first")
        second = publish(storage, WHEEL, wheel(), uploader="second")
        assert second == first
        assert len(list(storage.scan())) == 1

    def test_other_bytes_are_refused_and_change_nothing(self, storage: Storage) -> None:
        first = publish(storage, WHEEL, wheel(), metadata("demo", "1.0"))
        with pytest.raises(FileExists):
            publish(storage, WHEEL, wheel(summary="other"), metadata("demo", "1.0", "X: y"))
        assert self.read(storage, first) == wheel()
        assert storage.core_metadata(first) == metadata("demo", "1.0")
        (listed,) = storage.scan()
        assert storage.describe(listed) == first

    def test_replacing_gives_new_bytes_and_facts(self, storage: Storage) -> None:
        publish(storage, WHEEL, wheel(), metadata("demo", "1.0"), yanked="bad")
        other = wheel(summary="other")
        file = publish(storage, WHEEL, other, replace=True)
        assert self.read(storage, file) == other
        (listed,) = storage.scan()
        assert storage.describe(listed) == file
        assert file.yanked is None

    def test_of_many_writers_of_one_name_one_wins(
        self, storage: Storage, again: Callable[[], Storage]
    ) -> None:
        contents = [wheel(summary=f"writer {number}") for number in range(8)]
        won: list[bytes] = []
        lost: list[bytes] = []
        failed: list[BaseException] = []
        barrier = threading.Barrier(len(contents))

        def write(content: bytes, own: Storage) -> None:
            barrier.wait()
            try:
                publish(own, WHEEL, content)
                won.append(content)
            except FileExists:
                lost.append(content)
            except BaseException as exc:
                failed.append(exc)

        threads = [threading.Thread(target=write, args=(content, again())) for content in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert (len(won), len(lost)) == (1, len(contents) - 1)
        (listed,) = storage.scan()
        file = storage.describe(listed)
        assert self.read(storage, file) == won[0]
        assert file.sha256 == hashlib.sha256(won[0]).hexdigest()

    def test_many_writers_of_the_same_bytes_all_succeed(
        self, storage: Storage, again: Callable[[], Storage]
    ) -> None:
        results: list[str] = []

        def write(own: Storage) -> None:
            results.append(publish(own, WHEEL, wheel()).sha256)

        threads = [threading.Thread(target=write, args=(again(),)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 6
        assert len(list(storage.scan())) == 1

    def test_deleting_leaves_nothing(self, storage: Storage) -> None:
        file = publish(storage, WHEEL, wheel(), metadata("demo", "1.0"))
        storage.delete(file)
        assert list(storage.scan()) == []
        assert storage.stat(file.key) is None
        for use in (storage.open, storage.verify, storage.core_metadata):
            with pytest.raises(FileMissing):
                use(file)

    def test_deleting_twice_is_no_error(self, storage: Storage) -> None:
        file = publish(storage, WHEEL, wheel())
        storage.delete(file)
        storage.delete(file)

    def test_deleting_leaves_the_neighbours(self, storage: Storage) -> None:
        publish(storage, SDIST, sdist())
        storage.delete(publish(storage, WHEEL, wheel()))
        assert [stored.filename for stored in storage.scan()] == [SDIST]

    def test_a_deleted_name_can_be_published_anew(self, storage: Storage) -> None:
        storage.delete(publish(storage, WHEEL, wheel(), metadata("demo", "1.0")))
        other = wheel(summary="other")
        file = publish(storage, WHEEL, other)
        assert self.read(storage, file) == other

    def test_changed_facts_survive(self, storage: Storage, again: Callable[[], Storage]) -> None:
        file = publish(storage, WHEEL, wheel(), metadata("demo", "1.0"))
        yanked = storage.annotate(replace(file, yanked="broken"))
        other = again()
        (listed,) = other.scan()
        assert other.describe(listed) == yanked
        assert yanked.yanked == "broken"
        assert self.read(other, yanked) == wheel()
        back = storage.annotate(replace(yanked, yanked=None))
        (listed,) = other.scan()
        assert other.describe(listed) == back

    def test_annotating_what_is_gone_is_missing(self, storage: Storage) -> None:
        file = publish(storage, WHEEL, wheel())
        storage.delete(file)
        with pytest.raises(FileMissing):
            storage.annotate(replace(file, yanked="late"))
        assert list(storage.scan()) == []

    def test_describing_what_vanished_is_missing(self, storage: Storage) -> None:
        file = publish(storage, WHEEL, wheel())
        (listed,) = storage.scan()
        storage.delete(file)
        with pytest.raises(FileMissing):
            storage.describe(listed)

    def test_stat_and_listing_agree(self, storage: Storage) -> None:
        file = publish(storage, WHEEL, wheel())
        (listed,) = storage.scan()
        found = storage.stat(file.key)
        assert found is not None
        assert (found.key, found.size, found.stamp) == (listed.key, listed.size, listed.stamp)

    def test_project_statuses_survive(self, storage: Storage, again: Callable[[], Storage]) -> None:
        demo, other = project_name("demo"), project_name("other")
        storage.set_project_status(demo, ProjectStatus("archived", "môved"))
        storage.set_project_status(other, ProjectStatus("deprecated"))
        assert again().project_statuses() == {
            demo: ProjectStatus("archived", "môved"),
            other: ProjectStatus("deprecated"),
        }
        storage.set_project_status(demo, ProjectStatus())
        assert again().project_statuses() == {other: ProjectStatus("deprecated")}
        assert list(storage.scan()) == []

    def test_a_file_can_be_located(self, storage: Storage) -> None:
        content = wheel()
        location = storage.locate(publish(storage, WHEEL, content))
        if isinstance(location, LocalFile):
            assert location.path.read_bytes() == content
        else:
            assert isinstance(location, RemoteUrl)
            assert location.url.startswith("http")
            assert location.seconds > 0

    def test_an_aborted_spool_leaves_nothing(self, storage: Storage) -> None:
        class AbortedError(Exception):
            pass

        with pytest.raises(AbortedError), storage.spool() as spool:
            spool.file.write(b"half")
            raise AbortedError
        assert spool.path is None or not spool.path.exists()
        assert list(storage.scan()) == []

    def test_names_with_special_characters_are_kept(self, storage: Storage) -> None:
        filename = "demo-1!1.0+local.1-py3-none-any.whl"
        content = wheel(version="1!1.0+local.1")
        file = publish(storage, filename, content, version="1!1.0+local.1")
        (listed,) = storage.scan()
        assert listed.filename == filename
        assert self.read(storage, file) == content

    def test_a_working_storage_passes_its_check(self, storage: Storage) -> None:
        storage.check()

    def test_the_identity_is_stable(self, storage: Storage, again: Callable[[], Storage]) -> None:
        assert storage.identity() == again().identity()
