"""Who may do what: pypicloud's model of users, groups, admins and rules per project."""

from pypicloud_lite.access.passwords import Passwords
from pypicloud_lite.access.rules import Permission, Rules

__all__ = ["Passwords", "Permission", "Rules"]
