"""The settings of an ini file that was named on the command line."""

from __future__ import annotations

from pathlib import Path

import plaster

from pypicloud_lite.errors import SettingsError


def ini_settings(ini: str) -> dict[str, str]:
    """``[app:main]`` of the file.

    Raises:
        SettingsError: there is no such file.
    """
    path = Path(ini)
    if not path.is_file():
        raise SettingsError([f"there is no {path}"])
    loader = plaster.get_loader(str(path.absolute()), protocols=["wsgi"])
    return dict(loader.get_wsgi_app_settings())
