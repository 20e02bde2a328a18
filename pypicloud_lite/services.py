"""Everything that a running application consists of, built once from the settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pypicloud_lite.access.authenticate import Authenticator
from pypicloud_lite.access.config import load_access, make_authenticator
from pypicloud_lite.access.rules import Rules
from pypicloud_lite.access.sessions import Sessions, make_sessions
from pypicloud_lite.archives import Checks
from pypicloud_lite.catalog import Catalog
from pypicloud_lite.errors import IndexUnavailable, SettingsError
from pypicloud_lite.index.base import Index
from pypicloud_lite.index.connect import open_database
from pypicloud_lite.index.database import Database
from pypicloud_lite.index.follow import Follower
from pypicloud_lite.index.listen import Listener
from pypicloud_lite.index.refresh import refresh
from pypicloud_lite.index.sql import SqlIndex
from pypicloud_lite.publishing import Acceptance, Publishing
from pypicloud_lite.settings.load import Settings, load
from pypicloud_lite.settings.options import Section, Source
from pypicloud_lite.settings.table import IndexSettings, ServerSettings
from pypicloud_lite.simple.cache import PageCache
from pypicloud_lite.storage.base import Hints, HintSource, Storage
from pypicloud_lite.storage.registry import storage_class
from pypicloud_lite.upstream import Upstream

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """The parts of one application, shared by all its requests."""

    settings: ServerSettings
    storage: Storage
    index: Index
    rules: Rules
    authenticator: Authenticator
    upstream: Upstream
    follower: Follower
    catalog: Catalog
    publishing: Publishing
    #: ``None`` when the settings have no secret for them.
    sessions: Sessions | None = None
    #: Hears of what others change in the storage; ``None`` when nobody is asked to tell.
    listener: Listener | None = None

    def close(self) -> None:
        """End what runs in the background, and leave the database."""
        if self.listener is not None:
            self.listener.stop()
        self.follower.stop()
        self.index.close()


def build_services(ini: Mapping[str, Any], environ: Mapping[str, str]) -> Services:
    """Read the settings, build every part, and begin to bring the index in step.

    Raises:
        SettingsError: with every problem of every setting.
    """
    source = Source(ini, environ)
    settings = load(source)
    access = load_access(source, settings)
    rules = access.rules
    upstream = Upstream.from_settings(source, settings.server, rules)
    storage, index = _open_store(source, settings)
    hints = _hint_source(storage, settings.server)
    _require_folder(storage, settings.server)
    _prepare(storage, index)
    authenticator = make_authenticator(access, settings.auth)
    server = settings.server
    LOG.info("storage %s, index %s", storage.identity(), index)
    follower = Follower(storage, index, interval=server.sync_interval)
    listener = None
    if hints is not None:
        listener = Listener(hints, storage, index, follower.request)
        listener.start()
    follower.start()
    catalog = Catalog(
        index,
        storage,
        rules,
        PageCache(server.page_cache_size),
        gate=follower.require_ready,
        look_again=lambda key: refresh(storage, index, Hints(keys=[key])),
    )
    publishing = Publishing(index, storage, rules, _acceptance(server), gate=follower.require_ready)
    return Services(
        server,
        storage,
        index,
        rules,
        authenticator,
        upstream,
        follower,
        catalog,
        publishing,
        make_sessions(settings.session, authenticator.passwords),
        listener,
    )


def _hint_source(storage: Storage, server: ServerSettings) -> HintSource | None:
    """What tells of changes that others make, as the settings want it.

    Raises:
        SettingsError: this storage has nothing to tell.
    """
    if server.s3_events_queue is not None:
        return storage.event_queue(server.s3_events_queue)
    return storage.watch() if server.watch else None


def _require_folder(storage: Storage, server: ServerSettings) -> None:
    """Look whether a web server can send what it shall send.

    Raises:
        SettingsError: the files don't lie in a folder.
    """
    if server.proxy_sends_files is not None and not storage.is_folder:
        problem = f"pypi.proxy_sends_files = {server.proxy_sends_files}: only the files of "
        raise SettingsError([f"{problem}pypi.storage = file lie where a proxy can send them."])


def _acceptance(server: ServerSettings) -> Acceptance:
    return Acceptance(
        legacy_formats=server.legacy_formats,
        max_filename=server.max_filename_length,
        max_project_name=server.max_project_name_length,
        archives=Checks(
            max_members=server.max_archive_members,
            max_inflated=server.max_inflated_size,
            max_ratio=server.max_inflated_ratio,
            max_path=server.max_member_path,
            tolerated=server.upload_checks,
        ),
    )


def _prepare(storage: Storage, index: Index) -> None:
    """Look whether the storage is there; a complete index is served without it.

    Raises:
        SettingsError: there is nothing to serve.
    """
    try:
        storage.prepare()
    except SettingsError as exc:
        try:
            complete = index.ready(storage.identity())
        except IndexUnavailable:
            complete = False
        if not complete:
            raise
        LOG.error("The storage is not there, and what is known is served without it. %s", exc)


def open_store(ini: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Storage, Index]:
    """The storage and the index alone, for commands.

    Raises:
        SettingsError: with every problem of every setting.
    """
    source = Source(ini, environ)
    settings = load(source)
    load_access(source, settings)
    storage, index = _open_store(source, settings)
    _prepare(storage, index)
    return storage, index


def open_storage(ini: Mapping[str, Any], environ: Mapping[str, str]) -> Storage:
    """The storage alone, and nothing outside of it touched.

    Raises:
        SettingsError: with every problem of every setting.
    """
    source = Source(ini, environ)
    settings = load(source)
    load_access(source, settings)
    return _build_storage(source, settings.server)


def _open_store(source: Source, settings: Settings) -> tuple[Storage, Index]:
    # First, so that what is wrong with both is said at once.
    database = None if settings.index.url is None else _open_database(source, settings.index)
    storage = _build_storage(source, settings.server)
    if database is None:
        named = replace(settings.index, url=storage.default_index_url())
        database = _open_database(source, named)
        source.check()
    assert database is not None
    return storage, SqlIndex(database)


def _build_storage(source: Source, server: ServerSettings) -> Storage:
    try:
        backend = storage_class(server.storage)
    except SettingsError as exc:
        for problem in exc.problems:
            source.problem(problem)
        source.check()
        raise
    storage = backend.from_settings(Section(source, "storage."))
    source.check()  # for a backend that didn't call section.finish()
    return storage


def _open_database(source: Source, settings: IndexSettings) -> Database | None:
    """The database of ``db.url``; ``None`` when it can't be opened, which is recorded."""
    try:
        return open_database(settings.url or "", kept=settings.kept)
    except SettingsError as exc:
        for problem in exc.problems:
            source.problem(problem)
    return None
