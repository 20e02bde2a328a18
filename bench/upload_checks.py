"""What the checks of an upload cost, beside computing the digests that every upload needs.

A wheel of 20 MB and 2,000 members, once of compiled code and the like, which hardly compresses,
and once of text. The floor is what zlib and hashlib take for the same bytes on one core.
``python bench/upload_checks.py``
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

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


def floor(file: IO[bytes]) -> float:
    """Seconds on one core: every member inflated, its CRC and its sha256."""
    packed: list[bytes] = []
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            file.seek(info.header_offset + 30 + len(info.filename))
            packed.append(file.read(info.compress_size))

    def read_all() -> None:
        for data in packed:
            content = zlib.decompress(data, -zlib.MAX_WBITS)
            zlib.crc32(content)
            hashlib.sha256(content).digest()

    return fastest(read_all)


def report(label: str, make: Callable[[int], bytes], member_size: int) -> None:
    content = wheel(files={f"demo/m{n}.py": make(member_size) for n in range(MEMBERS)})
    with tempfile.TemporaryFile() as file:
        file.write(content)
        checks = fastest(lambda: check_archive(file, NAME, Checks()))
        least = floor(file)
    hashing = fastest(lambda: digests(content))
    print(
        f"{label}: {len(content) / 1e6:.0f} MB, inflates to {MEMBERS * member_size / 1e6:.0f} MB: "
        f"checks {checks * 1000:.0f} ms, sha256 and md5 {hashing * 1000:.0f} ms, "
        f"ratio {checks / hashing:.1f}; floor {least * 1000:.0f} ms on one core"
    )


if __name__ == "__main__":
    source = random.Random(1)
    report("incompressible", source.randbytes, SIZE // MEMBERS)
    report("text", lambda size: text(source.randbytes, size), int(SIZE * 3.8) // MEMBERS)
