"""A folder of distribution files as the server itself would have written it, only faster."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pypicloud_lite.model import DistributionFile
from pypicloud_lite.names import ProjectName
from pypicloud_lite.storage.facts import to_meta
from pypicloud_lite.storage.files import CORE_METADATA
from pypicloud_lite.storage.walk import META
from tests.support.dists import metadata, sdist, sha256, wheel, wheel_name

PROCESSES = 2
#: The project with a long page, which is there at every size.
LARGE, LARGE_FILES = "large", 1000
FILES_PER_PROJECT = 10
_PROJECTS_AT_ONCE = 500
_FIRST_UPLOAD = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Data:
    """A folder with ``files`` files in projects of equal size; the large project is there, too."""

    folder: Path
    files: int
    per_project: int = FILES_PER_PROJECT

    @property
    def packages(self) -> Path:
        return self.folder / "packages"

    @property
    def projects(self) -> int:
        return self.files // self.per_project

    @property
    def is_complete(self) -> bool:
        return self._seconds.exists()

    @property
    def _seconds(self) -> Path:
        """Written last: how long the rest took."""
        return self.folder / "seconds"

    @property
    def made_in(self) -> float:
        """The seconds that it took to make the files, in this run or the one that made them."""
        return float(self._seconds.read_text())

    def make(self) -> None:
        """Write all files anew."""
        begin = time.perf_counter()
        self.remove()
        self.packages.mkdir(parents=True)
        template = _Template.make()
        ranges = [
            range(first, min(first + _PROJECTS_AT_ONCE, self.projects))
            for first in range(0, self.projects, _PROJECTS_AT_ONCE)
        ]
        with ProcessPoolExecutor(PROCESSES) as pool:
            jobs = [
                pool.submit(template.write_projects, self.packages, some, self.per_project)
                for some in ranges
            ]
            for job in jobs:
                job.result()
        template.write_project(self.packages, LARGE, LARGE_FILES)
        self._seconds.write_text(str(time.perf_counter() - begin))

    def remove(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)


def project_of(number: int) -> str:
    return f"p{number:06}"


def filenames(project: str, count: int) -> list[str]:
    """A wheel and an sdist of each version, of the last one perhaps only the wheel."""
    return [
        f"{project}-1.{number // 2}.tar.gz"
        if number % 2
        else wheel_name(project, f"1.{number // 2}")
        for number in range(count)
    ]


@dataclass(frozen=True)
class _Kind:
    """The bytes of every wheel, or of every sdist."""

    content: bytes
    core_metadata: bytes
    sha256: str
    md5: str

    @classmethod
    def of(cls, content: bytes, core_metadata: bytes) -> _Kind:
        return cls(content, core_metadata, sha256(content), hashlib.md5(content).hexdigest())


@dataclass(frozen=True)
class _Template:
    wheel: _Kind
    sdist: _Kind

    @classmethod
    def make(cls) -> _Template:
        core = metadata("demo", "1.0", "Summary: A demo", "Requires-Python: >=3.8")
        return cls(_Kind.of(wheel(core=core), core), _Kind.of(sdist(core=core), core))

    def write_projects(self, root: Path, numbers: Iterable[int], count: int) -> None:
        for number in numbers:
            self.write_project(root, project_of(number), count)

    def write_project(self, root: Path, project: str, count: int) -> None:
        (root / project).mkdir()
        for number, filename in enumerate(filenames(project, count)):
            version = f"1.{number // 2}"
            folder = f"{root}/{project}/{version}"
            if filename.endswith(".whl"):
                Path(folder).mkdir()
            self._write_file(folder, project, version, filename, number)

    def _write_file(
        self, folder: str, project: str, version: str, filename: str, number: int
    ) -> None:
        is_wheel = filename.endswith(".whl")
        kind = self.wheel if is_wheel else self.sdist
        path = f"{folder}/{filename}"
        written = _write(path, kind.content)
        file = DistributionFile(
            project=ProjectName(project),
            version=version,
            filename=filename,
            key=f"{project}/{version}/{filename}",
            size=len(kind.content),
            stamp="",
            sha256=kind.sha256,
            md5=kind.md5,
            requires_python=">=3.8",
            summary="A demo",
            core_metadata_sha256=sha256(kind.core_metadata) if is_wheel else None,
            uploader="writer",
            upload_time=_FIRST_UPLOAD + timedelta(hours=number),
        )
        meta = json.dumps(to_meta(file, written=written), ensure_ascii=False, sort_keys=True)
        _write(path + META, meta.encode())
        _write(path + CORE_METADATA, kind.core_metadata)


def _write(path: str, content: bytes) -> float:
    """Write a new file; its modification time."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, content)
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
