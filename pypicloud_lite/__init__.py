"""A private Python package index on your own disk or your own S3 bucket."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyramid.router import Router


def main(global_config: dict[str, str], **settings: Any) -> Router:
    """Make the WSGI application (``paste.app_factory``, ``use = egg:pypicloud_lite``).

    Raises:
        SettingsError: with every problem of the settings.
    """
    # What is loaded and made now stays: to look for garbage in it would take a tenth of the start.
    collects = gc.isenabled()
    gc.disable()
    try:
        from pypicloud_lite.app import make_app  # noqa: PLC0415 - the command line starts without

        return make_app(settings)
    finally:
        if collects:
            gc.enable()
