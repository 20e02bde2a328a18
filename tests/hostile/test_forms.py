"""Hostile upload forms, and hostile bodies sent byte by byte to a real server. A test's name or
the id of its parameter begins with the number that the entry has in the list of hostile inputs
that we keep.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from pypicloud_lite.app import make_app
from tests.conftest import Client, close
from tests.support.asking import ask, delete, eventually, page
from tests.support.dists import sdist, sha256, wheel
from tests.support.forms import Body, Part, multipart, post
from tests.support.raw import (
    WRITER,
    Log,
    body,
    connect,
    head,
    header,
    read,
    reasons,
    send,
    status,
    statuses,
)
from tests.support.server import Server, app_settings

WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"
CONTENT = wheel()
FILE: Part = ("content", WHEEL, CONTENT)
V1_JSON = "application/vnd.pypi.simple.v1+json"
FORM = "multipart/form-data; boundary=B"


def left(folder: Path) -> list[Path]:
    """Everything below the storage that isn't a lock."""
    files = (path for path in (folder / "packages").rglob("*") if path.is_file())
    return [path for path in files if path.parent.name != "lock"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


@pytest.fixture(scope="module")
def writer(folder: Path) -> Iterator[Client]:
    """An application for many refused uploads, each of which must leave it as it was; ``locked``
    is not the writer's.
    """
    app = make_app(app_settings(folder, package__locked__user__admin="rw"), {})
    yield Client(app).as_("writer")
    close(app)


def case(
    identifier: str,
    says: str,
    *parts: Part,
    code: str = "invalid-form",
    answer: int = 400,
) -> object:
    return pytest.param(*multipart(list(parts)), says, code, answer, id=identifier)


def raw_case(
    identifier: str, says: str, content: bytes, content_type: str = FORM, code: str = "invalid-form"
) -> object:
    return pytest.param(content, content_type, says, code, 400, id=identifier)


def field(name: str, value: bytes | str) -> Part:
    return (name, None, value if isinstance(value, bytes) else value.encode())


def named(identifier: str, filename: str, says: str, content: bytes = CONTENT) -> object:
    """A file with this name."""
    return case(identifier, says, ("content", filename, content), code="invalid-filename")


def disposition(identifier: str, line: bytes, says: str, code: str = "invalid-filename") -> object:
    """A file whose part has this header line."""
    start = b"--B\r\nContent-Disposition: form-data; " + line + b"\r\n\r\n"
    return raw_case(identifier, says, start + sdist() + b"\r\n--B--\r\n", code=code)


FIELDS = [
    case("F01-no-content", "does not have a file", field("name", "demo")),
    case("F01-nothing", "does not have a file"),
    case("F02-text", "content is a text field", field("content", CONTENT)),
    case("F02-text-that-is-a-file", "must be a text field", ("name", "x.txt", b"demo"), FILE),
    case("F03-twice", "more than one file", FILE, FILE),
    case("F03-two-files", "more than one file", FILE, ("content", SDIST, sdist())),
    case("F04-two-names", "more than once", field("name", "demo"), field("name", "demo"), FILE),
    case("F04-two-versions", "more than once", field("version", "1"), field("version", "2"), FILE),
    case("F04-two-digests", "more than once", *[field("sha256_digest", sha256(CONTENT))] * 2, FILE),
    case("F05-unknown-action", "Unknown action", field(":action", "nonsense"), FILE),
    *(
        case(
            f"F05-{action}",
            "no longer offered",
            field(":action", action),
            code="gone-action",
            answer=410,
        )
        for action in ("submit", "submit_pkg_info", "doc_upload", "verify")
    ),
    case("F06-protocol", "Unknown protocol version", field("protocol_version", "2"), FILE),
    case(
        "F07-sha256",
        "does not match",
        field("sha256_digest", "0" * 64),
        FILE,
        code="digest-mismatch",
    ),
    case(
        "F08-right-sha256-wrong-md5",
        "md5_digest is",
        field("sha256_digest", sha256(CONTENT)),
        field("md5_digest", "0" * 32),
        FILE,
        code="digest-mismatch",
    ),
    case(
        "F08-right-sha256-wrong-blake2",
        "blake2_256_digest is",
        FILE,
        field("sha256_digest", sha256(CONTENT)),
        field("blake2_256_digest", "0" * 64),
        code="digest-mismatch",
    ),
    case("F09-63-digits", "64 hex digits", field("sha256_digest", "0" * 63), FILE),
    case("F09-spaces", "64 hex digits", field("sha256_digest", " " * 64), FILE),
    case("F09-other-digits", "hex digits", field("md5_digest", "\u0661" * 32), FILE),
    case("F09-words", "32 hex digits", field("md5_digest", "x" * 32), FILE),
    case("F18-version", "Invalid value for version", field("version", "../../../escaped"), FILE),
    case("F19-name", "'other'", field("name", "other"), FILE, code="invalid-metadata"),
    case("F20-version", "'2.0'", field("version", "2.0"), FILE, code="invalid-metadata"),
    case("F22-slash", "not a valid project name", field("name", "a/b"), FILE),
    case("F22-space", "not a valid project name", field("name", "a b"), FILE),
    case("F22-markup", "not a valid project name", field("name", "<img src=x>"), FILE),
    case("F22-newline", "not a valid project name", field("name", "de\nmo"), FILE),
    case(
        "F23-another-project",
        "no right to write the project 'locked'",
        field("name", "demo"),
        ("content", "locked-1.0.tar.gz", sdist("locked")),
        code="denied",
        answer=403,
    ),
    case("F27-5000-digits", "Invalid value for version", field("version", "1" * 5000), FILE),
    case("F28-not-utf8", "is not UTF-8", field("summary", b"\xff\xfe"), FILE),
    case("F28-half-a-character", "is not UTF-8", field("name", b"demo\xe2\x82"), FILE),
    case("F29-nul", "NUL character", field("summary", "a\0b"), FILE),
    case("F29-nul-in-a-name", "NUL character", field("name", "demo\0"), FILE),
    case("F30-summary", "longer than 65536 bytes", field("summary", b"x" * (10 << 20)), FILE),
    case("F30-after-the-file", "longer than 65536 bytes", FILE, field("summary", b"x" * 70_000)),
    case("F30-unknown", "longer than 65536 bytes", field("unknown", b"x" * 70_000), FILE),
    case("F30-description", "1048576 bytes", field("description", b"x" * (2 << 20)), FILE),
    case(
        "F30-all-text",
        "longer than 4194304 bytes",
        *(field(f"f{number}", b"x" * 60_000) for number in range(80)),
        FILE,
    ),
    case("F31-10000-fields", "", *(field(f"f{number}", "x") for number in range(10_000)), FILE),
    case("F31-one-more", "", *(field(f"f{number}", "x") for number in range(1001)), FILE),
    case("F34-empty", "is empty", ("content", WHEEL, b"")),
    case(
        "F48-specifier",
        "requires",
        field("requires_python", ">=3.6,<<4"),
        FILE,
        code="invalid-metadata",
    ),
    case(
        "F48-markup",
        "requires",
        field("requires_python", '"><script>'),
        FILE,
        code="invalid-metadata",
    ),
]

NAMES = [
    named("F12-parent", "../../x-1.0.tar.gz", "'/' or"),
    named("F12-absolute", "/tmp/x-1.0.tar.gz", "'/' or"),
    named("F12-folder", "a/demo-1.0.tar.gz", "'/' or"),
    named("F12-encoded", "..%2fdemo-1.0.tar.gz", "must begin with a letter"),
    named("F13-drive", "C:\\x\\y-1.0-py3-none-any.whl", "'/' or"),
    named("F13-drive-alone", "C:demo-1.0.tar.gz", "only ASCII letters"),
    disposition("F13-escaped", b'name="content"; filename="a\\"b-1.0.tar.gz"', "'/' or"),
    named("F14-empty", "", "has no name"),
    disposition("F14-bare", b'name="content"; filename=', "", "invalid-form"),
    named("F15-nul", "demo-1.0\0.tar.gz", ""),
    named("F15-delete", "demo-1.0\x7f.tar.gz", "only ASCII letters"),
    named("F15-escape", "demo-1.0\x1b[2J.tar.gz", "only ASCII letters"),
    named("F15-dot", ".demo-1.0.tar.gz", "must begin with a letter"),
    named("F15-markup", "<script>-1.0.tar.gz", "must begin with a letter"),
    named("F15-accent", "d\u00e9mo-1.0.tar.gz", "only ASCII letters"),
    named("F15-space", "demo -1.0.tar.gz", "only ASCII letters"),
    disposition("F15-cr", b'name="content"; filename="demo-1.0\r.tar.gz"', "only ASCII"),
    disposition("F15-lf", b'name="content"; filename="demo-1.0\n.tar.gz"', "only ASCII"),
    disposition("F15-crlf", b'name="content"; filename="demo\r\n.tar.gz"', "", "invalid-form"),
    disposition(
        "F16-both",
        b'name="content"; filename="demo-1.0.tar.gz"; filename*=utf-8\'\'..%2fx',
        "plain",
    ),
    disposition(
        "F16-both-alike",
        b'name="content"; filename="demo-1.0.tar.gz"; FileName*=utf-8\'\'demo-1.0.tar.gz',
        "plain",
    ),
    disposition("F16-alone", b"name=\"content\"; filename*=utf-8''demo-1.0.tar.gz", "plain"),
    disposition(
        "F16-twice",
        b'name="content"; filename="demo-1.0.tar.gz"; filename="x-1.0.tar.gz"',
        "more than one name",
    ),
    disposition(
        "F16-two-headers",
        b'name="content"; filename="x-1.0.tar.gz"\r\n'
        b'Content-Disposition: form-data; name="content"; filename="demo-1.0.tar.gz"',
        "more than one name",
    ),
    named("F17-name", "d" * 200 + "-1.0.tar.gz", "longer than 200 characters"),
    named("F17-version", f"demo-{'1' * 180}.tar.gz", "version is longer than 150"),
    named("F17-megabyte", "d" * 3900 + ".whl", "longer than 200 characters"),
    named("F20-none", "demo.tar.gz", "is invalid"),
    named("F20-empty", "demo-.tar.gz", "is invalid"),
    named("F22-empty", "-1.0.tar.gz", "must begin with a letter"),
    named("F27-filename", f"demo-{'9' * 170}.tar.gz", "version is longer than 150"),
    named("F49-exe", "demo-1.0.exe", "no extension that this index takes"),
    named("F49-tar", "demo-1.0.tar", "no extension that this index takes"),
    named("F49-egg", "demo-1.0-py3.11.egg", "no extension that this index takes"),
    named("F49-capitals", "demo-1.0-py3-none-any.WHL", "no extension that this index takes"),
    named("F49-facts", "demo-1.0.tar.gz.meta", "no extension that this index takes"),
    named("F49-tags", "demo-1.0-py3-none.whl", "is invalid"),
    named(
        "F49-many-tags",
        "demo-1.0-" + ".".join("a" * 45) + "-" + ".".join("b" * 45) + "-any.whl",
        "is invalid",
    ),
]

WHOLE = multipart([FILE], "B")[0]
BODIES = [
    raw_case("F32-long-header", "", b"--B\r\n" + b"x" * 300_000),
    raw_case("F32-many-headers", "", b"--B\r\n" + b"A: b\r\n" * 100_000),
    raw_case("F33-no-boundary", "boundary is missing", WHOLE, "multipart/form-data"),
    raw_case("F33-empty", "boundary is missing", WHOLE, "multipart/form-data; boundary="),
    raw_case("F33-long", "too long", WHOLE, "multipart/form-data; boundary=" + "B" * 10_000),
    raw_case("F33-another", "", WHOLE, "multipart/form-data; boundary=C"),
    raw_case("F33-accent", "", WHOLE, "multipart/form-data; boundary=\u00e9"),
    raw_case("F33-before-it", "", b"x" + WHOLE),
    raw_case("F35-end-missing", "", WHOLE[:-9]),
    raw_case("F35-in-the-file", "", WHOLE[:500]),
    raw_case("F35-in-a-header", "", WHOLE[:20]),
    raw_case("F35-dashes-missing", "", WHOLE[:-4]),
    raw_case("F35-nothing", "", b""),
    raw_case("F46-urlencoded", "multipart/form-data", b"a=b", "application/x-www-form-urlencoded"),
    raw_case("F47-json", "multipart/form-data", b"{}", "application/json"),
    raw_case("F47-nothing", "multipart/form-data", WHOLE, ""),
    raw_case("F47-mixed", "multipart/form-data", WHOLE, "multipart/mixed; boundary=B"),
]


@pytest.mark.parametrize(
    ("content", "content_type", "says", "code", "answer"), [*FIELDS, *NAMES, *BODIES]
)
def test_a_hostile_form_is_refused_and_leaves_nothing(
    writer: Client,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    content_type: str,
    says: str,
    code: str,
    answer: int,
) -> None:
    with caplog.at_level(logging.INFO, "pypicloud_lite"):
        response = post(writer, Body(content), content_type, length=len(content))
    assert response.status_int == answer, response.text
    assert response.content_type == "text/plain"
    assert says.lower() in response.text.lower()
    assert len(response.text) < 600
    assert response.text.strip().isprintable()
    assert reasons(caplog.text) == [code]
    assert len(caplog.text) < 2000
    (line,) = (record for record in caplog.records if record.name == "pypicloud_lite.audit")
    assert json.loads(line.getMessage())["result"] in ("rejected", "denied")
    assert writer.get("/simple/", headers={"Accept": V1_JSON}).json["projects"] == []
    assert left(folder) == []


@pytest.mark.parametrize(
    ("start", "endless", "content_type"),
    [
        pytest.param(b"--B\r\n", b"x", FORM, id="F32-header-without-end"),
        pytest.param(b"--B\r\nA: b\r\n", b"A: b\r\n", FORM, id="F32-headers-without-end"),
        pytest.param(b"", b"\r\n", FORM, id="F33-preamble-without-end"),
        pytest.param(b"", b"--B\r\n\r\n\r\n", FORM, id="F31-parts-without-end"),
        pytest.param(
            multipart([field("a", "")], "B")[0][:-9], b"x", FORM, id="F30-field-without-end"
        ),
        pytest.param(b"", b"a=b&", "application/x-www-form-urlencoded", id="F46-without-end"),
    ],
)
def test_a_body_without_end_is_not_read_to_its_end(
    writer: Client, folder: Path, start: bytes, endless: bytes, content_type: str
) -> None:
    for length in (10**9, None):
        sent = Body(start, endless)
        assert post(writer, sent, content_type, length=length).status_int == 400
        assert sent.taken <= 1 << 20
        assert left(folder) == []


@pytest.mark.parametrize(
    ("filename", "content", "fields"),
    [
        pytest.param(WHEEL, CONTENT, {"sha256_digest": sha256(CONTENT).upper()}, id="F10"),
        pytest.param(WHEEL, CONTENT, {}, id="F11"),
        pytest.param(WHEEL, CONTENT, {":action": ""}, id="F05-no-action"),
        pytest.param(WHEEL, wheel(version="1.0.0"), {"version": "1.0.0"}, id="F21-in-the-file"),
        pytest.param("demo-1.0.0.tar.gz", sdist(version="1.0"), {"version": "1"}, id="F21"),
        pytest.param(
            "demo-1.0+abc.tar.gz", sdist(version="1.0+abc"), {"version": "1.0+abc"}, id="F25"
        ),
        pytest.param("demo-1!1.0.tar.gz", sdist(version="1!1.0"), {"version": "1!1.0"}, id="F26"),
        pytest.param(WHEEL, CONTENT, {"description": "x" * 500_000}, id="F30-readme"),
        pytest.param(WHEEL, CONTENT, {f"f{n}": "x" for n in range(998)}, id="F31-1000-fields"),
    ],
)
def test_what_is_unusual_but_right_is_taken(
    client: Client, filename: str, content: bytes, fields: dict[str, str]
) -> None:
    client.as_("writer").upload(filename, content, status=200, **fields)
    (entry,) = client.page("demo").json["files"]
    url = entry["url"].removeprefix("../..")
    assert client.get(url).body == content
    assert not {"!", "+"} & set(url)


def test_f24_spellings_are_one_project(client: Client) -> None:
    writer = client.as_("writer")
    writer.upload("foo-bar-1.tar.gz", sdist("foo-bar", "1"), status=200)
    writer.upload("foo.bar-2.tar.gz", sdist("foo.bar", "2"), name="Foo__Bar", status=200)
    assert client.get("/api/package/").json["packages"] == ["foo-bar"]
    assert client.page("foo-bar").json["versions"] == ["1", "2"]


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        pytest.param("pypi__max_form_field_size", "10", "longer than 10 bytes", id="F30-field"),
        pytest.param("pypi__max_description_size", "99", "longer than 99 bytes", id="F30-long"),
        pytest.param("pypi__max_form_size", "150", "longer than 150 bytes", id="F30-all"),
        pytest.param("pypi__max_form_fields", "4", "Invalid Form Data", id="F31"),
    ],
)
def test_each_limit_of_a_form_is_a_setting(
    make_client: Callable[..., Client], setting: str, value: str, says: str
) -> None:
    fields = {"name": "demo", "version": "1.0", "description": "x" * 100, "summary": "x" * 50}
    make_client(**{setting: "100KiB" if "size" in setting else "7"}).as_("writer").upload(
        WHEEL, CONTENT, status=200, **fields
    )
    writer = make_client(**{setting: value}).as_("writer")
    other = {"content": sdist(version="2.0"), "filename": "demo-2.0.tar.gz"}
    fields["version"] = "2.0"
    assert says in writer.upload(**other, status=400, **fields).text
    assert writer.page("demo").json["versions"] == ["1.0"]


def test_f49_retired_formats_need_a_setting_at_every_address(
    make_client: Callable[..., Client],
) -> None:
    filename = "demo-1.0.exe"
    paths = ("/legacy/", f"/api/package/demo/{filename}")
    writer = make_client().as_("writer")
    for path in paths:
        text = writer.upload(filename, b"MZ", path=path, status=400).text
        assert "no extension that this index takes" in text
    writer.page("demo", status=404)
    for path in paths:
        writer = make_client(pypi__legacy_formats="true").as_("writer")
        writer.upload(filename, b"MZ", path=path, status=200)
        writer.delete(f"/api/package/demo/{filename}", status=200)


UPLOADS = ("/", "/simple/", "/simple", "/pypi/", "/pypi", "/legacy/", "/legacy")


class TestUnread:
    """What an application that looks before it reads never reads."""

    @pytest.mark.parametrize(("user", "answer"), [(None, 401), ("reader", 403)])
    def test_f44_the_body_of_who_may_upload_nothing(
        self, writer: Client, folder: Path, user: str | None, answer: int
    ) -> None:
        for path in (*UPLOADS, f"/api/package/demo/{WHEEL}"):
            sent = Body(b"", b"x")
            response = post(writer, sent, FORM, length=10**9, user=user, path=path)
            assert response.status_int == answer
            assert sent.taken == 0
        assert left(folder) == []

    def test_f44_nor_of_who_may_not_upload_to_the_project_of_the_url(self, writer: Client) -> None:
        sent = Body(b"", b"x")
        path = "/api/package/locked/locked-1.0.tar.gz"
        assert post(writer, sent, FORM, length=10**6, path=path).status_int == 403
        assert sent.taken == 0

    def test_f41_a_body_over_the_limit(self, writer: Client) -> None:
        sent = Body(b"", b"x")
        assert post(writer, sent, FORM, length=2 << 30).status_int == 413
        assert sent.taken == 0

    @pytest.mark.parametrize("length", ["-5", "+5", "5_0", "\u0665", " 5", "5, 5", ""])
    def test_f38_a_length_that_is_no_number(self, writer: Client, length: str) -> None:
        sent = Body(WHOLE)
        assert post(writer, sent, FORM, length=length).status_int == 400
        assert sent.taken == 0


def test_f42_a_file_over_the_limit_leaves_nothing(
    make_client: Callable[..., Client], tmp_path: Path
) -> None:
    writer = make_client(pypi__max_file_size="1MiB").as_("writer")
    start = multipart([("content", WHEEL, b"")], "B")[0][:-9]
    sent = Body(start, b"x" * 1000)
    assert post(writer, sent, FORM, length=None).status_int == 413
    assert sent.taken < 2 << 20
    assert left(tmp_path) == []


LIMIT, STRANGERS = 200_000, 1000
UPLOAD = b"POST /legacy/ HTTP/1.1"
TYPE = b"Content-Type: " + FORM.encode()
CLOSE = b"Connection: close"
CHUNKED = b"Transfer-Encoding: chunked"
#: A request in a request: whoever takes it for one has been deceived.
SMUGGLED = head(b"GET /health HTTP/1.1", CLOSE)


def length(of: bytes | int) -> bytes:
    return b"Content-Length: %d" % (of if isinstance(of, int) else len(of))


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    serving = {
        "max_request_body_size": str(LIMIT),
        "max_anonymous_body_size": str(STRANGERS),
        "clear_untrusted_proxy_headers": "true",
    }
    with Server(folder, serving=serving) as running:
        yield running


@pytest.fixture
def untouched(server: Server) -> Iterator[Log]:
    """What the server logs; in the end it must be as it was, and hold no temporary file."""
    log = Log(server)
    yield log
    assert "Traceback" not in log.text
    assert page(server).status == 404
    assert left(server.folder) == []
    eventually(lambda: open_temporary_files(server) == 0)


def open_temporary_files(server: Server) -> int:
    assert server.process is not None
    count = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            count += "(deleted)" in str(link.readlink())
    return count


def test_f36_a_connection_that_ends_early_leaves_nothing(server: Server, untouched: Log) -> None:
    for framing, whole in ((length(WHOLE), WHOLE), (CHUNKED, chunks(WHOLE))):
        for sent in (whole[:-50], whole[:-1], whole[:10], b""):
            with closing(connect(server)) as connection:
                connection.sendall(head(UPLOAD, WRITER, TYPE, framing) + sent)
    assert untouched.reasons == []


def test_f37_more_than_was_announced_is_no_upload(server: Server, untouched: Log) -> None:
    framing = length(len(WHOLE) - 9)
    answer = send(server, head(UPLOAD, WRITER, TYPE, framing), WHOLE + b"\r\n\r\n")
    assert statuses(answer) == [400, 400]
    assert untouched.reasons == ["invalid-form", "bad-request"]


@pytest.mark.parametrize(
    "value",
    [b"-5", b"+5", b"5_0", b"0x5", b"5 5", b"5, 5", b"", b"5.0", b"\xc2\xb2", b"\x0b5"],
    ids=[f"F38-{number}" for number in range(10)],
)
def test_a_length_that_is_no_number_is_400(server: Server, untouched: Log, value: bytes) -> None:
    answer = send(server, head(UPLOAD, WRITER, TYPE, b"Content-Length: " + value) + SMUGGLED)
    assert status(answer) == 400
    assert untouched.reasons == ["bad-request"]


def test_f38_two_lengths_are_400(server: Server, untouched: Log) -> None:
    for first, second in ((0, len(SMUGGLED)), (len(SMUGGLED), 0), (5, 5)):
        framing = (length(first), length(second))
        assert status(send(server, head(UPLOAD, WRITER, TYPE, *framing) + SMUGGLED)) == 400
    assert untouched.reasons == ["bad-request"] * 3


def test_f39_chunks_are_taken(server: Server) -> None:
    pieces = chunks(WHOLE[:1], WHOLE[1:700], WHOLE[700:])
    for coding in (CHUNKED, b"transfer-encoding:\tChunked "):
        answer = send(server, head(UPLOAD, WRITER, TYPE, CLOSE, coding), pieces)
        assert status(answer) == 200
        assert page(server).files == {WHEEL: sha256(CONTENT)}
        assert delete(server, WHEEL).status == 200


@pytest.mark.parametrize(
    ("framing", "answers"),
    [
        pytest.param([CHUNKED, length(5)], {400}, id="F40-both"),
        pytest.param([length(5), CHUNKED], {400}, id="F40-both-reversed"),
        pytest.param([b"Transfer-Encoding: chunked, chunked"], {400}, id="F40-twice"),
        pytest.param([CHUNKED, CHUNKED], {400}, id="F40-two-headers"),
        pytest.param([CHUNKED, b"transfer-encoding: identity"], {400, 501}, id="F40-contradiction"),
        pytest.param([b"Transfer-Encoding: identity"], {400, 501}, id="F40-identity"),
        pytest.param([b"Transfer-Encoding: gzip, chunked"], {400, 501}, id="F40-gzip"),
        pytest.param([b"Transfer-Encoding: xchunked"], {400, 501}, id="F40-misspelt"),
        pytest.param([b"Transfer-Encoding: \x0bchunked"], {400, 501}, id="F40-control"),
        pytest.param([b"Transfer-Encoding:"], {400}, id="F40-empty"),
        pytest.param([b"Transfer-Encoding:\r\n chunked"], {400}, id="F40-folded"),
        pytest.param([b"Transfer-Encoding : chunked"], {400}, id="F40-space"),
    ],
)
def test_a_body_that_is_framed_oddly_is_refused(
    server: Server, untouched: Log, framing: list[bytes], answers: set[int]
) -> None:
    for line in (UPLOAD, b"GET /simple/ HTTP/1.1"):
        answer = send(server, head(line, WRITER, TYPE, *framing) + b"0\r\n\r\n" + SMUGGLED)
        assert status(answer) in answers
    assert set(untouched.reasons) <= {"bad-request", "not-implemented"}
    assert len(untouched.reasons) == 2


def test_f40_chunks_are_not_for_http_1_0(server: Server, untouched: Log) -> None:
    kept = head(b"POST /legacy/ HTTP/1.0", WRITER, TYPE, CHUNKED, b"Connection: keep-alive")
    assert status(send(server, kept + chunks(WHOLE) + SMUGGLED)) == 400


@pytest.mark.parametrize(
    "sent",
    [b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b"1\r\nab\r\n", b"1 \r\na\r\n",
     b"1;\x00\r\na\r\n", b"\xd9\xa1\r\na\r\n"],
    ids=[f"F40-size-{number}" for number in range(9)],
)  # fmt: skip
def test_a_broken_chunk_is_400(server: Server, untouched: Log, sent: bytes) -> None:
    answer = send(server, head(UPLOAD, WRITER, TYPE, CHUNKED), sent + b"0\r\n\r\n" + SMUGGLED)
    assert status(answer) == 400
    assert untouched.reasons == ["bad-request"]


def test_f41_too_much_is_refused_before_it_is_sent(server: Server, untouched: Log) -> None:
    for more in ((), (b"Expect: 100-continue",)):
        answer = send(server, head(UPLOAD, WRITER, TYPE, length(LIMIT), *more))
        assert status(answer) == 413
    assert untouched.reasons == ["request-entity-too-large"] * 2


def test_f42_too_many_chunks_are_refused(server: Server, untouched: Log) -> None:
    start = head(UPLOAD, WRITER, TYPE, CHUNKED)
    answer = send(server, start, *[b"8000\r\n" + b"x" * 0x8000 + b"\r\n"] * (LIMIT // 0x8000 + 1))
    assert statuses(answer) in ([413], [])  # the answer may be lost when we go on sending
    assert untouched.reasons == ["request-entity-too-large"]


def test_f43_slow_clients_stop_nobody_and_are_cut_off(tmp_path: Path) -> None:
    serving = {"channel_timeout": "3", "cleanup_interval": "1", "threads": "2"}
    begun = (
        b"GET /simple/ HT",
        head(b"GET /simple/ HTTP/1.1", b"X: y")[:-2],
        head(UPLOAD, WRITER, TYPE, length(WHOLE)) + WHOLE[:100],
        head(UPLOAD, WRITER, TYPE, CHUNKED) + b"5\r\nab",
    )
    with Server(tmp_path, serving=serving) as server, ExitStack() as opened:
        connections = [opened.enter_context(closing(connect(server))) for _ in range(40)]
        for number, connection in enumerate(connections):
            connection.sendall(begun[number % len(begun)])
        assert ask(server, "/simple/").status == 200
        assert [read(connection) for connection in connections] == [b""] * 40
        assert ask(server, "/simple/").status == 200
        assert "Traceback" not in server.log.read_text()
    assert left(tmp_path) == []


class TestStrangers:
    """Bodies without credentials."""

    @pytest.mark.parametrize("more", [(), (b"Expect: 100-continue",)], ids=["sent", "announced"])
    def test_f44_a_large_body_is_refused_before_it_is_sent(
        self, server: Server, untouched: Log, more: tuple[bytes, ...]
    ) -> None:
        answer = send(server, head(UPLOAD, TYPE, length(STRANGERS + 1), *more))
        assert status(answer) == 401
        assert header(answer, "WWW-Authenticate") == 'basic realm="pypi", charset="utf-8"'
        assert header(answer, "Connection") == "close"
        assert untouched.reasons == ["unauthorized"]

    def test_f44_so_are_many_chunks(self, server: Server, untouched: Log) -> None:
        chunk = b"400\r\n" + b"x" * 0x400 + b"\r\n"
        answer = send(server, head(UPLOAD, TYPE, CHUNKED) + chunk)
        assert status(answer) == 401
        assert untouched.reasons == ["unauthorized"]

    def test_f44_a_small_body_is_answered_by_the_application(
        self, server: Server, untouched: Log
    ) -> None:
        content, less = b"x" * STRANGERS, b"x" * (STRANGERS // 2)
        for framing, sent in ((length(content), content), (CHUNKED, chunks(less))):
            answer = send(server, head(UPLOAD, TYPE, CLOSE, framing), sent)
            assert status(answer) == 401
            assert body(answer).startswith(b"Log in with a user name")
        assert untouched.reasons == ["login-required"] * 2

    def test_f44_who_logs_in_may_send_more(self, server: Server) -> None:
        content = wheel(files={"demo/data": bytes(range(256)) * 40})
        whole, _content_type = multipart([("content", WHEEL, content)], "B")
        assert len(whole) > STRANGERS
        expecting = b"Expect: 100-continue"
        with closing(connect(server)) as connection:
            connection.sendall(head(UPLOAD, WRITER, TYPE, CLOSE, length(whole), expecting))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            connection.sendall(whole)
            assert status(read(connection)) == 200
        assert delete(server, WHEEL).status == 200

    def test_f44_without_the_setting_everyone_may_upload(self, tmp_path: Path) -> None:
        settings = app_settings(tmp_path, pypi__default_write="everyone")
        with Server(tmp_path, settings) as server:
            whole, content_type = multipart([FILE])
            answer = ask(server, "/legacy/", "POST", body=whole, content_type=content_type)
            assert answer.status == 200


@pytest.mark.parametrize("kind", ["development", "production"])
def test_f41_the_limits_in_the_ini_files_hold(tmp_path: Path, kind: str) -> None:
    parser = RawConfigParser()
    parser.read(Path(__file__).parents[2] / f"{kind}.ini", encoding="utf-8")
    kept = {"use", "host", "port"}
    serving = {name: value for name, value in parser["server:main"].items() if name not in kept}
    with Server(tmp_path, serving=serving) as server:
        log = Log(server)
        assert status(send(server, head(UPLOAD, TYPE, length(65537)))) == 401
        assert status(send(server, head(UPLOAD, TYPE, WRITER, length(2 << 30)))) == 413
        assert status(send(server, head(UPLOAD, b"X: " + b"x" * 65536))) == 431
        assert len(log.reasons) == 3


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"gzip, identity"])
def test_f45_a_compressed_body_is_415(server: Server, untouched: Log, coding: bytes) -> None:
    packed = gzip.compress(WHOLE)
    more = (CLOSE, length(packed), b"Content-Encoding: " + coding)
    assert status(send(server, head(UPLOAD, WRITER, TYPE, *more), packed)) == 415
    assert untouched.reasons == ["unsupported-coding"]
