"""Tar archives, walked from the first byte to the last without unpacking anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO

from pypicloud_lite.archives.checks import Checks, Oddities
from pypicloud_lite.archives.metadata import MAX_METADATA
from pypicloud_lite.archives.paths import check_path, shown
from pypicloud_lite.archives.read import is_pkg_info
from pypicloud_lite.archives.tarheaders import (
    FOLDER,
    GNU_LINK,
    GNU_NAME,
    HARD_LINK,
    PAX,
    PAX_GLOBAL,
    REGULAR,
    SYMLINK,
    Header,
    read_header,
    read_pax,
)
from pypicloud_lite.archives.tarlinks import Links
from pypicloud_lite.archives.tarstream import TarStream
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import FileName

#: Longest extended header or long name that is read, in bytes.
_MAX_HEADER = 1 << 16
#: Headers that a member must follow.
_OF_NEXT = frozenset({PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK})
#: All paths together, in characters.
_MAX_PATHS = 16 << 20


class TarWalk:
    """What is in a tar archive, after a look at every byte of it.

    Raises:
        InvalidArchive: it leads out of its folder, can be read in two ways, holds what is no
            file, or inflates too far.
    """

    def __init__(self, file: IO[bytes], name: FileName, checks: Checks, odd: Oddities) -> None:
        self._checks = checks
        self._odd = odd
        self._stream = TarStream(file, name, checks, odd)
        self._links = Links(checks.max_path)
        self._length = 0
        self.paths: set[str] = set()
        self.pkg_info: bytes | None = None
        for member in _members(self._stream, odd):
            if member.kind != FOLDER or member.name not in ("", "."):
                self._take(member)
        self._links.check(self.paths)

    def _take(self, member: Header) -> None:
        path = member.name
        check_path(path, self._checks.max_path)
        if path in self.paths and member.kind != FOLDER:
            self._odd.note("layout", f"it has the member {shown(path)} more than once")
        if member.kind == HARD_LINK:
            if member.link not in self.paths:
                raise InvalidArchive(f"{shown(path)} is a hard link to what isn't before it")
            self._links.hard_link(member.link)
        if member.kind == SYMLINK:
            self._links.symlink(path, member.link)
        self._remember(path)
        if member.kind == REGULAR and is_pkg_info(path):
            if self.pkg_info is not None:
                raise InvalidArchive("it holds core metadata more than once")
            self.pkg_info = self._stream.data(member.size, MAX_METADATA)
        else:
            self._stream.skip(member.size)

    def _remember(self, path: str) -> None:
        self.paths.add(path)
        self._length += len(path)
        if len(self.paths) > self._checks.max_members or self._length > _MAX_PATHS:
            raise InvalidArchive(
                f"it has more than {self._checks.max_members} members, or paths as long"
            )


def _members(stream: TarStream, odd: Oddities) -> Iterator[Header]:
    """The members, with what extended headers say of them; whoever asks reads their data."""
    said: dict[str, str] = {}
    waiting = False
    while any(block := stream.block()):
        header = read_header(block)
        waiting = header.kind in _OF_NEXT
        if header.kind == PAX_GLOBAL:
            read_pax(stream.data(header.size, _MAX_HEADER), for_all=True)
        elif waiting:
            more = _extension(header.kind, stream.data(header.size, _MAX_HEADER))
            if said.keys() & more.keys():
                raise InvalidArchive("the extended headers of a member contradict each other")
            said |= more
        else:
            yield _extended(header, said)
            said = {}
    if waiting:
        raise InvalidArchive("it is truncated: an extended header is of no member")
    if not block:
        odd.note("framing", "it has no end of archive")
    if not stream.rest_is_zero():
        raise InvalidArchive("data follows its end of archive")


def _extension(kind: bytes, content: bytes) -> Mapping[str, str]:
    if kind == PAX:
        return read_pax(content, for_all=False)
    text = content.partition(b"\0")[0].decode("utf-8")
    return {"path" if kind == GNU_NAME else "linkpath": text}


def _extended(header: Header, said: Mapping[str, str]) -> Header:
    path = said.get("path", header.name).removeprefix("./")
    if header.kind == FOLDER:
        path = path.removesuffix("/")
    if said.get("size", str(header.size)) != str(header.size):
        raise InvalidArchive(f"the member {shown(path)} has two sizes")
    link = said.get("linkpath", header.link)
    if header.kind == HARD_LINK:
        link = link.removeprefix("./")
    return replace(header, name=path, link=link)
