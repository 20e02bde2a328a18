"""What is inside a distribution file, read without unpacking anything to disk."""

from pypicloud_lite.archives.check import Checked, check_archive
from pypicloud_lite.archives.checks import Checks
from pypicloud_lite.archives.metadata import CoreMetadata, parse_core_metadata
from pypicloud_lite.archives.read import read_core_metadata

__all__ = [
    "Checked",
    "Checks",
    "CoreMetadata",
    "check_archive",
    "parse_core_metadata",
    "read_core_metadata",
]
