"""``storage.*``: the settings of the built-in storage backends.

Declared here, apart from the backends, so that the reference can be made without loading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pypicloud_lite.settings.kinds import path
from pypicloud_lite.settings.options import option


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """``pypi.storage = file``."""

    dir: Path = option(
        "storage.dir",
        path,
        help="The directory where the package files are stored. It is made when absent.",
    )


#: Heading in the reference, and the settings under it.
STORAGE_GROUPS: tuple[tuple[str, type], ...] = (("Storage: file", FileSettings),)
