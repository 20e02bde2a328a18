"""Downloads: ranges, conditions, caching (RFC 9110), and whose file it is."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.conftest import Client
from tests.support.dists import sdist, sha256, wheel

WHEEL = "demo-1.0-py3-none-any.whl"
PATH = f"/api/package/demo/{WHEEL}"
CONTENT = wheel()
SIZE = len(CONTENT)


@pytest.fixture
def full(client: Client) -> Client:
    client.as_("writer").upload(WHEEL, CONTENT, status=200)
    return client


def test_a_file_comes_whole_with_all_its_headers(full: Client) -> None:
    response = full.get(PATH)
    assert response.body == CONTENT
    headers = response.headers
    assert headers["ETag"] == f'"{sha256(CONTENT)}"'
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Length"] == str(SIZE)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "public, max-age=365000000, immutable"
    assert headers["Content-Disposition"] == f'attachment; filename="{WHEEL}"'
    assert "Last-Modified" in headers
    assert "Content-Encoding" not in headers


def test_a_file_is_never_compressed(full: Client) -> None:
    response = full.get(PATH, headers={"Accept-Encoding": "gzip"})
    assert response.body == CONTENT
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-", 0, SIZE),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-999999999", 10, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-100", SIZE - 100, SIZE),
        ("bytes=-999999999", 0, SIZE),
    ],
)
def test_a_range_is_sent_alone(full: Client, wanted: str, start: int, stop: int) -> None:
    response = full.get(PATH, headers={"Range": wanted}, status=206)
    assert response.body == CONTENT[start:stop]
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=999999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_unsatisfiable(full: Client, wanted: str) -> None:
    response = full.get(PATH, headers={"Range": wanted}, status=416)
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=5-2",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1,5-6",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)),
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_ranges_that_we_do_not_serve_give_the_whole_file(full: Client, wanted: str) -> None:
    response = full.get(PATH, headers={"Range": wanted}, status=200)
    assert response.body == CONTENT


def test_a_resumed_download_checks_that_the_file_is_the_same(full: Client) -> None:
    first = full.get(PATH).headers
    for condition in (first["ETag"], first["Last-Modified"]):
        headers = {"Range": "bytes=10-", "If-Range": condition}
        assert full.get(PATH, headers=headers, status=206).body == CONTENT[10:]
    for condition in ('"other"', f"W/{first['ETag']}", formatdate(0, usegmt=True)):
        headers = {"Range": "bytes=10-", "If-Range": condition}
        assert full.get(PATH, headers=headers, status=200).body == CONTENT


def test_a_known_file_is_not_sent_again(full: Client) -> None:
    etag = full.get(PATH).headers["ETag"]
    response = full.get(PATH, headers={"If-None-Match": etag}, status=304)
    assert response.body == b""
    metadata = full.get(f"{PATH}.metadata").headers["ETag"]
    full.get(f"{PATH}.metadata", headers={"If-None-Match": metadata}, status=304)


def test_head_tells_the_length_and_that_ranges_work(full: Client) -> None:
    response = full.head(PATH)
    assert response.headers["Content-Length"] == str(SIZE)
    assert response.headers["Accept-Ranges"] == "bytes"


def test_private_files_stay_out_of_shared_caches(make_client: Callable[..., Client]) -> None:
    writer = make_client(pypi__default_read="authenticated").as_("writer")
    writer.upload(WHEEL, CONTENT, status=200)
    for path in (PATH, f"{PATH}.metadata"):
        headers = writer.get(path).headers
        assert headers["Cache-Control"] == "private, max-age=365000000, immutable"
        assert headers["Vary"] == "Authorization, Cookie"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pypi__package_max_age": "60"}, "public, max-age=60"),
        ({"pypi__package_max_age": "0"}, "public, no-cache"),
        ({"pypi__allow_overwrite_groups": "writers"}, "public, no-cache"),
    ],
)
def test_how_long_files_are_cached_depends(
    make_client: Callable[..., Client], changes: dict[str, str], expected: str
) -> None:
    client = make_client(**changes)
    client.as_("writer").upload(WHEEL, CONTENT, status=200)
    assert client.get(PATH).headers["Cache-Control"] == expected


def test_a_file_is_found_in_its_own_project_only(full: Client) -> None:
    full.as_("writer").upload("other-1.tar.gz", sdist("other", "1"), status=200)
    full.get(f"/api/package/other/{WHEEL}", status=404)
    full.get("/api/package/demo/other-1.tar.gz", status=404)


def test_a_readable_project_is_no_way_to_anothers_file(
    make_client: Callable[..., Client],
) -> None:
    client = make_client(package__secret__user__admin="rw")
    admin = client.as_("admin")
    admin.upload("secret-1.tar.gz", sdist("secret", "1"), status=200)
    admin.upload(WHEEL, CONTENT, status=200)
    client.get("/api/package/demo/secret-1.tar.gz", status=404)
    client.get("/api/package/secret/secret-1.tar.gz", status=401)
    client.as_("reader").get("/api/package/secret/secret-1.tar.gz", status=403)
    client.as_("writer").delete("/api/package/demo/secret-1.tar.gz", status=404)
    assert admin.get("/api/package/secret/secret-1.tar.gz").status_int == 200


def test_the_spelling_of_the_project_does_not_matter(full: Client) -> None:
    assert full.get(f"/api/package/DEMO/{WHEEL}").body == CONTENT


@pytest.fixture(params=["never sent", "sent before"])
def sent(full: Client, request: pytest.FixtureRequest) -> Client:
    """A small file that was sent is in memory."""
    if request.param == "sent before":
        assert full.get(PATH).body == CONTENT
    return full


def test_a_file_changed_behind_our_back_is_not_sent(sent: Client, tmp_path: Path) -> None:
    (tmp_path / "packages" / "demo" / "1.0" / WHEEL).write_bytes(b"something else")
    response = sent.get(PATH, status=503)
    assert "Retry-After" in response.headers


def test_a_file_changed_behind_our_back_has_its_new_facts_at_once(
    sent: Client, tmp_path: Path
) -> None:
    """As when a listing met a file that was still being copied."""
    content = wheel(summary="copied by hand")
    (tmp_path / "packages" / "demo" / "1.0" / WHEEL).write_bytes(content)
    sent.get(PATH, status=503)
    (file,) = [file for file in sent.page("demo").json["files"] if file["filename"] == WHEEL]
    assert file["hashes"]["sha256"] == sha256(content)
    assert sent.get(PATH, status=200).body == content


def test_a_file_removed_behind_our_back_is_missing(sent: Client, tmp_path: Path) -> None:
    (tmp_path / "packages" / "demo" / "1.0" / WHEEL).unlink()
    sent.get(PATH, status=404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS"])
def test_other_methods_are_not_allowed(full: Client, method: str) -> None:
    response = full.request(PATH, method=method, status=405)
    assert response.headers["Allow"] == "DELETE, GET, HEAD, POST"
    assert full.request("/simple/", method=method, status=405).headers["Allow"] == "GET, HEAD, POST"
