"""Goal 10: what one process was given, the next page of another one shows."""

from __future__ import annotations

from bench.speed.context import Context
from bench.speed.forms import Form, Receiver, Upload
from bench.speed.http import Connection
from bench.speed.pace import say
from bench.speed.pages import JSON
from bench.speed.results import Section
from bench.speed.servers import ours
from bench.speed.users import authorization, user_settings
from tests.support.dists import wheel, wheel_name

_PROJECT, _WRITER = "fresh", "writer"
_UPLOADS, _QUICK = 300, 100


def measure_freshness(context: Context) -> Section:
    """Uploads to two servers of one store in turn, each followed by a page of the other one.

    Raises:
        AssertionError: a page was not new, or an upload was refused.
    """
    folder = context.folder / "fresh"
    folder.mkdir()
    settings = user_settings([_WRITER])
    count = _QUICK if context.pace.quick else _UPLOADS
    with (
        ours(folder, settings) as first,
        ours(folder, settings) as second,
        Connection(first.port) as to_first,
        Connection(second.port) as to_second,
    ):
        both, etag = (to_first, to_second), ""
        for number in range(count):
            one, other = both[number % 2], both[(number + 1) % 2]
            filename = _upload(one, f"1.{number}")
            known = {"If-None-Match": etag} if etag else {}
            page = other.get(f"/simple/{_PROJECT}/", {"Accept": JSON, **known})
            assert page.status == 200, f"page {number} is answered {page.status}"
            assert f'"{filename}"'.encode() in page.body, f"page {number} is old"
            etag = page.headers["etag"]
    say(f"  {count} of {count} pages were new")
    return Section(
        "Freshness",
        f"Goal 10: {count} uploads to two processes of one store in turn, each followed at once "
        "by a request to the other process for the project's page, with the ETag of the page "
        f"before. {count} of {count} pages were new.",
        [],
    )


def _upload(connection: Connection, version: str) -> str:
    filename = wheel_name(_PROJECT, version)
    form = Form.of(Upload(_PROJECT, version, filename, wheel(_PROJECT, version)))
    answer = form.send(connection, Receiver("/legacy/", authorization(_WRITER)))
    assert answer.status == 200, answer.body
    return filename
