"""Every route asks before it serves or changes anything: found by introspection, so that a new
route is tested before anyone thinks of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pyramid.security import NO_PERMISSION_REQUIRED

from pypicloud_lite.access.policy import READING
from pypicloud_lite.app import make_router
from pypicloud_lite.services import Services
from pypicloud_lite.views.errors import method_not_allowed
from tests.conftest import Client
from tests.support.credentials import as_token, ask, good
from tests.support.dists import sdist
from tests.support.tokens import make_token

#: Views that need no permission, and why: they tell nothing that is anyone's.
PUBLIC = {
    "health": "load balancers have no credentials",
    "health_slash": "the same",
    "robots": "for search engines",
    "__static/": "the style sheet",
}
#: Routes to a project that send on every GET to another spelling of their own address.
REDIRECTING = {"page_bare", "pypi_page_bare", "root_page", "root_page_bare"} | {
    f"hatch_bare_{number}" for number in range(4)
}
_REFUSING = {view.__qualname__ for view in (method_not_allowed(()), method_not_allowed(("GET",)))}


@dataclass(frozen=True)
class View:
    """What the application knows of one of its views."""

    route: str
    pattern: str
    method: str | None
    permission: str | None

    def path(self, project: str) -> str:
        filled = self.pattern.replace("{project}", project).replace("{version}", "1")
        return filled.replace("{filename}", f"{project}-1.tar.gz")


def views(client: Client) -> Iterator[View]:
    """All views that answer to a route, but for those that refuse other methods."""
    introspector = client.app.registry.introspector
    patterns = {
        entry["introspectable"]["name"]: entry["introspectable"]["pattern"]
        for entry in introspector.get_category("routes")
    }
    for entry in introspector.get_category("views"):
        view = entry["introspectable"]
        permissions = [
            related["value"]
            for related in entry["related"]
            if related.category_name == "permissions"
        ]
        name = getattr(view["callable"], "__qualname__", "")
        if view["route_name"] is None or name in _REFUSING:
            continue
        methods = view["request_methods"]
        for method in (methods,) if methods is None or isinstance(methods, str) else methods:
            yield View(
                view["route_name"],
                patterns[view["route_name"]],
                method,
                permissions[0] if permissions else None,
            )


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """``secret`` is for its writer and admins, everything else for everyone."""
    made = make_token(projects="alpha", owner="admin")
    sessions = {"session.secret": "x" * 64}
    client = make_client(package__secret__user__writer="rw", **sessions, **made.settings)
    client.as_("writer").upload("secret-1.tar.gz", sdist("secret", "1"), status=200)
    client.token = made
    return client


def test_the_introspection_finds_what_there_is(client: Client) -> None:
    found = {(view.route, view.method) for view in views(client)}
    assert {("download", "GET"), ("file", "DELETE"), ("legacy", "POST"), ("home", "GET")} <= found
    assert len(found) > 30


def test_every_view_has_a_permission_or_is_known_to_be_public(client: Client) -> None:
    public = {view.route for view in views(client) if view.permission == NO_PERMISSION_REQUIRED}
    assert public == set(PUBLIC)
    assert [view for view in views(client) if view.permission in (None, "unstated")] == []


def test_h18_no_permission_to_read_lets_a_view_change_anything(client: Client) -> None:
    for view in views(client):
        if view.permission in READING:
            assert view.method == "GET", view
    assert {view.permission for view in views(client) if view.method != "GET"} == {
        "upload", "delete", "yank", "unyank", "status", "rebuild", "login", "logout",
        NO_PERMISSION_REQUIRED,
    }  # fmt: skip


def test_every_route_of_a_project_refuses_who_may_not(client: Client) -> None:
    asked = 0
    for view in views(client):
        if "{project}" not in view.pattern:
            continue
        path, method = view.path("secret"), view.method
        assert ask(client, None, path, method=method).status_int == 401, view
        assert ask(client, good("reader"), path, method=method).status_int == 403, view
        assert ask(client, as_token(client.token), path, method=method).status_int == 403, view
        asked += 1
    assert asked > 15
    client.as_("writer").get("/api/package/secret/secret-1.tar.gz", status=200)


def test_routes_without_a_view_only_redirect(client: Client) -> None:
    """And tell no more of a project than that its name can be spelled otherwise."""
    with_views = {view.route for view in views(client)}
    without = {
        entry["introspectable"]["name"]: entry["introspectable"]["pattern"]
        for entry in client.app.registry.introspector.get_category("routes")
        if entry["introspectable"]["name"] not in with_views
    }
    assert set(without) == REDIRECTING | {"favicon"}
    for route in REDIRECTING:
        for project in ("secret", "absent"):
            answer = ask(client, None, without[route].replace("{project}", project))
            assert answer.status_int == 301
            assert answer.headers["Location"].endswith(f"{project}/")
            assert not answer.body


def test_a_view_whose_permission_was_forgotten_is_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    services: Services = client.app.registry.services

    def with_one_more(config: Any) -> None:
        config.add_route("forgotten", "/a/new/route")
        config.add_view(lambda _request: "secret", route_name="forgotten", renderer="string")

    monkeypatch.setattr("pypicloud_lite.views.audit.includeme", with_one_more)
    changed = Client(make_router(services, {}))
    assert ask(changed, None, "/a/new/route").status_int == 401
    assert ask(changed, good("admin"), "/a/new/route").status_int == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_change_nothing_with_a_remembered_password(client: Client, site: str) -> None:
    for view in views(client):
        if view.permission not in READING and view.permission != NO_PERMISSION_REQUIRED:
            answer = ask(
                client,
                good("admin"),
                view.path("secret"),
                method=view.method,
                headers={"Sec-Fetch-Site": site},
            )
            assert answer.status_int == 403, view
