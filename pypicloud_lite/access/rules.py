"""The access rules as data, and the one function that decides.

The semantics are pypicloud's: admins may do everything with projects; a project with rules of its
own ignores the defaults; a user has what any of its groups has. Overwriting and deleting are
rights of groups, on top of the right to write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from pypicloud_lite.names import ProjectName

EVERYONE = "everyone"
AUTHENTICATED = "authenticated"
ADMIN = "admin"
BUILT_IN_GROUPS = frozenset({EVERYONE, AUTHENTICATED, ADMIN})


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
    """All rules of the server. A user is a name, or ``None`` for the anonymous."""

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
            return frozenset({EVERYONE})
        own = {name for name, members in self.groups.items() if user in members}
        built_in = {EVERYONE, AUTHENTICATED} | ({ADMIN} if user in self.admins else set())
        return frozenset(own | built_in)

    def permits(self, user: str | None, project: ProjectName, permission: Permission) -> bool:
        """Whether ``user`` has ``permission`` on ``project``."""
        groups = self.groups_of(user)
        if permission is Permission.OVERWRITE:
            return bool(groups & self.overwrite_groups) and self.permits(
                user, project, Permission.WRITE
            )
        if permission is Permission.DELETE:
            return bool(groups & self.delete_groups) and self.permits(
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

    def readable(self, user: str | None, projects: Iterable[ProjectName]) -> list[ProjectName]:
        """Those of ``projects`` that the user may read, in the same order."""
        if user is not None and user in self.admins:
            return list(projects)
        by_default = bool(self.groups_of(user) & self.default_read)
        return [
            name
            for name in projects
            if (self.permits(user, name, Permission.READ) if name in self.projects else by_default)
        ]

    def may_read_something(self, user: str | None) -> bool:
        """Whether there is any project that the user may read, existing or not."""
        return bool(self.groups_of(user) & self.default_read) or any(
            self.permits(user, name, Permission.READ) for name in self.projects
        )

    def may_write_something(self, user: str | None) -> bool:
        """Whether there is any project that the user may write to, existing or not."""
        if user is not None and user in self.admins:
            return True
        if self.groups_of(user) & self.default_write:
            return True
        return any(self.permits(user, name, Permission.WRITE) for name in self.projects)

    def reader_class(self, user: str | None) -> frozenset[str]:
        """A key shared by users who see the same list of projects."""
        if user is not None and user in self.admins:
            return frozenset({ADMIN})
        names = set(self.groups_of(user))
        if user is not None and any(user in rule.users for rule in self.projects.values()):
            names.add(f"user:{user}")
        return frozenset(names)

    def is_public(self, project: ProjectName | None) -> bool:
        """Whether anyone at all may read the project (or, with ``None``, every project)."""
        if project is not None:
            return self.permits(None, project, Permission.READ)
        return EVERYONE in self.default_read and all(
            self.permits(None, name, Permission.READ) for name in self.projects
        )

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
