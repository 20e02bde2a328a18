"""Passwords: what is hashed, what is remembered, what it costs."""

from __future__ import annotations

import pytest

from pypicloud_lite.access import passwords as module
from pypicloud_lite.access.passwords import Passwords
from tests.support.server import fast_hash

KNOWN = {
    # By pypicloud's documentation: user stevearc, password gunface.
    "$5$rounds=80000$yiWi67QBJLDTvbI/$d6qIG/bIoM3hp0lxH8v/vzxg8Qc4CJbxbxiUH4MlnE7": "gunface",
    # By pypicloud's documentation: user dsa, password paranoia.
    "$5$rounds=80000$U/lot7eW6gFvuvna$KDyrQvi40XXWzMRkBq1Z/0odJEXzqUVNaPIArL/W0s6": "paranoia",
}


class Counter:
    """Counts how often a hash is computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Passwords._hash_matches

        def counted(*args: object) -> bool:
            self.count += 1
            return original(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(Passwords, "_hash_matches", counted)


@pytest.mark.parametrize(("stored", "password"), KNOWN.items())
def test_hashes_that_pypicloud_made_verify(stored: str, password: str) -> None:
    assert Passwords({"u": stored}).verify("u", password)
    assert not Passwords({"u": stored}).verify("u", password + "x")


def test_a_verified_password_is_hashed_once_per_period(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch)
    now = [0.0]
    passwords = Passwords({"u": fast_hash("p")}, ttl=60, clock=lambda: now[0])
    assert all(passwords.verify("u", "p") for _ in range(100))
    assert counter.count == 1
    now[0] = 59
    passwords.verify("u", "p")
    assert counter.count == 1
    now[0] = 61  # counted from the hashing, however often it was used
    passwords.verify("u", "p")
    assert counter.count == 2


def test_a_wrong_password_is_never_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(monkeypatch)
    passwords = Passwords({"u": fast_hash("p")})
    assert not any(passwords.verify("u", "wrong") for _ in range(3))
    assert counter.count == 3


def test_an_unknown_user_costs_a_hash_too(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    context = module._context()
    original = type(context).verify

    def watched(self: object, secret: bytes, stored: str) -> bool:
        verified.append(stored)
        return original(self, secret, stored)

    monkeypatch.setattr(type(context), "verify", watched)
    stored = fast_hash("p")
    assert not Passwords({"u": stored}).verify("unknown", "p")
    assert not Passwords({}).verify("unknown", "p")
    assert verified[0] == stored
    assert len(verified) == 2


@pytest.mark.parametrize("password", ["", "x" * 1025, "a\0b", "é" * 513])
def test_what_can_be_no_password_is_not_hashed(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    counter = Counter(monkeypatch)
    assert not Passwords({"u": fast_hash("p")}).verify("u", password)
    assert counter.count == 0


def test_memory_of_verified_passwords_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_REMEMBERED", 3)
    monkeypatch.setattr(Passwords, "_hash_matches", lambda *_args: True)
    passwords = Passwords({"u": "x"})
    for number in range(50):
        assert passwords.verify("u", str(number))
    assert len(passwords._verified) <= 3


def test_the_password_itself_is_not_kept() -> None:
    passwords = Passwords({"u": fast_hash("sesame-open")})
    passwords.verify("u", "sesame-open")
    assert "sesame-open" not in repr(vars(passwords))
