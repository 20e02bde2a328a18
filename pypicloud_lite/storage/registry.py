"""From the text of ``pypi.storage`` to a backend's class."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.storage.base import Storage

_BUILT_IN = {
    "file": "pypicloud_lite.storage.files:FileStorage",
    "s3": "pypicloud_lite.storage.s3:S3Storage",
    "cloudfront": "pypicloud_lite.storage.cloudfront:CloudFrontStorage",
}
#: Names that pypicloud's ini files use.
_ALIASES = {
    "files": "file",
    "pypicloud.storage.FileStorage": "file",
    "pypicloud.storage.files.FileStorage": "file",
    "pypicloud.storage.S3Storage": "s3",
    "pypicloud.storage.s3.S3Storage": "s3",
    "pypicloud.storage.CloudFrontS3Storage": "cloudfront",
    "pypicloud.storage.s3.CloudFrontS3Storage": "cloudfront",
}
_REFUSED = {
    "gcs": "Google Cloud Storage is not supported; its S3-compatible XML API works with "
    "pypi.storage = s3 and storage.endpoint_url",
    "azure": "Azure Blob Storage is not supported; copy the files to a folder or a bucket",
}
ENTRY_POINTS = "pypicloud_lite.storage"


def storage_name(value: str) -> str:
    """``value`` with pypicloud's names replaced by ours."""
    return _ALIASES.get(value, value)


def storage_class(value: str) -> type[Storage]:
    """The class that ``pypi.storage = value`` asks for: a short name of ours, the name of an
    entry point in the group ``pypicloud_lite.storage``, or a dotted name.

    Raises:
        SettingsError: no such class, or it isn't a storage.
    """
    name = storage_name(value)
    for part, sentence in _REFUSED.items():
        if part in name.lower() or (part == "gcs" and "GoogleCloud" in name):
            raise SettingsError([f"pypi.storage = {value}: {sentence}."])
    try:
        loaded = _load(name)
    except (ImportError, AttributeError, ValueError) as exc:
        known = ", ".join(_BUILT_IN)
        problem = f"must be {known}, or a storage class that can be imported ({exc})"
        raise SettingsError([f"pypi.storage = {value}: {problem}."]) from exc
    if not (isinstance(loaded, type) and issubclass(loaded, Storage)):
        raise SettingsError(
            [f"pypi.storage = {value}: is not a subclass of pypicloud_lite.storage.Storage."]
        )
    return loaded


def _load(name: str) -> object:
    target = _BUILT_IN.get(name)
    if target is None:
        for found in entry_points(group=ENTRY_POINTS, name=name):
            return found.load()
        target = ":".join(name.rsplit(".", 1))
    module, _colon, attribute = target.partition(":")
    if not attribute:
        raise ValueError(f"{name!r} is not a known name")
    return getattr(importlib.import_module(module), attribute)
