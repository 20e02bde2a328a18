"""Large downloads: one that is timed, or several that go on for ever.

    python -m bench.speed.downloads PORT PATH COUNT

downloads a path COUNT times at once, again and again, until the process is ended.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from bench.speed.http import request_head
from bench.speed.load import LoadError

_BUFFER = 1 << 20


def download(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, float]:
    """The bytes of a body that is received and dropped, and the seconds that it took.

    Raises:
        LoadError: the answer is not 200, or not whole.
    """
    buffer = memoryview(bytearray(_BUFFER))
    begin = time.perf_counter()
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as connection:
        connection.sendall(request_head(port, path, headers or {}))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(4096)
            if not piece:
                raise LoadError(f"{path}: no answer")
            head += piece
        lines = head.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        lengths = [line for line in lines if line.startswith(b"content-length:")]
        if lines[0].split()[1] != b"200" or not lengths:
            raise LoadError(f"{path} is answered {lines[0].decode()}")
        size = int(lengths[0].partition(b":")[2])
        received = len(head.partition(b"\r\n\r\n")[2])
        while received < size:
            length = connection.recv_into(buffer)
            if not length:
                raise LoadError(f"{path}: {received} of {size} bytes")
            received += length
    return size, time.perf_counter() - begin


@contextmanager
def downloading(port: int, path: str, count: int) -> Iterator[None]:
    """Downloads in another process, for as long as the block takes.

    Raises:
        LoadError: they ended before.
    """
    command = [sys.executable, "-m", "bench.speed.downloads", str(port), path, str(count)]
    with subprocess.Popen(command) as process:
        time.sleep(0.5)  # all of them are under way
        try:
            yield
            if process.poll() is not None:
                raise LoadError(f"{path}: the downloads ended")
        finally:
            process.terminate()


def _go_on(port: int, path: str) -> None:
    while True:
        download(port, path)


if __name__ == "__main__":
    for _number in range(int(sys.argv[3])):
        threading.Thread(target=_go_on, args=(int(sys.argv[1]), sys.argv[2])).start()
