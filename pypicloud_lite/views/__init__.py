"""HTTP: the routes, and one thin view for each. No view decides anything itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.security import NO_PERMISSION_REQUIRED

from pypicloud_lite.views import contexts
from pypicloud_lite.views.errors import method_not_allowed

#: Name, pattern, context factory, methods. The first pattern that fits wins.
Routes = tuple[tuple[str, str, Callable[..., Any] | None, tuple[str, ...]], ...]
#: On a project; their names are no valid filenames.
_ACTIONS = ("yank", "unyank", "status")
_PROJECT = "/api/package/{project}/"
ROUTES: Routes = (
    *((name, _PROJECT + name, contexts.project, ("POST",)) for name in _ACTIONS),
    ("file", _PROJECT + "{filename}", contexts.project, ("GET", "POST", "DELETE")),
    ("list_bare", "/simple", None, ("GET", "POST")),
    ("page_bare", "/simple/{project}", contexts.page_without_slash, ("GET",)),
    ("page_json", "/simple/{project}/json", contexts.json_document, ("GET",)),
    ("health", "/health", None, ("GET",)),
    ("health_slash", "/health/", None, ("GET",)),
    ("legacy", "/legacy/", None, ("POST",)),
    ("legacy_bare", "/legacy", None, ("POST",)),
    ("pypi_list", "/pypi/", None, ("GET", "POST")),
    ("pypi_list_bare", "/pypi", None, ("GET", "POST")),
    ("pypi_page", "/pypi/{project}/", contexts.page, ("GET",)),
    ("pypi_page_bare", "/pypi/{project}", contexts.page_without_slash, ("GET",)),
    ("pypi_json", "/pypi/{project}/json", contexts.json_document, ("GET",)),
    ("pypi_json_slash", "/pypi/{project}/json/", contexts.json_document, ("GET",)),
    ("release_json", "/pypi/{project}/{version}/json", contexts.json_document, ("GET",)),
    ("robots", "/robots.txt", None, ("GET",)),
    ("favicon", "/favicon.ico", None, ()),
    ("packages", "/api/package/", None, ("GET",)),
    ("packages_bare", "/api/package", None, ("GET",)),
    ("package_bare", "/api/package/{project}", contexts.project, ("GET",)),
    ("package", _PROJECT, contexts.project, ("GET",)),
    ("rebuild", "/admin/rebuild", None, ("GET", "POST")),
    ("rebuild_slash", "/admin/rebuild/", None, ("GET", "POST")),
    ("home", "/", None, ("GET", "POST")),
    ("root_page", "/{project}/", contexts.root_page, ("GET",)),
    ("root_page_bare", "/{project}", contexts.root_page, ("GET",)),
)
#: Where hatch looks for files that exist already: below each address that takes uploads.
HATCH_BASES = ("/+simple/", "/legacy/+simple/", "/simple/+simple/", "/pypi/+simple/")


def includeme(config: Configurator) -> None:
    """Add all routes and views; what is asked for most often is looked for first."""
    config.add_traverser(contexts.NothingBelow)
    config.include("pypicloud_lite.views.lasting")
    _add_route(config, "page", "/simple/{project}/", contexts.page, ("GET",))
    # Apart from what changes files, so that no other view is tried before it.
    config.add_route(
        "download",
        f"{_PROJECT}{{filename:(?!(?:{'|'.join(_ACTIONS)})$)[^/]+}}",
        factory=contexts.project,
        request_method=("GET", "HEAD"),
    )
    _add_route(config, "list", "/simple/", None, ("GET", "POST"))
    config.add_static_view("static", "pypicloud_lite:static", cache_max_age=3600)
    for number, base in enumerate(HATCH_BASES):
        _add_route(config, f"hatch_{number}", base + "{project}/", contexts.page, ("GET",))
        _add_route(
            config,
            f"hatch_bare_{number}",
            base + "{project}",
            contexts.page_without_slash,
            ("GET",),
        )
    if config.registry.services.sessions is not None:
        for name in ("login", "logout"):
            _add_route(config, name, f"/{name}", None, ("POST",))
        config.include("pypicloud_lite.views.login")
    for name, pattern, factory, methods in ROUTES:
        _add_route(config, name, pattern, factory, methods)
    # Tweens, each around those before it.
    config.include("pypicloud_lite.views.audit")
    config.include("pypicloud_lite.views.hosts")
    config.include("pypicloud_lite.views.headers")
    config.scan("pypicloud_lite.views")


def _add_route(
    config: Configurator,
    name: str,
    pattern: str,
    factory: Callable[..., Any] | None,
    methods: tuple[str, ...],
) -> None:
    config.add_route(name, pattern, factory=factory)
    config.add_view(method_not_allowed(methods), route_name=name, permission=NO_PERMISSION_REQUIRED)
