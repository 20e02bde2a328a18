"""The table of all settings, but for those of storage backends, which declare their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pypicloud_lite.errors import ODDITIES, Oddity
from pypicloud_lite.settings.kinds import (
    boolean,
    choice,
    handover,
    integer,
    key,
    path,
    printable,
    size,
    strictness,
    text,
    url,
    words,
)
from pypicloud_lite.settings.options import option

#: Files never change, so caches may keep them for ever (what pypi.org sends too).
IMMUTABLE_SECONDS = 365_000_000


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """``pypi.*``: what the index serves and takes."""

    storage: str = option(
        "pypi.storage",
        text,
        "file",
        "Where the distribution files lie: file, s3, cloudfront, or the dotted name of a class "
        "that implements pypicloud_lite.storage.Storage. pypicloud's dotted names work too.",
        aliases=("pypi.s3",),
    )
    fallback: str = option(
        "pypi.fallback",
        choice("redirect", "none"),
        "redirect",
        "What a page request for a project that is not here gets: redirect (302 to the same "
        "project at pypi.fallback_base_url) or none (404). Names with rules of their own "
        "(package.*) or in pypi.disallow_fallback are never sent on.",
    )
    fallback_base_url: str = option(
        "pypi.fallback_base_url",
        url,
        "https://pypi.org",
        "The index that requests are redirected to; /simple/<project>/ is appended.",
    )
    fallback_url: str | None = option(
        "pypi.fallback_url",
        url,
        None,
        "Deprecated, use pypi.fallback_base_url. The full URL of the other index's simple page.",
    )
    always_show_upstream: bool = option(
        "pypi.always_show_upstream",
        boolean,
        False,
        "Merge the files of the other index into local projects. Only false is supported: a "
        "local project hides its public namesake, which is what prevents dependency confusion.",
    )
    disallow_fallback: tuple[str, ...] = option(
        "pypi.disallow_fallback",
        words,
        (),
        "Projects that are never looked up at the other index.",
    )
    default_read: tuple[str, ...] = option(
        "pypi.default_read",
        words,
        ("authenticated",),
        "Groups that may read projects without rules of their own.",
    )
    default_write: tuple[str, ...] = option(
        "pypi.default_write",
        words,
        (),
        "Groups that may upload to projects without rules of their own. Admins always may.",
    )
    allow_overwrite_groups: tuple[str, ...] = option(
        "pypi.allow_overwrite_groups",
        words,
        (),
        "Groups that may replace a published file by other bytes. Empty: nobody, and clients may "
        "cache files for ever.",
    )
    allow_delete_groups: tuple[str, ...] = option(
        "pypi.allow_delete_groups",
        words,
        ("authenticated",),
        "Groups that may delete files of projects that they may write to.",
    )
    realm: str = option("pypi.realm", printable, "pypi", "The realm of the HTTP Basic challenge.")
    download_url: str | None = option(
        "pypi.download_url",
        url,
        None,
        "The server's own URL, in JSON documents and on the landing page; by default that of the "
        "request, which is what the client says: see pypi.trusted_hosts.",
    )
    trusted_hosts: tuple[str, ...] = option(
        "pypi.trusted_hosts",
        words,
        (),
        "Names by which clients may ask for this server, such as pypi.example.com, or with a port "
        "only that. A request with another Host header gets 400, health checks too. Empty: any.",
    )
    stream_files: bool = option(
        "pypi.stream_files",
        boolean,
        False,
        "Send files through this server instead of redirecting to the storage (s3, cloudfront).",
    )
    proxy_sends_files: str | None = option(
        "pypi.proxy_sends_files",
        handover,
        None,
        "Let the web server in front send the files of pypi.storage = file, after this server has "
        "decided that the client may have them: nginx from this internal location "
        "(X-Accel-Redirect), such as /_files/, or with x-sendfile Apache or lighttpd. Clients must "
        "not reach this server past it.",
        default_text="this server sends them",
    )
    package_max_age: int | None = option(
        "pypi.package_max_age",
        integer(unit="seconds"),
        None,
        "How long clients may cache a file without asking again. By default for ever, or 0 when "
        "pypi.allow_overwrite_groups lets files change.",
        default_text="for ever, or 0 where files may be overwritten",
    )
    page_max_age: int = option(
        "pypi.page_max_age",
        integer(maximum=86400, unit="seconds"),
        0,
        "How long clients may use an index page without asking again. 0: they ask each time and "
        "get a short 304 when nothing changed.",
    )
    page_cache_size: int = option(
        "pypi.page_cache_size",
        size,
        64 * 2**20,
        "Memory for ready index pages in each process.",
        default_text="64MiB",
    )
    max_file_size: int = option(
        "pypi.max_file_size",
        size,
        2**30,
        "Largest file that may be uploaded. waitress has a limit of its own, "
        "max_request_body_size in [server:main].",
        default_text="1GiB",
    )
    max_form_field_size: int = option(
        "pypi.max_form_field_size",
        size,
        2**16,
        "Longest text field of an upload's form.",
        default_text="64KiB",
    )
    max_description_size: int = option(
        "pypi.max_description_size",
        size,
        2**20,
        "Longest description, license or signature in an upload's form.",
        default_text="1MiB",
    )
    max_form_size: int = option(
        "pypi.max_form_size",
        size,
        4 * 2**20,
        "Most text in all fields of an upload's form together.",
        default_text="4MiB",
    )
    max_form_fields: int = option(
        "pypi.max_form_fields",
        integer(1, 100_000),
        1000,
        "Most text fields in an upload's form.",
    )
    sync_interval: int = option(
        "pypi.sync_interval",
        integer(maximum=7 * 86400, unit="seconds"),
        3600,
        "How often the storage is listed for what others changed there. 0: only at the start, by "
        "/admin/rebuild and by `pypicloud-lite sync`.",
    )
    watch: bool = option(
        "pypi.watch",
        boolean,
        False,
        "Notice at once what is put into or removed from storage.dir by hand, instead of with the "
        "next synchronization. Only for pypi.storage = file, with the extra pypicloud-lite[watch].",
    )
    s3_events_queue: str | None = option(
        "pypi.s3_events_queue",
        url,
        None,
        "URL of an SQS queue that collects the bucket's event notifications, so that what other "
        "servers, regions or tools write to the bucket is here within seconds. Each index "
        "database needs a queue of its own. `pypicloud-lite s3-events setup` makes it.",
    )
    legacy_formats: bool = option(
        "pypi.legacy_formats",
        boolean,
        False,
        "Also accept uploads of formats that pypi.org retired (eggs, wininst, .tar.bz2 …). Files "
        "of these formats that are in the storage are served in any case.",
    )
    upload_checks: frozenset[Oddity] = option(
        "pypi.upload_checks",
        strictness(*ODDITIES),
        frozenset(),
        "Whether oddities of uploaded archives are refused (strict) or logged (warn). Old build "
        "tools made some: framing=warn, record=warn and layout=warn relax one group each, warn all "
        "of them. What is dangerous is refused in any case. docs/uploads.md has the list.",
        default_text="strict",
    )
    max_archive_members: int = option(
        "pypi.max_archive_members",
        integer(1, 1_000_000),
        100_000,
        "Most files and folders in an uploaded archive.",
    )
    max_inflated_size: int = option(
        "pypi.max_inflated_size",
        size,
        4 * 2**30,
        "Most bytes that an uploaded archive may inflate to.",
        default_text="4GiB",
    )
    max_inflated_ratio: int = option(
        "pypi.max_inflated_ratio",
        integer(1),
        50,
        "How many times its own size an uploaded archive may inflate to. 64MiB are always allowed, "
        "as long as pypi.max_inflated_size allows them.",
    )
    max_member_path: int = option(
        "pypi.max_member_path",
        integer(1, 4096, "characters"),
        1024,
        "Longest path of a member of an uploaded archive.",
    )
    max_filename_length: int = option(
        "pypi.max_filename_length",
        integer(1, 200, "characters"),
        200,
        "Longest name of an uploaded file.",
    )
    max_project_name_length: int = option(
        "pypi.max_project_name_length",
        integer(1, 150, "characters"),
        150,
        "Longest name of a project that files are uploaded to.",
    )


_POOLS = ("QueuePool", "NullPool", "SingletonThreadPool", "StaticPool", "AssertionPool")


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """``db.*``: the index database, which is derived from the storage and may be lost."""

    db: str = option(
        "pypi.db",
        choice("sql", "pypicloud.cache.SQLCache", "pypicloud.cache.sql.SQLCache"),
        "sql",
        "The kind of index database. Only sql.",
    )
    url: str | None = option(
        "db.url",
        text,
        None,
        "URL of the index database: sqlite:////var/lib/pypi/index.sqlite for the "
        "processes of one host, or postgresql://user:password@host/database (with the extra "
        "pypicloud-lite[postgresql]) for several hosts. A "
        "database that pypicloud used may be named: its own tables are left alone.",
        default_text="a SQLite file below storage.dir, else in the working directory",
    )
    pool_size: int = option(
        "db.pool_size", integer(1, 1000, "connections"), 16, "Connections kept open per process."
    )
    poolclass: str = option(
        "db.poolclass",
        choice(*(f"sqlalchemy.pool.{name}" for name in _POOLS)),
        "sqlalchemy.pool.QueuePool",
        "pypicloud's choice of a pool. sqlalchemy.pool.NullPool keeps no connection open; with all "
        "others, db.pool_size of them stay open.",
    )

    @property
    def kept(self) -> int:
        """How many connections stay open."""
        return 0 if self.poolclass == "sqlalchemy.pool.NullPool" else self.pool_size


@dataclass(frozen=True, kw_only=True)
class AuthSettings:
    """``auth.*``: how users are known. Users and rules are ``user.*``, ``token.*``, ``group.*``,
    ``package.*``.
    """

    backend: str = option(
        "pypi.auth",
        choice("config", "pypicloud.access.ConfigAccessBackend",
               "pypicloud.access.config.ConfigAccessBackend"),
        "config",
        "Where users and permissions are kept. Only config: in this ini file.",
    )  # fmt: skip
    admins: tuple[str, ...] = option(
        "auth.admins", words, (), "Users who may read and write every project and administer."
    )
    admin_password_file: Path | None = option(
        "auth.admin_password_file",
        path,
        None,
        "File with the password of the user admin, made with a random password when absent. For "
        "trying things out; in production set user.admin to a hash.",
    )
    credential_ttl: int = option(
        "auth.credential_ttl",
        integer(maximum=3600, unit="seconds"),
        120,
        "How long a verified password is remembered (as a keyed digest, in memory), so that a "
        "CI run does not hash it for each request.",
    )
    failures_per_user: int = option(
        "auth.failures_per_user",
        integer(unit="attempts"),
        10,
        "Wrong passwords for one user from one address that are tried in auth.failure_window; "
        "after that, 429. From all addresses together, ten times as many. 0: no limit.",
    )
    failures_per_address: int = option(
        "auth.failures_per_address",
        integer(unit="attempts"),
        50,
        "Wrong credentials from one address (of IPv6, one /64) that are tried in "
        "auth.failure_window; after that, 429. From all addresses together, twenty times as "
        "many. 0: no limit.",
    )
    failure_window: int = option(
        "auth.failure_window",
        integer(1, 86400, unit="seconds"),
        300,
        "The time in which a full count of wrong credentials is forgotten, bit by bit.",
    )


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """``session.*``: logins of browsers."""

    secret: str | None = option(
        "session.secret",
        key,
        None,
        "What the cookies of sessions are signed with, the same in all processes. Without it there "
        "are no sessions. This prints one: python3 -c 'import secrets; "
        "print(secrets.token_hex(32))'",
    )
    timeout: int = option(
        "session.timeout",
        integer(60, unit="seconds"),
        3600,
        "How long a session lasts when it is not used.",
    )
    lifetime: int = option(
        "session.lifetime",
        integer(60, unit="seconds"),
        12 * 3600,
        "How long a session lasts in any case.",
    )
    secure: bool | None = option(
        "session.secure",
        boolean,
        None,
        "Whether browsers may send the cookie by HTTPS only.",
        default_text="true for logins by HTTPS",
    )


#: The patterns of the access rules, for the reference page: name, kind, help.
ACCESS_PATTERNS: tuple[tuple[str, str, str], ...] = (
    (
        "user.<name>",
        "a password hash",
        (
            "A user. The hash comes from `pypicloud-lite gen-password`; those that pypicloud made "
            "work. PPC_USER_<NAME> sets it from the environment."
        ),
    ),
    (
        "token.<id>",
        "`sha256:<hex>; owner=<user>; scope=read or write; projects=<list>; expires=<date>`",
        (
            "An API token, as `pypicloud-lite token create` prints it. The owner's rights limit "
            "it. scope is read by default; without projects it is for all of them, without "
            "expires for ever. PPC_TOKEN_<ID> sets it from the environment."
        ),
    ),
    (
        "group.<name>",
        words.label,
        (
            "A group of users. everyone (also the anonymous) and authenticated (every known user) "
            "exist by themselves."
        ),
    ),
    ("package.<project>.user.<user>", "`r` or `rw`", "What one user may do with one project."),
    (
        "package.<project>.group.<group>",
        "r or rw",
        (
            "What a group may do with one project. A project with any rule ignores "
            "pypi.default_read and pypi.default_write."
        ),
    ),
)

#: pypicloud's settings that change nothing here: name -> why.
WITHOUT_EFFECT: dict[str, str] = {
    "pypi.cache_update": "files of the other index are not cached yet",
    "pypi.use_json_scraper": "the other index is never scraped",
    "pypi.calculate_package_hashes": "digests are always computed",
    "db.graceful_reload": "the index is never emptied while it is rebuilt",
    "auth.scheme": "it chose the hash of users registered at run time; see gen-password",
    "auth.rounds": "it chose the hash of users registered at run time; see gen-password",
    "auth.signing_key": "there is no registration by token",
    "auth.token_expire": "there is no registration by token",
    "session.encrypt_key": "it was for Beaker's cookies; session.secret signs ours",
    "session.validate_key": "it was for Beaker's cookies; session.secret signs ours",
    "session.invalidate_corrupt": "a cookie that is not ours counts as none",
}

#: pypicloud's settings that we can't honour: name -> what replaces them.
REFUSED_PREFIXES: dict[str, str] = {
    "auth.db.": "users are kept in this ini file; ppc-export of pypicloud writes them out",
    "auth.ldap.": "there is no LDAP backend",
}

#: Values of pypicloud that name what we don't have: setting -> {value part: sentence}.
REFUSED_VALUES: dict[str, dict[str, str]] = {
    "pypi.db": {
        "redis": "the index is derived from the storage and needs no Redis; remove pypi.db and "
        "db.*, or name a SQLite or PostgreSQL in db.url, and it is rebuilt there.",
        "dynamo": "the index is derived from the storage and needs no DynamoDB; remove pypi.db "
        "and db.*, or name a SQLite or PostgreSQL in db.url, and it is rebuilt there.",
    },
    "db.url": {
        "mysql": "the index is derived from the storage and needs no MySQL; name a "
        "sqlite:/// or postgresql:// URL, or none, and it is rebuilt there.",
        "redis": "the index is derived from the storage and needs no Redis; name a "
        "sqlite:/// or postgresql:// URL, or none, and it is rebuilt there.",
    },
    "pypi.auth": {
        "sql": "users are kept in this ini file. Write them out with pypicloud's ppc-export and "
        "add them as user.*, group.* and package.*.",
        "ldap": "LDAP is not supported; users are kept in this ini file (user.*).",
        "remote": "remote authentication is not supported; users are kept in this ini file "
        "(user.*).",
        "aws_?secrets": "AWS Secrets Manager is not supported; set PPC_USER_<NAME> variables from "
        "the secret instead.",
    },
    "pypi.fallback": {
        "cache": "caching the files of another index comes in a later version; use redirect or "
        "none.",
        "mirror": "was pypi.fallback = cache with pypi.always_show_upstream = true, which comes "
        "in a later version; use redirect or none.",
    },
}

#: pypicloud's deprecated booleans: name -> (the list that replaces it, its value when true).
DEPRECATED_BOOLEANS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pypi.allow_overwrite": ("pypi.allow_overwrite_groups", ("authenticated",)),
    "pypi.allow_delete": ("pypi.allow_delete_groups", ("authenticated",)),
}
