"""``pypi.proxy_sends_files``: what the web server in front is told; see ``tests/deploy``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pypicloud_lite.errors import SettingsError
from tests.conftest import Client
from tests.support.dists import sha256, wheel

WHEEL = "demo-1.0-py3-none-any.whl"
PATH = f"/api/package/demo/{WHEEL}"
CONTENT = wheel()

MakeClient = Callable[..., Client]


def full(make_client: MakeClient, how: str = "/_files/", **changes: str) -> Client:
    client = make_client(pypi__proxy_sends_files=how, **changes)
    client.as_("writer").upload(WHEEL, CONTENT, status=200)
    return client


def test_nginx_is_told_where_the_file_lies(make_client: MakeClient) -> None:
    response = full(make_client).get(PATH, status=200)
    assert response.headers["X-Accel-Redirect"] == f"/_files/demo/1.0/{WHEEL}"
    assert response.body == b""


def test_others_are_told_the_whole_path(make_client: MakeClient, tmp_path: Path) -> None:
    response = full(make_client, "x-sendfile").get(PATH, status=200)
    assert response.headers["X-Sendfile"] == str(tmp_path / "packages" / "demo" / "1.0" / WHEEL)
    assert "X-Accel-Redirect" not in response.headers


def test_odd_folders_are_percent_encoded(make_client: MakeClient, tmp_path: Path) -> None:
    folder = tmp_path / "packages" / "100% mäßig" / "a?b#c;d\n"
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(CONTENT)
    client = make_client(pypi__proxy_sends_files="/_files/")
    client.as_("admin").post("/admin/rebuild", status=200)
    place = client.get(PATH, status=200).headers["X-Accel-Redirect"]
    assert place == f"/_files/100%25%20m%C3%A4%C3%9Fig/a%3Fb%23c%3Bd%0A/{WHEEL}"


def test_names_of_files_are_plain(make_client: MakeClient) -> None:
    client = make_client(pypi__proxy_sends_files="/_files/")
    filename = "demo-1!2.0+local-py3-none-any.whl"
    client.as_("writer").upload(filename, wheel("demo", "1!2.0+local"), status=200)
    place = client.get(f"/api/package/demo/{filename}", status=200).headers["X-Accel-Redirect"]
    assert place == f"/_files/demo/1!2.0+local/{filename}"


@pytest.mark.parametrize("changes", [{}, {"pypi__default_read": "authenticated"}])
def test_all_else_is_said_as_without_a_proxy(
    make_client: MakeClient, changes: dict[str, str]
) -> None:
    own = {"Accept-Ranges", "Content-Length", "X-Accel-Redirect"}
    answers = [
        full(make_client, **changes).as_("reader").get(PATH),
        make_client(**changes).as_("reader").get(PATH),
    ]
    told, sent = [
        {name: value for name, value in answer.headers.items() if name not in own}
        for answer in answers
    ]
    assert told == sent
    assert told["ETag"] == f'"{sha256(CONTENT)}"'


def test_who_has_the_file_is_answered_here(make_client: MakeClient) -> None:
    response = full(make_client).get(
        PATH, headers={"If-None-Match": f'"{sha256(CONTENT)}"'}, status=304
    )
    assert "X-Accel-Redirect" not in response.headers


def test_head_is_answered_here(make_client: MakeClient) -> None:
    response = full(make_client).head(PATH, status=200)
    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert "X-Accel-Redirect" not in response.headers


def test_ranges_are_left_to_the_proxy(make_client: MakeClient) -> None:
    response = full(make_client).get(PATH, headers={"Range": "bytes=1-2"}, status=200)
    assert "X-Accel-Redirect" in response.headers
    assert "Content-Range" not in response.headers


def test_core_metadata_is_sent_from_here(make_client: MakeClient) -> None:
    assert b"Name: demo" in full(make_client).get(f"{PATH}.metadata", status=200).body


def test_who_may_not_read_learns_of_no_place(make_client: MakeClient) -> None:
    client = full(make_client, package__demo__user__writer="rw")
    for asker, status in ((client, 401), (client.as_("reader"), 403)):
        assert "X-Accel-Redirect" not in asker.get(PATH, status=status).headers


def test_a_file_changed_behind_our_back_is_not_handed_over(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = full(make_client)
    (tmp_path / "packages" / "demo" / "1.0" / WHEEL).write_bytes(b"something else")
    assert "X-Accel-Redirect" not in client.get(PATH, status=503).headers


@pytest.mark.parametrize("how", ["_files", "/", "/_files", "/../", "/a//", "/a b/", "sendfile"])
def test_what_is_no_location_stops_the_start(make_client: MakeClient, how: str) -> None:
    with pytest.raises(SettingsError, match=r"pypi.proxy_sends_files = .*: must be the path"):
        make_client(pypi__proxy_sends_files=how)


def test_files_in_a_bucket_can_not_be_sent_by_a_proxy(make_client: MakeClient) -> None:
    with pytest.raises(SettingsError, match=r"only the files of pypi.storage = file"):
        make_client(
            pypi__proxy_sends_files="/_files/",
            pypi__storage="s3",
            storage__dir=None,
            storage__bucket="somewhere",
        )
