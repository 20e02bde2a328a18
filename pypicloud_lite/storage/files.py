"""Distribution files in a folder, in pypicloud's layout.

``<dir>/<project>/<version>/<filename>`` with ``<filename>.meta`` (the facts) and
``<filename>.metadata.meta`` (the core metadata) beside it. Files that lie elsewhere below the
folder are served too. All that we write besides ends in ``.meta`` or lies two levels below a
dot-folder, because pypicloud takes everything else for a package and stops at what is less deep.

Publishing is one ``link``: it fails when the name is taken, and until then no reader sees
anything. The facts follow it, so that a loser never touches the winner's. Changes of one file
name are serialized between processes by a lock file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import shutil
import stat as stat_module
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from pypicloud_lite.errors import (
    FileExists,
    FileMissing,
    InvalidFilename,
    SettingsError,
    StorageFull,
    StorageUnavailable,
)
from pypicloud_lite.model import STATUSES, DistributionFile, ProjectStatus, StoredFile
from pypicloud_lite.names import FileName, ProjectName, parse_stored_filename, project_name
from pypicloud_lite.settings.options import Section
from pypicloud_lite.settings.storages import OBJECT_STORE_NAMES, FileSettings
from pypicloud_lite.storage.base import LocalFile, Location, Spool, Storage
from pypicloud_lite.storage.facts import (
    core_metadata_of,
    from_content,
    from_meta,
    hash_content,
    to_meta,
)

LOG = logging.getLogger(__name__)

META = ".meta"
CORE_METADATA = ".metadata.meta"
STATUS_FILE = ".status.meta"
_OWN_FOLDER = ".pypicloud-lite"
#: Temporary files older than this are of a process that died, in seconds.
STALE_AFTER = 24 * 3600
_LOCKS = 64
_SIDECAR = re.compile(r"\.(?:meta|metadata|asc|sha256|md5)\Z")


class FileStorage(Storage):
    """Distribution files in a folder (``pypi.storage = file``).

    Args:
        root: the folder; made when absent.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spools = root / _OWN_FOLDER / "spool"
        self._locks = root / _OWN_FOLDER / "lock"
        self._have_links = True
        with _translated("storage.dir"):
            for folder in (root, self._spools, self._locks):
                folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        settings = section.group(FileSettings)
        section.ignore(OBJECT_STORE_NAMES, "pypi.storage = file keeps its files in a folder")
        section.finish()
        try:
            return cls(settings.dir)
        except (StorageUnavailable, StorageFull, FileMissing) as exc:
            raise SettingsError([f"storage.dir = {settings.dir} can't be used: {exc}"]) from exc

    # -- publishing ------------------------------------------------------------------------

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        path = self._spools / f"{uuid.uuid4().hex}{META}"
        with _translated("spool"):
            file = path.open("x+b")
        try:
            with file:
                yield Spool(path, file)
        finally:
            path.unlink(missing_ok=True)

    def key_for(self, project: ProjectName, version: str, filename: str) -> str:
        return f"{project}/{version}/{filename}"

    def put(
        self, file: DistributionFile, spool: Spool, core_metadata: bytes | None, *, replace: bool
    ) -> DistributionFile:
        final = self._path(file.key)
        with _translated(file.key):
            spool.file.flush()
            os.fchmod(spool.file.fileno(), 0o644)
            os.fsync(spool.file.fileno())
            with self._locked(file.filename):
                if not self._publish(spool.path, final, file, replace=replace):
                    return self._existing(file)
                published = self._with_stat(file, final.stat())
                self._write_facts(published, core_metadata)
        return published

    def _publish(self, source: Path, final: Path, file: DistributionFile, *, replace: bool) -> bool:
        """Give the spooled file its name. False: the same bytes have it already."""
        for _attempt in range(10):  # a deletion may remove the empty folders under our feet
            try:
                self._make_folders(final.parent)
                if replace and final.exists():
                    self._replace(source, final)
                else:
                    self._claim(source, final)
            except FileExistsError:
                break
            except FileNotFoundError:
                continue
            return True
        with final.open("rb") as other:
            sha256, _md5 = hash_content(other)
        if sha256 != file.sha256:
            raise FileExists(file.filename)
        # Heal what a publisher that died after its link left without facts.
        return not self._beside(final, META).exists()

    def _replace(self, source: Path, final: Path) -> None:
        """Put other bytes behind a name. The old facts go first: should we die half-way, facts
        are read from the content, and are never those of other bytes.
        """
        self._beside(final, META).unlink(missing_ok=True)
        self._beside(final, CORE_METADATA).unlink(missing_ok=True)
        _sync_folder(final.parent)
        os.replace(source, final)

    def _claim(self, source: Path, final: Path) -> None:
        """Name the file unless the name is taken; atomic also between hosts."""
        if self._have_links:
            try:
                os.link(source, final)
            except FileExistsError:
                if source.stat().st_nlink < 2:  # else NFS answered twice: it was ours
                    raise
            except OSError as exc:
                if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
                    raise
                LOG.warning("%s has no hard links; uploads are exclusive by lock only", self._root)
                self._have_links = False
            else:
                return
        if final.exists():
            raise FileExistsError(final)
        os.replace(source, final)  # the lock on the name is held

    def _write_facts(self, file: DistributionFile, core_metadata: bytes | None) -> None:
        final = self._path(file.key)
        if core_metadata is not None:
            self._write(self._beside(final, CORE_METADATA), core_metadata)
        content = json.dumps(to_meta(file), ensure_ascii=False, sort_keys=True)
        self._write(self._beside(final, META), content.encode())
        _sync_folder(final.parent)

    def _write(self, target: Path, content: bytes) -> None:
        """Replace a small file atomically; the caller syncs its folder."""
        with self.spool() as spool:
            spool.file.write(content)
            spool.file.flush()
            os.fchmod(spool.file.fileno(), 0o644)
            os.fsync(spool.file.fileno())
            os.replace(spool.path, target)

    @staticmethod
    def _make_folders(folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)
        _sync_folder(folder.parent.parent)

    # -- reading ---------------------------------------------------------------------------

    def scan(self) -> Iterator[StoredFile]:
        seen: set[str] = set()
        with _translated("scan"):
            for path, entry in _walk(self._root):
                stored = self._stored(path, entry)
                if stored is None:
                    continue
                if stored.filename in seen:
                    LOG.warning("%s is there more than once; passed over", stored.key)
                    continue
                seen.add(stored.filename)
                yield stored

    def stat(self, key: str) -> StoredFile | None:
        path = self._path(key)
        with _translated(key):
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return self._stored(path, found)

    def _stored(self, path: Path, found: os.stat_result) -> StoredFile | None:
        if path.name.startswith(".") or _SIDECAR.search(path.name):
            return None
        relative = path.relative_to(self._root)
        if not stat_module.S_ISREG(found.st_mode) or found.st_size == 0:
            LOG.info("%s is not a distribution file; passed over", relative)
            return None
        try:
            name = self._name_of(relative)
        except InvalidFilename as exc:
            LOG.info("%s is passed over: %s", relative, exc)
            return None
        return StoredFile(
            key=relative.as_posix(),
            filename=name.filename,
            project=name.project,
            version=name.version,
            size=found.st_size,
            stamp=str(found.st_mtime_ns),
            modified=datetime.fromtimestamp(found.st_mtime, UTC),
        )

    @staticmethod
    def _name_of(relative: Path) -> FileName:
        folders = relative.parts[:-1]
        return parse_stored_filename(
            relative.name, *(folders if len(folders) == 2 else (None, None))
        )

    def describe(self, stored: StoredFile) -> DistributionFile:
        path = self._path(stored.key)
        meta = self._read_meta(path)
        known = from_meta(stored, meta)
        if known is not None:
            return known
        with _translated(stored.key), path.open("rb") as file:
            return from_content(stored, self._name_of(Path(stored.key)), file, meta)

    def _read_meta(self, path: Path) -> dict[str, Any]:
        try:
            meta = json.loads(self._beside(path, META).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as exc:
            LOG.warning("the facts beside %s can't be read: %s", path.name, exc)
            return {}
        return meta if isinstance(meta, dict) else {}

    def _existing(self, file: DistributionFile) -> DistributionFile:
        stored = self.stat(file.key)
        if stored is None:
            raise StorageUnavailable(f"{file.filename} vanished while it was being published")
        return self.describe(stored)

    def open(self, file: DistributionFile) -> IO[bytes]:
        with _translated(file.key):
            return self._path(file.key).open("rb")

    def core_metadata(self, file: DistributionFile) -> bytes:
        path = self._path(file.key)
        with _translated(file.key):
            try:
                return self._beside(path, CORE_METADATA).read_bytes()
            except FileNotFoundError:
                pass
            with path.open("rb") as archive:
                found = core_metadata_of(archive, self._name_of(Path(file.key)))
        if found is None:
            raise FileMissing(f"{file.filename} has no core metadata.")
        return found[0]

    def locate(self, file: DistributionFile) -> Location:
        return LocalFile(self._path(file.key))

    # -- changing --------------------------------------------------------------------------

    def annotate(self, file: DistributionFile) -> DistributionFile:
        path = self._path(file.key)
        with _translated(file.key), self._locked(file.filename):
            current = self._with_stat(file, path.stat())
            self._write(
                self._beside(path, META),
                json.dumps(to_meta(current), ensure_ascii=False, sort_keys=True).encode(),
            )
            _sync_folder(path.parent)
        return current

    def delete(self, file: DistributionFile) -> None:
        path = self._path(file.key)
        with _translated(file.key), self._locked(file.filename):
            for victim in (path, self._beside(path, META), self._beside(path, CORE_METADATA)):
                victim.unlink(missing_ok=True)
            if not path.parent.is_dir():
                return
            _sync_folder(path.parent)
            for folder in path.parents:
                if folder == self._root:
                    break
                try:
                    folder.rmdir()
                except OSError:  # not empty
                    break

    def project_statuses(self) -> dict[ProjectName, ProjectStatus]:
        statuses = {}
        with _translated("status"):
            for path in self._root.glob(f"*/{STATUS_FILE}"):
                try:
                    content = json.loads(path.read_bytes())
                    if content["status"] not in STATUSES:
                        raise ValueError(content["status"])
                    status = ProjectStatus(content["status"], str(content.get("reason", "")))
                    statuses[project_name(path.parent.name)] = status
                except (OSError, ValueError, KeyError, TypeError) as exc:
                    LOG.warning("%s can't be read: %s", path, exc)
        return statuses

    def set_project_status(self, project: ProjectName, status: ProjectStatus) -> None:
        folder = self._path(project)
        with _translated(project), self._locked(project):
            if status == ProjectStatus():
                (folder / STATUS_FILE).unlink(missing_ok=True)
                return
            self._make_folders(folder)
            content = {"status": status.status, "reason": status.reason}
            self._write(folder / STATUS_FILE, json.dumps(content, ensure_ascii=False).encode())
            _sync_folder(folder)

    # -- the rest --------------------------------------------------------------------------

    def check(self) -> None:
        with _translated("check"):
            if not self._spools.is_dir():
                raise StorageUnavailable(f"{self._root} is not the folder that it was at start")
            if shutil.disk_usage(self._root).free < 1 << 20:
                raise StorageFull("no space left on the storage's disk")

    def identity(self) -> str:
        return f"file:{self._root}"

    def default_index_url(self) -> str:
        folder = self._root / _OWN_FOLDER / "index"
        folder.mkdir(exist_ok=True)
        return f"sqlite:///{folder / 'index.sqlite'}"

    def _path(self, key: str) -> Path:
        """The path of a key: the one door to the disk, which lets nobody out of the folder."""
        if not key or key.startswith("/") or "\0" in key or ".." in key.split("/"):
            raise FileMissing(f"No file {key!r}.")
        return self._root / key

    @staticmethod
    def _beside(path: Path, suffix: str) -> Path:
        return path.with_name(path.name + suffix)

    @staticmethod
    def _with_stat(file: DistributionFile, found: os.stat_result) -> DistributionFile:
        return replace(file, size=found.st_size, stamp=str(found.st_mtime_ns))

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock that changes of the file ``name`` share, also between processes."""
        slot = zlib.crc32(name.encode()) % _LOCKS
        with (self._locks / f"{slot:02d}{META}").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
            yield

    def _sweep(self) -> None:
        """Remove what uploads that died left behind."""
        limit = time.time() - STALE_AFTER
        for path in self._spools.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    LOG.info("removed the leftover of an interrupted upload: %s", path.name)


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file below ``folder`` outside of dot-folders, in a stable order."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (PermissionError, FileNotFoundError) as exc:
        LOG.warning("%s is passed over: %s", folder, exc)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir():
                yield from _walk(Path(entry.path))
            else:
                yield Path(entry.path), entry.stat()
        except FileNotFoundError:
            continue  # it went while we were listing


def _sync_folder(folder: Path) -> None:
    """Make new and removed names in ``folder`` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, once, at the edge."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissing(f"No file {what!r} in the storage.") from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"The storage is full ({reason}).") from exc
        raise StorageUnavailable(f"The storage failed: {reason}.") from exc
