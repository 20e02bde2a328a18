"""The stores that are served, and the files that are uploaded."""

from __future__ import annotations

import os
import random
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from bench.scale_data import FILES_PER_PROJECT, Data, filenames, project_of
from bench.speed.pace import say
from bench.speed.servers import index
from tests.support.dists import metadata, record_hash, wheel_name

#: The store that all servers have: 1,000 projects of 10 files.
FILES = 10_000
BIG, BIG_MEMBERS, BIG_MEMBER = "big", 300, 1_000_000
BIG_NAME = wheel_name(BIG, "1.0")
#: A project of ten files, one of its wheels, and the project of 1,000 files.
SMALL = project_of(7)
SMALL_FILE = filenames(SMALL, FILES_PER_PROJECT)[0]


@dataclass(frozen=True)
class Stores:
    """All data of a run, below one folder."""

    folder: Path

    def store(self, files: int = FILES, per_project: int = FILES_PER_PROJECT) -> Path:
        """A folder with ``packages`` and their index, made when it is not there yet."""
        data = Data(self.folder / f"files-{files}-{per_project}", files, per_project)
        if not data.is_complete:
            say(f"{files:,} files in projects of {per_project}: generation")
            data.make()
        if not (data.folder / "index.sqlite").exists():
            say(f"{files:,} files in projects of {per_project}: index")
            index(data.folder, "rebuild")
        return data.folder

    def copy(self, store: Path, folder: Path) -> None:
        """The same files below another folder, as hard links, for who writes."""
        shutil.rmtree(folder / "packages", ignore_errors=True)
        shutil.copytree(
            store / "packages", folder / "packages", copy_function=os.link,
            ignore=shutil.ignore_patterns(".*", BIG),
        )  # fmt: skip

    @property
    def big(self) -> Path:
        """A wheel of 300 MB that does not compress."""
        path = self.folder / BIG_NAME
        if not path.exists():
            say("wheel of 300 MB: generation")
            part = path.with_suffix(".part")
            _write_big(part)
            part.rename(path)
        return path

    def with_big(self, store: Path) -> Path:
        """A store, with the large wheel in it."""
        path = store / "packages" / BIG / "1.0" / BIG_NAME
        if not path.exists():
            path.parent.mkdir(parents=True)
            os.link(self.big, path)
            index(store, "sync")
        return store


def _write_big(path: Path) -> None:
    source = random.Random(1)
    info = f"{BIG}-1.0.dist-info"
    record = ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def add(name: str, content: bytes) -> str:
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, 8, 1)
            return f"{name},sha256={record_hash(content)},{len(content)}\n"

        for number in range(BIG_MEMBERS):
            record += add(f"{BIG}/data{number}.bin", source.randbytes(BIG_MEMBER))
        record += add(f"{info}/METADATA", metadata(BIG, "1.0", "Summary: A large demo"))
        record += add(f"{info}/WHEEL", b"Wheel-Version: 1.0\nGenerator: bench\nTag: py3-none-any\n")
        add(f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode())
