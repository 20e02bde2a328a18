"""The least that waitress can do with a file and with an upload, without any framework.

    python -m bench.speed.bare PORT THREADS FILE PAGE FOLDER

``/file`` sends FILE by the server's file wrapper, ``/page`` the bytes of PAGE from memory. A form
that is posted is parsed as it comes, its file hashed (sha256 and md5) and written once to FOLDER.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multipart import MultipartSegment, PushMultipartParser, parse_options_header
from waitress import serve

_BLOCK = 1 << 16


def make_app(file: Path, page: bytes, folder: Path) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            receive(environ, folder)
            start_response("200 OK", [("Content-Length", "0")])
            return []
        if environ["PATH_INFO"] == "/file":
            size = str(file.stat().st_size)
            start_response(
                "200 OK",
                [("Content-Type", "application/octet-stream"), ("Content-Length", size)],
            )
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file.open("rb"), _BLOCK)
            return wrapped
        start_response(
            "200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(page)))]
        )
        return [page]

    return app


def receive(environ: dict[str, Any], folder: Path) -> tuple[str, str]:
    """Write the file of a form; its digests."""
    _type, options = parse_options_header(environ["CONTENT_TYPE"])
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    source, in_file, filename = environ["wsgi.input"], False, ""
    with (
        tempfile.NamedTemporaryFile(dir=folder, delete=False) as file,
        PushMultipartParser(options["boundary"]) as parser,
    ):
        while not parser.closed:
            for event in parser.parse(source.read(_BLOCK)):
                if isinstance(event, MultipartSegment):
                    in_file = event.filename is not None
                    filename = event.filename or ""
                elif event and in_file:
                    sha256.update(event)
                    md5.update(event)
                    file.write(event)
    Path(file.name).rename(folder / filename)
    return sha256.hexdigest(), md5.hexdigest()


if __name__ == "__main__":
    port, threads, *paths = sys.argv[1:]
    served, shown, written = map(Path, paths)
    serve(
        make_app(served, shown.read_bytes(), written), host="127.0.0.1", port=port, threads=threads
    )
