"""The request as our views know it."""

from __future__ import annotations

from typing import cast

from pyramid.request import Request as PyramidRequest

from pypicloud_lite.access.policy import Identity
from pypicloud_lite.services import Services


class Request(PyramidRequest):
    """A Pyramid request that knows the types of what hangs on it."""

    @property
    def services(self) -> Services:
        """The parts of the application."""
        return cast(Services, self.registry.services)

    @property
    def user(self) -> str | None:
        """The verified user, or ``None``."""
        return cast(Identity, self.identity).user

    @property
    def has_wrong_credentials(self) -> bool:
        """Whether there are credentials that nobody's are."""
        return cast(Identity, self.identity).wrong_credentials
