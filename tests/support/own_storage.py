"""A storage backend as a user would write one."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pypicloud_lite.settings.kinds import path
from pypicloud_lite.settings.options import REQUIRED, Section
from pypicloud_lite.storage.files import FileStorage


class OwnStorage(FileStorage):
    """Files in ``storage.place``."""

    @classmethod
    def from_settings(cls, section: Section) -> Self:
        place: Path = section.get("place", path, REQUIRED)
        section.get("colour")
        section.finish()
        return cls(place)
