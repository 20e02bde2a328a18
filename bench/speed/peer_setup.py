"""Installing and starting peers, each in the way that is natural to it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.scale_data import FILES_PER_PROJECT, LARGE, LARGE_FILES, filenames
from bench.speed.data import BIG, BIG_NAME, SMALL, Stores
from bench.speed.forms import Form, Receiver, Upload
from bench.speed.http import Connection, request_head
from bench.speed.pace import say
from bench.speed.peers import Peer
from bench.speed.servers import THREADS, Process
from bench.speed.users import authorization, basic, password_of
from tests.support.server import free_port

_USER = "writer"
#: pypicloud asks for a function that Python 3.11 has no more.
_GETARGSPEC = (
    "import collections, inspect; inspect.getargspec = lambda function, "
    'full=inspect.getfullargspec, spec=collections.namedtuple("ArgSpec", '
    '"args varargs keywords defaults"): spec(*full(function)[:4])\n'
)


class PeerMissing(Exception):
    """A peer can't be had here; the reason in one line."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a peer, and the folder with its data."""

    bin: Path
    folder: Path

    def output(self, code: str) -> str:
        """What a line of Python prints there."""
        command = [str(self.bin / "python"), "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def version(self, package: str) -> str:
        return self.output(f"from importlib.metadata import version; print(version({package!r}))")

    def process(self, name: str, command: list[str], ready: str) -> Process:
        log = self.folder / "log"
        return Process(name, [str(self.bin / command[0]), *command[1:]], ready=ready, log=log)


def installed(folder: Path, requirements: tuple[str, ...]) -> Path:
    """The ``bin`` of an environment with these packages.

    Raises:
        PeerMissing: pip can't install them.
    """
    commands, done = folder / "bin", folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(commands / "python"), "-m", "pip", "install", "--quiet", *requirements]
        tried = subprocess.run(pip, capture_output=True, text=True, check=False)
        if tried.returncode:
            errors = [line for line in tried.stderr.splitlines() if line.startswith("ERROR")]
            raise PeerMissing((errors or ["pip failed"])[-1])
        done.touch()
    return commands


@contextmanager
def _pypiserver(environment: Environment) -> Iterator[Peer]:
    code = f"from passlib.hash import apr_md5_crypt as h; print(h.hash({password_of(_USER)!r}))"
    passwords = environment.folder / "htpasswd"
    passwords.write_text(f"{_USER}:{environment.output(code)}\n")
    command = [
        "pypi-server", "run", "-i", "127.0.0.1", "-p", "{port}", "-a", "update", "-P",
        str(passwords), "--disable-fallback", str(environment.folder / "packages"),
    ]  # fmt: skip
    with environment.process("pypiserver", command, f"/simple/{SMALL}/") as server:
        uploads = Receiver("/", authorization(_USER))
        version, big = environment.version("pypiserver"), environment.folder / "packages" / BIG_NAME
        yield Peer(server, version, "/simple/", uploads, big=big)


@contextmanager
def _pypicloud(environment: Environment) -> Iterator[Peer]:
    packages = environment.output("import sysconfig; print(sysconfig.get_path('purelib'))")
    (Path(packages) / "getargspec.pth").write_text(_GETARGSPEC)
    code = f"from pypicloud.access import *; print(get_pwd_context().hash({password_of(_USER)!r}))"
    folder, port = environment.folder, free_port()
    (folder / "db.sqlite").unlink(missing_ok=True)
    key = b64encode(secrets.token_bytes(32)).decode()
    settings = {
        "use": "egg:pypicloud",
        "pypi.default_read": "everyone",
        "pypi.default_write": "authenticated",
        "pypi.fallback": "none",
        "pypi.storage": "file",
        "storage.dir": str(folder / "packages"),
        "db.url": f"sqlite:///{folder / 'db.sqlite'}",
        "auth.admins": _USER,
        f"user.{_USER}": environment.output(code),
        "session.encrypt_key": key,
        "session.validate_key": key,
        "session.secure": "false",
        "session.invalidate_corrupt": "true",
    }
    serving = {"use": "egg:waitress#main", "listen": f"127.0.0.1:{port}", "threads": str(THREADS)}
    # Its own template for production logs warnings and worse.
    logging = (
        "[loggers]\nkeys = root\n[handlers]\nkeys = console\n[formatters]\nkeys = generic\n"
        "[logger_root]\nlevel = WARN\nhandlers = console\n"
        "[handler_console]\nclass = StreamHandler\nargs = (sys.stderr,)\nformatter = generic\n"
        "[formatter_generic]\nformat = %(levelname)s %(asctime)s [%(name)s] %(message)s\n"
    )
    ini = folder / "pypicloud.ini"
    ini.write_text(f"{_section('app:main', settings)}{_section('server:main', serving)}{logging}")
    command = [str(environment.bin / "pserve"), str(ini)]
    ready, log = f"/simple/{SMALL}/", folder / "log"
    with Process("pypicloud", command, ready=ready, log=log, port=port) as server:
        yield Peer(
            server,
            environment.version("pypicloud"),
            "/simple/",
            Receiver("/simple/", authorization(_USER)),
            big=f"/api/package/{BIG}/{BIG_NAME}",
            index=folder / "db.sqlite",
        )


def _section(name: str, settings: dict[str, str]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in settings.items()), ""])


@contextmanager
def _devpi(environment: Environment) -> Iterator[Peer]:
    data, loaded = environment.folder / "devpi", environment.folder / "loaded"
    if not data.exists():
        init = ["--serverdir", str(data), "--no-root-pypi", "--root-passwd", "root-password"]
        subprocess.run(
            [str(environment.bin / "devpi-init"), *init], check=True, capture_output=True
        )
    command = [
        "devpi-server", "--serverdir", str(data), "--host", "127.0.0.1", "--port", "{port}",
        "--threads", str(THREADS), "--offline-mode",
    ]  # fmt: skip
    with environment.process("devpi", command, "/+api") as server:
        index = f"/{_USER}/bench/"
        receiver = Receiver(index, _devpi_login(server, new=not loaded.exists()))
        if not loaded.exists():
            say("devpi: uploading all files, which takes a minute or two")
            _upload_all(server, receiver, environment.folder / "packages")
            loaded.touch()
        version = environment.version("devpi-server")
        yield Peer(
            server, version, f"{index}+simple/", receiver, json=True, big=f"{index}{BIG}/1.0"
        )


def _devpi_login(server: Process, *, new: bool) -> dict[str, str]:
    """The header with a token; also makes the user and the index."""
    kind = {"Content-Type": "application/json", "Accept": "application/json"}

    def ask(method: str, path: str, document: object, headers: dict[str, str]) -> bytes:
        body = json.dumps(document).encode()
        about = {**kind, **headers, "Content-Length": str(len(body))}
        with Connection(server.port) as connection:
            answer = connection.send(request_head(server.port, path, about, method), body)
        if answer.status not in {200, 201}:
            raise PeerMissing(f"devpi answers {answer.status} to {method} {path}")
        return answer.body

    if new:
        ask("PUT", f"/{_USER}", {"password": password_of(_USER)}, {})
    login = {"user": _USER, "password": password_of(_USER)}
    token = json.loads(ask("POST", "/+login", login, {}))["result"]["password"]
    header = basic(_USER, token)
    if new:
        about = {"type": "stage", "bases": [], "volatile": True}
        ask("PUT", f"/{_USER}/bench", about, header)
    return header


def _upload_all(server: Process, receiver: Receiver, packages: Path) -> None:
    with Connection(server.port) as connection:
        for project in sorted(path.name for path in packages.iterdir()):
            count = LARGE_FILES if project == LARGE else FILES_PER_PROJECT
            for number, filename in enumerate(filenames(project, count)):
                version = f"1.{number // 2}"
                content = (packages / project / version / filename).read_bytes()
                form = Form.of(Upload(project, version, filename, content))
                answer = form.send(connection, receiver)
                if answer.status != 200:
                    raise PeerMissing(f"devpi answers {answer.status} to an upload of {filename}")


@dataclass(frozen=True)
class _Recipe:
    requirements: tuple[str, ...]
    start: Callable[[Environment], AbstractContextManager[Peer]]


_RECIPES = {
    "pypiserver": _Recipe(("pypiserver[passlib]", "waitress"), _pypiserver),
    "devpi": _Recipe(("devpi-server",), _devpi),
    "pypicloud": _Recipe(
        ("pypicloud==1.3.12", "setuptools<81", "SQLAlchemy<2", "waitress"), _pypicloud
    ),
}


@contextmanager
def running(stores: Stores) -> Iterator[tuple[dict[str, Peer], list[str]]]:
    """All peers that can be had, and sentences about those that can't."""
    peers, missing = {}, []
    with ExitStack() as stack:
        for name, recipe in _RECIPES.items():
            say(f"{name}: installation and start")
            try:
                folder = stores.folder / f"peer-{name}"
                commands = installed(folder / "venv", recipe.requirements)
                stores.copy(stores.store(), folder)
                peers[name] = stack.enter_context(recipe.start(Environment(commands, folder)))
            except (PeerMissing, subprocess.CalledProcessError, AssertionError) as exc:
                missing.append(f"{name} could not be measured: {exc}")
                say(missing[-1])
        yield peers, missing
