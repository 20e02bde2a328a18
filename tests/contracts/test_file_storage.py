"""The folder backend: the contract, and what is special about a disk."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pypicloud_lite.errors import (
    FileChanged,
    FileExists,
    FileMissing,
    StorageFull,
    StorageUnavailable,
)
from pypicloud_lite.storage.base import Storage
from pypicloud_lite.storage.files import STALE_AFTER, FileStorage
from tests.contracts.storage import SDIST, WHEEL, StorageContract, publish
from tests.support.dists import metadata, sdist, sha256, wheel


class TestFileStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return FileStorage(tmp_path)

    @pytest.fixture
    def again(self, tmp_path: Path) -> Callable[[], Storage]:
        return lambda: FileStorage(tmp_path)

    def test_bytes_that_were_changed_are_not_given(self, storage: Storage) -> None:
        file = publish(storage, WHEEL, wheel())
        storage.verify(file)
        for other in (replace(file, size=file.size + 1), replace(file, stamp="1")):
            for use in (storage.open, storage.verify):
                with pytest.raises(FileChanged):
                    use(other)


class TestLayout:
    def test_files_lie_where_pypicloud_keeps_them(self, tmp_path: Path) -> None:
        publish(FileStorage(tmp_path), WHEEL, wheel(), metadata("demo", "1.0"))
        folder = tmp_path / "demo" / "1.0"
        assert (folder / WHEEL).read_bytes() == wheel()
        meta = json.loads((folder / f"{WHEEL}.meta").read_text())
        assert meta["hash_sha256"] == sha256(wheel())
        assert meta["summary"] == "A demo with ünïcode"
        assert meta["requires_python"] == ">=3.8"
        assert meta["uploader"] == "writer"

    def test_pypicloud_finds_every_file_and_nothing_else(self, tmp_path: Path) -> None:
        """What its FileStorage.list does with a folder, from its documented layout: every file
        that doesn't end in .meta is a package, and lies exactly two folders deep."""
        storage = FileStorage(tmp_path)
        publish(storage, WHEEL, wheel(), metadata("demo", "1.0"))
        publish(storage, SDIST, sdist(), metadata("demo", "1.0"))
        found = []
        for root, _folders, names in os.walk(tmp_path):
            for name in names:
                if not name.endswith(".meta"):
                    project, version = Path(root).relative_to(tmp_path).parts
                    found.append((project, version, name))
                    meta = json.loads(Path(root, f"{name}.meta").read_text())
                    assert not {"name", "version", "filename", "last_modified"} & set(meta)
        assert sorted(found) == [("demo", "1.0", WHEEL), ("demo", "1.0", SDIST)]

    def test_a_pypicloud_folder_is_served_as_it_is(self, tmp_path: Path) -> None:
        folder = tmp_path / "demo" / "1.0"
        folder.mkdir(parents=True)
        (folder / WHEEL).write_bytes(wheel())
        meta = {
            "summary": "from the form",
            "requires_python": ">=2.7",
            "hash_sha256": sha256(wheel()),
            "hash_md5": "0" * 32,
            "uploader": "old",
        }
        (folder / f"{WHEEL}.meta").write_text(json.dumps(meta))
        storage = FileStorage(tmp_path)
        (listed,) = storage.scan()
        file = storage.describe(listed)
        assert (file.project, file.version, file.uploader) == ("demo", "1.0", "old")
        assert file.requires_python == ">=3.8"  # the file's own word counts
        assert file.summary == "A demo"
        assert file.sha256 == sha256(wheel())
        assert file.core_metadata_sha256 is not None
        assert sha256(storage.core_metadata(file)) == file.core_metadata_sha256

    @pytest.mark.parametrize("place", ["", "wheels", "a/b/c/d"])
    def test_files_dropped_anywhere_are_found(self, tmp_path: Path, place: str) -> None:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / WHEEL).write_bytes(wheel())
        (tmp_path / place / SDIST).write_bytes(sdist())
        storage = FileStorage(tmp_path)
        files = {stored.filename: storage.describe(stored) for stored in storage.scan()}
        assert set(files) == {WHEEL, SDIST}
        assert files[WHEEL].sha256 == sha256(wheel())
        assert files[SDIST].requires_python == ">=3.8"
        assert files[SDIST].core_metadata_sha256 is None

    def test_the_folders_tell_an_ambiguous_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "demo" / "1.0-beta"
        folder.mkdir(parents=True)
        (folder / "demo-1.0-beta.tar.gz").write_bytes(sdist())
        (listed,) = FileStorage(tmp_path).scan()
        assert (listed.project, listed.version) == ("demo", "1.0-beta")

    @pytest.mark.parametrize(
        "name",
        [
            "README.txt",
            ".hidden-1.0.tar.gz",
            "demo-1.0.tar.gz.asc",
            "nodash.whl",
            "demo-1.0-py3-none-any.whl.metadata",
            "é-1.0.tar.gz",
        ],
    )
    def test_other_files_are_passed_over(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"something")
        assert list(FileStorage(tmp_path).scan()) == []

    def test_empty_files_and_links_to_nowhere_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / WHEEL).touch()
        (tmp_path / SDIST).symlink_to("nowhere")
        assert list(FileStorage(tmp_path).scan()) == []

    def test_dot_folders_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / ".snapshot").mkdir()
        (tmp_path / ".snapshot" / WHEEL).write_bytes(wheel())
        assert list(FileStorage(tmp_path).scan()) == []


class TestSidecars:
    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"pypicloud_lite": 3}', b"[" * 100000]
    )
    def test_broken_facts_are_derived_anew(self, tmp_path: Path, content: bytes) -> None:
        storage = FileStorage(tmp_path)
        publish(storage, WHEEL, wheel())
        (tmp_path / "demo" / "1.0" / f"{WHEEL}.meta").write_bytes(content)
        (listed,) = storage.scan()
        assert storage.describe(listed).sha256 == sha256(wheel())

    def test_facts_of_other_bytes_are_not_believed(self, tmp_path: Path) -> None:
        storage = FileStorage(tmp_path)
        publish(storage, WHEEL, wheel(), yanked="old")
        other = wheel(summary="another one")
        (tmp_path / "demo" / "1.0" / WHEEL).write_bytes(other)
        (listed,) = storage.scan()
        file = storage.describe(listed)
        assert (file.sha256, file.yanked) == (sha256(other), None)

    def test_a_loser_leaves_the_winners_facts_alone(self, tmp_path: Path) -> None:
        storage = FileStorage(tmp_path)
        publish(storage, WHEEL, wheel())
        before = (tmp_path / "demo" / "1.0" / f"{WHEEL}.meta").read_bytes()
        with pytest.raises(FileExists):
            publish(storage, WHEEL, wheel(summary="x"))
        assert (tmp_path / "demo" / "1.0" / f"{WHEEL}.meta").read_bytes() == before

    def test_a_retry_heals_a_file_without_facts(self, tmp_path: Path) -> None:
        storage = FileStorage(tmp_path)
        publish(storage, WHEEL, wheel())
        (tmp_path / "demo" / "1.0" / f"{WHEEL}.meta").unlink()
        healed = publish(storage, WHEEL, wheel(), uploader="again")
        (listed,) = storage.scan()
        assert storage.describe(listed) == healed
        assert healed.uploader == "again"


class TestLeftovers:
    def test_old_spools_are_swept_and_young_ones_kept(self, tmp_path: Path) -> None:
        FileStorage(tmp_path)
        spools = tmp_path / ".pypicloud-lite" / "spool"
        old, young = spools / "old.meta", spools / "young.meta"
        old.write_bytes(b"x")
        young.write_bytes(b"x")
        past = time.time() - STALE_AFTER - 10
        os.utime(old, (past, past))
        FileStorage(tmp_path)
        assert [path.name for path in spools.iterdir()] == ["young.meta"]

    def test_spools_are_never_listed(self, tmp_path: Path) -> None:
        storage = FileStorage(tmp_path)
        with storage.spool() as spool:
            spool.file.write(wheel())
            assert list(storage.scan()) == []

    def test_empty_folders_go_with_their_last_file(self, tmp_path: Path) -> None:
        storage = FileStorage(tmp_path)
        storage.delete(publish(storage, WHEEL, wheel()))
        assert not (tmp_path / "demo").exists()


class TestTrouble:
    def test_no_key_leaves_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("x")
        storage = FileStorage(tmp_path / "store")
        for key in ("../secret", "/etc/passwd", "a/../../secret", "", "a\0b"):
            with pytest.raises(FileMissing):
                storage.stat(key)

    def test_a_full_disk_is_said_to_be_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = FileStorage(tmp_path)

        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            publish(storage, WHEEL, wheel())
        monkeypatch.undo()
        assert list(storage.scan()) == []
        assert list((tmp_path / ".pypicloud-lite" / "spool").iterdir()) == []

    def test_a_failing_disk_is_unavailable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = FileStorage(tmp_path)

        def broken(_descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(StorageUnavailable):
            publish(storage, WHEEL, wheel())

    def test_names_are_synced_up_to_the_folder_and_not_above(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = FileStorage(tmp_path / "store")
        synced: list[Path] = []
        sync = os.fsync

        def recorded(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", recorded)
        publish(storage, WHEEL, wheel())
        root = tmp_path / "store"
        folders = [path for path in synced if path.is_dir()]
        assert folders == [root / "demo" / "1.0", root / "demo", root]
        (root / SDIST).write_bytes(sdist())
        (dropped,) = (stored for stored in storage.scan() if stored.key == SDIST)
        synced.clear()
        with storage.spool() as spool:
            spool.file.write(b"other")
            storage.put(storage.describe(dropped), spool, None, replace=True)
        assert tmp_path not in synced
        assert root in synced

    def test_a_disk_without_hard_links_still_has_one_winner(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_args: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
        storage = FileStorage(tmp_path)
        publish(storage, WHEEL, wheel())
        with pytest.raises(FileExists):
            publish(storage, WHEEL, wheel(summary="x"))
        (listed,) = storage.scan()
        assert storage.describe(listed).sha256 == sha256(wheel())

    def test_a_folder_that_went_away_fails_the_check(self, tmp_path: Path) -> None:
        storage = FileStorage(tmp_path / "store")
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        with pytest.raises(StorageUnavailable):
            storage.check()
