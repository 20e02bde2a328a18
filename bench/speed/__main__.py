"""How fast the server is, against Pyramid on waitress and against its peers.

    .venv/bin/python -m bench.speed [--quick] [--only pages,files] [--no-peers]

Writes docs/performance.md. Needs Linux, for /proc.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.speed.context import Context
from bench.speed.data import Stores
from bench.speed.files import measure_files, measure_redirects
from bench.speed.pace import Pace, say
from bench.speed.pages import measure_pages, measure_revalidation, measure_root
from bench.speed.report import tables
from bench.speed.results import Section

_ROOT = Path(__file__).resolve().parents[2]
SECTIONS: dict[str, Callable[[Context], Section]] = {
    "pages": measure_pages,
    "root": measure_root,
    "revalidation": measure_revalidation,
    "files": measure_files,
    "redirects": measure_redirects,
}
#: Rounds and seconds, by ``--quick`` or without.
_QUICK, _FULL = (3, 1), (5, 2)


@contextmanager
def folder_for(chosen: Path | None) -> Iterator[Path]:
    """Where the data lies: the chosen folder, or one that is removed in the end."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        yield Path(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help=f"some of {','.join(SECTIONS)}; prints tables")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter; prints tables")
    parser.add_argument("--rounds", type=int, help="default: 5, or 3 with --quick")
    parser.add_argument("--seconds", type=int, help="of each measurement; default: 2, or 1")
    parser.add_argument("--data", type=Path, help="where the data is kept for the next time")
    parsed = parser.parse_args()
    parsed.only = parsed.only.split(",") if parsed.only else list(SECTIONS)
    if unknown := set(parsed.only) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    rounds, seconds = _QUICK if parsed.quick else _FULL
    parsed.rounds, parsed.seconds = parsed.rounds or rounds, parsed.seconds or seconds
    return parsed


def main() -> None:
    given = arguments()
    with folder_for(given.data) as folder, tempfile.TemporaryDirectory() as logs:
        pace = Pace(given.rounds, given.seconds, given.quick)
        context = Context(Stores(folder), pace, Path(logs))
        sections = []
        for name in given.only:
            say(name)
            sections.append(SECTIONS[name](context))
    print(tables(sections))


if __name__ == "__main__":
    sys.exit(main())
