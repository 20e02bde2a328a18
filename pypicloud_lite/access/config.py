"""Reading users, tokens, groups and rules from the ini file (pypicloud's config access backend)."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pypicloud_lite.access.authenticate import Authenticator
from pypicloud_lite.access.bootstrap import read_or_make_password
from pypicloud_lite.access.passwords import Passwords, hash_password, hash_problem
from pypicloud_lite.access.rules import (
    ADMIN,
    AUTHENTICATED,
    BUILT_IN_GROUPS,
    EVERYONE,
    Permission,
    ProjectRule,
    Rules,
    parse_permissions,
)
from pypicloud_lite.access.throttle import Limits, Throttle
from pypicloud_lite.access.tokens import TOKEN_USER, Token, Tokens, is_token_id, parse_token
from pypicloud_lite.errors import InvalidName, SettingsError
from pypicloud_lite.names import ProjectName, project_name
from pypicloud_lite.settings.load import Settings
from pypicloud_lite.settings.options import Source, environment_name
from pypicloud_lite.settings.table import AuthSettings

LOG = logging.getLogger(__name__)

_PACKAGE = re.compile(r"\Apackage\.(?P<project>.+)\.(?P<kind>user|group)\.(?P<entity>.+)\Z")
_RESERVED_USERS = frozenset({EVERYONE, AUTHENTICATED, TOKEN_USER})


@dataclass(frozen=True)
class Access:
    """What the ini says of who may do what."""

    rules: Rules
    #: User name to password hash.
    users: Mapping[str, str]
    tokens: tuple[Token, ...]


def make_authenticator(access: Access, settings: AuthSettings) -> Authenticator:
    """Whatever tells who is asking.

    Raises:
        SettingsError: the file with the first admin's password can't be read or made.
    """
    throttle = Throttle(
        Limits(
            per_user=settings.failures_per_user,
            per_address=settings.failures_per_address,
            window=settings.failure_window,
        )
    )
    passwords = make_passwords(access.users, settings, throttle)
    return Authenticator(passwords, Tokens(access.tokens), throttle)


def make_passwords(
    hashes: Mapping[str, str], settings: AuthSettings, throttle: Throttle
) -> Passwords:
    """The users' passwords, that of the first admin included, which is made when absent.

    Raises:
        SettingsError: the file for it can't be read or made.
    """
    users = dict(hashes)
    path = settings.admin_password_file
    if path is not None and ADMIN not in users:
        try:
            users[ADMIN] = hash_password(read_or_make_password(path))
        except (OSError, ValueError) as exc:
            raise SettingsError([f"auth.admin_password_file = {path}: {exc}."]) from exc
    return Passwords(users, ttl=settings.credential_ttl, throttle=throttle)


def load_access(source: Source, settings: Settings) -> Access:
    """Users, tokens and rules; problems are recorded in ``source``, not raised."""
    users = _users(source)
    groups = {
        name: frozenset((source.text(f"group.{name}") or "").split())
        for name in _entities(source, "group.")
    }
    for name in groups:
        if name in BUILT_IN_GROUPS:
            source.problem(f"group.{name}: the group {name} exists by itself; choose another name.")
    made = {ADMIN} if settings.auth.admin_password_file else set()
    server = settings.server
    rules = Rules(
        admins=frozenset(settings.auth.admins) | made,
        groups=groups,
        projects=_project_rules(source, set(groups) | BUILT_IN_GROUPS, set(users) | made),
        default_read=_known_groups("pypi.default_read", server.default_read, groups),
        default_write=_known_groups("pypi.default_write", server.default_write, groups),
        overwrite_groups=_known_groups(
            "pypi.allow_overwrite_groups", server.allow_overwrite_groups, groups
        ),
        delete_groups=_known_groups("pypi.allow_delete_groups", server.allow_delete_groups, groups),
    )
    for name in sorted(rules.admins - set(users) - made):
        LOG.warning("auth.admins names %s, but there is no user.%s", name, name)
    return Access(rules, users, _tokens(source, set(users) | made))


def _entities(source: Source, prefix: str) -> list[str]:
    """Names after ``prefix`` in the ini, and in the environment (there in lower case)."""
    names = [name.removeprefix(prefix) for name in source.names(prefix)]
    variables = {environment_name(prefix + name) for name in names}
    start = len(environment_name(prefix))
    names += [
        variable[start:].lower()
        for variable in source.environment_names(prefix)
        if variable not in variables
    ]
    return names


def _users(source: Source) -> dict[str, str]:
    users = {}
    for name in _entities(source, "user."):
        setting = f"user.{name}"
        if name in _RESERVED_USERS or not name or re.search(r"[:\s\x00-\x1f]", name):
            source.problem(
                f"{setting}: {name!r} can't be the name of a user: everyone, authenticated and "
                "__token__ have a meaning of their own, and ':' and spaces can't be sent."
            )
        password_hash = (source.text(setting) or "").strip()
        problem = hash_problem(password_hash)
        if problem:
            source.problem(
                f"{setting} {problem}. Put the output of `pypicloud-lite gen-password` there, or "
                f"into the environment variable {environment_name(setting)}."
            )
        users[name] = password_hash
    return users


def _tokens(source: Source, users: set[str]) -> tuple[Token, ...]:
    found: dict[str, Token] = {}
    for name in _entities(source, "token."):
        setting = f"token.{name}"
        if not is_token_id(name):
            source.problem(
                f"{setting}: {name!r} can't be the name of a token: at most 64 ASCII letters, "
                "digits and . _ -, beginning with a letter or digit."
            )
            continue
        try:
            token = parse_token(name, source.text(setting) or "")
        except (ValueError, InvalidName) as exc:
            source.problem(f"{setting} {exc}. `pypicloud-lite token create` prints such a line.")
            continue
        if token.owner not in users:
            source.problem(f"{setting}: its owner is no user; there is no user.{token.owner}.")
        if token.digest in found:
            source.problem(f"{setting} is the same token as token.{found[token.digest].id}.")
        found[token.digest] = token
    return tuple(found.values())


def _known_groups(
    setting: str, names: tuple[str, ...], groups: dict[str, frozenset[str]]
) -> frozenset[str]:
    for name in names:
        if name not in groups and name not in BUILT_IN_GROUPS:
            LOG.warning("%s names the group %s, but there is no group.%s", setting, name, name)
    return frozenset(names)


def _project_rules(
    source: Source, groups: set[str], users: set[str]
) -> dict[ProjectName, ProjectRule]:
    known = {environment_name(name) for name in source.names("package.")}
    for variable in source.environment_names("package."):
        if variable not in known:
            source.problem(
                f"The environment variable {variable} overrides no rule: rules stand in the ini "
                "file, since a variable can't tell where a project's name ends."
            )
    found: dict[ProjectName, dict[str, dict[str, frozenset[Permission]]]] = defaultdict(
        lambda: {"user": {}, "group": {}}
    )
    for setting in source.names("package."):
        match = _PACKAGE.match(setting)
        if match is None:
            source.problem(
                f"{setting} is not a rule: package.<project>.user.<user> or "
                "package.<project>.group.<group>."
            )
            continue
        try:
            project = project_name(match["project"])
            permissions = parse_permissions(source.text(setting) or "")
        except InvalidName as exc:
            source.problem(f"{setting}: {exc}")
            continue
        except ValueError:
            source.problem(f"{setting} = {source.text(setting)!r}: must be r or rw.")
            continue
        if match["entity"] not in (groups if match["kind"] == "group" else users):
            LOG.warning("%s names a %s that does not exist", setting, match["kind"])
        granted = found[project][match["kind"]]
        granted[match["entity"]] = granted.get(match["entity"], frozenset()) | permissions
    return {name: ProjectRule(rule["user"], rule["group"]) for name, rule in found.items()}
