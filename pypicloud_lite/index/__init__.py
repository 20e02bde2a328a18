"""Which files there are: a database derived from the storage, which may be lost at any time."""

from pypicloud_lite.index.base import Index
from pypicloud_lite.index.sql import SqlIndex

__all__ = ["Index", "SqlIndex"]
