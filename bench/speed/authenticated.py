"""Goal 8: requests with a password against requests without."""

from __future__ import annotations

from dataclasses import replace

from bench.speed.context import Context
from bench.speed.data import SMALL, SMALL_FILE
from bench.speed.load import Ask, Target
from bench.speed.pages import JSON
from bench.speed.results import OURS, Need, Section
from bench.speed.servers import ours
from bench.speed.users import SCHEMES, authorization, user_settings

_USERS, _QUICK_USERS = 50, 10
#: Times as many rounds as elsewhere: both servers come at one of two rates that differ by a half,
#: as the system places their threads, so that a few rounds say nothing of a tenth.
_MORE = 3


def measure_authenticated(context: Context) -> Section:
    store = context.stores.store()
    count = _QUICK_USERS if context.pace.quick else _USERS
    users = [f"user{number:02}" for number in range(count)]
    closed = {**user_settings(users), "pypi.default_read": "authenticated"}
    pace = context.pace
    if not pace.quick:
        pace = replace(pace, rounds=_MORE * pace.rounds)
    lines = []
    with ours(store) as anonymous, ours(store, closed) as server:
        anonymous.wait_until_idle()
        server.wait_until_idle()
        paths = {"page of 10 files": f"/simple/{SMALL}/"}
        if not context.pace.quick:
            paths["small file"] = f"/api/package/{SMALL}/{SMALL_FILE}"
        for label, path in paths.items():
            headers = {"Accept": JSON}
            asks = tuple(Ask(path, {**headers, **authorization(user)}) for user in users)
            targets = {
                OURS: Target(server, asks),
                "anonymous": Target(anonymous, (Ask(path, headers),) * count),
            }
            lines += [
                pace.rates("8", label, targets, connections, [Need(0.9, "anonymous")])
                for connections in context.connections
            ]
    return Section(
        "Users",
        f"Ours with {count} users in turn, who send their passwords with each request and have "
        f"hashes of {' and '.join(SCHEMES)}, where only the known may read; against the same "
        "server open to everyone." + ("" if context.pace.quick else f" {pace.rounds} rounds."),
        lines,
    )
