"""The simple repository API: one page value, its formats, and the ready bytes."""

from pypicloud_lite.simple.cache import PageCache, Rendered
from pypicloud_lite.simple.negotiation import Format
from pypicloud_lite.simple.pages import FileLink, ProjectListPage, ProjectPage

__all__ = ["FileLink", "Format", "PageCache", "ProjectListPage", "ProjectPage", "Rendered"]
