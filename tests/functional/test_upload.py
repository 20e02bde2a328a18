"""The legacy upload API; what it refuses is in tests/hostile, too."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Client
from tests.support.dists import metadata, sdist, sha256, wheel
from tests.support.forms import multipart

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def writer(client: Client) -> Client:
    return client.as_("writer")


def stored(tmp_path: Path) -> list[str]:
    """Everything below the storage that isn't a lock."""
    root = tmp_path / "packages"
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and "/lock/" not in path.as_posix()
    )


class TestAccepted:
    @pytest.mark.parametrize(
        "path", ["/", "/simple/", "/simple", "/pypi/", "/pypi", "/legacy/", "/legacy"]
    )
    def test_every_address_takes_uploads_directly(self, writer: Client, path: str) -> None:
        writer.upload(WHEEL, wheel(), path=path, status=200)
        assert writer.page("demo").json["files"][0]["filename"] == WHEEL

    def test_the_answer_describes_the_file(self, writer: Client) -> None:
        document = writer.upload(WHEEL, wheel(), status=200).json
        assert document["filename"] == WHEEL
        assert document["url"] == f"http://localhost/api/package/demo/{WHEEL}"
        assert document["metadata"]["hash_sha256"] == sha256(wheel())
        assert document["metadata"]["uploader"] == "writer"

    def test_all_digests_may_be_sent(self, writer: Client) -> None:
        content = wheel()
        writer.upload(
            WHEEL,
            content,
            md5_digest=hashlib.md5(content).hexdigest(),
            sha256_digest=sha256(content).upper(),
            blake2_256_digest=hashlib.blake2b(content, digest_size=32).hexdigest(),
            status=200,
        )
        digests = writer.get("/pypi/demo/json").json["urls"][0]["digests"]
        assert digests["blake2b_256"] == hashlib.blake2b(content, digest_size=32).hexdigest()

    def test_digests_behind_the_file_are_verified_too(self, writer: Client) -> None:
        content = wheel()
        for digest, status in (("0" * 64, 400), (b2(content), 200)):
            body, content_type = multipart(
                [("content", WHEEL, content), ("blake2_256_digest", None, digest.encode())]
            )
            writer.send("/legacy/", body, content_type, status)

    @pytest.mark.parametrize(
        ("filename", "version"),
        [
            ("demo-1.0+local.1-py3-none-any.whl", "1.0+local.1"),
            ("demo-1!2.0-py3-none-any.whl", "1!2.0"),
            ("demo-1.0-py3-none-any.whl", "1.0.0"),
            ("demo-1.0-cp311-cp311-linux_x86_64.whl", "1.0"),
            ("demo-1.0-1build-py2.py3-none-any.whl", "1.0"),
        ],
    )
    def test_unusual_but_valid_names_are_taken(
        self, writer: Client, filename: str, version: str
    ) -> None:
        writer.upload(filename, wheel(version=version), name="Demo", version=version, status=200)

    def test_what_newer_tools_write_is_taken(self, writer: Client) -> None:
        core = (
            b"Metadata-Version: 9.9\nName: demo\nVersion: 1.0\nClassifier: Private :: Do Not\n"
            b"Some-New-Field: x\n\n"
        )
        writer.upload(WHEEL, wheel(core=core), metadata_version="9.9", new_field="y", status=200)

    def test_the_metadata_in_the_file_counts_not_the_form(self, writer: Client) -> None:
        writer.upload(WHEEL, wheel(), summary="from the form", requires_python=">=3.12", status=200)
        document = writer.get("/api/package/demo/").json["packages"][0]
        assert document["summary"] == "A demo"
        assert writer.page("demo").json["files"][0]["requires-python"] == ">=3.8"

    @pytest.mark.parametrize("value", ["", "UNKNOWN"])
    def test_empty_fields_count_as_absent(self, writer: Client, value: str) -> None:
        writer.upload(WHEEL, wheel(), name=value, version=value, requires_python=value, status=200)

    def test_repeated_fields_and_signatures_are_read_over(self, writer: Client) -> None:
        body, content_type = multipart(
            [
                ("classifiers", None, b"A"),
                ("classifiers", None, b"B"),
                ("description", None, b"x" * 500_000),
                ("gpg_signature", f"{WHEEL}.asc", b"-----BEGIN"),
                ("content", WHEEL, wheel()),
            ]
        )
        writer.send("/legacy/", body, content_type, 200)

    def test_spellings_of_a_name_are_one_project(self, writer: Client) -> None:
        writer.upload("Foo_Bar-1.tar.gz", sdist("Foo_Bar", "1"), status=200)
        writer.upload("foo.bar-2.tar.gz", sdist("foo.bar", "2"), status=200)
        assert writer.page("foo-bar").json["versions"] == ["1", "2"]

    def test_pypiclouds_own_address_works(self, writer: Client) -> None:
        path = f"/api/package/demo/{WHEEL}"
        writer.post(path, upload_files=[("content", WHEEL, wheel())], status=200)
        assert writer.get(path).body == wheel()

    def test_an_sdist_may_be_a_zip(self, writer: Client) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("demo-1.0/PKG-INFO", metadata("demo", "1.0"))
        writer.upload("demo-1.0.zip", packed.getvalue(), status=200)


class TestAgain:
    def test_the_same_bytes_again_succeed_and_change_nothing(self, writer: Client) -> None:
        writer.upload(WHEEL, wheel(), status=200)
        before = writer.page("demo").json
        writer.upload(WHEEL, wheel(), status=200)
        assert writer.page("demo").json == before

    def test_other_bytes_are_a_conflict_that_clients_understand(
        self, writer: Client, tmp_path: Path
    ) -> None:
        writer.upload(WHEEL, wheel(), status=200)
        before = stored(tmp_path)
        response = writer.upload(WHEEL, wheel(summary="other"), status=409)
        assert response.status.startswith("409 File already exists (")
        assert response.text.startswith("File already exists (")
        assert stored(tmp_path) == before
        assert writer.get(f"/api/package/demo/{WHEEL}").body == wheel()

    def test_a_name_that_differs_in_case_only_is_taken(self, writer: Client) -> None:
        writer.upload("demo-1.0.tar.gz", sdist(), status=200)
        writer.upload("Demo-1.0.tar.gz", sdist("Demo"), status=409)

    def test_overwriting_needs_the_right(self, make_client: Callable[..., Client]) -> None:
        client = make_client(pypi__allow_overwrite_groups="writers")
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        client.as_("admin").upload(WHEEL, wheel(summary="other"), status=409)
        client.as_("writer").upload(WHEEL, wheel(summary="other"), status=200)
        assert client.get(f"/api/package/demo/{WHEEL}").body == wheel(summary="other")
        (entry,) = client.page("demo").json["files"]
        assert entry["hashes"]["sha256"] == sha256(wheel(summary="other"))

    @pytest.mark.parametrize(("value", "status"), [("true", 200), ("false", 409)])
    def test_pypiclouds_old_boolean_works(
        self, make_client: Callable[..., Client], value: str, status: int
    ) -> None:
        writer = make_client(pypi__allow_overwrite=value).as_("writer")
        writer.upload(WHEEL, wheel(), status=200)
        writer.upload(WHEEL, wheel(summary="other"), status=status)


def b2(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=32).hexdigest()


class TestRefused:
    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, client: Client, tmp_path: Path) -> Any:
        yield
        assert stored(tmp_path) == []
        assert client.get("/api/package/").json == {"packages": []}

    def test_the_sentence_names_both_values(self, writer: Client) -> None:
        text = writer.upload(WHEEL, wheel(), name="other", status=400).text
        assert "'other'" in text
        assert "'demo'" in text
        text = writer.upload(WHEEL, wheel(), version="2.0", status=400).text
        assert "'2.0'" in text
        assert "'1.0'" in text

    @pytest.mark.parametrize("filetype", ["sdist", "../x"])
    def test_another_filetype(self, writer: Client, filetype: str) -> None:
        response = writer.upload(WHEEL, wheel(), filetype=filetype, status=400)
        assert "'bdist_wheel'" in response.text

    @pytest.mark.parametrize(
        "content",
        [
            b"not a zip at all",
            wheel(name="other"),
            wheel(version="2.0"),
            wheel(core=b"Metadata-Version: 2.1\n\n"),
            wheel(core=b"Metadata-Version: 2.1\nName: demo\nName: demo\nVersion: 1.0\n\n"),
            wheel(core=metadata("demo", "2.0")),
            wheel(core=metadata("other", "1.0")),
            wheel(core=metadata("demo", "1.0", "Requires-Python: soon")),
            wheel(core=metadata("demo", "1.0", body="x" * (1 << 20))),
            wheel()[:-30],
            sdist(),
        ],
        ids=range(11),
    )
    def test_a_broken_or_contradicting_wheel(self, writer: Client, content: bytes) -> None:
        response = writer.upload(WHEEL, content, status=400)
        assert "Traceback" not in response.text

    def test_core_metadata_that_inflates_without_end(self, writer: Client) -> None:
        bomb = metadata("demo", "1.0", body="\0" * (200 << 20))
        writer.upload(WHEEL, wheel(core=bomb), status=400)

    @pytest.mark.parametrize(
        "content",
        [
            b"not a tar",
            sdist(name="other"),
            sdist(version="2.0"),
            sdist(core=b"\xff\xfe\x00"),
            gzip.compress(b"\0" * 20_000_000),
            sdist()[:100],
            wheel(),
        ],
        ids=range(7),
    )
    def test_a_broken_or_contradicting_sdist(self, writer: Client, content: bytes) -> None:
        writer.upload("demo-1.0.tar.gz", content, status=400)

    def test_an_sdist_without_metadata(self, writer: Client) -> None:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz") as archive:
            info = tarfile.TarInfo("demo-1.0/setup.py")
            archive.addfile(info)
        writer.upload("demo-1.0.tar.gz", raw.getvalue(), status=400)

    def test_a_file_over_the_limit(self, make_client: Callable[..., Client]) -> None:
        writer = make_client(pypi__max_file_size="1KiB").as_("writer")
        writer.upload(WHEEL, wheel(files={"x": bytes(range(256)) * 100}), status=413)
        body, content_type = multipart([("content", WHEEL, b"x" * 6_000_000)])
        response = writer.send("/legacy/", body, content_type, 413)
        assert "1024" in response.text

    def test_the_url_must_name_the_same_file(self, writer: Client) -> None:
        files = [("content", WHEEL, wheel())]
        for path in ("/api/package/demo/other-1.0.tar.gz", f"/api/package/other/{WHEEL}"):
            writer.post(path, upload_files=files, status=400)

    @pytest.mark.parametrize(("user", "status"), [(None, 401), ("reader", 403)])
    def test_who_may_not_write(self, client: Client, user: str | None, status: int) -> None:
        asking = client if user is None else client.as_(user)
        for path in ("/", "/legacy/", "/simple/", "/pypi/", f"/api/package/demo/{WHEEL}"):
            asking.upload(WHEEL, wheel(), path=path, status=status)

    def test_a_file_of_a_project_that_the_user_may_not_write(
        self, make_client: Callable[..., Client]
    ) -> None:
        client = make_client(package__demo__user__admin="rw")
        client.as_("writer").upload(WHEEL, wheel(), name="mine", status=403)

    def test_errors_are_json_for_who_prefers_it(self, writer: Client) -> None:
        uv = "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7"
        body, content_type = multipart([("content", WHEEL, b"no zip")])
        response = writer.send("/legacy/", body, content_type, 400, Accept=uv)
        assert response.content_type == "application/problem+json"
        assert response.json["title"] == "Bad Request"
        assert response.json["detail"] == response.json["message"]
        assert response.json["code"] == "invalid-archive"


class TestDelete:
    def test_a_deleted_file_is_gone_everywhere(self, writer: Client, tmp_path: Path) -> None:
        writer.upload(WHEEL, wheel(), status=200)
        writer.delete(f"/api/package/demo/{WHEEL}", status=200)
        writer.page("demo", status=404)
        writer.get(f"/api/package/demo/{WHEEL}", status=404)
        assert stored(tmp_path) == []
        writer.delete(f"/api/package/demo/{WHEEL}", status=404)

    @pytest.mark.parametrize(("groups", "status"), [("writers", 200), ("everyone", 200), ("", 403)])
    def test_deleting_needs_the_right(
        self, make_client: Callable[..., Client], groups: str, status: int
    ) -> None:
        writer = make_client(pypi__allow_delete_groups=groups).as_("writer")
        writer.upload(WHEEL, wheel(), status=200)
        writer.delete(f"/api/package/demo/{WHEEL}", status=status)

    def test_who_may_not_write_may_not_delete(self, client: Client) -> None:
        client.as_("writer").upload(WHEEL, wheel(), status=200)
        client.delete(f"/api/package/demo/{WHEEL}", status=401)
        client.as_("reader").delete(f"/api/package/demo/{WHEEL}", status=403)
        assert client.get(f"/api/package/demo/{WHEEL}").body == wheel()

    def test_pypiclouds_old_boolean_works(self, make_client: Callable[..., Client]) -> None:
        writer = make_client(pypi__allow_delete="false").as_("writer")
        writer.upload(WHEEL, wheel(), status=200)
        writer.delete(f"/api/package/demo/{WHEEL}", status=403)


@pytest.mark.parametrize("more", [-1, 0, 1, 2, 3])
def test_a_form_of_any_length_is_taken(writer: Client, more: int) -> None:
    """It is read in pieces of 256 KiB, and the last may be a part of its last line."""
    part = b"--B\r\nContent-Disposition: form-data; name="
    body = part + b'"content"; filename="demo-1.0.tar.gz"\r\n\r\n' + sdist() + b"\r\n"
    body += part + b'"description"\r\n\r\n'
    end = b"\r\n--B--\r\n"
    body = body.ljust((1 << 18) + more - len(end), b"x") + end
    writer.send("/legacy/", body, "multipart/form-data; boundary=B", 200)
