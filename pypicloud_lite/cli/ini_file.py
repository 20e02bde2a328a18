"""Reading the ini file of a server, for commands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plaster

from pypicloud_lite.errors import SettingsError


def read_ini(ini: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """``[app:main]`` of the file, and the environment that overrides it.

    Raises:
        SettingsError: there is no such file.
    """
    path = Path(ini)
    if not path.is_file():
        raise SettingsError([f"there is no {path}"])
    loader = plaster.get_loader(str(path.absolute()), protocols=["wsgi"])
    return loader.get_wsgi_app_settings(), os.environ
