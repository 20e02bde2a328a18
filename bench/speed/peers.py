"""Other indexes of distribution files, in their own environments, with the same files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from bench.speed.forms import Receiver
from bench.speed.load import Ask, Target
from bench.speed.servers import Process

_LINK = re.compile(r'href="([^"#]+)')


@dataclass(frozen=True)
class Peer:
    """A peer that runs.

    Attributes:
        version: of its package.
        simple: the path of its root page.
        json: whether it has pages in JSON.
        uploads: where it takes files.
        big: the URL's path whose deletion removes the large wheel, or the file itself.
        index: the database that it makes anew from its files.
    """

    server: Process
    version: str
    simple: str
    uploads: Receiver
    big: str | Path
    json: bool = False
    index: Path | None = None

    def page(self, project: str, accept: str) -> Target:
        return Target(self.server, (Ask(f"{self.simple}{project}/", {"Accept": accept}),))

    def root(self, accept: str) -> Target:
        return Target(self.server, (Ask(self.simple, {"Accept": accept}),))

    def file(self, project: str, filename: str) -> Target:
        """The file, where the project's page says."""
        path = f"{self.simple}{project}/"
        page = self.server.get(path, {"Accept": "text/html"}).body.decode()
        link = next(link for link in _LINK.findall(page) if link.endswith(filename))
        return Target(self.server, (Ask(urlsplit(urljoin(path, link)).path, {}),))
