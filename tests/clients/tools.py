"""The real clients, run in surroundings that decide nothing by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.clients.servers import ROOT, IndexServer
from tests.support.dists import sha256
from tests.support.server import PASSWORDS

BIN = ROOT / ".venv-clients" / "bin"
TOOLS = ("hatch", "hatchling", "pip", "poetry", "python", "twine", "uv")

#: Variables that would point a client to other servers, settings or interpreters.
_FOREIGN = ("PIP_", "UV_", "POETRY_", "HATCH_", "TWINE_", "PYTHON", "VIRTUAL_ENV", "XDG_", "NETRC")
_SECONDS = 120


def neutral_environment(home: Path) -> dict[str, str]:
    """This process's environment without the developer's own settings for any client."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "HOME": str(home),
        "NO_COLOR": "1",
        "COLUMNS": "1000",  # rich would break the lines that the tests look for
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_CACHE_DIR": str(home / "uv-cache"),
        "POETRY_CACHE_DIR": str(home / "poetry-cache"),
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
    }


@dataclass(frozen=True)
class Outcome:
    """How a client ended, and all it said."""

    command: str
    status: int
    output: str

    def worked(self) -> str:
        """What it said, after making sure that it ended well."""
        assert self.status == 0, f"{self.command} failed:\n{self.output}"
        return self.output

    def failed(self) -> str:
        """What it said, after making sure that it ended with an error."""
        assert self.status != 0, f"{self.command} should have failed:\n{self.output}"
        return self.output


class Environment:
    """A virtual environment with nothing in it, to install into."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.python = str(folder / "bin" / "python")

    def installed(self) -> dict[str, str]:
        """Name -> version of everything installed."""
        code = (
            "import importlib.metadata as m, json;"
            "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
        )
        found = subprocess.run(
            [self.python, "-I", "-c", code], capture_output=True, check=True, text=True
        )
        return dict(json.loads(found.stdout))


class Clients:
    """Every client, with a home of its own below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.environ = neutral_environment(self.home)

    def run(
        self,
        tool: str,
        *arguments: str | Path,
        cwd: Path | None = None,
        environ: dict[str, str] | None = None,
    ) -> Outcome:
        """Run a program of the clients' environment; ``environ`` adds to the neutral one."""
        command = [str(BIN / tool), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=cwd or self.home,
            env=self.environ | (environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
        return Outcome(" ".join(command), done.returncode, done.stdout.decode(errors="replace"))

    def environment(self, name: str = "environment") -> Environment:
        return Environment(self.folder / name)

    def install(
        self, installer: str, into: Environment, index: str, *arguments: str | Path
    ) -> Outcome:
        """Install with ``pip`` or ``uv`` from this index and no other."""
        if installer == "pip":
            start = ["--python", into.python, "install", "--no-cache-dir", "-i", index]
        else:
            start = ["pip", "install", "--python", into.python, "--default-index", index]
        return self.run(installer, *start, *arguments)

    def twine(self, repository: str, *files: Path, user: str = "writer", **more: str) -> Outcome:
        """``twine upload``; another ``password`` may be given."""
        return self.run(
            "twine",
            "upload",
            "--non-interactive",
            "--disable-progress-bar",
            *("--repository-url", repository),
            *("--username", user),
            *("--password", more.get("password", PASSWORDS[user])),
            *files,
        )

    def uv_publish(self, server: IndexServer, *arguments: str | Path) -> Outcome:
        """``uv publish`` as the writer."""
        login = ("--username", "writer", "--password", PASSWORDS["writer"])
        return self.run("uv", "publish", "--publish-url", server.legacy, *login, *arguments)

    def poetry(self, project: Path, *arguments: str) -> Outcome:
        return self.run("poetry", "--no-interaction", "--no-ansi", *arguments, cwd=project)


def write(folder: Path, filename: str, content: bytes) -> Path:
    """Write one distribution file, making the folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / filename
    path.write_bytes(content)
    return path


def hashes_of(files: list[Path]) -> dict[str, str]:
    """Filename -> SHA-256."""
    return {path.name: sha256(path.read_bytes()) for path in files}
