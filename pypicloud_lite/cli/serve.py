"""``pypicloud-lite serve``: start the server of an ini file and say how to use it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import plaster


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "serve",
        help="start the server",
        description="Start the server that an ini file describes, as pserve does, and print the "
        "commands to use it with.",
    )
    parser.add_argument("ini", nargs="?", default="development.ini", help="default: %(default)s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    ini = Path(arguments.ini)
    if not ini.is_file():
        print(
            f"pypicloud-lite: there is no {ini}; `pypicloud-lite make-config` writes one",
            file=sys.stderr,
        )
        return 1
    loader = plaster.get_loader(str(ini.absolute()), protocols=["wsgi"])
    loader.setup_logging({})
    server_settings = loader.get_settings("server:main")
    settings = loader.get_settings("app:main")
    password_file = settings.get("auth.admin_password_file")
    is_new = bool(password_file) and not Path(password_file).exists()
    application = loader.get_wsgi_app()
    print(banner(server_settings, password_file, show_password=is_new), flush=True)
    server = loader.get_wsgi_server()
    return int(server(application) or 0)


def banner(server: dict[str, str], password_file: str | None, *, show_password: bool) -> str:
    """What a newcomer needs to know, ready to copy."""
    listen = server.get("listen", "").split()[:1]
    host, _colon, port = listen[0].rpartition(":") if listen else ("", "", "")
    host = host or server.get("host", "0.0.0.0")  # noqa: S104 - waitress's default
    port = port or server.get("port", "8080")
    base = f"http://{'localhost' if host in ('0.0.0.0', '*', '') else host}:{port}"  # noqa: S104 - compared only
    lines = ["", f"  Package index at {base}/", ""]
    user = "USER"
    if password_file:
        user = "admin"
        path = Path(password_file)
        if show_password:
            password = path.read_text(encoding="utf-8").strip()
            lines += [f"  User admin, password {password}   (kept in {path})", ""]
        else:
            lines += [f"  User admin, password in {path}", ""]
    lines += [
        f"  pip install --index-url {base}/simple/ PROJECT",
        f"  uv pip install --default-index {base}/simple/ PROJECT",
        f"  twine upload --repository-url {base}/legacy/ --username {user} dist/*",
        "",
    ]
    return "\n".join(lines)
