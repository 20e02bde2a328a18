"""What the servers of these tests put around the application, named in their ini files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def access_log(app: Wsgi, global_conf: dict[str, str], *, path: str) -> Wsgi:
    """A line of JSON for each request (``paste.filter_app_factory``).

    It is written before the answer is sent: whoever has the answer finds the line.
    """
    lock = threading.Lock()

    def logged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            line = json.dumps([environ["REQUEST_METHOD"], asked, int(status[:3])])
            with lock, Path(path).open("a", encoding="utf-8") as log:
                log.write(line + "\n")
            return start_response(status, headers, *rest)

        return app(environ, start)

    return logged


def only_below(loader: Any, global_conf: dict[str, str], *, app: str, path: str) -> Wsgi:
    """The application at ``path`` and nothing anywhere else (``paste.composite_factory``)."""
    mounted: Wsgi = loader.get_app(app, global_conf=global_conf)

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked: str = environ["PATH_INFO"]
        if not asked.startswith(f"{path}/"):
            start_response("404 Not Found", [("Content-Type", "text/html")])
            return [b"nothing is mounted here"]
        environ["SCRIPT_NAME"] += path
        environ["PATH_INFO"] = asked.removeprefix(path)
        return mounted(environ, start_response)

    return dispatch
