"""What is inside a distribution file, read without unpacking anything to disk."""

from pypicloud_lite.archives.metadata import CoreMetadata, parse_core_metadata
from pypicloud_lite.archives.read import read_core_metadata

__all__ = ["CoreMetadata", "parse_core_metadata", "read_core_metadata"]
