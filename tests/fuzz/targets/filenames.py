"""Names of distribution files: ``<filename>``, or ``<folder>/<folder>/<filename>``."""

from __future__ import annotations

from packaging.utils import parse_sdist_filename, parse_wheel_filename

from pypicloud_lite.errors import InvalidFilename
from pypicloud_lite.names import (
    MAX_FILENAME,
    FileName,
    parse_filename,
    parse_stored_filename,
    parse_version,
    project_name,
)

WORDS = (
    b".whl", b".tar.gz", b".zip", b".egg", b".exe", b".msi", b".rpm", b".tgz", b".tar.bz2", b"-",
    b"py3-none-any", b"cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", b".win-amd64",
    b"-py3.11", b"1.0", b"1!2.0rc1.post2.dev3+local.1", b"..", b"/", b"\\", b"_", b"demo",
)  # fmt: skip
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+!-")


def seeds() -> dict[str, bytes]:
    names = (
        "demo-1.0-py3-none-any.whl",
        "demo_x-1.0-1build-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "demo-1.0.tar.gz",
        "demo-1!2.0rc1.post2.dev3+local.1.zip",
        "demo-1.0-py3.11.egg",
        "demo-1.0.win-amd64-py3.11.exe",
        "demo-1.0-1.noarch.rpm",
        "a-b-1.0.tgz",
        "demo/1.0/demo-1.0.tar.gz",
        "a-b/2004-old/a-b-2004-old.tar.gz",
        "../x-1.0.tar.gz",
    )
    return {f"name-{number:02}": name.encode() for number, name in enumerate(names)}


def check(data: bytes) -> None:
    *folders, filename = data.decode("utf-8", "surrogateescape").rsplit("/", 2)
    parsed = _parsed(filename)
    if parsed is not None:
        _check_parsed(filename, parsed)
    project, version = folders if len(folders) == 2 else (None, None)
    try:
        stored = parse_stored_filename(filename, project, version)
    except InvalidFilename:
        assert parsed is None
        return
    assert stored.filename == filename
    _check_plain(filename)
    if parsed is None:
        assert project is not None
        assert (stored.project, stored.version) == (project_name(project), version)
    elif stored != parsed:
        assert project is not None
        assert stored.project == project_name(project) != parsed.project


def _parsed(filename: str) -> FileName | None:
    try:
        parsed = parse_filename(filename)
    except InvalidFilename:
        return None
    try:
        assert parse_filename(filename, legacy=False) == parsed
    except InvalidFilename:
        assert parsed.extension not in (".whl", ".tar.gz", ".zip")
    return parsed


def _check_parsed(filename: str, parsed: FileName) -> None:
    assert parsed.filename == filename
    _check_plain(filename)
    assert filename.endswith(parsed.extension)
    assert project_name(parsed.project) == parsed.project
    assert str(parse_version(parsed.version)) == parsed.version
    if parsed.extension == ".whl":
        name, version, _build, _tags = parse_wheel_filename(filename)
        assert (name, str(version)) == (parsed.project, parsed.version)
    # What it means has one canonical name, which means the same.
    canonical = f"{parsed.project.replace('-', '_')}-{parsed.version}.tar.gz"
    if len(canonical) <= MAX_FILENAME:
        again = parse_filename(canonical)
        assert (again.project, again.version) == (parsed.project, parsed.version)
        name, version = parse_sdist_filename(canonical)
        assert (name, str(version)) == (parsed.project, parsed.version)


def _check_plain(filename: str) -> None:
    assert 0 < len(filename) <= MAX_FILENAME
    assert _SAFE.issuperset(filename)
    assert filename[0].isalnum()
