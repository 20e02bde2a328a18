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
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from pypicloud_lite.errors import (
    FileChanged,
    FileExists,
    FileMissing,
    InvalidFilename,
    InvalidName,
    SettingsError,
    StorageFull,
    StorageUnavailable,
)
from pypicloud_lite.model import DistributionFile, ProjectStatus, Stamp, StoredFile
from pypicloud_lite.names import (
    FileName,
    ProjectName,
    extension_of,
    parse_stored_filename,
    project_name,
)
from pypicloud_lite.settings.options import Section
from pypicloud_lite.settings.storages import OBJECT_STORE_NAMES, FileSettings
from pypicloud_lite.storage.base import (
    HintSource,
    Known,
    LocalFile,
    Location,
    Spool,
    Storage,
    nothing_known,
)
from pypicloud_lite.storage.facts import (
    core_metadata_of,
    from_content,
    from_meta,
    hash_content,
    read_status,
    to_meta,
    was_written_at,
)
from pypicloud_lite.storage.locks import NameLocks
from pypicloud_lite.storage.oserrors import os_translated
from pypicloud_lite.storage.walk import META, SIDECAR, stamp_of, walk

LOG = logging.getLogger(__name__)

CORE_METADATA = ".metadata.meta"
_OWN_FOLDER = ".pypicloud-lite"
#: Where the status of every project is kept that isn't simply active.
STATUSES_FOLDER = f"{_OWN_FOLDER}/status"
#: Temporary files older than this are of a process that died, in seconds.
STALE_AFTER = 24 * 3600


class FileStorage(Storage):
    """Distribution files in a folder (``pypi.storage = file``).

    Args:
        root: the folder; made when absent.
    """

    is_folder = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spools = root / _OWN_FOLDER / "spool"
        self._statuses = root / STATUSES_FOLDER
        locks = root / _OWN_FOLDER / "lock"
        self._names = NameLocks(locks, META)
        self._have_links = True
        with os_translated("storage.dir", may_be_missing=False):
            for folder in (root, self._spools, self._statuses, locks):
                folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        settings = section.group(FileSettings)
        section.ignore(OBJECT_STORE_NAMES, "pypi.storage = file keeps its files in a folder")
        section.finish()
        try:
            return cls(settings.dir)
        except (StorageUnavailable, StorageFull) as exc:
            raise SettingsError([f"storage.dir = {settings.dir} can't be used: {exc}"]) from exc

    # -- publishing ------------------------------------------------------------------------

    @contextmanager
    def changing(self, filename: str) -> Iterator[None]:
        with ExitStack() as stack:
            with os_translated("lock", may_be_missing=False):
                stack.enter_context(self._names.hold(filename))
            yield

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        path = self._spools / f"{uuid.uuid4().hex}{META}"
        with os_translated("spool", may_be_missing=False):
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
        with os_translated(file.key, may_be_missing=False), self.changing(file.filename):
            _make_readable(spool.file)
            os.fsync(spool.file.fileno())
            assert spool.path is not None
            if self._publish(spool.path, final, file, replace=replace):
                self._write_facts(file, final, core_metadata)
            self._sync_names(final)  # also where someone published who may not have come so far
            return self._existing(file)

    def _publish(self, source: Path, final: Path, file: DistributionFile, *, replace: bool) -> bool:
        """Give the spooled file its name. False: the same bytes have it already."""
        for _attempt in range(10):  # a deletion may remove the empty folders under our feet
            try:
                final.parent.mkdir(parents=True, exist_ok=True)
                if replace and final.exists():
                    self._replace(source, final)
                else:
                    self._claim(source, final)
            except FileExistsError:
                break
            except FileNotFoundError:
                continue
            return True
        else:
            raise StorageUnavailable(f"{file.filename} could not be published; try again.")
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
        self._drop_facts(final)
        os.replace(source, final)

    def _drop_facts(self, final: Path) -> None:
        for suffix in (META, CORE_METADATA):
            self._beside(final, suffix).unlink(missing_ok=True)
        _sync_folder(final.parent)

    def _claim(self, source: Path, final: Path) -> None:
        """Name the file unless the name is taken; atomic also between hosts.

        Raises:
            FileExistsError: it is taken.
        """
        if final.exists():
            raise FileExistsError(final)
        if self._beside(final, META).exists():
            self._drop_facts(final)  # left by a deletion that died
        if self._have_links and self._link(source, final):
            return
        if final.exists():
            raise FileExistsError(final)
        os.replace(source, final)  # the lock on the name is held

    def _link(self, source: Path, final: Path) -> bool:
        """Whether the file has its name now; False where the disk has no hard links."""
        try:
            os.link(source, final)
        except FileExistsError:
            if source.stat().st_nlink < 2:  # else NFS answered twice, and it was ours
                raise
        except OSError as exc:
            if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
                raise
            LOG.warning("%s has no hard links; uploads are exclusive by lock only", self._root)
            self._have_links = False
        return self._have_links

    def _write_facts(
        self, file: DistributionFile, final: Path, core_metadata: bytes | None = None
    ) -> None:
        """Write what lies beside the file; the caller syncs its folder."""
        if core_metadata is not None:
            # With a digest in the facts, what a power loss leaves of it is noticed and not served.
            durable = file.core_metadata_sha256 is None
            self._write(self._beside(final, CORE_METADATA), core_metadata, durable=durable)
        meta = to_meta(file, written=final.stat().st_mtime)
        content = json.dumps(meta, ensure_ascii=False, sort_keys=True)
        self._write(self._beside(final, META), content.encode())

    def _write(self, target: Path, content: bytes, *, durable: bool = True) -> None:
        """Replace a small file atomically; the caller syncs its folder.

        Args:
            durable: whether its bytes survive a power loss as soon as its name does.
        """
        with self.spool() as spool:
            spool.file.write(content)
            _make_readable(spool.file)
            if durable:
                os.fsync(spool.file.fileno())
            assert spool.path is not None
            os.replace(spool.path, target)

    def _sync_names(self, path: Path) -> None:
        """Make the name of a file survive a power loss, with those of its folders."""
        for folder in path.parents:
            _sync_folder(folder)
            if folder == self._root:
                break

    # -- reading ---------------------------------------------------------------------------

    def scan(self, known: Known = nothing_known) -> Iterator[StoredFile]:
        seen: set[int] = set()  # of hashes, which take less memory than names
        passed_over = 0
        with os_translated("storage.dir", may_be_missing=False):
            if not self._spools.is_dir():
                raise StorageUnavailable(f"{self._root} is not the folder that it was at start")
            for key, found, facts in walk(str(self._root)):
                stamp = stamp_of(key, found, facts)
                if stamp is None or extension_of(stamp.filename) is None:
                    LOG.debug("%s is not a distribution file; passed over", key)
                    passed_over += 1
                elif hash(stamp.filename) in seen:
                    LOG.warning("%s is there more than once; passed over", key)
                    passed_over += 1
                elif known(stamp):
                    seen.add(hash(stamp.filename))
                elif (stored := self._stored(stamp, found)) is None:
                    passed_over += 1
                else:
                    seen.add(hash(stamp.filename))
                    yield stored
        if passed_over:
            LOG.info("%d files are no distribution files; passed over", passed_over)

    def stat(self, key: str) -> StoredFile | None:
        path = self._path(key)
        if path.name.startswith(".") or SIDECAR.search(path.name):
            return None
        try:
            with os_translated(key):
                found = path.stat()
        except FileMissing:
            return None
        stamp = stamp_of(key, found, _stat_or_none(self._beside(path, META)))
        return None if stamp is None else self._stored(stamp, found)

    def _stored(self, stamp: Stamp, found: os.stat_result) -> StoredFile | None:
        try:
            name = self._name_of(stamp.key)
        except InvalidFilename as exc:
            LOG.debug("%s is passed over: %s", stamp.key, exc)
            return None
        return StoredFile.listed(stamp, name, datetime.fromtimestamp(found.st_mtime, UTC))

    @staticmethod
    def _name_of(key: str) -> FileName:
        *folders, name = key.split("/")
        return parse_stored_filename(name, *(folders if len(folders) == 2 else (None, None)))

    def describe(self, stored: StoredFile) -> DistributionFile:
        # Of a whole store: paths as objects would take a tenth of the time.
        _check_key(stored.key)
        path = f"{self._root}/{stored.key}"
        meta = self._read_meta(path)
        known = from_meta(stored, meta)
        with os_translated(stored.key):
            os.stat(path)  # noqa: PTH116 - see above
            if known is not None and was_written_at(meta, stored.modified.timestamp()):
                return known
            with open(path, "rb") as file:  # noqa: PTH123 - see above
                if known is not None and hash_content(file)[0] == known.sha256:
                    return known
                return from_content(stored, self._name_of(stored.key), file, meta)

    def _read_meta(self, path: str) -> dict[str, Any]:
        try:
            with open(path + META, "rb") as file:  # noqa: PTH123 - as in describe
                meta = json.loads(file.read())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as exc:
            LOG.warning("the facts beside %s can't be read: %s", path, exc)
            return {}
        return meta if isinstance(meta, dict) else {}

    def _existing(self, file: DistributionFile) -> DistributionFile:
        stored = self.stat(file.key)
        if stored is None:
            raise StorageUnavailable(f"{file.filename} vanished while it was being published")
        return self.describe(stored)

    def open(self, file: DistributionFile) -> IO[bytes]:
        with os_translated(file.key, may_be_missing=self._spools.is_dir):
            stream = self._path(file.key).open("rb")
            try:
                _check_unchanged(file, os.fstat(stream.fileno()))
            except BaseException:
                stream.close()
                raise
        return stream

    def verify(self, file: DistributionFile) -> None:
        _check_key(file.key)
        with os_translated(file.key, may_be_missing=self._spools.is_dir):
            _check_unchanged(file, os.stat(f"{self._root}/{file.key}"))  # noqa: PTH116 - 5 µs less

    def core_metadata(self, file: DistributionFile) -> bytes:
        path = self._path(file.key)
        with os_translated(file.key, may_be_missing=self._spools.is_dir):
            beside = self._beside(path, CORE_METADATA)
            content = beside.read_bytes() if beside.exists() else None
            wanted = file.core_metadata_sha256
            if content is not None and (
                wanted is None or hashlib.sha256(content).hexdigest() == wanted
            ):
                return content
            with path.open("rb") as archive:
                found = core_metadata_of(archive, self._name_of(file.key))
        if found is None:
            raise FileMissing(f"{file.filename} has no core metadata.")
        return found[0]

    def locate(self, file: DistributionFile) -> Location:
        return LocalFile(self._root, file.key)

    # -- changing --------------------------------------------------------------------------

    def annotate(self, file: DistributionFile) -> DistributionFile:
        path = self._path(file.key)
        with os_translated(file.key), self.changing(file.filename):
            if path.stat().st_size != file.size:
                raise FileChanged(f"{file.filename} was changed behind the index.")
            self._write_facts(file, path)
            _sync_folder(path.parent)
            return self._existing(file)

    def delete(self, file: DistributionFile) -> None:
        path = self._path(file.key)
        with os_translated(file.key), self.changing(file.filename):
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

    def project_statuses(self) -> dict[ProjectName, ProjectStatus | None]:
        statuses: dict[ProjectName, ProjectStatus | None] = {}
        with os_translated("status", may_be_missing=False):
            for path in sorted(self._statuses.iterdir()):
                try:
                    project = project_name(path.name.removesuffix(META))
                except InvalidName:
                    continue
                statuses[project] = read_status(path.read_bytes(), path.name)
        return statuses

    def set_project_status(self, project: ProjectName, status: ProjectStatus) -> None:
        path = self._statuses / f"{project}{META}"
        with os_translated(project), self.changing(project):
            if status == ProjectStatus():
                path.unlink(missing_ok=True)
            else:
                content = {"status": status.status, "reason": status.reason}
                self._write(path, json.dumps(content, ensure_ascii=False).encode())
            _sync_folder(self._statuses)

    def watch(self) -> HintSource:
        try:
            from pypicloud_lite.storage.watch import watch_folder  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as exc:
            problem = "pypi.watch = true needs watchfiles; install pypicloud-lite[watch]."
            raise SettingsError([problem]) from exc
        return partial(watch_folder, self._root)

    # -- the rest --------------------------------------------------------------------------

    def check(self) -> None:
        with os_translated("check"):
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
        _check_key(key)
        return self._root / key

    @staticmethod
    def _beside(path: Path, suffix: str) -> Path:
        return path.with_name(path.name + suffix)

    def _sweep(self) -> None:
        """Remove what uploads that died left behind."""
        limit = time.time() - STALE_AFTER
        for path in self._spools.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    LOG.info("removed the leftover of an interrupted upload: %s", path.name)


def _check_key(key: str) -> None:
    """The one door to the disk, which lets nobody out of the folder.

    Raises:
        FileMissing: no file has this key.
    """
    if not key or key.startswith("/") or "\0" in key or ".." in key.split("/"):
        raise FileMissing(f"No file {key!r}.")


def _check_unchanged(file: DistributionFile, found: os.stat_result) -> None:
    if (found.st_size, str(found.st_mtime_ns)) != (file.size, file.stamp.partition("+")[0]):
        raise FileChanged(f"{file.filename} was changed behind the index.")


def _stat_or_none(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _make_readable(file: IO[bytes]) -> None:
    """Bring all bytes to a temporary file, which is for everyone to read."""
    file.flush()
    os.fchmod(file.fileno(), 0o644)


def _sync_folder(folder: Path) -> None:
    """Make new and removed names in ``folder`` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
