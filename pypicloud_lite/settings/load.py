"""Reading ``[app:main]`` into the typed settings, pypicloud's older names included."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
from dataclasses import dataclass

from pypicloud_lite.settings.kinds import boolean
from pypicloud_lite.settings.options import Option, Source
from pypicloud_lite.settings.table import (
    DEPRECATED_BOOLEANS,
    REFUSED_PREFIXES,
    REFUSED_VALUES,
    WITHOUT_EFFECT,
    AuthSettings,
    IndexSettings,
    ServerSettings,
    SessionSettings,
)

LOG = logging.getLogger(__name__)

_GROUPS = ("pypi", "storage", "db", "auth", "user", "token", "group", "package", "session")


@dataclass(frozen=True)
class Settings:
    """All settings but those of the storage backend and the access rules."""

    server: ServerSettings
    index: IndexSettings
    auth: AuthSettings
    session: SessionSettings


def load(source: Source) -> Settings:
    """Read all settings; problems are recorded in ``source``, not raised."""
    _refuse(source)
    server = _deprecated(source, source.group(ServerSettings))
    index = source.group(IndexSettings)
    auth = source.group(AuthSettings)
    session = source.group(SessionSettings)
    if server.always_show_upstream:
        source.problem(
            "pypi.always_show_upstream = true is not supported yet: a local project hides its "
            "public namesake. Remove the setting."
        )
    for name, why in WITHOUT_EFFECT.items():
        if source.text(name) is not None:
            LOG.info("%s has no effect: %s", name, why)
    for prefix in ("pypi.", "db.", "auth."):
        source.check_unknown(prefix)
    _refuse_misspelt_groups(source)
    return Settings(server, index, auth, session)


def _refuse(source: Source) -> None:
    """Record a sentence for each value and name of pypicloud that has no counterpart."""
    for name, sentences in REFUSED_VALUES.items():
        value = (source.text(name) or "").partition(":")[0]  # of a URL, the scheme only
        for part, sentence in sentences.items():
            if re.search(rf"(^|\.){part}", value, re.IGNORECASE):
                source.drop(name)
                source.problem(f"{name} = {value}: {sentence}")
                break
    for prefix, why in REFUSED_PREFIXES.items():
        names = source.names(prefix)
        source.know(names)
        if names:
            source.problem(f"{prefix}* is not supported: {why}.")


def _refuse_misspelt_groups(source: Source) -> None:
    """Record settings like ``packages.demo…``: rules that would silently not be there."""
    for name in source.names(""):
        group = name.partition(".")[0]
        if "." in name and group not in _GROUPS:
            for close in difflib.get_close_matches(group, _GROUPS, n=1, cutoff=0.8):
                source.problem(f"{name} is not a setting. Did you mean {close}.*?")


def _deprecated(source: Source, server: ServerSettings) -> ServerSettings:
    """Let pypicloud's deprecated names work, and say what replaces them."""
    changes: dict[str, tuple[str, ...]] = {}
    for old, (new, when_true) in DEPRECATED_BOOLEANS.items():
        if source.text(old) is None:
            continue
        LOG.warning("%s is deprecated; use %s", old, new)
        enabled = source.read(Option(old, boolean, False, ""))
        if source.text(new) is None:
            changes[new.removeprefix("pypi.")] = when_true if enabled else ()
    if server.fallback_url is not None:
        LOG.warning("pypi.fallback_url is deprecated; use pypi.fallback_base_url")
    return dataclasses.replace(server, **changes)  # type: ignore[arg-type]
