"""What the checks of an upload cost, beside computing the digests that every upload needs.

A wheel of 20 MB and 2,000 members, once of compiled code and the like, which hardly compresses,
and once of text. ``python bench/upload_checks.py``
"""

from __future__ import annotations

import hashlib
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pypicloud_lite.archives import Checks, check_archive
from pypicloud_lite.names import parse_filename
from tests.support.dists import wheel

NAME = parse_filename("demo-1.0-py3-none-any.whl")
MEMBERS, SIZE = 2000, 20_000_000
ROUNDS = 5


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few rounds."""
    rounds = []
    for _round in range(ROUNDS):
        begin = time.perf_counter()
        work()
        rounds.append(time.perf_counter() - begin)
    return min(rounds)


def digests(content: bytes) -> None:
    for algorithm in ("sha256", "md5"):
        hashlib.new(algorithm, content, usedforsecurity=False).digest()


def text(random_bytes: Callable[[int], bytes], size: int) -> bytes:
    """Words of a small vocabulary, which compress to about a third."""
    words = [random_bytes(4).hex().encode() for _word in range(500)]
    return b" ".join(words[byte * 2 % 500] for byte in random_bytes(size // 9))


def report(label: str, make: Callable[[int], bytes], member_size: int) -> None:
    content = wheel(files={f"demo/m{n}.py": make(member_size) for n in range(MEMBERS)})
    checks = fastest(lambda: check_archive(io.BytesIO(content), NAME, Checks()))
    hashing = fastest(lambda: digests(content))
    print(
        f"{label}: {len(content) / 1e6:.0f} MB, inflates to {MEMBERS * member_size / 1e6:.0f} MB: "
        f"checks {checks * 1000:.0f} ms, sha256 and md5 {hashing * 1000:.0f} ms, "
        f"ratio {checks / hashing:.1f}"
    )


if __name__ == "__main__":
    source = random.Random(1)
    report("incompressible", source.randbytes, SIZE // MEMBERS)
    report("text", lambda size: text(source.randbytes, size), int(SIZE * 3.8) // MEMBERS)
