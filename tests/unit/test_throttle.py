"""Counting wrong credentials, with a clock that the tests move."""

from __future__ import annotations

import pytest

from pypicloud_lite.access import throttle as module
from pypicloud_lite.access.throttle import Limits, Throttle, Throttled, network

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def attempts(throttle: Throttle, user: str, address: str, number: int = 1000) -> int:
    """How many of so many attempts are let through."""
    for done in range(number):
        try:
            throttle.count(user, address)
        except Throttled:
            return done
    return number


def test_a_user_has_so_many_attempts_from_one_address(clock: Clock) -> None:
    throttle = Throttle(Limits(per_user=3, window=60), clock=clock)
    assert attempts(throttle, "alice", HERE) == 3
    assert attempts(throttle, "bob", HERE, 3) == 3
    assert attempts(throttle, "alice", THERE, 3) == 3


def test_attempts_come_back_bit_by_bit(clock: Clock) -> None:
    throttle = Throttle(Limits(per_user=3, window=60), clock=clock)
    attempts(throttle, "alice", HERE)
    with pytest.raises(Throttled) as refused:
        throttle.count("alice", HERE)
    assert refused.value.seconds == 20
    clock.now += 19
    with pytest.raises(Throttled) as refused:
        throttle.count("alice", HERE)
    assert refused.value.seconds == 1
    clock.now += 1
    assert attempts(throttle, "alice", HERE) == 1
    clock.now += 1000
    assert attempts(throttle, "alice", HERE) == 3


def test_what_is_refused_is_not_counted(clock: Clock) -> None:
    throttle = Throttle(Limits(per_user=1, window=60), clock=clock)
    for _attempt in range(100):
        attempts(throttle, "alice", HERE)
    clock.now += 60
    assert attempts(throttle, "alice", HERE) == 1


def test_a_right_password_gives_its_count_back(clock: Clock) -> None:
    throttle = Throttle(Limits(per_user=2, per_address=2, window=60), clock=clock)
    for _attempt in range(100):
        throttle.count("alice", HERE)
        throttle.give_back("alice", HERE)
    assert attempts(throttle, "alice", HERE) == 2


def test_an_address_has_so_many_attempts_for_all_users(clock: Clock) -> None:
    throttle = Throttle(Limits(per_address=5, window=60), clock=clock)
    assert sum(attempts(throttle, f"user{number}", HERE, 1) for number in range(50)) == 5
    assert attempts(throttle, "user0", THERE, 5) == 5


def test_a_user_has_ten_times_as_many_from_all_addresses(clock: Clock) -> None:
    throttle = Throttle(Limits(per_user=2, window=60), clock=clock)
    addresses = [f"192.0.2.{number}" for number in range(100)]
    assert sum(attempts(throttle, "alice", address) for address in addresses) == 20
    assert attempts(throttle, "bob", addresses[0]) == 2


def test_everyone_together_has_twenty_times_as_many_as_an_address(clock: Clock) -> None:
    throttle = Throttle(Limits(per_address=2, window=60), clock=clock)
    pairs = [(f"user{number}", f"192.0.2.{number}") for number in range(100)]
    assert sum(attempts(throttle, *pair) for pair in pairs) == 40


def test_without_limits_nothing_is_refused(clock: Clock) -> None:
    assert attempts(Throttle(Limits(), clock=clock), "alice", HERE, 10_000) == 10_000


def test_its_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BUCKETS", 10)
    throttle = Throttle(Limits(per_user=1, per_address=50), clock=clock)
    for number in range(200):
        attempts(throttle, "x" * 10_000 + str(number), f"192.0.2.{number}", 1)
        attempts(throttle, str(number), f"192.0.2.{number}", 1)
    assert len(throttle._buckets) == 10
    assert max(len(part) for key in throttle._buckets for part in key) <= 100


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("localhost", "localhost"),
    ],
)
def test_what_one_address_is(address: str, counted: str) -> None:
    assert network(address) == counted
