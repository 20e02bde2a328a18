"""How many wrong credentials are tried before the next is refused unseen.

Leaky buckets in the memory of this process. An attempt is counted before its password is hashed,
so that parallel guesses can't outrun the count, and given back when the password was right. What
is refused is not counted again.

Each attempt is in four buckets: of the user at this address, of the address, of the user anywhere
(ten times as large), and of everyone (twenty times that of an address). So guessing at one user
empties the bucket of that user at that address, and nobody else notices.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

#: The user at all addresses, and everyone, in multiples of the two limits.
_USER_ANYWHERE, _EVERYONE = 10, 20
_MAX_BUCKETS = 10_000
#: How much of a user name tells one bucket from another, in characters.
_MAX_NAME = 100
_IPV6_NETWORK = 64

_Key = tuple[str, ...]


class Throttled(Exception):
    """Too many wrong credentials.

    Args:
        seconds: until the next may be tried.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong credentials; try again in {seconds} seconds.")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Wrong credentials that are tried in ``window`` seconds; 0 for no limit."""

    per_user: int = 0
    per_address: int = 0
    window: int = 300


class Throttle:
    """Counts attempts.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        #: How full each bucket was, and when. The least recently used is dropped first.
        self._buckets: OrderedDict[_Key, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, user: str, address: str) -> None:
        """Count an attempt before it is made.

        Raises:
            Throttled: there were too many; nothing is counted.
        """
        buckets = self._buckets_of(user, address)
        with self._lock:
            now = self._clock()
            filled = [(key, limit, self._filled(key, limit, now)) for key, limit in buckets]
            waits = [
                (level + 1 - limit) * self._limits.window / limit for _key, limit, level in filled
            ]
            if waits and max(waits) > 0:
                raise Throttled(math.ceil(max(waits)))
            for key, _limit, level in filled:
                self._keep(key, level + 1, now)

    def give_back(self, user: str, address: str) -> None:
        """The attempt was a right one after all."""
        with self._lock:
            now = self._clock()
            for key, limit in self._buckets_of(user, address):
                self._keep(key, max(0.0, self._filled(key, limit, now) - 1), now)

    def _buckets_of(self, user: str, address: str) -> list[tuple[_Key, int]]:
        name, place = user[:_MAX_NAME], network(address)
        per_user, per_address = self._limits.per_user, self._limits.per_address
        buckets: list[tuple[_Key, int]] = [
            (("user", name, place), per_user),
            (("user", name), per_user * _USER_ANYWHERE),
            (("address", place), per_address),
            (("everyone",), per_address * _EVERYONE),
        ]
        return [(key, limit) for key, limit in buckets if limit]

    def _filled(self, key: _Key, limit: int, now: float) -> float:
        level, since = self._buckets.get(key, (0.0, now))
        return max(0.0, level - (now - since) * limit / self._limits.window)

    def _keep(self, key: _Key, level: float, now: float) -> None:
        self._buckets[key] = (level, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 host can choose from."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:_MAX_NAME]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, _IPV6_NETWORK), strict=False))
    return str(parsed)
