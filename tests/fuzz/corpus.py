"""The kept inputs: ``corpus/<target>/<name>``, exactly the bytes that ``check`` gets.

``python -m tests.fuzz.corpus`` writes the seeds there. What a fuzzer found is added by hand, under
a name that says what it is.
"""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.targets import TARGETS

FOLDER = Path(__file__).with_name("corpus")


def kept(target: str) -> dict[str, bytes]:
    """The inputs of a target, by their names."""
    return {path.name: path.read_bytes() for path in sorted((FOLDER / target).iterdir())}


def write_seeds() -> None:
    """Write the seeds of every target."""
    for target, module in TARGETS.items():
        folder = FOLDER / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in module.seeds().items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    write_seeds()
