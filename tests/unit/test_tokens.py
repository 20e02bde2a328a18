"""API tokens: their form, and their lines in the ini file."""

from __future__ import annotations

import string
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from pypicloud_lite.access.tokens import (
    Token,
    Tokens,
    digest_of,
    is_intact,
    make_secret,
    parse_token,
    render_token,
)
from pypicloud_lite.names import project_name
from tests.support.tokens import make_token

HASH = "sha256:" + "0f" * 32


def test_tokens_have_256_random_bits_and_a_checksum() -> None:
    made = {make_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(secret) for secret in made} == {4 + 43 + 6}
    assert all(secret.startswith("pcl_") and is_intact(secret) for secret in made)
    # 62 ** 43 is the first power above 2 ** 256; each of its digits but the first takes any value.
    assert {secret[10] for secret in made} == set(string.ascii_letters + string.digits)


def test_one_wrong_character_anywhere_is_noticed() -> None:
    secret = make_secret()
    for place in range(len(secret)):
        other = "A" if secret[place] != "A" else "B"
        assert not is_intact(secret[:place] + other + secret[place + 1 :])
    for wrong in ("", "pcl_", secret[:-1], secret + "A", secret + "\n", secret.swapcase(), "é"):
        assert not is_intact(wrong)


def test_only_a_digest_is_kept() -> None:
    made = make_token()
    assert made.secret not in repr(vars(Tokens([made.token])))
    assert made.secret not in render_token(made.token)
    assert Tokens([made.token]).find(made.secret) == made.token
    assert Tokens([made.token]).find(make_secret()) is None


def test_the_whole_line() -> None:
    read = parse_token(
        "ci", f"{HASH}; owner=alice; scope=write; projects=Foo_Bar baz; expires=2027-01-01"
    )
    projects = frozenset({project_name("foo-bar"), project_name("baz")})
    assert read == Token("ci", "0f" * 32, "alice", True, projects, date(2027, 1, 1))
    assert render_token(read) == (
        f"token.ci = {HASH}; owner=alice; scope=write; projects=baz foo-bar; expires=2027-01-01"
    )


def test_a_line_says_no_more_than_it_must() -> None:
    assert parse_token("ci", f"{HASH};owner=alice") == Token("ci", "0f" * 32, "alice")
    assert parse_token("ci", f" {HASH.upper().replace('SHA', 'sha')} ; owner = alice ; ") == (
        Token("ci", "0f" * 32, "alice")
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with sha256:"),
        ("sha256:abc; owner=alice", "does not begin with sha256:"),
        ("pcl_secret; owner=alice", "does not begin with sha256:"),
        (HASH, "no owner"),
        (f"{HASH}; owner=", "no owner"),
        (f"{HASH}; owner=alice; scope=admin", "unknown scope"),
        (f"{HASH}; owner=alice; scope=", "unknown scope"),
        (f"{HASH}; owner=alice; projects=", "names no project"),
        (f"{HASH}; owner=alice; projects=../x", "not a valid project name"),
        (f"{HASH}; owner=alice; expires=", "no date"),
        (f"{HASH}; owner=alice; expires=tomorrow", "no date"),
        (f"{HASH}; owner=alice; expires=2027-13-01", "no date"),
        (f"{HASH}; owner=alice; owner=bob", "each once"),
        (f"{HASH}; owner=alice; scopes=read", "each once"),
        (f"{HASH}; owner=alice; read", "each once"),
        (f"{HASH} owner=alice", "does not begin with sha256:"),
    ],
)
def test_a_wrong_line_is_refused_without_showing_it(text: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as refused:
        parse_token("ci", text)
    assert "0f0f" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_token_expires_when_its_day_begins_in_utc() -> None:
    token = make_token(expires=date(2027, 1, 1)).token
    assert not token.is_expired(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert token.is_expired(datetime(2027, 1, 1, tzinfo=UTC))
    east = timezone(timedelta(hours=9))
    assert not token.is_expired(datetime(2027, 1, 1, 8, 59, tzinfo=east))
    assert token.is_expired(datetime(2027, 1, 1, 9, tzinfo=east))
    assert not make_token().token.is_expired(datetime(9999, 1, 1, tzinfo=UTC))


def test_the_digest_is_that_of_sha256() -> None:
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert digest_of("abc") == abc
