"""What an index costs at 1,000, 100,000 and 1,000,000 files, and a first start with a large bucket.

    .venv/bin/python bench/scale.py [--sizes 1000,100000,1000000] [--objects 100000] [--quick]

Writes docs/scale.md. A million files are 3.6 million inodes and 15 GB of a disk with blocks of
4 KiB. Needs Linux, for /proc.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from bench.scale_data import Data
from bench.scale_folder import measure_index, measure_servers
from bench.scale_report import Folder, report
from bench.scale_s3 import Bucket, measure_bucket


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def folder_for(chosen: Path | None) -> Iterator[Path]:
    """Where the data lies: the chosen folder, or one that is removed in the end."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    (_ROOT / "data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scale-", dir=_ROOT / "data") as folder:
        yield Path(folder)


@contextmanager
def made(folder: Path, sizes: Sequence[int], *, keep: bool) -> Iterator[list[Data]]:
    """The files of all sizes; those that were there already stay."""
    every = [Data(folder / f"files-{files}", files) for files in sizes]
    new = [data for data in every if not data.is_complete]
    try:
        for data in new:
            say(f"{data.files} files: generation")
            data.make()
        yield every
    finally:
        for data in new if not keep else ():
            data.remove()


def measure_folders(every: Sequence[Data]) -> list[Folder]:
    built = []
    for data in every:
        say(f"{data.files} files: index")
        built.append(measure_index(data))
        say(f"  {built[-1]}")
    say("servers")
    served = measure_servers(every)
    return [Folder(*parts) for parts in zip(every, built, served, strict=True)]


def measure_s3(objects: int, latency: float, folder: Path) -> Bucket | None:
    if not objects:
        return None
    say(f"{objects} objects")
    with tempfile.TemporaryDirectory(dir=folder) as databases:
        bucket = measure_bucket(objects, latency, Path(databases))
    say(f"  {bucket}")
    return bucket


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,100000,1000000", help="numbers of files")
    parser.add_argument("--objects", type=int, default=100_000, help="in S3; 0: no S3")
    parser.add_argument("--latency", type=float, default=0.02, help="of S3, in seconds")
    parser.add_argument(
        "--quick", action="store_true", help="1000 and 10000 files, 2000 objects, printed"
    )
    parser.add_argument("--data", type=Path, help="where to make the files, and to find them again")
    parser.add_argument("--keep", action="store_true", help="leave the files in --data")
    parser.add_argument("--output", type=Path, help="default: docs/scale.md; none with --quick")
    parsed = parser.parse_args()
    if parsed.keep and parsed.data is None:
        parser.error("--keep needs --data")
    if parsed.quick:
        parsed.sizes, parsed.objects = "1000,10000", 2000
    elif parsed.output is None:
        parsed.output = _ROOT / "docs" / "scale.md"
    return parsed


def main() -> None:
    given = arguments()
    sizes = [int(size) for size in given.sizes.split(",")]
    options = f"--sizes {given.sizes} --objects {given.objects} --latency {given.latency}"
    with folder_for(given.data) as folder:
        bucket = measure_s3(given.objects, given.latency, folder)
        with made(folder, sizes, keep=given.keep) as every:
            text = report(f"make scale ARGS='{options}'", measure_folders(every), bucket)
    if given.output is None:
        print(text, end="")
    else:
        given.output.write_text(text, encoding="utf-8")
        say(f"{given.output} is written")


if __name__ == "__main__":
    main()
