"""A private Python package index on your own disk or your own S3 bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyramid.router import Router


def main(global_config: dict[str, str], **settings: Any) -> Router:
    """Make the WSGI application (``paste.app_factory``, ``use = egg:pypicloud_lite``).

    Raises:
        SettingsError: with every problem of the settings.
    """
    from pypicloud_lite.app import make_app  # noqa: PLC0415 - the command line starts without it

    return make_app(settings)
