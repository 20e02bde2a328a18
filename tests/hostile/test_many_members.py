"""Archives that several threads read: the verdict is that of one who reads from the start."""

from __future__ import annotations

import hashlib
import random
import tempfile
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from pypicloud_lite.archives import Checked, Checks, check_archive
from pypicloud_lite.digesting import Digesting
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import parse_filename
from tests.support.archives import Part, deflate, wheel_parts, zipped

WHEEL = parse_filename("demo-1.0-py3-none-any.whl")
STRICT = Checks()
#: In bytes. The first is read in one step, the second in pieces, the last by a thread more.
SIZES = [100, 300_000, 3_000_000]
OTHERS = [Part(b"demo/other%02d" % n, random.Random(n).randbytes(100_000)) for n in range(30)]
Damage = Callable[[bytes], Part]


def damaged(content: bytes, data: bytes | None = None, **fields: int) -> Part:
    return Part(b"demo/damaged", content, data=data, central=fields, local=fields)


def unended(content: bytes) -> bytes:
    """All of the content, without the end of its stream."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)


DAMAGES = [
    pytest.param(lambda c: damaged(c, crc=1), "isn't what the directory says", id="crc"),
    pytest.param(lambda c: damaged(c, size=len(c) + 1), "isn't what the directory", id="short"),
    pytest.param(lambda c: damaged(c, size=len(c) - 1), "isn't what the directory", id="long"),
    pytest.param(lambda c: damaged(c, deflate(c)[:-1]), "a compressed stream has no", id="end"),
    pytest.param(lambda c: damaged(c, unended(c)), "a compressed stream has no end", id="unended"),
    pytest.param(lambda c: damaged(c, deflate(c) + b"x"), "lies between two members", id="behind"),
    pytest.param(lambda c: damaged(c, b"\xff" * 64), "is not a readable", id="stream"),
]


def check(*parts: Part, checks: Checks = STRICT, **changes: Any) -> Checked:
    """Check a wheel that lies on the disk, as uploads do."""
    with tempfile.TemporaryFile() as file:
        file.write(zipped(wheel_parts(*parts, **changes)))
        return check_archive(file, WHEEL, checks)


def verdict(*parts: Part, **changes: Any) -> str:
    """The sentence of the refusal."""
    with pytest.raises(InvalidArchive) as caught:
        check(*parts, **changes)
    return str(caught.value)


def helpers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "members" in thread.name]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("damage", "says"), DAMAGES)
def test_damage_is_told_in_the_same_words_wherever_it_is(
    size: int, damage: Damage, says: str
) -> None:
    part = damage(random.Random(1).randbytes(size))
    alone, first, last = verdict(part), verdict(part, *OTHERS), verdict(*OTHERS, part)
    assert says in alone
    assert alone == first == last


@pytest.mark.parametrize("size", SIZES)
def test_of_several_broken_members_the_first_is_named(size: int) -> None:
    slow = Part(b"demo/slow", bytes(size), central={"crc": 1}, local={"crc": 1})
    quick = [
        Part(b"demo/quick%d" % n, b"x", central={"crc": 1}, local={"crc": 1}) for n in range(2)
    ]
    for _attempt in range(5):
        assert "demo/slow" in verdict(*OTHERS[:3], slow, *OTHERS[3:], *quick)


@pytest.mark.parametrize("name", ["demo/other00", "demo/other29"])
def test_an_oddity_before_a_broken_member_is_the_reason(name: str) -> None:
    broken = damaged(b"x", crc=1)
    says = f"the hash of '{name}' isn't that in RECORD"
    for _attempt in range(5):
        assert says in verdict(*OTHERS, broken, record=without_hash_of(name))


def without_hash_of(*names: str) -> Callable[[str], str]:
    """RECORD with a wrong hash for these."""

    def change(record: str) -> str:
        lines = record.splitlines(keepends=True)
        return "".join(
            line.replace("sha256=", "sha256=wrong") if line.startswith(names) else line
            for line in lines
        )

    return change


def test_oddities_are_told_in_the_order_of_the_members() -> None:
    names = [f"demo/other{n:02d}" for n in (1, 2, 9, 14, 15, 16, 28)]
    checks = Checks(tolerated=frozenset({"record"}))
    record = without_hash_of(*names)
    expected = [("record", f"the hash of '{name}' isn't that in RECORD") for name in names]
    for _attempt in range(5):
        assert check(*OTHERS, checks=checks, record=record).oddities == expected


@pytest.mark.parametrize("size", SIZES)
def test_hashes_in_record_are_verified_at_any_size(size: int) -> None:
    part = Part(b"demo/part", random.Random(2).randbytes(size))
    for others in ([], OTHERS):
        assert check(part, *others).core_metadata
        said = verdict(part, *others, record=without_hash_of("demo/part"))
        assert "the hash of 'demo/part' isn't that in RECORD" in said


def test_no_thread_is_left_behind() -> None:
    check(*OTHERS)
    verdict(damaged(b"x", crc=1), *OTHERS)
    assert helpers() == []


def test_threads_do_not_read_each_others_bytes() -> None:
    larger = [Part(b"demo/%02d" % n, random.Random(n).randbytes(600_000)) for n in range(20)]
    for _attempt in range(3):
        assert check(*larger).core_metadata


def test_where_no_thread_can_be_had_one_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine at its limit of threads takes a little longer, and refuses nothing for it."""

    def no_more(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    assert check(*OTHERS).core_metadata is not None
    assert "isn't what the directory says" in verdict(*OTHERS, damaged(b"x", crc=1))
    digest = hashlib.sha256()
    with Digesting([digest, hashlib.md5(usedforsecurity=False)]) as digesting:
        for _chunk in range(5):
            digesting.update(bytes(1 << 20))
    assert digest.digest() == hashlib.sha256(bytes(5 << 20)).digest()
