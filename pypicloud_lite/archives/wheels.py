"""Wheels: one .dist-info of the right name, whose files are what installers will believe."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from email.parser import BytesHeaderParser
from typing import IO

from pypicloud_lite.archives.checks import Checks, Oddities
from pypicloud_lite.archives.content import read_member
from pypicloud_lite.archives.metadata import MAX_METADATA
from pypicloud_lite.archives.paths import shown
from pypicloud_lite.archives.records import MAX_RECORD, check_record, read_record
from pypicloud_lite.archives.zips import Member
from pypicloud_lite.errors import InvalidArchive, InvalidName
from pypicloud_lite.names import FileName, project_name, same_version

_SUFFIX = ".dist-info"
#: Longest WHEEL and entry_points.txt that are read, in bytes.
_MAX_WHEEL, _MAX_ENTRY_POINTS = 1 << 16, 1 << 18
#: Entry points of these groups become files in a folder of programs.
_SCRIPTS = ("console_scripts", "gui_scripts")
_SCRIPT = re.compile(r"(?!\.+\Z)[\w.-]+\Z")


def check_wheel(
    file: IO[bytes], name: FileName, members: Mapping[str, Member], checks: Checks, odd: Oddities
) -> bytes:
    """Check a wheel whose framing is sound; its core metadata.

    PyPA binary distribution format 1.0.

    Raises:
        InvalidArchive: with what is missing or contradicts.
    """
    dist_info = _dist_info(name, members)

    def read(part: str, most: int) -> bytes:
        member = members.get(f"{dist_info}/{part}")
        if member is None:
            raise InvalidArchive(f"it has no {dist_info}/{part}")
        return read_member(file, member, most)

    core_metadata = read("METADATA", MAX_METADATA)
    _check_wheel_file(read("WHEEL", _MAX_WHEEL))
    if f"{dist_info}/entry_points.txt" in members:
        _check_entry_points(read("entry_points.txt", _MAX_ENTRY_POINTS))
    rows = read_record(read("RECORD", MAX_RECORD), members, checks.max_members, odd)
    check_record(file, members, dist_info, rows, odd)
    return core_metadata


def _dist_info(name: FileName, members: Mapping[str, Member]) -> str:
    """The one folder that describes the wheel."""
    tops = {path.partition("/")[0] for path in members}
    # In any case of letters: on some disks they are one folder.
    found = sorted(top for top in tops if top.lower().endswith(_SUFFIX))
    if len(found) != 1:
        raise InvalidArchive(f"it has {len(found)} {_SUFFIX} folders instead of one")
    project, _dash, version = found[0].removesuffix(_SUFFIX).rpartition("-")
    try:
        fits = project_name(project) == name.project and same_version(version, name.version)
    except InvalidName:
        fits = False
    if not fits:
        raise InvalidArchive(f"its folder {shown(found[0])} is of another project or version")
    return found[0]


def _check_wheel_file(content: bytes) -> None:
    version = BytesHeaderParser().parsebytes(content).get("Wheel-Version", "")
    if re.match(r"1\.\d+\Z", str(version).strip()) is None:
        raise InvalidArchive(f"its WHEEL says Wheel-Version {shown(str(version))} instead of 1.0")


def _check_entry_points(content: bytes) -> None:
    """Entry points specification; script names become file names, so they must be plain."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as exc:
        raise InvalidArchive("its entry_points.txt can't be read") from exc
    for group in _SCRIPTS:
        for script in parser[group] if parser.has_section(group) else ():
            if _SCRIPT.match(script) is None:
                raise InvalidArchive(f"it has an entry point with the unsafe name {shown(script)}")
