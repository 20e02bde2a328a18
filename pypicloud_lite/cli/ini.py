"""The text of an ini file: what was chosen, and every other setting as a comment."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pypicloud_lite.cli.reference import sections, shown_default
from pypicloud_lite.settings.options import Option, environment_name
from pypicloud_lite.settings.table import ACCESS_PATTERNS

STORAGES = ("file", "s3", "cloudfront")
#: make-config's option -> setting.
_SETTINGS = {
    "dir": "storage.dir",
    "bucket": "storage.bucket",
    "region": "storage.region_name",
    "endpoint_url": "storage.endpoint_url",
    "prefix": "storage.prefix",
    "domain": "storage.cloud_front_domain",
    "key_id": "storage.cloud_front_key_id",
    "key_file": "storage.cloud_front_key_file",
}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the user chose."""

    #: development or production.
    kind: str
    storage: str
    #: Values of the storage, by make-config's option names; empty ones are left out.
    values: Mapping[str, str]
    admin: str = "admin"
    #: Of the admin; ``None``: from the environment, or made at the first start.
    password_hash: str | None = None
    host: str = "127.0.0.1"
    port: int = 6543


def render_ini(answers: Answers) -> str:
    """The whole file."""
    parts = [
        _production_head(answers.admin) if answers.kind == "production" else _development_head(),
        "[app:main]\nuse = egg:pypicloud_lite\n",
        "\n".join(_app_lines(answers)),
        _server(answers),
        _LOGGING,
    ]
    return "\n".join(parts)


def _development_head() -> str:
    return (
        "# For trying pypicloud-lite out and for working on it. Everyone may read; the password\n"
        "# of the user admin is made at the first start.\n"
        "# Settings are explained in docs/settings.md, or by `pypicloud-lite settings`.\n"
    )


def _production_head(admin: str) -> str:
    return (
        "# For production: nobody anonymous reads or writes. Before the first start, set two\n"
        "# secrets in the environment, each a hash made by `pypicloud-lite gen-password`:\n"
        "#\n"
        f"#   {environment_name('user.' + admin):16} the password of {admin}, who may do "
        "everything\n"
        "#   PPC_USER_CI      the password of ci, who may upload\n"
        "#\n"
        "# Every setting can come from the environment: pypi.fallback is PPC_PYPI_FALLBACK.\n"
        "# Settings are explained in docs/settings.md, or by `pypicloud-lite settings`.\n"
        "# A line that is commented out shows the default. Serve it behind a proxy that speaks\n"
        "# HTTPS: passwords travel with each request.\n"
    )


def _chosen(answers: Answers) -> dict[str, str]:
    """The settings that the file sets, by name."""
    chosen = {"pypi.storage": answers.storage}
    chosen |= {_SETTINGS[name]: _escaped(value) for name, value in answers.values.items() if value}
    chosen["db.url"] = "sqlite:///%(here)s/data/index.sqlite"
    has_own_admin = answers.kind == "production" or answers.password_hash is not None
    chosen["auth.admins"] = answers.admin if has_own_admin else "admin"
    if answers.kind == "production":
        chosen |= {"pypi.default_read": "authenticated", "pypi.default_write": "uploaders"}
    else:
        chosen |= {"pypi.default_read": "everyone", "pypi.default_write": "authenticated"}
        if answers.password_hash is None:
            chosen["auth.admin_password_file"] = "%(here)s/data/admin-password"  # noqa: S105 - a path
    return chosen


def _escaped(value: str) -> str:
    """A value that the ini format leaves as it is, but for ``%(here)s``."""
    return "%(here)s".join(part.replace("%", "%%") for part in value.split("%(here)s"))


def _users(answers: Answers) -> list[str]:
    lines = []
    if answers.password_hash is not None:
        # The hash holds "$" and no "%", which the ini format would interpolate.
        lines.append(f"user.{answers.admin} = {answers.password_hash}")
    elif answers.kind == "production":
        lines += [f"# From {environment_name('user.' + answers.admin)}.", f"user.{answers.admin} ="]
    if answers.kind == "production":
        lines += ["# From PPC_USER_CI.", "user.ci =", "group.uploaders = ci"]
    return lines


def _app_lines(answers: Answers) -> Iterator[str]:
    chosen = _chosen(answers)
    for title, group in sections():
        if title.startswith("Storage: ") and not _belongs(title, answers.storage):
            continue
        yield f"# ---- {title} ".ljust(90, "-")
        yield ""
        for declared in group:
            yield from _setting(declared, chosen.get(declared.name))
    yield "# ---- Users, groups and permissions ".ljust(90, "-")
    yield ""
    for name, kind, text in ACCESS_PATTERNS:
        yield from _comment(text)
        yield f"# {name} = {kind}"
        yield ""
    yield from _users(answers)
    yield ""


def _belongs(title: str, storage: str) -> bool:
    backend = title.removeprefix("Storage: ").split()[0]
    return backend == storage or (storage == "cloudfront" and backend == "s3")


def _setting(declared: Option, value: str | None) -> Iterator[str]:
    yield from _comment(declared.help)
    if value is not None:
        yield f"{declared.name} = {value}"
    elif declared.default_text is not None and not declared.default_text[:1].isdigit():
        yield f"# Default: {declared.default_text}."
        yield f"# {declared.name} ="
    else:
        yield f"# {declared.name} = {shown_default(declared)}".rstrip()
    yield ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, 90, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _server(answers: Answers) -> str:
    production = answers.kind == "production"
    proxy = (
        "# Behind a proxy, name its address so that its headers are believed:\n"
        "# trusted_proxy = 127.0.0.1\n"
        "# trusted_proxy_headers = x-forwarded-for x-forwarded-host x-forwarded-proto\n"
        "clear_untrusted_proxy_headers = true\n"
    )
    return (
        "\n[server:main]\n"
        "# waitress with a clean stop, and stricter in what it receives; takes its settings.\n"
        "use = egg:pypicloud_lite\n"
        f"host = {answers.host}\n"
        f"port = {answers.port}\n"
        f"threads = {8 if production else 4}\n"
        "# A little more than pypi.max_file_size, in bytes. A body is received as a whole, into\n"
        "# a temporary file, before the application is asked who sent it.\n"
        "max_request_body_size = 1082130432\n"
        "# What a request without credentials may send, in bytes; more is answered 401 and never\n"
        "# received. Without this line, as much as any other: for an index that everyone may\n"
        "# upload to.\n"
        "max_anonymous_body_size = 65536\n"
        "# First line and headers of a request, in bytes.\n"
        "max_request_header_size = 65536\n"
        "# Connections at a time, well below the 1024 files that a process may usually open.\n"
        "# Clients that send slowly occupy one each, and no thread; a proxy in front keeps even\n"
        "# those away.\n"
        "connection_limit = 500\n"
        "# Seconds without a byte after which a connection is closed.\n"
        "channel_timeout = 120\n"
        "# Seconds that running requests may take after SIGTERM.\n"
        "shutdown_grace = 30\n" + proxy
    )


_LOGGING = """
[loggers]
keys = root, pypicloud_lite, botocore

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = INFO
handlers = console

[logger_pypicloud_lite]
level = INFO
handlers =
qualname = pypicloud_lite

[logger_botocore]
level = WARN
handlers =
qualname = botocore

[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic

[formatter_generic]
format = %(asctime)s %(levelname)-5.5s [%(name)s] %(message)s
"""
