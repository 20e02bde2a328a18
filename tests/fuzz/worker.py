"""Fuzzing one target: guided by coverage where atheris is installed, else by chance alone."""

from __future__ import annotations

import faulthandler
import hashlib
import logging
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

try:
    import atheris
except ImportError:
    atheris = None

#: Seconds for one input, and mebibytes for all together.
_SLOWEST, _MEMORY = 20, 2048
_INSTRUMENTED = ["pypicloud_lite", "packaging", "multipart", "webob.acceptparse"]


def main(target: str, seconds: int, work: Path) -> None:
    logging.disable(logging.CRITICAL)
    if atheris is None:
        _by_chance(_load(target), target, seconds, work)
        return
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        module = _load(target)
    _guided(module.check, _words(module, target, work), target, seconds, work)


def _load(target: str) -> ModuleType:
    return import_module(f"tests.fuzz.targets.{target}")


def _words(module: ModuleType, target: str, work: Path) -> Path:
    """A dictionary as libFuzzer reads it."""
    path = work / f"{target}.words"
    lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in module.WORDS)
    path.write_text("".join(f'"{line}"\n' for line in lines))
    return path


def _guided(
    check: Callable[[bytes], None], words: Path, target: str, seconds: int, work: Path
) -> None:
    from tests.fuzz.corpus import FOLDER
    from tests.fuzz.mutate import LONGEST

    options = {
        "max_total_time": seconds,
        "timeout": _SLOWEST,
        "rss_limit_mb": _MEMORY,
        "max_len": LONGEST,
        "artifact_prefix": f"{work}/{target}-",
        "dict": words,
        "print_final_stats": 0,
        "verbosity": 1,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    folders = [str(work / target), str(FOLDER / target)]
    atheris.Setup([sys.argv[0], *arguments, *folders], check)
    atheris.Fuzz()


def _by_chance(module: ModuleType, target: str, seconds: int, work: Path) -> None:
    from tests.fuzz.corpus import kept
    from tests.fuzz.mutate import mutations

    inputs = list(kept(target).values())
    end, count = time.monotonic() + seconds, 0
    for data in mutations(inputs, module.WORDS, time.time_ns()):
        faulthandler.dump_traceback_later(_SLOWEST, exit=True)
        try:
            module.check(data)
        except Exception:
            traceback.print_exc()
            failing = work / f"{target}-crash-{hashlib.sha1(data).hexdigest()}"
            failing.write_bytes(data)
            sys.exit(f"the failing input is in {failing}")
        count += 1
        if time.monotonic() > end:
            break
    faulthandler.cancel_dump_traceback_later()
    print(f"{count} inputs by chance, since atheris is not installed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
