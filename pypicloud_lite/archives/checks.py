"""How strictly archives are checked at upload, and what was let pass."""

from __future__ import annotations

from dataclasses import dataclass

from pypicloud_lite.errors import InvalidArchive, Oddity

#: Archives may inflate to this many bytes, whatever their own size: the ratio counts from here.
_ALWAYS_INFLATED = 64 << 20
#: How many oddities of one archive are told.
_MAX_ODDITIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The limits of an archive, and which oddities only warn."""

    #: Files and folders in an archive.
    max_members: int = 100_000
    #: Bytes that all members have together.
    max_inflated: int = 4 << 30
    #: Bytes that come out of each byte of an archive of more than about a mebibyte.
    max_ratio: int = 50
    #: Characters in the path of a member.
    max_path: int = 1024
    tolerated: frozenset[Oddity] = frozenset()

    def inflated_from(self, size: int) -> int:
        """How many bytes an archive of ``size`` bytes may inflate to."""
        return min(self.max_inflated, max(_ALWAYS_INFLATED, self.max_ratio * size))


class Oddities:
    """What is odd about one archive: refused, or remembered where it is tolerated."""

    def __init__(self, tolerated: frozenset[Oddity]) -> None:
        self._tolerated = tolerated
        self.found: list[tuple[Oddity, str]] = []

    def note(self, oddity: Oddity, sentence: str) -> None:
        """Take note of an oddity.

        Raises:
            InvalidArchive: it isn't tolerated.
        """
        if oddity not in self._tolerated:
            raise InvalidArchive(sentence, oddity)
        if len(self.found) < _MAX_ODDITIES:
            self.found.append((oddity, sentence))
