"""Reading all members of a zip to their ends, several at once, with an outcome as if one by one.

zlib and hashlib work without the interpreter's lock, and no member depends on another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO

from pypicloud_lite.archives.content import at_once, content
from pypicloud_lite.archives.reading import ReadAt, reader
from pypicloud_lite.archives.zips import Member
from pypicloud_lite.digesting import Digesting

#: A member, and the hashlib name of the digest that is wanted of it.
Wanted = tuple[Member, str | None]
#: The digests of members, and what is wrong with the one behind them.
_Outcome = tuple[list[bytes | None], Exception | None]

#: How many threads read one archive.
_THREADS = min(4, os.cpu_count() or 1)
#: What is handed to a thread at a time, in bytes that come out.
_BATCH = 1 << 20
#: Members that are smaller than this on average are read faster by one thread, since several
#: would mostly wait for the interpreter. In bytes.
_WORTH_A_THREAD = 1 << 14


def read_all(file: IO[bytes], wanted: Sequence[Wanted]) -> Generator[bytes | None, None, None]:
    """Read the members to their ends; the digest of each, in their order.

    Memory is bounded by a few mebibytes for each of a few threads. Close the iterator where it
    may not come to its end.

    Raises:
        InvalidArchive, zlib.error: a member is broken; those before it were told.
    """
    read_at = reader(file)
    batches = list(_batches(wanted))
    if _is_for_one(wanted):
        yield from _in_order(map(partial(_read_batch, read_at, alone=True), batches))
        return
    pool = ThreadPoolExecutor(_THREADS, "members")
    try:
        yield from _in_order(_shared(pool, partial(_read_batch, read_at, alone=False), batches))
    finally:
        pool.shutdown(cancel_futures=True)


def _shared(
    pool: ThreadPoolExecutor, work: Callable[[list[Wanted]], _Outcome], batches: list[list[Wanted]]
) -> Iterable[_Outcome]:
    """By the threads of the pool; by this one where no other can be had."""
    try:
        return pool.map(work, batches)
    except RuntimeError:
        return map(work, batches)


def _is_for_one(wanted: Sequence[Wanted]) -> bool:
    """Whether one thread is as fast: few bytes, small members, or one that is most of it all."""
    sizes = [member.size for member, _algorithm in wanted]
    total = sum(sizes)
    return total < max(_BATCH, _WORTH_A_THREAD * len(sizes)) or 3 * max(sizes) > 2 * total


def _batches(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    batch: list[Wanted] = []
    size = 0
    for member, algorithm in wanted:
        batch.append((member, algorithm))
        size += member.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def _read_batch(read_at: ReadAt, batch: list[Wanted], *, alone: bool) -> _Outcome:
    digests: list[bytes | None] = []
    try:
        for member, algorithm in batch:
            digests.append(_read(read_at, member, algorithm, alone=alone))
    except Exception as exc:
        return digests, exc
    return digests, None


def _in_order(outcomes: Iterable[_Outcome]) -> Iterator[bytes | None]:
    for digests, error in outcomes:
        yield from digests
        if error is not None:
            raise error


def _read(read_at: ReadAt, member: Member, algorithm: str | None, *, alone: bool) -> bytes | None:
    whole = at_once(read_at, member)
    if whole is not None:
        return None if algorithm is None else hashlib.new(algorithm, whole).digest()
    digest = None if algorithm is None else hashlib.new(algorithm)
    with Digesting([] if digest is None else [digest], in_threads=alone) as digesting:
        for piece in content(read_at, member):
            digesting.update(piece)
    return None if digest is None else digest.digest()
