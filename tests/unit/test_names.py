"""Names of projects and files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicloud_lite.errors import InvalidFilename, InvalidName
from pypicloud_lite.names import parse_filename, parse_stored_filename, project_name, version_key


@pytest.mark.parametrize(
    ("name", "normalized"),
    [("Foo", "foo"), ("a.-_b", "a-b"), ("x", "x"), ("A1.B_2", "a1-b-2")],
)
def test_names_are_normalized(name: str, normalized: str) -> None:
    assert project_name(name) == normalized


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "-a",
        "a-",
        "a b",
        "a/b",
        "é",
        "a\n",
        "..",
        "a" * 151,
        "\N{CYRILLIC SMALL LETTER IE}",
    ],
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        project_name(name)


@pytest.mark.parametrize(
    ("filename", "project", "version", "packagetype"),
    [
        ("demo-1.0-py3-none-any.whl", "demo", "1.0", "bdist_wheel"),
        ("De_mo-1.0.0+x.1-2-cp311-cp311-linux_x86_64.whl", "de-mo", "1.0.0+x.1", "bdist_wheel"),
        ("demo-ext-1.0.tar.gz", "demo-ext", "1.0", "sdist"),
        ("demo-1.0.zip", "demo", "1.0", "sdist"),
        ("demo-1.0.tar.bz2", "demo", "1.0", "sdist"),
        ("demo_x-1.0-py2.7-linux-x86_64.egg", "demo-x", "1.0", "bdist_egg"),
        ("demo-1.0.win32-py2.7.exe", "demo", "1.0", "bdist_wininst"),
    ],
)
def test_filenames_say_what_they_are(
    filename: str, project: str, version: str, packagetype: str
) -> None:
    parsed = parse_filename(filename)
    assert (parsed.project, parsed.version, parsed.packagetype) == (project, version, packagetype)


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    for candidate in (text, f"{text}-1.0.tar.gz", f"demo-{text}.whl", f"demo-{text}.egg"):
        try:
            parsed = parse_filename(candidate)
        except InvalidFilename:
            continue
        assert parsed.filename == candidate
        assert candidate.isascii()
        assert "/" not in candidate


@pytest.mark.parametrize(
    ("filename", "folders", "expected"),
    [
        ("demo-1.0.tar.gz", ("demo", "1.0"), ("demo", "1.0")),
        ("demo-1.0.tar.gz", ("other", "2.0"), ("demo", "1.0")),
        ("a-b-1.0-2.tar.gz", ("a-b", "1.0-2"), ("a-b", "1.0-2")),
        ("demo-dev.tar.gz", ("demo", "dev"), ("demo", "dev")),
        ("demo-1.0.tar.gz", (None, None), ("demo", "1.0")),
    ],
)
def test_folders_help_with_old_names(
    filename: str, folders: tuple[str | None, str | None], expected: tuple[str, str]
) -> None:
    parsed = parse_stored_filename(filename, *folders)
    assert (parsed.project, parsed.version) == expected


@pytest.mark.parametrize("folders", [("demo", "dev"), ("-", "dev"), ("other", "1")])
def test_folders_do_not_make_anything_a_distribution(folders: tuple[str, str]) -> None:
    for filename in ("notes.txt", "x.tar.gz", "é-dev.tar.gz"):
        with pytest.raises(InvalidFilename):
            parse_stored_filename(filename, *folders)


def test_old_versions_sort_before_all_others() -> None:
    versions = ["2.0", "dev-x", "10.0", "1.0rc1", "1.0"]
    assert sorted(versions, key=version_key) == ["dev-x", "1.0rc1", "1.0", "2.0", "10.0"]
