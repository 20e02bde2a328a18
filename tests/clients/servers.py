"""A real server whose requests can be read afterwards, at the root of its host or below it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from tests.support.server import PASSWORDS, Server, plain_environ

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/some/index"

#: Proxies of the developer's environment do not stand between the tests and their servers.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

#: How the application is mounted -> sections that define ``main`` around ``[app:index]``.
MOUNTS = {
    "root": "[pipeline:main]\npipeline = log index\n",
    "prefix": (
        f"[filter:prefix]\nuse = egg:PasteDeploy#prefix\nprefix = {PREFIX}\n"
        "[pipeline:main]\npipeline = log prefix index\n"
    ),
    "composite": (
        "[composite:below]\npaste.composite_factory = tests.clients.wsgi:only_below\n"
        f"app = index\npath = {PREFIX}\n"
        "[pipeline:main]\npipeline = log below\n"
    ),
}


class IndexServer(Server):
    """``pserve``, mounted as one of ``MOUNTS`` says, which logs its requests."""

    def __init__(
        self, folder: Path, settings: dict[str, str] | None = None, *, mount: str = "root"
    ) -> None:
        super().__init__(folder, settings)
        self.mount = mount
        self.access_log = folder / f"requests-{self.port}.log"

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return super().url + self._prefix

    def url_as(self, user: str, password: str | None = None) -> str:
        password = PASSWORDS[user] if password is None else password
        return f"http://{user}:{password}@127.0.0.1:{self.port}{self._prefix}"

    @property
    def _prefix(self) -> str:
        return "" if self.mount == "root" else PREFIX

    @property
    def legacy(self) -> str:
        """Where clients upload to."""
        return f"{self.url}/legacy/"

    @property
    def simple(self) -> str:
        """Where clients install from."""
        return f"{self.url}/simple/"

    def simple_as(self, user: str, password: str | None = None) -> str:
        return f"{self.url_as(user, password)}/simple/"

    def start(self) -> None:
        settings = "".join(f"{name} = {value}\n" for name, value in self.settings.items())
        ini = self.folder / f"server-{self.port}.ini"
        ini.write_text(
            f"[app:index]\nuse = egg:pypicloud_lite\n{settings}"
            "[filter:log]\npaste.filter_app_factory = tests.clients.wsgi:access_log\n"
            f"path = {self.access_log}\n"
            f"{MOUNTS[self.mount]}"
            f"[server:main]\nuse = {self.runner}\nhost = 127.0.0.1\nport = {self.port}\n",
            encoding="utf-8",
        )
        environ = plain_environ()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("pserve")), str(ini)],
                stdout=log,
                stderr=log,
                env=environ | {"PYTHONPATH": str(ROOT)},
            )
        self.wait_until_ready()

    def requests(self, project: str, method: str | None = None) -> list[tuple[str, str, int]]:
        """Method, last part of the path, and status of all requests about a project.

        The last part of a page's path is the project itself.
        """
        return [
            (asked, path.rstrip("/").rpartition("/")[2], status)
            for asked, path, status in self.all_requests()
            if project in path.split("/") and method in (None, asked)
        ]

    def uploads(self) -> int:
        """How many uploads were sent, whatever the answers were."""
        return sum(method == "POST" for method, _, _ in self.all_requests())

    def all_requests(self) -> list[tuple[str, str, int]]:
        """Method, whole path, and status of every request so far."""
        lines = self.access_log.read_text(encoding="utf-8").splitlines()
        return [tuple(json.loads(line)) for line in lines]

    def ask(self, path: str, *, user: str, data: bytes | None = None, **headers: str) -> Any:
        """The JSON answer to a request that must succeed."""
        login = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
        request = urllib.request.Request(
            self.url + path,
            data,
            {"Authorization": f"Basic {login}"}
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        with _DIRECT.open(request, timeout=30) as response:
            return json.load(response)

    def upload(self, filename: str, content: bytes, *, user: str = "writer") -> None:
        """Upload without a client, where the test is about something else."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="content"; '
            f'filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        self.ask(
            "/legacy/",
            user=user,
            data=head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
            Content_Type=f"multipart/form-data; boundary={boundary}",
        )

    def yank(self, project: str, **fields: str) -> None:
        data = urllib.parse.urlencode(fields).encode()
        self.ask(f"/api/package/{project}/yank", user="writer", data=data)

    def files(self, project: str) -> dict[str, dict[str, Any]]:
        """Filename -> what the project's page says of the file."""
        accept = "application/vnd.pypi.simple.v1+json"
        page = self.ask(f"/simple/{project}/", user="admin", Accept=accept)
        return {file["filename"]: file for file in page["files"]}

    def hashes(self, project: str) -> dict[str, str]:
        """Filename -> SHA-256, as the project's page says."""
        return {name: file["hashes"]["sha256"] for name, file in self.files(project).items()}
