"""docs/scale.md, from what was measured."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path

from bench.scale_data import FILES_PER_PROJECT, LARGE_FILES, PROCESSES, Data
from bench.scale_folder import DOWNLOADS, PAGES, STARTS, Built, Served
from bench.scale_s3 import Bucket, Start

#: A page that takes this many times what it takes in the smallest folder still costs the same.
FLAT = 1.2


@dataclass(frozen=True)
class Folder:
    """All that was measured of one size."""

    data: Data
    built: Built
    served: Served

    @property
    def generation(self) -> float:
        return self.data.made_in


_Format = Callable[[float], str]


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def _bytes(value: float) -> str:
    if value < 1 << 20:
        return f"{value / (1 << 10):.1f} KiB"
    return f"{value / (1 << 20):.1f} MiB" if value < 100 << 20 else f"{value / (1 << 20):.0f} MiB"


_ROWS: tuple[tuple[str, str, _Format], ...] = (
    ("`rebuild` without an index", "built.rebuild.seconds", _seconds),
    ("its memory, at most", "built.rebuild.peak", _bytes),
    ("`sync` without changes", "built.sync.seconds", _seconds),
    ("its memory, at most", "built.sync.peak", _bytes),
    ("index on disk", "built.index_size", _bytes),
    (f"start until a page is there, median of {STARTS}", "built.start", _seconds),
    ("start with the index not in the disk's cache (once)", "built.start_cold", _seconds),
    ("page right behind the start, median", "built.early", _seconds),
    ("page right behind the start, slowest", "built.early_worst", _seconds),
    ("memory of the server at rest", "served.memory", _bytes),
    (f"memory after {PAGES:,} page requests", "served.memory_after_pages", _bytes),
    ("memory after the list of all projects", "served.memory_after_root", _bytes),
    ("memory, at most", "served.peak", _bytes),
    ("page of 10 files, made", "served.made", _seconds),
    ("page of 10 files, kept", "served.kept", _seconds),
    (f"page of {LARGE_FILES:,} files, made", "served.large_made", _seconds),
    (f"page of {LARGE_FILES:,} files, kept", "served.large_kept", _seconds),
    ("download of a file", "served.download", _seconds),
    ("list of all projects, made (once)", "served.root_made", _seconds),
    ("list of all projects, kept", "served.root_kept", _seconds),
    ("size of that list, compressed", "served.root_size", _bytes),
    ("generation of the files, for comparison", "generation", _seconds),
)
#: What the number of files should not matter for.
_FLAT_ROWS = (
    "served.made",
    "served.kept",
    "served.large_made",
    "served.large_kept",
    "served.download",
)

_HERE = Path(__file__).parent
_PACKAGES = ("waitress", "boto3")


def report(command: str, folders: Sequence[Folder], bucket: Bucket | None) -> str:
    """The whole page."""
    text = _filled(
        "scale_folder.md",
        command=command,
        date=datetime.now(UTC).date(),
        commit=commit(),
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        packages=", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        machine=machine(),
        per_project=FILES_PER_PROJECT,
        large_files=f"{LARGE_FILES:,}",
        pages=f"{PAGES:,}",
        downloads=DOWNLOADS,
        processes=PROCESSES,
        folders=_folders(folders),
        flat=_flat(folders),
    )
    return text if bucket is None else text + "\n" + _bucket(bucket)


def _filled(template: str, **values: object) -> str:
    return (_HERE / template).read_text(encoding="utf-8").format(**values)


def _folders(folders: Sequence[Folder]) -> str:
    sizes = [f"{folder.data.files:,} files" for folder in folders]
    rows = []
    for label, name, written in _ROWS:
        values = [attrgetter(name)(folder) for folder in folders]
        rows.append([label, *_with_ratios(values, written)])
    return table(["", *sizes], rows)


def _with_ratios(values: Sequence[float], written: _Format) -> list[str]:
    first = values[0]
    return [written(first), *(f"{written(value)} ({_ratio(value, first)})" for value in values[1:])]


def _ratio(value: float, other: float) -> str:
    ratio = value / other
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _flat(folders: Sequence[Folder]) -> str:
    """Whether what should cost the same does."""
    labels = {name: label for label, name, _written in _ROWS}
    lines = []
    for name in _FLAT_ROWS:
        values = [attrgetter(name)(folder) for folder in folders]
        ratio = max(values) / values[0]
        verdict = "flat" if ratio <= FLAT else "not flat"
        lines.append(f"- {labels[name]}: at most {ratio:.2f} times, {verdict}")
    limit = f"{FLAT - 1:.0%}".replace("%", " %")
    return f"Against the smallest folder, where up to {limit} more counts as flat:\n\n" + "\n".join(
        lines
    )


def _bucket(bucket: Bucket) -> str:
    snapshot = (
        "the second time there is also the snapshot that the first one left, "
        f"{_bytes(bucket.snapshot_size)}"
        if bucket.snapshot_size
        else "the second time too, since the first one left no snapshot"
    )
    slow = bucket.without
    rows = [
        _start(label, start, slow)
        for label, start in (
            ("empty index, no snapshot", slow),
            ("empty index, snapshot", bucket.with_snapshot),
            ("nothing changed", bucket.unchanged),
        )
    ]
    return _filled(
        "scale_bucket.md",
        objects=bucket.objects,
        latency=bucket.latency * 1000,
        snapshot=snapshot,
        rate=bucket.rate,
        starts=table(["", "time", "times faster", "requests", "of these"], rows),
    )


def _start(label: str, start: Start, slow: Start) -> list[str]:
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(start.requests.items()))
    faster = _ratio(slow.seconds, start.seconds)
    return [label, _seconds(start.seconds), faster, f"{start.total:,}", kinds]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


def commit() -> str:
    """The version, and the commit that was measured."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=_HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    name = found.stdout.strip()
    return version("pypicloud-lite") + (f" ({name})" if name else "")


def machine() -> str:
    """What was measured on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    processor = " and ".join(sorted(models)) or platform.machine()
    return (
        f"{os.cpu_count()} cores of {processor} with {memory:.0f} GiB, Linux {platform.release()}"
    )
