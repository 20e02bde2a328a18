"""What every index database must do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pypicloud_lite.index.base import Index
from pypicloud_lite.model import DistributionFile, ProjectStatus, Stamp
from pypicloud_lite.names import parse_filename, project_name

DEMO, OTHER = project_name("demo"), project_name("other")
NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


def entry(filename: str = "demo-1.0.tar.gz", **changes: object) -> DistributionFile:
    name = parse_filename(filename)
    file = DistributionFile(
        project=name.project,
        version=name.version,
        filename=filename,
        key=f"{name.project}/{filename}",
        size=2**40,
        stamp="1",
        sha256="a" * 64,
        upload_time=NOON,
    )
    return replace(file, **changes)


FULL = entry(
    md5="b" * 32,
    blake2b_256="c" * 64,
    requires_python=">=3.8, <4",
    summary="Größe \N{SNOWMAN}",
    core_metadata_sha256="d" * 64,
    uploader="Zoë",
    yanked="",
    provenance="https://example.org/x",
)


class IndexContract:
    """Subclasses provide ``index``, and ``again``: another connection to the same database."""

    @pytest.fixture
    def index(self) -> Index:
        raise NotImplementedError

    @pytest.fixture
    def again(self) -> Callable[[], Index]:
        raise NotImplementedError

    def test_a_new_index_is_empty_and_not_ready(self, index: Index) -> None:
        assert index.project_names() == []
        assert index.project(DEMO) is None
        assert not index.ready("store")

    def test_every_fact_is_kept(self, index: Index) -> None:
        index.put(FULL)
        assert index.file(DEMO, FULL.filename) == FULL
        project = index.project(DEMO)
        assert project is not None
        assert list(project.files) == [FULL]

    def test_a_file_is_looked_up_in_its_own_project_only(self, index: Index) -> None:
        index.put(entry("demo-1.0.tar.gz"))
        index.put(entry("other-1.0.tar.gz"))
        assert index.file(OTHER, "demo-1.0.tar.gz") is None

    def test_every_change_raises_the_serials(self, index: Index) -> None:
        seen = [index.serial()]
        for change in (
            lambda: index.put(entry()),
            lambda: index.put(entry(yanked="x")),
            lambda: index.put(entry("other-1.0.tar.gz")),
            lambda: index.set_status(DEMO, ProjectStatus("archived")),
            lambda: index.remove("other-1.0.tar.gz"),
        ):
            change()
            seen.append(index.serial())
        assert seen == sorted(set(seen))

    def test_every_change_of_another_process_is_another_generation(
        self, index: Index, again: Callable[[], Index]
    ) -> None:
        other = again()
        seen = [index.generation()]
        for change in (
            lambda: other.put(entry()),
            lambda: other.put(entry(yanked="x")),
            lambda: other.merge(other.serial(), [entry("demo-2.0.tar.gz")], []),
            lambda: other.set_status(DEMO, ProjectStatus("archived")),
            lambda: other.merge_statuses(other.serial(), {}),
            lambda: other.merge(other.serial(), [], ["demo-2.0.tar.gz"]),
            lambda: other.remove("demo-1.0.tar.gz"),
            lambda: index.put(entry()),
        ):
            change()
            seen.append(index.generation())
        assert len(set(seen)) == len(seen)

    def test_an_index_that_is_emptied_for_another_storage_is_another_generation(
        self, index: Index, again: Callable[[], Index]
    ) -> None:
        index.put(entry())
        index.end_sync("store", index.begin_sync("store"))
        before = index.generation()
        again().begin_sync("another store")
        assert index.generation() != before

    def test_without_a_change_the_generation_stays(
        self, index: Index, again: Callable[[], Index]
    ) -> None:
        index.put(entry())
        before = index.generation()
        again().project(DEMO)
        assert index.generation() == before

    def test_a_change_leaves_other_projects_serials_alone(self, index: Index) -> None:
        index.put(entry())
        before = index.serial(DEMO)
        index.put(entry("other-1.0.tar.gz"))
        assert index.serial(DEMO) == before
        index.put(entry("demo-2.0.tar.gz"))
        assert index.serial(DEMO) > before

    def test_a_project_made_anew_never_gets_an_old_serial(self, index: Index) -> None:
        index.put(entry())
        before = index.serial(DEMO)
        index.remove("demo-1.0.tar.gz")
        assert index.serial(DEMO) == 0
        index.put(entry())
        assert index.serial(DEMO) > before

    def test_a_project_goes_with_its_last_file(self, index: Index) -> None:
        index.put(entry())
        index.put(entry("demo-2.0.tar.gz"))
        index.remove("demo-1.0.tar.gz")
        assert index.project_names() == ["demo"]
        index.remove("demo-2.0.tar.gz")
        assert index.project_names() == []
        assert index.project(DEMO) is None

    def test_removing_what_is_not_there_changes_no_project(self, index: Index) -> None:
        index.put(entry())
        before = index.serial(DEMO)
        index.remove("nothing-1.0.tar.gz")
        assert index.serial(DEMO) == before
        assert index.project_names() == ["demo"]

    def test_what_was_removed_meanwhile_is_not_brought_back_known_or_not(
        self, index: Index
    ) -> None:
        mark = index.begin_sync("store")
        index.remove("demo-1.0.tar.gz")
        index.merge(mark, [entry()], [])
        assert index.project_names() == []

    def test_a_status_that_was_set_meanwhile_wins(self, index: Index) -> None:
        index.put(entry())
        mark = index.begin_sync("store")
        index.set_status(DEMO, ProjectStatus("quarantined", "new"))
        index.merge_statuses(mark, {DEMO: ProjectStatus("archived", "old")})
        assert index.status(DEMO) == ProjectStatus("quarantined", "new")
        index.merge_statuses(index.serial(), {})
        assert index.status(DEMO) == ProjectStatus()

    def test_a_status_outlives_the_last_file(self, index: Index) -> None:
        index.put(entry())
        index.set_status(DEMO, ProjectStatus("quarantined", "bad"))
        index.remove("demo-1.0.tar.gz")
        index.put(entry())
        project = index.project(DEMO)
        assert project is not None
        assert project.status == ProjectStatus("quarantined", "bad")

    def test_a_project_without_files_is_not_listed(self, index: Index) -> None:
        index.set_status(DEMO, ProjectStatus("archived"))
        assert index.project_names() == []

    def test_names_are_sorted(self, index: Index) -> None:
        for filename in ("b-1.tar.gz", "a_b-1.tar.gz", "a-1.tar.gz"):
            index.put(entry(filename))
        assert index.project_names() == ["a", "a-b", "b"]

    def test_summaries_are_of_the_newest_file(self, index: Index) -> None:
        index.put(entry(summary="old"))
        index.put(entry("demo-2.tar.gz", summary="new", upload_time=NOON.replace(hour=13)))
        (summary,) = index.summaries()
        assert (summary.name, summary.summary) == ("demo", "new")
        assert summary.last_modified == NOON.replace(hour=13)

    def test_a_listing_brings_everything_in_step(self, index: Index) -> None:
        index.put(entry("gone-1.0.tar.gz"))
        index.put(entry())
        index.set_status(OTHER, ProjectStatus("archived"))
        mark = index.begin_sync("store")
        index.merge_statuses(mark, {DEMO: ProjectStatus("deprecated", "old")})
        index.merge(mark, [entry(stamp="2"), entry("new-1.0.tar.gz")], ["gone-1.0.tar.gz"])
        assert not index.ready("store")
        index.end_sync("store", mark)
        assert index.ready("store")
        assert not index.ready("another store")
        assert index.project_names() == ["demo", "new"]
        stamps = {stamp.key: stamp for stamp in index.stamps()}
        key, name = "demo/demo-1.0.tar.gz", "demo-1.0.tar.gz"
        assert stamps[key] == Stamp(key, name, 2**40, "2")
        project = index.project(DEMO)
        assert project is not None
        assert project.status == ProjectStatus("deprecated", "old")
        assert index.project(OTHER) is None

    def test_what_others_change_meanwhile_wins_over_the_listing(self, index: Index) -> None:
        index.put(entry("deleted-1.0.tar.gz"))
        index.put(entry("yanked-1.0.tar.gz"))
        mark = index.begin_sync("store")
        index.remove("deleted-1.0.tar.gz")
        index.put(entry("yanked-1.0.tar.gz", yanked="bad"))
        index.put(entry("new-1.0.tar.gz"))
        listed = [entry("deleted-1.0.tar.gz"), entry("yanked-1.0.tar.gz"), entry("found-1.tar.gz")]
        index.merge(mark, listed, ["new-1.0.tar.gz"])
        index.end_sync("store", mark)
        assert index.project_names() == ["found", "new", "yanked"]
        file = index.file(project_name("yanked"), "yanked-1.0.tar.gz")
        assert file is not None
        assert file.yanked == "bad"

    def test_a_deletion_of_the_past_hinders_nobody(self, index: Index) -> None:
        index.put(entry())
        index.remove("demo-1.0.tar.gz")
        mark = index.begin_sync("store")
        index.merge(mark, [entry()], [])
        index.end_sync("store", mark)
        assert index.project_names() == ["demo"]

    def test_an_index_of_another_storage_is_emptied(self, index: Index) -> None:
        for store, filename in (("first", "demo-1.0.tar.gz"), ("second", "other-1.0.tar.gz")):
            mark = index.begin_sync(store)
            index.merge(mark, [entry(filename)], [])
            index.end_sync(store, mark)
        assert index.project_names() == ["other"]

    def test_many_files_at_once_work(self, index: Index) -> None:
        many = [entry(f"demo-{number}.tar.gz") for number in range(2345)]
        mark = index.begin_sync("store")
        index.merge(mark, many, [])
        assert index.count() == len(list(index.stamps())) == 2345
        index.merge(index.begin_sync("store"), [], [file.filename for file in many])
        assert index.count() == 0

    def test_every_file_is_read_again_as_it_was_put(self, index: Index) -> None:
        index.put(FULL)
        index.put(entry("other-1.0.tar.gz"))
        assert {file.filename: file for file in index.files()} == {
            FULL.filename: FULL,
            "other-1.0.tar.gz": entry("other-1.0.tar.gz"),
        }

    def test_stamps_below_a_folder_are_of_that_folder_only(self, index: Index) -> None:
        for key in ("a_b/1/x", "a_bc/1/x", "aXb/1/x", "a_b/2/x"):
            index.put(entry(f"demo-{len(key)}.{ord(key[1])}.{ord(key[-3])}.tar.gz", key=key))
        assert {stamp.key for stamp in index.stamps("a_b/")} == {"a_b/1/x", "a_b/2/x"}

    def test_changes_are_counted_until_they_are_saved(self, index: Index) -> None:
        assert index.unsaved() == 0
        index.put(entry())
        index.merge(index.begin_sync("store"), [entry("other-1.tar.gz")], ["demo-1.0.tar.gz"])
        assert index.unsaved() == 3
        index.saved(2)
        assert index.unsaved() == 1

    def test_one_leads_at_a_time(self, index: Index, again: Callable[[], Index]) -> None:
        other = again()
        with index.leading() as first:
            assert first
            with other.leading() as second:
                assert not second
        with other.leading() as second:
            assert second

    def test_another_connection_sees_a_change_at_once(
        self, index: Index, again: Callable[[], Index]
    ) -> None:
        other = again()
        for number in range(20):
            index.put(entry(f"demo-{number}.tar.gz"))
            assert other.file(DEMO, f"demo-{number}.tar.gz") is not None
            assert other.serial(DEMO) == index.serial(DEMO)

    def test_concurrent_writers_and_readers_never_fail(
        self, index: Index, again: Callable[[], Index]
    ) -> None:
        failures: list[BaseException] = []
        done = threading.Event()

        def write(worker: int, own: Index) -> None:
            try:
                for number in range(15):
                    own.put(entry(f"w{worker}-{number}.tar.gz"))
            except BaseException as exc:
                failures.append(exc)

        def read(own: Index) -> None:
            try:
                while not done.is_set():
                    own.project_names()
                    own.project(project_name("w0"))
            except BaseException as exc:
                failures.append(exc)

        writers = [threading.Thread(target=write, args=(n, again())) for n in range(4)]
        readers = [threading.Thread(target=read, args=(again(),)) for _ in range(2)]
        for thread in writers + readers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert failures == []
        assert index.count() == 60

    def test_many_processes_may_prepare_the_tables_at_once(
        self, again: Callable[[], Index]
    ) -> None:
        failures: list[BaseException] = []

        def prepare() -> None:
            try:
                again().check()
            except BaseException as exc:
                failures.append(exc)

        threads = [threading.Thread(target=prepare) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
