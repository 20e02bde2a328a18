"""The S3 backend."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import stat
import tempfile
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace as changed
from pathlib import Path
from typing import IO, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from pypicloud_lite.errors import (
    FileChanged,
    FileExists,
    FileMissing,
    InvalidName,
    SettingsError,
    StorageUnavailable,
)
from pypicloud_lite.model import DistributionFile, ProjectStatus, StoredFile
from pypicloud_lite.names import ProjectName, parse_stored_filename
from pypicloud_lite.settings.options import Section
from pypicloud_lite.settings.storages import MAX_SIGV4_SECONDS, S3Settings
from pypicloud_lite.storage.base import (
    HintSource,
    Known,
    Location,
    RemoteUrl,
    Spool,
    Storage,
    nothing_known,
)
from pypicloud_lite.storage.facts import (
    core_metadata_of,
    from_meta,
    hash_content,
    is_of_etag,
    read_status,
    to_meta,
)
from pypicloud_lite.storage.locks import NameLocks
from pypicloud_lite.storage.oserrors import os_translated
from pypicloud_lite.storage.s3 import listing
from pypicloud_lite.storage.s3.connect import Connection, connect, find_bucket
from pypicloud_lite.storage.s3.errors import explain, translated
from pypicloud_lite.storage.s3.event_setup import documents, set_up
from pypicloud_lite.storage.s3.events import EventQueue, make_queue_client
from pypicloud_lite.storage.s3.heads import Head, Heads
from pypicloud_lite.storage.s3.listing import CORE_METADATA, META
from pypicloud_lite.storage.s3.metadata import from_object_metadata, to_object_metadata
from pypicloud_lite.storage.s3.options import BotoOptions, read_boto_options
from pypicloud_lite.storage.s3.reading import ObjectReader
from pypicloud_lite.storage.s3.uploads import Taken, Uploader
from pypicloud_lite.storage.s3.urls import BotocoreUrls, PresignedUrls, PublicUrls, Urls

LOG = logging.getLogger(__name__)

_PUBLIC_SECONDS = 3600


class S3Storage(Storage):
    """Distribution files in an S3 bucket (``pypi.storage = s3``).

    Args:
        client: boto3's.
        options: that the client was made with.
        urls: makes the URLs that clients are sent to.
        heads: asks for objects.
        uploader: writes objects.
    """

    concurrency = 64
    keeps_snapshots = True

    def __init__(
        self,
        client: Any,
        settings: S3Settings,
        options: BotoOptions,
        *,
        urls: Urls,
        uploader: Uploader,
        heads: Heads,
    ) -> None:
        self._client = client
        self._settings = settings
        self._options = options
        self._urls = urls
        self._uploader = uploader
        self._heads = heads
        self._names = NameLocks(_lock_folder(self.identity()))

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        settings, options = cls.read_settings(section)
        section.finish()
        connection = connect(settings, options, section)
        return cls.build(connection, settings, options, make_urls(connection, settings, options))

    @classmethod
    def build(
        cls, connection: Connection, settings: S3Settings, options: BotoOptions, urls: Urls
    ) -> Self:
        """The backend around a client."""
        client = connection.client
        send_sha256 = options.config.get("request_checksum_calculation") != "when_required"
        uploader = Uploader(client, settings, send_sha256=send_sha256)
        heads = make_heads(connection, settings, options)
        return cls(client, settings, options, urls=urls, uploader=uploader, heads=heads)

    def prepare(self) -> None:
        find_bucket(self._client, self._settings)
        self._uploader.conditional()

    @staticmethod
    def read_settings(section: Section) -> tuple[S3Settings, BotoOptions]:
        """All that S3 needs to know; problems are recorded in ``section``."""
        settings, options = section.group(S3Settings), read_boto_options(section)
        if (settings.access_key is None) != (settings.secret_key is None):
            section.problem("storage.access_key and storage.secret_key belong together.")
        if settings.sse_kms_key_id and not (settings.server_side_encryption or "").startswith(
            "aws:kms"
        ):
            section.problem(
                "storage.sse_kms_key_id needs storage.server_side_encryption = aws:kms."
            )
        section.ignore(["dir"], "pypi.storage = s3 keeps no files in a folder")
        return settings, options

    # -- publishing ------------------------------------------------------------------------

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        with os_translated("storage.spool_dir", may_be_missing=False):
            file = tempfile.TemporaryFile(dir=self._settings.spool_dir)  # noqa: SIM115
        with file:
            yield Spool(None, file)

    @contextmanager
    def changing(self, filename: str) -> Iterator[None]:
        with ExitStack() as stack:
            with os_translated("lock", may_be_missing=False):
                stack.enter_context(self._names.hold(filename))
            yield

    def key_for(self, project: ProjectName, version: str, filename: str) -> str:
        return listing.key_for(
            self._settings.prefix, project, filename, prepend_hash=self._settings.prepend_hash
        )

    def put(
        self, file: DistributionFile, spool: Spool, core_metadata: bytes | None, *, replace: bool
    ) -> DistributionFile:
        spool.flush()
        with self.changing(file.filename):
            return self._put(file, spool, core_metadata, replace=replace)

    def _put(
        self, file: DistributionFile, spool: Spool, core_metadata: bytes | None, *, replace: bool
    ) -> DistributionFile:
        metadata, lossless = to_object_metadata(file)
        try:
            etag = self._uploader.put_file(file, spool.file, metadata, replace=replace)
        except Taken:
            return self._same_or_refused(file, core_metadata)
        # What lay beside an object that was replaced is not believed any more: the facts are of
        # another ETag, the core metadata is older than the object.
        if core_metadata is not None and file.core_metadata_sha256 is not None:
            self._uploader.put_small(file.key + CORE_METADATA, core_metadata)
        elif replace:
            self._delete_keys(file.key + CORE_METADATA)
        if not lossless:
            return self._write_facts(file, etag)
        if replace:
            self._delete_keys(file.key + META)
        return changed(file, stamp=etag)

    def _write_facts(self, file: DistributionFile, etag: str) -> DistributionFile:
        meta = to_meta(file, etag=etag)
        content = json.dumps(meta, ensure_ascii=False, sort_keys=True).encode()
        facts = self._uploader.put_small(file.key + META, content, "application/json")
        return changed(file, stamp=f"{etag}+{facts}")

    def _same_or_refused(
        self, file: DistributionFile, core_metadata: bytes | None
    ) -> DistributionFile:
        """The file that has the key already, if its bytes are the same.

        This is also how an upload ends whose first answer got lost, and how one that was cut off
        after the object is completed.
        """
        stored = self.stat(file.key)
        if stored is None:
            raise StorageUnavailable(f"{file.filename} vanished while it was being published")
        there = self.describe(stored)
        sha256 = there.sha256
        if sha256 is None and there.size == file.size:
            with self.open(there) as stream:
                sha256, _md5 = hash_content(stream)
        if sha256 != file.sha256:
            raise FileExists(file.filename)
        if (
            core_metadata is not None
            and file.core_metadata_sha256
            and (CORE_METADATA not in stored.beside)
        ):
            self._uploader.put_small(file.key + CORE_METADATA, core_metadata)
            there = changed(there, core_metadata_sha256=file.core_metadata_sha256)
        if META not in stored.beside and not to_object_metadata(file)[1]:
            # Its publisher died before it wrote what didn't fit; when it began is on record.
            facts = changed(file, upload_time=there.upload_time, uploader=file.uploader)
            return self._write_facts(facts, stored.stamp)
        return there

    # -- reading ---------------------------------------------------------------------------

    def scan(self, known: Known = nothing_known) -> Iterator[StoredFile]:
        prefix = self._settings.prefix
        return listing.stored_files(self._objects(prefix), prefix, known)

    def _objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        arguments = {"Bucket": self._settings.bucket, "Prefix": prefix}
        while True:
            with translated(prefix):
                answer = self._client.list_objects_v2(**arguments)
            yield from answer.get("Contents", ())
            if not answer.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = answer["NextContinuationToken"]

    def stat(self, key: str) -> StoredFile | None:
        found = listing.stored_files(self._objects(key), self._settings.prefix)
        return next((stored for stored in found if stored.key == key), None)

    def describe(self, stored: StoredFile) -> DistributionFile:
        file = self._facts_beside(stored) or self._facts_of_object(stored)
        if file.core_metadata_sha256 is not None and CORE_METADATA not in stored.beside:
            return self._with_core_metadata(file)
        return file

    def _facts_beside(self, stored: StoredFile) -> DistributionFile | None:
        if META not in stored.beside:
            return None
        try:
            facts = json.loads(self._get(stored.key + META))
        except (FileMissing, ValueError, RecursionError) as exc:
            LOG.warning("the facts beside %s can't be read: %s", stored.key, exc)
            return None
        if not isinstance(facts, dict) or not is_of_etag(facts, stored.stamp.partition("+")[0]):
            return None  # of an object that was replaced by others
        return from_meta(stored, facts)

    def _facts_of_object(self, stored: StoredFile) -> DistributionFile:
        head = self._heads.head(stored.key)
        if head.size != stored.size:
            raise FileMissing(f"{stored.key} was replaced while it was being looked at.")
        return from_object_metadata(stored, head.metadata, head.modified)

    def _with_core_metadata(self, file: DistributionFile) -> DistributionFile:
        """Bring back the core metadata that an upload which died after its object left out."""
        try:
            content = self.core_metadata(file)
            self._uploader.put_small(file.key + CORE_METADATA, content)
        except (FileMissing, StorageUnavailable) as exc:
            LOG.warning("%s is served without core metadata: %s", file.filename, exc)
            return changed(file, core_metadata_sha256=None)
        return file

    def open(self, file: DistributionFile) -> IO[bytes]:
        head = self._heads.head(file.key)
        if head.etag != file.stamp.partition("+")[0]:
            raise FileChanged(f"{file.filename} was changed behind the index.")
        return self._read_object(file.key, head)

    def _read_object(self, key: str, head: Head) -> IO[bytes]:
        reader = ObjectReader(self._client, self._settings.bucket, key, head.size, head.etag)
        return io.BufferedReader(reader, 1 << 18)

    def core_metadata(self, file: DistributionFile) -> bytes:
        wanted = file.core_metadata_sha256
        try:
            content = self._get(file.key + CORE_METADATA)
        except FileMissing:
            content = None
        if content is not None and wanted in (None, hashlib.sha256(content).hexdigest()):
            return content
        folders = file.project, file.version
        with self.open(file) as archive:
            found = core_metadata_of(archive, parse_stored_filename(file.filename, *folders))
        if found is None:
            raise FileMissing(f"{file.filename} has no core metadata.")
        return found[0]

    def _get(self, key: str) -> bytes:
        with translated(key):
            answer = self._client.get_object(Bucket=self._settings.bucket, Key=key)
            content: bytes = answer["Body"].read()
        return content

    def locate(self, file: DistributionFile) -> Location:
        return self._urls.url(file.key)

    def locate_core_metadata(self, file: DistributionFile) -> RemoteUrl | None:
        return self._urls.url(file.key + CORE_METADATA)

    def page_url(self, file: DistributionFile) -> str | None:
        return None if self._settings.redirect_urls else self._urls.url(file.key).url

    def page_epoch(self) -> Hashable | None:
        return None if self._settings.redirect_urls else self._urls.epoch()

    # -- changing --------------------------------------------------------------------------

    def annotate(self, file: DistributionFile) -> DistributionFile:
        with self.changing(file.filename):
            head = self._heads.head(file.key)
            if head.size != file.size:
                raise FileChanged(f"{file.filename} was changed behind the index.")
            return self._write_facts(file, head.etag)

    def delete(self, file: DistributionFile) -> None:
        # The file first: what has no file is served to nobody.
        with self.changing(file.filename):
            self._delete_keys(file.key, file.key + META, file.key + CORE_METADATA)

    def _delete_keys(self, *keys: str) -> None:
        for key in keys:
            try:
                with translated(key):
                    self._client.delete_object(Bucket=self._settings.bucket, Key=key)
            except FileMissing:
                continue

    def project_statuses(self) -> dict[ProjectName, ProjectStatus | None]:
        prefix = self._settings.prefix
        statuses: dict[ProjectName, ProjectStatus | None] = {}
        for listed in self._objects(f"{listing.status_prefix(prefix)}"):
            key = listed["Key"]
            try:
                project = listing.project_of_status_key(prefix, key)
                statuses[project] = read_status(self._get(key), key)
            except (FileMissing, InvalidName) as exc:
                LOG.warning("%s can't be read: %s", key, exc)
        return statuses

    def set_project_status(self, project: ProjectName, status: ProjectStatus) -> None:
        key = listing.status_key(self._settings.prefix, project)
        if status == ProjectStatus():
            self._delete_keys(key)
            return
        content = {"status": status.status, "reason": status.reason}
        self._uploader.put_small(
            key, json.dumps(content, ensure_ascii=False).encode(), "application/json"
        )

    def open_snapshot(self) -> IO[bytes] | None:
        key = listing.snapshot_key(self._settings.prefix)
        try:
            head = self._heads.head(key)
        except FileMissing:
            return None
        return self._read_object(key, head)

    def save_snapshot(self, content: IO[bytes]) -> None:
        key = listing.snapshot_key(self._settings.prefix)
        self._uploader.put_own(key, content, "application/gzip")

    # -- what others change ------------------------------------------------------------------

    def event_queue(self, url: str) -> HintSource:
        client = self._queue_client(url)
        return EventQueue(client, url, self._settings.bucket, self._settings.prefix).hints

    def _queue_client(self, url: str | None) -> Any:
        return make_queue_client(self._settings, self._options, self.region, url)

    @property
    def region(self) -> str:
        """Where the bucket is taken to be."""
        return str(self._client.meta.region_name)

    def set_up_events(self, queue: str, service: str | None = None) -> str:
        """Make a queue and let the bucket send its events there; its URL.

        Args:
            service: URL of SQS; ``None``: AWS.

        Raises:
            SettingsError, StorageUnavailable: with a sentence.
        """
        return set_up(self._client, self._queue_client(service), self._settings, queue)

    def describe_events(self, queue: str) -> dict[str, Any]:
        """What :meth:`set_up_events` would make, as AWS's own documents."""
        return documents(self._settings, self.region, queue)

    # -- the rest --------------------------------------------------------------------------

    def check(self) -> None:
        try:
            self._client.list_objects_v2(
                Bucket=self._settings.bucket, Prefix=self._settings.prefix, MaxKeys=1
            )
        except (ClientError, BotoCoreError) as exc:
            raise StorageUnavailable(f"S3: {explain(exc)}") from exc

    def identity(self) -> str:
        settings = self._settings
        # Without the endpoint: servers of one bucket may reach it by different ones.
        return f"s3:{settings.bucket}/{settings.prefix}"


def _lock_folder(identity: str) -> Path:
    """A folder for locks that all processes of this user share which serve the same bucket."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"pypicloud-lite-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SettingsError([f"{folder} belongs to someone else; set TMPDIR to another folder."])
    return folder


def make_heads(connection: Connection, settings: S3Settings, options: BotoOptions) -> Heads:
    """What asks for objects of a bucket, by its settings."""
    signer = None
    if _has_current_signatures(options):
        signer = PresignedUrls(connection.client, connection.base, settings, method="HEAD")
    return Heads(connection.client, settings.bucket, signer)


def _has_current_signatures(options: BotoOptions) -> bool:
    return options.config.get("signature_version", "s3v4") in ("s3v4", "v4")


def make_urls(connection: Connection, settings: S3Settings, options: BotoOptions) -> Urls:
    """What makes the URLs of a bucket, by its settings."""
    if settings.public_url:
        return PublicUrls(connection.base, seconds=_PUBLIC_SECONDS)
    signer = PresignedUrls if _has_current_signatures(options) else BotocoreUrls
    if signer is PresignedUrls and settings.expire_after > MAX_SIGV4_SECONDS:
        LOG.warning(
            "storage.expire_after = %d: AWS allows %d seconds at most, and URLs are made for these",
            settings.expire_after,
            MAX_SIGV4_SECONDS,
        )
    return signer(connection.client, connection.base, settings)
