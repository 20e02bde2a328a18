"""``python -m tests.fuzz --seconds 60``: looks for inputs that a target doesn't stand.

What is worth keeping between two runs lies in ``.fuzz/<target>/``. An input that fails is written
to ``.fuzz/<target>-...``; once the defect is mended, it belongs in the corpus of the target.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.corpus import FOLDER

WORK = Path(".fuzz")
TARGETS = sorted(path.name for path in FOLDER.iterdir())


def run(target: str, seconds: int) -> tuple[str, int, str]:
    """Fuzz one target in a process of its own."""
    (WORK / target).mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", target, str(seconds), str(WORK)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return target, done.returncode, done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}")
    options = parser.parse_args()
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        targets = options.targets or TARGETS
        for target, code, output in pool.map(lambda name: run(name, options.seconds), targets):
            lines = output.strip().splitlines()
            print(f"{target}: {'ok' if code == 0 else 'FAILED'}, {lines[-1] if lines else ''}")
            if code:
                print(output[-6000:])
                failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
