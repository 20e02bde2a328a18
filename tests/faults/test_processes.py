"""Real processes: stopped, killed, forked, and sharing one folder and one index.

Where a test's name begins with a number, the list of hostile inputs that we keep has it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.dists import sdist, sha256, wheel
from tests.support.server import PASSWORDS, Server, app_settings


def form(filename: str, content: bytes) -> tuple[bytes, str]:
    body = (
        f'--B\r\nContent-Disposition: form-data; name="content"; filename="{filename}"\r\n\r\n'
    ).encode()
    return body + content + b"\r\n--B--\r\n", "multipart/form-data; boundary=B"


def headers(content_type: str) -> dict[str, str]:
    token = base64.b64encode(f"writer:{PASSWORDS['writer']}".encode()).decode()
    return {"Content-Type": content_type, "Authorization": f"Basic {token}"}


def upload(server: Server, filename: str, content: bytes) -> int:
    body, content_type = form(filename, content)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", "/legacy/", body, headers(content_type))
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def files(server: Server, project: str = "demo") -> dict[str, str]:
    """Filename to sha256, as the server's page has it."""
    request = urllib.request.Request(
        f"{server.url}/simple/{project}/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        document = json.load(response)
    return {entry["filename"]: entry["hashes"]["sha256"] for entry in document["files"]}


def download(server: Server, filename: str, project: str = "demo") -> bytes:
    url = f"{server.url}/api/package/{project}/{filename}"
    with urllib.request.urlopen(url, timeout=30) as response:
        content: bytes = response.read()
    return content


def demo(number: int) -> tuple[str, bytes]:
    return f"demo-{number}-py3-none-any.whl", wheel(version=str(number))


@pytest.mark.parametrize("runner", ["egg:pypicloud_lite", "egg:waitress"])
def test_a_server_stops_when_it_is_told_to(tmp_path: Path, runner: str) -> None:
    server = Server(tmp_path, runner=runner)
    server.start()
    status = server.stop(signal.SIGTERM)
    assert status == (0 if runner == "egg:pypicloud_lite" else -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text()


def test_a_request_that_is_under_way_is_finished(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        filename, content = demo(1)
        body, content_type = form(filename, content)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            head = "POST /legacy/ HTTP/1.1\r\nHost: x\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in headers(content_type).items()
            )
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:100])
            time.sleep(0.3)  # the server shall have begun to read
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            while "stopping" not in server.log.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.1", server.port), timeout=5)
            connection.sendall(body[100:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(timeout=20) == 0
    assert (tmp_path / "packages" / "demo" / "1" / filename).read_bytes() == content


def test_c08_an_upload_through_one_process_is_on_the_others_next_page(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    with Server(tmp_path, shared) as first, Server(tmp_path, shared) as second:
        for number in range(10):
            filename, content = demo(number)
            writing, reading = (first, second) if number % 2 else (second, first)
            assert upload(writing, filename, content) == 200
            assert files(reading)[filename] == sha256(content)


def race(servers: tuple[Server, Server], filename: str, contents: list[bytes]) -> list[int]:
    """Upload different bytes under one name at once; the statuses."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(upload, servers, [filename] * 2, contents))


def test_c02_two_processes_agree_on_one_winner(tmp_path: Path, shared: dict[str, str]) -> None:
    with Server(tmp_path, shared) as first, Server(tmp_path, shared) as second:
        for number in range(8):
            filename = f"demo-{number}-py3-none-any.whl"
            contents = [wheel(version=str(number), summary=f"by {who}") for who in "ab"]
            statuses = race((first, second), filename, contents)
            assert sorted(statuses) == [200, 409]
            winner = contents[statuses.index(200)]
            for server in (first, second):
                assert files(server)[filename] == sha256(winner)
                assert download(server, filename) == winner


def test_c09_two_processes_make_one_project(tmp_path: Path, shared: dict[str, str]) -> None:
    with Server(tmp_path, shared) as first, Server(tmp_path, shared) as second:
        for number in range(8):
            uploads = {f"new{number}-{version}-py3-none-any.whl": version for version in "12"}
            contents = [wheel(f"new{number}", version) for version in uploads.values()]
            with ThreadPoolExecutor(2) as pool:
                assert set(pool.map(upload, (first, second), uploads, contents)) == {200}
            for server in (first, second):
                assert set(files(server, f"new{number}")) == set(uploads)


def test_c10_spellings_of_a_name_at_once_are_one_project(
    tmp_path: Path, shared: dict[str, str]
) -> None:
    with Server(tmp_path, shared) as first, Server(tmp_path, shared) as second:
        for number in range(8):
            names = [f"foo_bar{number}-1.tar.gz", f"Foo-Bar{number}-2.tar.gz"]
            contents = [sdist(f"foo_bar{number}", "1"), sdist(f"Foo-Bar{number}", "2")]
            with ThreadPoolExecutor(2) as pool:
                assert set(pool.map(upload, (first, second), names, contents)) == {200}
            for server in (first, second):
                assert set(files(server, f"foo-bar{number}")) == set(names)


FORKING = """
import json, os, sys
from pypicloud_lite.app import make_app
from tests.conftest import Client
from tests.support.dists import wheel

client = Client(make_app(json.loads(sys.argv[1]), {})).as_("writer")

def work(who):
    for number in range(15):
        version = f"{who}.{number}"
        name = f"demo-{version}-py3-none-any.whl"
        client.upload(name, wheel(version=version), status=200)
        assert name in {entry["filename"] for entry in client.page("demo").json["files"]}

work(0)
children = []
for who in range(1, 4):
    child = os.fork()
    if not child:
        work(who)
        os._exit(0)
    children.append(child)
work(4)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
assert len(client.page("demo").json["files"]) == 75
client.app.registry.services.close()
"""


def test_c12_forked_processes_share_no_connection(tmp_path: Path, shared: dict[str, str]) -> None:
    settings = {name: value.replace("%%", "%") for name, value in shared.items()}
    command = [sys.executable, "-c", FORKING, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    settings = app_settings(tmp_path)
    acknowledged: dict[str, bytes] = {}
    number = 0
    for _round in range(4):
        server = Server(tmp_path, settings)
        server.start()
        killer = threading.Timer(0.4, lambda server=server: os.kill(server.process.pid, 9))
        killer.start()
        while True:
            number += 1
            filename, content = demo(number)
            try:
                if upload(server, filename, content) == 200:
                    acknowledged[filename] = content
            except (OSError, http.client.HTTPException):
                break
        killer.join()
        server.stop()
    assert len(acknowledged) > 10
    with Server(tmp_path, settings) as server:
        listed = files(server)
        for filename, content in acknowledged.items():
            assert listed[filename] == sha256(content)
        for filename, digest in listed.items():
            assert sha256(download(server, filename)) == digest
    # And without the index, from the folder alone.
    fresh = settings | {"db.url": f"sqlite:///{tmp_path / 'fresh.sqlite'}"}
    with Server(tmp_path, fresh) as server:
        assert files(server) == listed


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        body, content_type = form(*demo(1))
        head = "POST /legacy/ HTTP/1.1\r\nHost: x\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers(content_type).items()
        )
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-50])
        assert upload(server, *demo(2)) == 200
        assert list(files(server)) == [demo(2)[0]]
    assert list((tmp_path / "packages" / ".pypicloud-lite" / "spool").iterdir()) == []


def test_a_chunked_upload_is_taken(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        body, content_type = form(*demo(1))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        chunks = iter([body[:1000], body[1000:]])
        connection.request("POST", "/legacy/", chunks, headers(content_type), encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()
        assert list(files(server)) == [demo(1)[0]]


def test_a_large_upload_takes_little_memory(tmp_path: Path) -> None:
    def resident(server: Server) -> int:
        assert server.process is not None
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)

    content = wheel(files={"big.bin": os.urandom(100 << 20)})
    with Server(tmp_path) as server:
        upload(server, *demo(2))
        before = resident(server)
        assert upload(server, "demo-1.0-py3-none-any.whl", content) == 200
        assert sha256(download(server, "demo-1.0-py3-none-any.whl")) == sha256(content)
        assert resident(server) - before < 32 << 10  # KiB


def test_files_dropped_by_hand_are_there_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    filename, content = demo(1)
    with Server(tmp_path):
        pass
    (tmp_path / "packages" / filename).write_bytes(content)
    with Server(tmp_path) as server:
        assert files(server) == {filename: sha256(content)}
        assert download(server, filename) == content
    (tmp_path / "packages" / filename).unlink()
    with Server(tmp_path) as server, pytest.raises(urllib.error.HTTPError, match="404"):
        files(server)


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with Server(tmp_path) as first:
        second = Server(tmp_path, wait=False)
        second.port = first.port
        second.start()
        assert second.process is not None
        assert second.process.wait(timeout=30) == 1
        assert f"can't listen on 127.0.0.1:{first.port}: " in second.log.read_text()


def test_a_broken_setting_ends_the_start_with_all_problems(tmp_path: Path) -> None:
    settings = app_settings(tmp_path, pypi__fallback="x", storage__dir=None)
    server = Server(tmp_path, settings, wait=False)
    server.start()
    assert server.process is not None
    assert server.process.wait(timeout=30) != 0
    log = server.log.read_text()
    assert "2 problems in the settings:" in log
    assert "pypi.fallback = 'x'" in log
    assert "storage.dir is missing" in log
