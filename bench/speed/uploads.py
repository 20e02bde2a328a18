"""Goal 7: small uploads one after the other, and a large one with the memory that it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.speed.context import Context
from bench.speed.data import BIG, BIG_NAME, SMALL
from bench.speed.forms import Form, Receiver, Upload
from bench.speed.http import Connection, request_head
from bench.speed.load import LoadError
from bench.speed.pace import tell
from bench.speed.results import LIMIT, OURS, Line, Need, Section
from bench.speed.servers import Process, index, ours, script
from bench.speed.users import authorization, user_settings
from tests.support.dists import wheel, wheel_name

SMALL_UPLOADS = 200
_MEGABYTE = 1e6
_WRITER = "writer"


@dataclass(frozen=True)
class Target:
    """A server that takes uploads; ``big`` is as in :class:`.peers.Peer`."""

    server: Process
    receiver: Receiver
    big: str | Path

    def small(self, forms: list[Form]) -> float:
        """Files per second."""
        with Connection(self.server.port) as connection:
            begin = time.perf_counter()
            for form in forms:
                self._send(form, connection)
            return len(forms) / (time.perf_counter() - begin)

    def large(self, form: Form) -> tuple[float, float]:
        """MB per second, and the MiB by which the server's memory grew meanwhile, at most."""
        self.remove_big()
        before = self.server.memory()
        self.server.reset_peak()
        with Connection(self.server.port) as connection:
            begin = time.perf_counter()
            self._send(form, connection)
            seconds = time.perf_counter() - begin
        grown = self.server.memory("VmHWM") - before
        return form.upload.size / _MEGABYTE / seconds, grown / (1 << 20)

    def remove_big(self) -> None:
        if isinstance(self.big, Path):
            self.big.unlink(missing_ok=True)
            return
        with Connection(self.server.port) as connection:
            head = request_head(connection.port, self.big, self.receiver.headers, "DELETE")
            connection.send(head)

    def _send(self, form: Form, connection: Connection) -> None:
        answer = form.send(connection, self.receiver)
        if answer.status != 200:
            name = form.upload.filename
            raise LoadError(f"{self.server.name}: {name}: {answer.status} {answer.body[:200]!r}")


def measure_uploads(context: Context) -> Section:
    with _targets(context) as targets:
        lines = [_small(context, targets), *_large(context, targets)]
    return Section(
        "Uploads",
        f"{SMALL_UPLOADS} wheels of one kilobyte, one after the other ({SMALL_UPLOADS // 10} to a "
        f"server that takes less than {_SLOW} in a second), then one of 300 MB. All "
        "come with the fields that twine sends, the user's password in each request (devpi: a "
        "token in its place), and one connection for all of them, as twine's session keeps it. "
        "L is waitress without a framework, which parses the form as it comes, computes sha256 "
        "and md5, writes the file once and renames it, with no other check and no fsync.",
        lines,
    )


#: In files per second.
_SLOW = 5


@contextmanager
def _targets(context: Context) -> Iterator[dict[str, Target]]:
    folder, written = context.folder / "uploads", context.folder / "written"
    written.mkdir()
    context.stores.copy(context.stores.store(), folder)
    index(folder, "rebuild")
    settings = user_settings([_WRITER])
    arguments = [str(context.stores.big), "/dev/null", str(written)]
    with (
        ours(folder, settings, ready=f"/simple/{SMALL}/") as server,
        script(LIMIT, "bare", *arguments, ready="/", folder=context.folder) as bare,
    ):
        server.wait_until_idle()
        mine = Receiver("/legacy/", authorization(_WRITER))
        yield {
            OURS: Target(server, mine, f"/api/package/{BIG}/{BIG_NAME}"),
            LIMIT: Target(bare, Receiver("/", authorization(_WRITER)), written / BIG_NAME),
            **{
                name: Target(peer.server, peer.uploads, peer.big)
                for name, peer in context.peers.items()
            },
        }


def _small(context: Context, targets: Mapping[str, Target]) -> Line:
    def forms(number: int) -> list[Form]:
        return [_form(f"up{one:03}", f"1.{number}") for one in range(SMALL_UPLOADS)]

    rounds = [forms(number) for number in range(context.pace.rounds)]
    counts = {}
    for name, target in targets.items():
        target.small([_form("warm-up", "1.0")])  # the first hash of a password is not measured
        rate = target.small([_form("warm-up", "1.1")])
        counts[name] = SMALL_UPLOADS if rate > _SLOW else SMALL_UPLOADS // 10
    measures = {
        name: lambda number, target=target, count=counts[name]: target.small(rounds[number][:count])
        for name, target in targets.items()
    }
    needs = (Need(5, "pypicloud"), Need(1, "devpi"))
    line = Line(
        "7", f"{SMALL_UPLOADS} small wheels", context.pace.in_turn(measures), needs, "files/s"
    )
    tell(line)
    return line


def _form(project: str, version: str) -> Form:
    content = wheel(project, version)
    return Form.of(Upload(project, version, wheel_name(project, version), content))


def _large(context: Context, targets: Mapping[str, Target]) -> list[Line]:
    form = Form.of(Upload(BIG, "1.0", BIG_NAME, context.stores.big))
    both: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    for _round in range(context.pace.rounds):
        for name, target in targets.items():
            both[name].append(target.large(form))
    rates = {name: [rate for rate, _grown in some] for name, some in both.items()}
    grown = {name: [max(grown for _rate, grown in some)] for name, some in both.items()}
    needs = (Need(0.6), *(Need(1, name) for name in context.peers))
    lines = [
        Line("7", "one wheel of 300 MB", rates, needs, "MB/s"),
        Line("7", "its memory, at most", grown, (Need(32, None, at_most=True),), "MiB"),
    ]
    for line in lines:
        tell(line)
    return lines
