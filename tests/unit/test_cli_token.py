"""``pypicloud-lite token``, and that its lines are what the server takes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from pypicloud_lite.access.tokens import make_secret
from pypicloud_lite.app import make_app
from pypicloud_lite.cli import main
from tests.conftest import Client, close
from tests.support.server import app_settings, fast_hash


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    path = tmp_path / "server.ini"
    settings = app_settings(tmp_path, package__secret__user__writer="rw") | {
        "pypi.default_read": ""
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    path.write_text("[app:main]\nuse = egg:pypicloud_lite\n" + "\n".join(lines) + "\n")
    return path


def create(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """The token and the line that the command prints."""
    assert main(["token", "create", *arguments]) == 0
    said = capsys.readouterr().out.splitlines()
    (secret,) = [line for line in said if line.startswith("pcl_")]
    (line,) = [line for line in said if line.startswith("token.")]
    return secret, line


def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ini: Path, secret: str
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(secret + "\n"))
    status = main(["token", "check", str(ini)])
    said = capsys.readouterr()
    assert secret not in said.out + said.err
    return status, said.out + said.err


def add(ini: Path, *lines: str) -> None:
    ini.write_text(ini.read_text() + "\n".join(lines) + "\n")


def test_the_server_takes_the_token_whose_line_is_in_the_ini(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, line = create(capsys, "--owner", "writer", "--id", "ci", "--scope", "write")
    name, _equals, value = line.partition(" = ")
    assert name == "token.ci"
    app = make_app(app_settings(tmp_path) | {name: value}, {})
    client = Client(app)
    client.authorization = ("Bearer", secret)
    client.get("/simple/", status=200)
    close(app)
    assert secret not in line


def test_a_token_reads_all_and_lasts_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _secret, line = create(capsys, "--owner", "alice")
    assert line.startswith("token.alice-")
    assert line.endswith("; owner=alice; scope=read")
    _secret, line = create(
        capsys, "--owner", "alice", "--projects", "Foo_Bar baz", "--expires", "2999-01-31"
    )
    assert line.endswith("; owner=alice; scope=read; projects=baz foo-bar; expires=2999-01-31")


def test_two_tokens_differ(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (create(capsys, "--owner", "alice") for _time in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_with_an_ini_owner_and_id_are_checked(
    ini: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _secret, line = create(capsys, "--owner", "writer", "--id", "ci", str(ini))
    add(ini, line)
    for arguments, said in (
        (["--owner", "ghost"], "there is no user.ghost"),
        (["--owner", "writer", "--id", "ci"], "token.ci is there already"),
        (["--owner", "writer", "--id", "a b"], "can't be the name of a token"),
        (["--owner", "writer", "--projects", "../x"], "not a valid project name"),
        (["--owner", "writer", "--projects", " "], "names no project"),
    ):
        assert main(["token", "create", *arguments, str(ini)]) == 1
        shown = capsys.readouterr()
        assert said in shown.err
        assert "pcl_" not in shown.out


def test_the_list_shows_every_token_and_no_hash(
    ini: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _secret, first = create(capsys, "--owner", "writer", "--id", "ci", "--projects", "a b")
    _secret, second = create(
        capsys, "--owner", "reader", "--id", "old", "--expires", "2020-01-01", "--scope", "write"
    )
    _secret, third = create(capsys, "--owner", "admin", "--id", "env")
    add(ini, first, second)
    monkeypatch.setenv("PPC_TOKEN_ENV", third.partition(" = ")[2])
    assert main(["token", "list", str(ini)]) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()] == [
        ["ID", "OWNER", "SCOPE", "PROJECTS", "EXPIRES", "STATE"],
        ["ci", "writer", "read", "a", "b", "never", "good"],
        ["old", "reader", "write", "all", "2020-01-01", "expired"],
        ["env", "admin", "read", "all", "never", "good"],
    ]
    assert "sha256" not in said


def test_check_says_what_a_token_may_do(
    ini: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, first = create(capsys, "--owner", "writer", "--id", "ci", "--scope", "write")
    some, second = create(capsys, "--owner", "reader", "--id", "some", "--projects", "open secret")
    old, third = create(capsys, "--owner", "writer", "--id", "old", "--expires", "2020-01-01")
    add(ini, first, second, third, "user.other = " + fast_hash("x"))

    status, said = check(monkeypatch, capsys, ini, everything)
    assert status == 0
    assert "owner: writer\n" in said
    assert "secret: read, write, delete\n" in said
    assert "other projects: write, delete\n" in said

    status, said = check(monkeypatch, capsys, ini, some)
    assert status == 0
    assert "open: nothing\nsecret: nothing\n" in said

    status, said = check(monkeypatch, capsys, ini, old)
    assert status == 1
    assert "state: expired\n" in said

    status, said = check(monkeypatch, capsys, ini, everything[:-1])
    assert status == 1
    assert "misspelt" in said
    status, said = check(monkeypatch, capsys, ini, make_secret())
    assert status == 1
    assert "no token of this ini file" in said


def test_check_asks_for_the_token_at_a_terminal(
    ini: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, line = create(capsys, "--owner", "writer", "--id", "ci")
    add(ini, line)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: secret)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert main(["token", "check", str(ini)]) == 0
    assert "id: ci\n" in capsys.readouterr().out


def test_no_command_takes_a_token_as_an_argument(
    ini: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["token", "check", str(ini), make_secret()])


def test_an_ini_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "list", "absent.ini"]) == 1
    assert "there is no absent.ini" in capsys.readouterr().err
