"""What the fuzzers know, in the normal suite: every kept input, and some thousand changed ones."""

from __future__ import annotations

import itertools
import time
import tracemalloc
import zlib

import pytest

from tests.fuzz.corpus import FOLDER, kept
from tests.fuzz.mutate import LONGEST, mutations
from tests.fuzz.targets import TARGETS

_CHANGED = 2500
#: Seconds of the processor for one input, many times what the slowest takes here.
_SLOWEST = 10
#: Bytes of memory for one input; pieces of what is inflated have a mebibyte.
_MEMORY = 24 << 20
targets = pytest.mark.parametrize("target", TARGETS)


@targets
def test_every_kept_input_is_stood(target: str) -> None:
    inputs = kept(target)
    assert TARGETS[target].seeds().items() <= inputs.items(), "run python -m tests.fuzz.corpus"
    for name, data in inputs.items():
        assert len(data) <= LONGEST
        tracemalloc.start()
        try:
            TARGETS[target].check(data)
            assert tracemalloc.get_traced_memory()[1] < _MEMORY, name
        except Exception as exc:
            exc.add_note(f"the input is {FOLDER.name}/{target}/{name}")
            raise
        finally:
            tracemalloc.stop()


@targets
def test_changed_inputs_are_stood(target: str) -> None:
    module = TARGETS[target]
    inputs = list(kept(target).values())
    seed = zlib.crc32(target.encode())
    for data in itertools.islice(mutations(inputs, module.WORDS, seed), _CHANGED):
        begin = time.process_time()
        try:
            module.check(data)
        except Exception as exc:
            exc.add_note(f"the input is {data!r}")
            raise
        assert time.process_time() - begin < _SLOWEST, data
