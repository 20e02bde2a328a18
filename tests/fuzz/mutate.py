"""Random changes of inputs, by a seed: the same seed makes the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

#: Longest input, in bytes.
LONGEST = 8192


def mutations(inputs: Sequence[bytes], words: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Changed inputs without end."""
    random = Random(seed)
    while True:
        data = bytearray(random.choice(inputs))
        for _change in range(random.choice((1, 1, 2, 3, 6))):
            _mutate(data, inputs, words, random)
        yield bytes(data[:LONGEST])


def _mutate(
    data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes], random: Random
) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 1, 2, 4, 16, 64)))
    kind = random.randrange(6)
    if kind == 0:
        data[at:end] = random.randbytes(end - at)
    elif kind == 1:
        data[at:end] = b""
    elif kind == 2:
        data[at:at] = data[at:end]
    elif kind == 3:
        data[at : at + random.randrange(9)] = random.choice(words)
    elif kind == 4:
        other = random.choice(inputs)
        start = random.randrange(len(other) + 1)
        data[at:] = other[start:]
    elif at < len(data):
        data[at] ^= 1 << random.randrange(8)
