"""Links in a tar archive: none leads out of its folder, whatever order they are made in."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pypicloud_lite.archives.paths import check_path, shown
from pypicloud_lite.errors import InvalidArchive


class Links:
    """The links of one archive.

    Args:
        longest: of a path, in characters.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._symlinks: dict[str, str] = {}
        self._hard_linked: set[str] = set()

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link; its target is relative to the folder that it is in."""
        self._symlinks[path] = target

    def hard_link(self, target: str) -> None:
        """Add a hard link; its target is another member."""
        self._hard_linked.add(target)

    def check(self, paths: Collection[str]) -> None:
        """Check all links, when every path is known.

        Raises:
            InvalidArchive: a link leads out, or a path or another link goes through one.
        """
        if not self._hard_linked.isdisjoint(self._symlinks):
            # It would be the same symlink in another folder, and lead elsewhere.
            raise InvalidArchive("it has a hard link to a symbolic one")
        for path in paths if self._symlinks else ():
            self._refuse_passage(path, _parents(path))
        for path, target in self._symlinks.items():
            self._refuse_passage(path, self._steps(path, target))

    def _refuse_passage(self, path: str, folders: Iterator[str]) -> None:
        for folder in folders:
            if folder in self._symlinks:
                raise InvalidArchive(f"the path of {shown(path)} leads through a link")

    def _steps(self, path: str, target: str) -> Iterator[str]:
        """The folders that the way to a target leads through."""
        top, *here = path.split("/")[:-1] or [""]
        for part in target.removesuffix("/").split("/"):
            yield "/".join((top, *here))
            if part != "..":
                here += [] if part == "." else [part]
            elif here:
                here.pop()
            else:
                raise InvalidArchive(f"the link {shown(path)} leads out of the archive")
        check_path("/".join((top, *here)), self._longest)


def _parents(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
