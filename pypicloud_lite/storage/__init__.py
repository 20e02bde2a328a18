"""Where the distribution files lie: the truth that everything else is derived from."""

from pypicloud_lite.storage.base import LocalFile, Location, RemoteUrl, Spool, Storage

__all__ = ["LocalFile", "Location", "RemoteUrl", "Spool", "Storage"]
