"""The other index: which requests are sent on to it, and where to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pypicloud_lite.access.rules import Rules
from pypicloud_lite.errors import InvalidName
from pypicloud_lite.names import ProjectName, project_name
from pypicloud_lite.settings.options import Source
from pypicloud_lite.settings.table import ServerSettings


@dataclass(frozen=True)
class Upstream:
    """Where clients are sent for projects that are not here.

    A name that is private, by a rule of its own or by ``pypi.disallow_fallback``, never leaves.
    """

    rules: Rules
    enabled: bool = True
    #: The other index's simple page, without the slash at its end.
    simple_url: str = "https://pypi.org/simple"
    #: What ``/pypi/<project>/json`` is appended to, where the other index is known to have it.
    json_base_url: str | None = "https://pypi.org"
    private: AbstractSet[ProjectName] = frozenset()

    @classmethod
    def from_settings(cls, source: Source, server: ServerSettings, rules: Rules) -> Upstream:
        """Read ``pypi.fallback*``; problems are recorded in ``source``."""
        private = set()
        for name in server.disallow_fallback:
            try:
                private.add(project_name(name))
            except InvalidName as exc:
                source.problem(f"pypi.disallow_fallback: {exc}")
        explicit = source.text("pypi.fallback_base_url") is not None
        simple_url: str = f"{server.fallback_base_url}/simple"
        json_base_url: str | None = server.fallback_base_url
        if server.fallback_url is not None and not explicit:
            simple_url, json_base_url = server.fallback_url, None
        return cls(
            rules, server.fallback == "redirect", simple_url, json_base_url, frozenset(private)
        )

    def page_url(self, project: ProjectName) -> str | None:
        """The page of ``project`` at the other index, or ``None`` if it isn't asked."""
        return f"{self.simple_url}/{project}/" if self._may_ask(project) else None

    def json_url(self, project: ProjectName, version: str | None) -> str | None:
        """The JSON document of ``project`` at the other index, or ``None``."""
        if self.json_base_url is None or not self._may_ask(project):
            return None
        release = f"/{version}" if version else ""
        return f"{self.json_base_url}/pypi/{project}{release}/json"

    def _may_ask(self, project: ProjectName) -> bool:
        return self.enabled and project not in self.private and not self.rules.has_rule(project)
