"""Settings: one table, read once into frozen dataclasses, all problems reported together."""

from pypicloud_lite.settings.options import Section, Source
from pypicloud_lite.settings.table import AuthSettings, IndexSettings, ServerSettings

__all__ = ["AuthSettings", "IndexSettings", "Section", "ServerSettings", "Source"]
