"""How fast the server is, against Pyramid on waitress and against its peers.

    .venv/bin/python -m bench.speed [--quick] [--only pages,files] [--no-peers]

Writes docs/performance.md. Needs Linux, for /proc.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.speed.authenticated import measure_authenticated
from bench.speed.context import Context
from bench.speed.data import Stores
from bench.speed.different import measure_different
from bench.speed.files import measure_files, measure_redirects
from bench.speed.fresh import measure_freshness
from bench.speed.large import measure_large
from bench.speed.pace import Pace, say
from bench.speed.pages import measure_pages, measure_revalidation, measure_root
from bench.speed.peer_setup import running
from bench.speed.peers import Peer
from bench.speed.report import Run, report, write
from bench.speed.results import Section
from bench.speed.sizes import measure_sizes
from bench.speed.starts import measure_starts
from bench.speed.uploads import measure_uploads

_ROOT = Path(__file__).resolve().parents[2]
SECTIONS: dict[str, Callable[[Context], Section]] = {
    "pages": measure_pages,
    "root": measure_root,
    "revalidation": measure_revalidation,
    "files": measure_files,
    "redirects": measure_redirects,
    "different": measure_different,
    "large": measure_large,
    "users": measure_authenticated,
    "sizes": measure_sizes,
    "fresh": measure_freshness,
    "starts": measure_starts,
    "uploads": measure_uploads,
}
#: Rounds and seconds, by ``--quick`` or without.
_QUICK, _FULL = (2, 1), (5, 2)


@contextmanager
def folder_for(chosen: Path | None) -> Iterator[Path]:
    """Where the data lies: the chosen folder, or one that is removed in the end."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    (_ROOT / "data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="speed-", dir=_ROOT / "data") as folder:
        yield Path(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help=f"some of {','.join(SECTIONS)}; printed")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter; printed")
    parser.add_argument("--rounds", type=int, help="default: 5, or 2 with --quick")
    parser.add_argument("--seconds", type=int, help="of each measurement; default: 2, or 1")
    parser.add_argument("--data", type=Path, help="where data and peers are kept for the next time")
    parser.add_argument(
        "--peers", action=argparse.BooleanOptionalAction, help="default: not with --quick"
    )
    parser.add_argument(
        "--size-limit", type=int, default=1_000_000, help="files of the largest store"
    )
    parser.add_argument("--output", type=Path, help="default: docs/performance.md for all in full")
    parsed = parser.parse_args()
    if parsed.output is None and not (parsed.only or parsed.quick):
        parsed.output = _ROOT / "docs" / "performance.md"
    parsed.only = parsed.only.split(",") if parsed.only else list(SECTIONS)
    if unknown := set(parsed.only) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    rounds, seconds = _QUICK if parsed.quick else _FULL
    parsed.rounds, parsed.seconds = parsed.rounds or rounds, parsed.seconds or seconds
    if parsed.peers is None:
        parsed.peers = not parsed.quick
    parsed.command = shlex.join(["python", "-m", "bench.speed", *sys.argv[1:]])
    return parsed


def main() -> None:
    given = arguments()
    with folder_for(given.data) as folder, tempfile.TemporaryDirectory(dir=folder) as scratch:
        stores = Stores(folder)
        with _peers(stores, wanted=given.peers) as (peers, missing):
            pace = Pace(given.rounds, given.seconds, given.quick)
            context = Context(stores, pace, Path(scratch), peers, given.size_limit)
            sections = []
            for name in given.only:
                say(name)
                sections.append(SECTIONS[name](context))
    about = [f"{name} {peer.version}" for name, peer in peers.items()] + missing
    text = report(Run(given.command, given.rounds, given.seconds, about), sections)
    if given.output is None:
        print(text)
    else:
        write(given.output, text)
        say(f"{given.output} is written")


@contextmanager
def _peers(stores: Stores, *, wanted: bool) -> Iterator[tuple[dict[str, Peer], list[str]]]:
    if not wanted:
        yield {}, []
        return
    with running(stores) as found:
        yield found


if __name__ == "__main__":
    main()
