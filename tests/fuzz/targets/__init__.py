"""What is fuzzed. Each module here is one target and has

- ``check(data)``, which raises where something is wrong with what the code makes of the bytes;
- ``seeds()``, good and bad inputs to begin with, by their names;
- ``WORDS``, which mean something to the parser.
"""

from __future__ import annotations

from types import ModuleType

from tests.fuzz.targets import (
    accept,
    authorization,
    events,
    filenames,
    forms,
    snapshots,
    tars,
    zips,
)

TARGETS: dict[str, ModuleType] = {
    "accept": accept,
    "authorization": authorization,
    "events": events,
    "filenames": filenames,
    "forms": forms,
    "snapshots": snapshots,
    "tars": tars,
    "zips": zips,
}
