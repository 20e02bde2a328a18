"""The command line, and the files that it writes."""

from __future__ import annotations

import configparser
import io
import subprocess
import sys
from pathlib import Path

import pytest

from pypicloud_lite.access.identity import ANONYMOUS
from pypicloud_lite.access.passwords import Passwords
from pypicloud_lite.app import make_app
from pypicloud_lite.cli import main
from pypicloud_lite.cli.reference import reference, sections
from tests.conftest import close
from tests.support.keys import pem, rsa_key
from tests.support.s3 import S3Server, new_bucket
from tests.support.server import fast_hash

ROOT = Path(__file__).parents[2]
SECRETS = {"PPC_USER_ADMIN": fast_hash("a"), "PPC_USER_CI": fast_hash("c")}


def read_ini(path: Path) -> dict[str, str]:
    """``[app:main]`` as PasteDeploy reads it."""
    parser = configparser.ConfigParser(defaults={"here": str(path.parent)}, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, encoding="utf-8")
    return dict(parser["app:main"])


def start(path: Path, environ: dict[str, str] | None = None) -> None:
    app = make_app(read_ini(path), environ or {})
    close(app)


class TestGenPassword:
    @pytest.mark.parametrize(
        "scheme", ["argon2", "sha512_crypt", "sha256_crypt", "pbkdf2_sha512", "bcrypt"]
    )
    def test_its_hash_verifies(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scheme: str
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("sesame\n"))
        assert main(["gen-password", "-i", "-s", scheme]) == 0
        made = capsys.readouterr().out.strip()
        assert Passwords({"alice": made}).verify("alice", "sesame")
        assert not Passwords({"alice": made}).verify("alice", "sesame\n")

    def test_new_hashes_are_argon2id(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("sesame\n"))
        main(["gen-password", "--stdin"])
        assert capsys.readouterr().out.startswith("$argon2id$")

    def test_passwords_that_differ_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answers = iter(["one", "two"])
        monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
        assert main(["gen-password"]) == 1
        assert "differ" in capsys.readouterr().err

    def test_an_empty_password_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
        assert main(["gen-password", "-i"]) == 1

    @pytest.mark.parametrize("command", ["ppc-gen-password", "ppc-make-config"])
    def test_pypiclouds_command_names_are_there(self, command: str) -> None:
        done = subprocess.run(
            [str(Path(sys.executable).with_name(command)), "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "usage: pypicloud-lite" in done.stdout


class TestMakeConfig:
    def test_a_development_ini_starts(self, tmp_path: Path) -> None:
        output = tmp_path / "dev.ini"
        assert main(["make-config", "--yes", "-d", str(output)]) == 0
        start(output)
        assert (tmp_path / "data" / "admin-password").stat().st_mode & 0o777 == 0o600

    def test_a_production_ini_starts_with_its_two_secrets(self, tmp_path: Path) -> None:
        output = tmp_path / "prod.ini"
        assert main(["make-config", "--yes", "-p", str(output)]) == 0
        start(output, SECRETS)

    def test_a_password_from_stdin_is_hashed_into_the_ini(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("sesame\n"))
        output = tmp_path / "dev.ini"
        main(["make-config", "--yes", "-d", "--admin", "root", "--password-stdin", str(output)])
        app = make_app(read_ini(output), {})
        assert app.registry.services.authenticator.passwords.verify("root", "sesame")
        assert "root" in app.registry.services.rules.admins
        close(app)
        assert "sesame" not in output.read_text()
        assert output.stat().st_mode & 0o777 == 0o600

    def test_it_asks_for_what_was_not_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter(["nonsense", "development", "file", str(tmp_path / "here")])
        monkeypatch.setattr("builtins.input", lambda _prompt: next(answers))
        output = tmp_path / "asked.ini"
        assert main(["make-config", str(output)]) == 0
        assert read_ini(output)["storage.dir"] == str(tmp_path / "here")

    @pytest.mark.parametrize("kind", ["development", "production"])
    @pytest.mark.parametrize("storage", ["s3", "cloudfront"])
    def test_an_ini_for_a_bucket_starts(
        self, tmp_path: Path, moto_server: S3Server, kind: str, storage: str
    ) -> None:
        key = tmp_path / "100% key.pem"
        key.write_text(pem(rsa_key()))
        bucket = new_bucket()
        options = [
            f"--storage={storage}", f"--bucket={bucket}", f"--endpoint-url={moto_server.url}",
            "--region=eu-central-1", "--prefix=pkgs/", "--admin=the-boss",
        ]  # fmt: skip
        if storage == "cloudfront":
            options += ["--domain=d.cloudfront.net", "--key-id=K1", f"--key-file={key}"]
        output = tmp_path / "bucket.ini"
        assert main(["make-config", "--yes", f"--{kind}", *options, str(output)]) == 0
        environ = {
            "PPC_USER_THE_BOSS": fast_hash("a"), "PPC_USER_CI": fast_hash("c"),
            "PPC_STORAGE_ACCESS_KEY": "testing", "PPC_STORAGE_SECRET_KEY": "testingsecret",
        }  # fmt: skip
        start(output, environ)
        assert bucket in {b["Name"] for b in moto_server.client().list_buckets()["Buckets"]}

    @pytest.mark.parametrize(
        "arguments", [["--storage", "s3"], ["--storage", "cloudfront", "--bucket", "b"]]
    )
    def test_what_is_needed_is_asked_for(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        assert main(["make-config", "--yes", *arguments, str(tmp_path / "x.ini")]) == 2
        assert "is needed for" in capsys.readouterr().err

    def test_an_existing_file_is_kept(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "x.ini"
        output.write_text("mine")
        assert main(["make-config", "--yes", str(output)]) == 1
        assert "--force" in capsys.readouterr().err
        assert output.read_text() == "mine"


class TestCommittedFiles:
    def test_production_needs_its_two_secrets_and_names_them(self) -> None:
        with pytest.raises(Exception, match="PPC_USER_ADMIN") as caught:
            make_app(read_ini(ROOT / "production.ini"), {})
        assert "PPC_USER_CI" in str(caught.value)

    @pytest.mark.parametrize("kind", ["development", "production"])
    def test_the_inis_are_what_make_config_writes(self, tmp_path: Path, kind: str) -> None:
        output = tmp_path / f"{kind}.ini"
        main(["make-config", "--yes", f"--{kind}", str(output)])
        committed = (ROOT / f"{kind}.ini").read_text(encoding="utf-8")
        assert committed == output.read_text(encoding="utf-8"), "run `make settings`"

    @pytest.mark.parametrize("kind", ["development", "production"])
    def test_every_setting_is_in_the_ini(self, kind: str) -> None:
        text = (ROOT / f"{kind}.ini").read_text(encoding="utf-8")
        for title, group in sections():
            if title.startswith("Storage: ") and title != "Storage: file":
                continue
            for declared in group:
                assert f"{declared.name} =" in text, declared.name

    def test_the_reference_is_what_settings_prints(self) -> None:
        committed = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
        assert committed == reference(), "run `make settings`"

    def test_the_table_of_hostile_inputs_is_that_of_the_tests(self) -> None:
        command = [sys.executable, "-m", "tests.support.catalogue", "--check"]
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"run `make security`\n{checked.stderr}"

    def test_production_lets_nobody_anonymous_in(self, tmp_path: Path) -> None:
        output = tmp_path / "production.ini"
        main(["make-config", "--yes", "-p", str(output)])
        app = make_app(read_ini(output), SECRETS)
        rules = app.registry.services.rules
        assert not rules.may_read_something(ANONYMOUS)
        assert not rules.may_write_something(ANONYMOUS)
        close(app)


def test_settings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    assert "### `pypi.fallback`" in capsys.readouterr().out


def test_serving_a_missing_ini_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path / "no.ini")]) == 1
    assert "make-config" in capsys.readouterr().err
