"""Reading settings: types, environment, pypicloud's names, and all problems at once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.names import MAX_FILENAME, MAX_PROJECT_NAME
from pypicloud_lite.services import build_services
from pypicloud_lite.settings.load import load
from pypicloud_lite.settings.options import Source, options_of
from pypicloud_lite.settings.table import ServerSettings
from tests.support.server import app_settings, fast_hash


def problems(tmp_path: Path, environ: dict[str, str] | None = None, **changes: str | None) -> str:
    """What the start says of these settings."""
    with pytest.raises(SettingsError) as caught:
        build_services(app_settings(tmp_path, **changes), environ or {})
    return str(caught.value)


def starts(tmp_path: Path, environ: dict[str, str] | None = None, **changes: str | None):
    services = build_services(app_settings(tmp_path, **changes), environ or {})
    services.follower.stop()
    services.index.close()
    return services


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        pypi__fallback="sometimes",
        pypi__page_max_age="soon",
        pypi__stream_files="perhaps",
        pypi__defualt_read="everyone",
        storage__dirr="/x",
        user__broken="plain text",
        package__demo__user__x="rwx",
    )
    for part in (
        "pypi.fallback = 'sometimes': must be one of redirect, none",
        "pypi.page_max_age = 'soon': must be a whole number of seconds",
        "pypi.stream_files = 'perhaps': must be true or false",
        "pypi.defualt_read is not a setting. Did you mean pypi.default_read?",
        "storage.dirr is not a setting. Did you mean storage.dir?",
        "user.broken is not a password hash that we know",
        "package.demo.user.x = 'rwx': must be r or rw",
    ):
        assert part in text
    assert text.startswith("7 problems in the settings:")


def test_a_missing_directory_setting_is_a_sentence(tmp_path: Path) -> None:
    assert "storage.dir is missing" in problems(tmp_path, storage__dir=None)


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "storage.dir = " in problems(tmp_path, storage__dir=str(tmp_path / "file" / "x"))


def test_the_environment_overrides_the_ini(tmp_path: Path) -> None:
    environ = {"PPC_PYPI_FALLBACK": "none", "PPC_STORAGE_DIR": str(tmp_path / "other")}
    starts(tmp_path, environ, pypi__fallback="redirect", storage__dir="/nonexistent/x")
    assert (tmp_path / "other").is_dir()


def test_the_environment_brings_users_and_their_hashes(tmp_path: Path) -> None:
    environ = {"PPC_USER_NEW": fast_hash("new-pw"), "PPC_USER_ADMIN": fast_hash("changed")}
    passwords = starts(tmp_path, environ).authenticator.passwords
    assert passwords.verify("new", "new-pw")
    assert passwords.verify("admin", "changed")
    assert not passwords.verify("admin", "admin-pw")


def test_an_unknown_variable_is_a_problem(tmp_path: Path) -> None:
    text = problems(tmp_path, {"PPC_PYPI_FALBACK": "none"})
    assert "PPC_PYPI_FALBACK is not a setting. Did you mean PPC_PYPI_FALLBACK?" in text


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("pypi.storage", "gcs", "Google Cloud Storage is not supported"),
        ("pypi.storage", "pypicloud.storage.GoogleCloudStorage", "Google Cloud Storage"),
        ("pypi.storage", "azure-blob", "Azure Blob Storage is not supported"),
        ("pypi.storage", "nonsense", "must be file, s3, cloudfront"),
        ("pypi.storage", "os.path.join", "is not a subclass"),
        ("pypi.storage", "no.such.module.Class", "can be imported"),
        ("pypi.db", "redis", "needs no Redis"),
        ("pypi.db", "pypicloud.cache.RedisCache", "needs no Redis"),
        ("pypi.realm", 'our "index"', "must be printable ASCII"),
        ("pypi.realm", "Größe", "must be printable ASCII"),
        ("packages.demo.user.writer", "rw", "Did you mean package.*?"),
        ("tokens.ci", "x", "Did you mean token.*?"),
        ("user.broken", "$6$garbage", "is a broken sha512_crypt hash"),
        ("db.url", "sqlite:////", "can't be used"),
        ("pypi.db", "dynamo", "needs no DynamoDB"),
        ("db.url", "mysql://root:hunter2@127.0.0.1/pypi?charset=utf8mb4", "needs no MySQL"),
        ("db.url", "redis://:hunter2@localhost", "needs no Redis"),
        ("pypi.auth", "sql", "ppc-export"),
        ("pypi.auth", "pypicloud.access.ldap_.LDAPAccessBackend", "LDAP is not supported"),
        ("pypi.auth", "aws_secrets_manager", "AWS Secrets Manager is not supported"),
        ("pypi.auth", "remote", "remote authentication is not supported"),
        ("auth.db.url", "sqlite:///x", "auth.db.* is not supported"),
        ("auth.ldap.url", "ldap://x", "auth.ldap.* is not supported"),
        ("pypi.fallback", "cache", "comes in a later version"),
        ("pypi.fallback", "mirror", "comes in a later version"),
        ("pypi.always_show_upstream", "true", "not supported yet"),
        ("pypi.disallow_fallback", "ok not/ok", "not a valid project name"),
        ("group.everyone", "alice", "exists by itself"),
        ("user.a:b", "", "can't be the name of a user"),
        ("user.everyone", "", "can't be the name of a user"),
        ("user.__token__", "", "can't be the name of a user"),
        ("user.empty", "", "user.empty is empty"),
        ("package.demo", "rw", "is not a rule"),
        ("package.de/mo.user.writer", "rw", "not a valid project name"),
    ],
)
def test_what_we_cannot_honour_is_refused_with_a_sentence(
    tmp_path: Path, setting: str, value: str, part: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        build_services(app_settings(tmp_path) | {setting: value}, {})
    assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "file",
        "pypicloud.storage.FileStorage",
        "pypicloud.storage.files.FileStorage",
        "pypicloud_lite.storage.files.FileStorage",
    ],
)
@pytest.mark.parametrize("setting", ["pypi.storage", "pypi.s3"])
def test_every_name_of_the_file_storage_works(tmp_path: Path, setting: str, name: str) -> None:
    changes: dict[str, str | None] = {"pypi__storage": None}
    starts(tmp_path, **(changes | {setting.replace(".", "__"): name}))


@pytest.mark.parametrize(
    "changes",
    [
        {"pypi__use_json_scraper": "true"},
        {"pypi__calculate_package_hashes": "true"},
        {"db__graceful_reload": "true"},
        {"auth__scheme": "sha512_crypt"},
        {"auth__rounds": "1000"},
        {"db__poolclass": "sqlalchemy.pool.NullPool"},
        {"pypi__db": "pypicloud.cache.SQLCache"},
        {"pypi__auth": "pypicloud.access.ConfigAccessBackend"},
        {"session__encrypt_key": "x", "session__validate_key": "y", "session__secure": "true"},
        {"session__invalidate_corrupt": "true", "pyramid__debug_notfound": "false"},
    ],
)
def test_pypiclouds_other_settings_are_accepted(tmp_path: Path, changes: dict[str, str]) -> None:
    starts(tmp_path, **changes)


def test_deprecated_names_log_what_replaces_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    starts(tmp_path, pypi__allow_overwrite="true", pypi__fallback_url="https://x.example/simple")
    assert "use pypi.allow_overwrite_groups" in caplog.text
    assert "use pypi.fallback_base_url" in caplog.text


def test_references_to_nobody_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    starts(tmp_path, auth__admins="ghost", pypi__default_write="ghosts")
    assert "there is no user.ghost" in caplog.text
    assert "there is no group.ghosts" in caplog.text


def test_a_setting_of_another_storage_is_reported(tmp_path: Path) -> None:
    assert "storage.bukket" in problems(tmp_path, storage__bukket="x")


def test_rules_do_not_come_from_the_environment(tmp_path: Path) -> None:
    text = problems(tmp_path, {"PPC_PACKAGE_DEMO_GROUP_WRITERS": "rw"})
    assert "PPC_PACKAGE_DEMO_GROUP_WRITERS overrides no rule" in text


def test_no_password_is_made_while_settings_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "password"
    problems(tmp_path, auth__admin_password_file=str(path), pypi__fallback="x")
    assert not path.exists()


def test_a_password_file_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    text = problems(tmp_path, auth__admin_password_file=str(tmp_path), user__admin=None)
    assert "auth.admin_password_file = " in text


def test_a_database_server_may_have_any_name(tmp_path: Path) -> None:
    text = problems(tmp_path, db__url="mysql+pymysql://u:hunter2@postgresql.example/x")
    assert "needs no MySQL" in text
    source = Source({"db.url": "postgresql://u:p@db.mysql.internal/x"})
    load(source)
    source.check()


def test_secrets_are_in_no_problem(tmp_path: Path) -> None:
    assert "hunter2" not in problems(tmp_path, user__alice="hunter2")


def test_the_defaults_are_pypiclouds() -> None:
    server = load(Source({})).server
    assert server.fallback == "redirect"
    assert server.default_read == ("authenticated",)
    assert server.default_write == ()
    assert server.allow_overwrite_groups == ()
    assert server.allow_delete_groups == ("authenticated",)
    assert server.realm == "pypi"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("10", 10), ("1 KiB", 1024), ("2MB", 2 * 2**20), ("1g", 2**30)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    source = Source({"pypi.max_file_size": text})
    assert load(source).server.max_file_size == size
    source.check()


@pytest.mark.parametrize("text", ["-1", "1x", "many", "1.5MB", ""])
def test_a_wrong_size_is_a_problem(text: str) -> None:
    source = Source({"pypi.max_file_size": text})
    load(source)
    with pytest.raises(SettingsError, match="must be a size"):
        source.check()


@pytest.mark.parametrize(
    ("text", "tolerated"),
    [
        ("strict", set()),
        ("", set()),
        ("warn", {"framing", "record", "layout"}),
        ("strict framing=warn record=warn", {"framing", "record"}),
        ("warn record=strict", {"framing", "layout"}),
        ("framing=warn strict", set()),
    ],
)
def test_checks_are_relaxed_by_group(text: str, tolerated: set[str]) -> None:
    source = Source({"pypi.upload_checks": text})
    assert load(source).server.upload_checks == tolerated
    source.check()


@pytest.mark.parametrize("text", ["off", "framing", "framing=off", "frames=warn", "=warn"])
def test_a_wrong_strictness_is_a_problem(tmp_path: Path, text: str) -> None:
    told = problems(tmp_path, pypi__upload_checks=text)
    assert f"pypi.upload_checks = '{text}': must be strict, warn, or a list" in told


def test_the_longest_names_are_those_that_can_be_stored() -> None:
    options = dict(options_of(ServerSettings))
    for field, longest in (
        ("max_filename_length", MAX_FILENAME),
        ("max_project_name_length", MAX_PROJECT_NAME),
    ):
        assert options[field].default == options[field].kind.parse(str(longest)) == longest
        with pytest.raises(ValueError):
            options[field].kind.parse(str(longest + 1))


def test_a_storage_of_ones_own_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    services = starts(
        tmp_path,
        pypi__storage="tests.support.own_storage.OwnStorage",
        storage__dir=None,
        storage__place=str(tmp_path / "own"),
        storage__colour="green",
    )
    assert type(services.storage).__name__ == "OwnStorage"


def test_a_storage_of_ones_own_has_its_settings_checked(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        pypi__storage="tests.support.own_storage.OwnStorage",
        storage__dir=None,
        storage__colour="green",
        storage__coulour="x",
    )
    assert "storage.place is missing" in text
    assert "storage.coulour is not a setting. Did you mean storage.colour?" in text
