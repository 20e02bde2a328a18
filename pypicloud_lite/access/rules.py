"""The access rules as data, and the one function that decides.

The semantics are pypicloud's: admins may do everything with projects; a project with rules of its
own ignores the defaults; a user has what any of its groups has. Overwriting and deleting are
rights of groups, on top of the right to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from pypicloud_lite.access.identity import ANONYMOUS, Identity
from pypicloud_lite.names import ProjectName

EVERYONE = "everyone"
AUTHENTICATED = "authenticated"
ADMIN = "admin"
BUILT_IN_GROUPS = frozenset({EVERYONE, AUTHENTICATED, ADMIN})
_ADMINS = frozenset({ADMIN})
_ANONYMOUS, _MEMBERS = frozenset({EVERYONE}), frozenset({EVERYONE, AUTHENTICATED})


class Permission(Enum):
    """What someone may want to do with a project."""

    READ = "read"
    WRITE = "write"
    #: Replace a published file by other bytes; needs WRITE too.
    OVERWRITE = "overwrite"
    #: Remove a published file; needs WRITE too.
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class ProjectRule:
    """Explicit permissions of one project."""

    users: Mapping[str, frozenset[Permission]]
    groups: Mapping[str, frozenset[Permission]]


@dataclass(frozen=True)
class Rules:
    """All rules of the server. Whoever asks has the user's rights, and of these no more than the
    token covers, if there is one.
    """

    admins: frozenset[str] = frozenset()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    projects: Mapping[ProjectName, ProjectRule] = field(default_factory=dict)
    default_read: frozenset[str] = frozenset({AUTHENTICATED})
    default_write: frozenset[str] = frozenset()
    overwrite_groups: frozenset[str] = frozenset()
    delete_groups: frozenset[str] = frozenset({AUTHENTICATED})

    def groups_of(self, user: str | None) -> frozenset[str]:
        """Every group that the user is in, the built-in ones included."""
        if user is None:
            return _ANONYMOUS
        return self._memberships.get(user, _MEMBERS)

    @cached_property
    def _memberships(self) -> Mapping[str, frozenset[str]]:
        """The groups of all users who are in more than the built-in ones."""
        found = defaultdict(set, {user: {ADMIN} for user in self.admins})
        for name, members in self.groups.items():
            for user in members:
                found[user].add(name)
        return {user: _MEMBERS | own for user, own in found.items()}

    def permits(self, identity: Identity, project: ProjectName, permission: Permission) -> bool:
        """Whether ``identity`` has ``permission`` on ``project``."""
        token = identity.token
        if token is not None and not token.covers(
            project, writing=permission is not Permission.READ
        ):
            return False
        return self._user_may(identity.user, project, permission)

    def _user_may(self, user: str | None, project: ProjectName, permission: Permission) -> bool:
        groups = self.groups_of(user)
        if permission is Permission.OVERWRITE:
            return bool(groups & self.overwrite_groups) and self._user_may(
                user, project, Permission.WRITE
            )
        if permission is Permission.DELETE:
            return bool(groups & self.delete_groups) and self._user_may(
                user, project, Permission.WRITE
            )
        if user is not None and user in self.admins:
            return True
        rule = self.projects.get(project)
        if rule is None:
            return bool(
                groups
                & (self.default_read if permission is Permission.READ else self.default_write)
            )
        if user is not None and permission in rule.users.get(user, frozenset()):
            return True
        return any(permission in rule.groups.get(group, frozenset()) for group in groups)

    def readable(self, identity: Identity, projects: Iterable[ProjectName]) -> list[ProjectName]:
        """Those of ``projects`` that ``identity`` may read, in the same order."""
        user, token = identity.user, identity.token
        if token is not None:
            projects = [name for name in projects if token.is_for(name)]
        if user is not None and user in self.admins:
            return list(projects)
        by_default = bool(self.groups_of(user) & self.default_read)
        return [
            name
            for name in projects
            if (
                self._user_may(user, name, Permission.READ) if name in self.projects else by_default
            )
        ]

    def may_read_something(self, identity: Identity) -> bool:
        """Whether there is any project that ``identity`` may read, existing or not."""
        return self._may_something(identity, Permission.READ, self.default_read)

    def may_write_something(self, identity: Identity) -> bool:
        """Whether there is any project that ``identity`` may write to, existing or not."""
        return self._may_something(identity, Permission.WRITE, self.default_write)

    def _may_something(
        self, identity: Identity, permission: Permission, default: frozenset[str]
    ) -> bool:
        user, token = identity.user, identity.token
        if token is not None and token.projects is not None:
            return any(self.permits(identity, name, permission) for name in token.projects)
        if token is not None and permission is Permission.WRITE and not token.writes:
            return False
        if user is not None and user in self.admins:
            return True
        return bool(self.groups_of(user) & default) or any(
            self._user_may(user, name, permission) for name in self.projects
        )

    def may_administer(self, identity: Identity) -> bool:
        """Whether ``identity`` may do what concerns all projects. Tokens are for projects only."""
        return identity.user in self.admins and identity.token is None

    def reader_class(self, identity: Identity) -> Hashable:
        """A key shared by those who see the same list of projects."""
        token = identity.token
        return self._user_class(identity.user), None if token is None else token.projects

    def _user_class(self, user: str | None) -> frozenset[str]:
        if user is not None and user in self.admins:
            return _ADMINS
        groups = self.groups_of(user)
        return groups | {f"user:{user}"} if user in self._named_users else groups

    @cached_property
    def _named_users(self) -> frozenset[str]:
        """Who has rights of his own on some project, and so a list of his own."""
        return frozenset(user for rule in self.projects.values() for user in rule.users)

    def is_public(self, project: ProjectName) -> bool:
        """Whether anyone at all may read the project."""
        if project not in self.projects:
            return EVERYONE in self.default_read
        return self.permits(ANONYMOUS, project, Permission.READ)

    def is_public_list(self, identity: Identity) -> bool:
        """Whether anyone at all may see the list that ``identity`` sees."""
        return identity.token is None and self._is_all_public

    @cached_property
    def _is_all_public(self) -> bool:
        return EVERYONE in self.default_read and all(self.is_public(name) for name in self.projects)

    def has_rule(self, project: ProjectName) -> bool:
        """Whether the ini names the project: it is private then, even when it has no files."""
        return project in self.projects


def parse_permissions(value: str) -> frozenset[Permission]:
    """Read ``r``, ``rw``, ``w`` or the words ``read write``.

    Raises:
        ValueError: anything else.
    """
    short = {
        "": [],
        "r": ["read"],
        "w": ["write"],
        "rw": ["read", "write"],
        "wr": ["read", "write"],
    }
    words: Collection[str] = short.get(value.strip().lower()) or value.lower().split()
    if value.strip() and not set(words) <= {"read", "write"}:
        raise ValueError(value)
    return frozenset(Permission(word) for word in words)
