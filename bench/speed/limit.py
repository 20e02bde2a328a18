"""L, the limit: Pyramid on waitress, whose one view returns ready bytes.

    python -m bench.speed.limit PORT THREADS FOLDER

Answers are files of the folder, see :func:`write`; the one named 0 is at ``/0``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response
from waitress import serve

from bench.speed.http import Answer

#: What an answer can't be understood without.
_KEPT = ("content-type", "content-encoding", "location", "etag")


READY = "/ready"


def write(folder: Path, answers: Sequence[Answer]) -> None:
    """Write the answers that L shall give, numbered from 0."""
    folder.mkdir(exist_ok=True)
    for number, answer in enumerate(answers):
        headers = [(name.title(), answer.headers[name]) for name in _KEPT if name in answer.headers]
        about = {"status": answer.status, "headers": headers}
        (folder / f"{number}.json").write_text(json.dumps(about))
        (folder / f"{number}.body").write_bytes(answer.body)


def read(folder: Path) -> dict[str, tuple[int, list[tuple[str, str]], bytes]]:
    found = {}
    for path in folder.glob("*.json"):
        about = json.loads(path.read_text())
        headers = [(name, value) for name, value in about["headers"]]
        found[path.stem] = about["status"], headers, path.with_suffix(".body").read_bytes()
    return found


def make_app(folder: Path) -> Any:
    answers = {READY.strip("/"): (200, [], b""), **read(folder)}

    def view(request: Any) -> Response:
        status, headers, body = answers[request.matchdict["number"]]
        return Response(body, status, [*headers])

    with Configurator() as config:
        config.add_route("answer", "/{number}")
        config.add_view(view, route_name="answer")
        return config.make_wsgi_app()


if __name__ == "__main__":
    serve(make_app(Path(sys.argv[3])), host="127.0.0.1", port=sys.argv[1], threads=sys.argv[2])
