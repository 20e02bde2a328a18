"""All that an archive must be before it is published, in one call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import IO

from pypicloud_lite.archives.checks import Checks, Oddities
from pypicloud_lite.archives.content import read_member
from pypicloud_lite.archives.members import read_all
from pypicloud_lite.archives.metadata import MAX_METADATA
from pypicloud_lite.archives.read import EGG_INFO, is_pkg_info, naming
from pypicloud_lite.archives.tarheaders import BLOCK, looks_like_tar
from pypicloud_lite.archives.tars import TarWalk
from pypicloud_lite.archives.wheels import check_wheel
from pypicloud_lite.archives.zipend import looks_like_zip
from pypicloud_lite.archives.zips import Member, walk_zip
from pypicloud_lite.errors import InvalidArchive, Oddity
from pypicloud_lite.names import FileName


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of an archive has found."""

    #: METADATA or PKG-INFO, byte for byte; ``None`` for formats without one (wininst, msi, rpm).
    core_metadata: bytes | None
    #: What is odd and was let pass: the group that tolerates it, and a sentence.
    oddities: Sequence[tuple[Oddity, str]] = ()


def check_archive(file: IO[bytes], name: FileName, checks: Checks) -> Checked:
    """Check a wheel, an sdist or an egg from its first byte to its last, and every member.

    Nothing is unpacked to disk. Memory is bounded, and so is the work: by ``checks``.

    Args:
        file: seekable; read from its start, more than once.

    Raises:
        InvalidArchive: with one sentence for the uploader.
    """
    odd = Oddities(checks.tolerated)
    with naming(name):
        if name.extension in (".whl", ".zip", ".egg"):
            core_metadata = _check_zip(file, name, checks, odd)
        elif name.packagetype == "sdist":
            core_metadata = _check_tar(file, name, checks, odd)
        else:
            return Checked(None)
        try:
            core_metadata.decode("utf-8")
        except UnicodeDecodeError:
            odd.note("layout", "its core metadata isn't UTF-8")
    return Checked(core_metadata, odd.found)


def _check_zip(file: IO[bytes], name: FileName, checks: Checks, odd: Oddities) -> bytes:
    members = walk_zip(file, checks, odd)
    file.seek(0)
    if looks_like_tar(file.read(BLOCK)):
        raise InvalidArchive("it is both a zip and a tar archive")
    if name.is_wheel:
        return check_wheel(file, name, members, checks, odd)
    found = [
        member
        for path, member in members.items()
        if (path == EGG_INFO if name.extension == ".egg" else is_pkg_info(path))
    ]
    core_metadata = read_member(file, _only(found), MAX_METADATA)
    if name.packagetype == "sdist":
        _check_one_folder(members, odd)
    for _digest in read_all(file, [(member, None) for member in members.values()]):
        pass
    return core_metadata


def _check_tar(file: IO[bytes], name: FileName, checks: Checks, odd: Oddities) -> bytes:
    if looks_like_zip(file):
        raise InvalidArchive("it is both a zip and a tar archive")
    walk = TarWalk(file, name, checks, odd)
    _check_one_folder(walk.paths, odd)
    if walk.pkg_info is None:
        raise InvalidArchive("it has no <name>-<version>/PKG-INFO")
    return walk.pkg_info


def _check_one_folder(paths: Collection[str], odd: Oddities) -> None:
    """PyPA source distribution format: all is in one folder."""
    tops = {path.partition("/")[0] for path in paths}
    if len(tops) > 1:
        odd.note("layout", f"it has {len(tops)} files and folders at its top instead of one")


def _only(found: list[Member]) -> Member:
    if not found:
        raise InvalidArchive("it holds no core metadata (PKG-INFO)")
    if len(found) > 1:
        raise InvalidArchive("it holds core metadata more than once")
    return found[0]
