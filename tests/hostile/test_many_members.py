"""Archives that several threads read: the verdict is that of one who reads from the start."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable

import pytest

from pypicloud_lite.archives import Checks, check_archive
from pypicloud_lite.errors import InvalidArchive
from pypicloud_lite.names import parse_filename
from tests.support.archives import Part, deflate, wheel_parts, zipped

WHEEL = parse_filename("demo-1.0-py3-none-any.whl")
#: In bytes. The first is read in one step, the second in pieces, the last by a thread more.
SIZES = [100, 300_000, 3_000_000]
OTHERS = [Part(b"demo/other%02d" % n, random.Random(n).randbytes(100_000)) for n in range(30)]
Damage = Callable[[bytes], Part]


def damaged(content: bytes, data: bytes | None = None, **fields: int) -> Part:
    return Part(b"demo/damaged", content, data=data, central=fields, local=fields)


DAMAGES = [
    pytest.param(lambda c: damaged(c, crc=1), "isn't what the directory says", id="crc"),
    pytest.param(lambda c: damaged(c, size=len(c) + 1), "isn't what the directory", id="short"),
    pytest.param(lambda c: damaged(c, size=len(c) - 1), "isn't what the directory", id="long"),
    pytest.param(lambda c: damaged(c, deflate(c)[:-1]), "a compressed stream has no", id="end"),
    pytest.param(lambda c: damaged(c, deflate(c) + b"x"), "lies between two members", id="behind"),
    pytest.param(lambda c: damaged(c, b"\xff" * 64), "is not a readable", id="stream"),
]


def verdict(*parts: Part, **changes: object) -> str:
    """The sentence of the refusal."""
    content = zipped(wheel_parts(*parts, **changes))
    with pytest.raises(InvalidArchive) as caught:
        check_archive(io.BytesIO(content), WHEEL, Checks())
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


def test_an_oddity_before_a_broken_member_is_the_reason() -> None:
    broken = damaged(b"x", crc=1)
    of_first = "the hash of 'demo/other00' isn't that in RECORD"
    for _attempt in range(5):
        assert of_first in verdict(*OTHERS, broken, record=without_hash_of("demo/other00"))


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
    content = zipped(wheel_parts(*OTHERS, record=without_hash_of(*names)))
    checks = Checks(tolerated=frozenset({"record"}))
    expected = [("record", f"the hash of '{name}' isn't that in RECORD") for name in names]
    for _attempt in range(5):
        assert check_archive(io.BytesIO(content), WHEEL, checks).oddities == expected


@pytest.mark.parametrize("size", SIZES)
def test_hashes_in_record_are_verified_at_any_size(size: int) -> None:
    part = Part(b"demo/part", random.Random(2).randbytes(size))
    for others in ([], OTHERS):
        good = zipped(wheel_parts(part, *others))
        assert check_archive(io.BytesIO(good), WHEEL, Checks()).core_metadata
        said = verdict(part, *others, record=without_hash_of("demo/part"))
        assert "the hash of 'demo/part' isn't that in RECORD" in said


def test_no_thread_is_left_behind() -> None:
    check_archive(io.BytesIO(zipped(wheel_parts(*OTHERS))), WHEEL, Checks())
    verdict(damaged(b"x", crc=1), *OTHERS)
    assert helpers() == []
