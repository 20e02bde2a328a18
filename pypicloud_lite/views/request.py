"""The request as our views know it."""

from __future__ import annotations

from typing import Any, cast

from pyramid.request import Request as PyramidRequest

from pypicloud_lite.access.identity import Identity, Refusal
from pypicloud_lite.access.policy import ACTION, IDENTITY
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
    def refusal(self) -> Refusal | None:
        """Why the credentials that there are were not taken."""
        return cast(Identity, self.identity).refusal

    @property
    def audited_action(self) -> str | None:
        """What the audit log calls this request; ``None``: it doesn't tell of it.

        That is what the request wants to change, or ``login`` if its credentials were looked at
        and refused.
        """
        action: str | None = self.environ.get(ACTION)
        identity: Identity | None = self.environ.get(IDENTITY)
        refused = identity is not None and identity.refusal is not None
        return action or ("login" if refused else None)

    @property
    def facts(self) -> dict[str, Any]:
        """What views and errors tell the audit log; no secrets."""
        facts: dict[str, Any] = self.environ.setdefault("pypicloud_lite.facts", {})
        return facts
