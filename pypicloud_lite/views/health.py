"""``/health``: whether each part works, for load balancers and monitoring."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from pypicloud_lite.errors import IndexBuilding, PypicloudLiteError
from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import json_response

LOG = logging.getLogger(__name__)


@view_config(route_name="health_slash", request_method="GET", permission=NO_PERMISSION_REQUIRED)
@view_config(route_name="health", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def health(request: Request) -> Response:
    """200 when everything works, else 503; the reasons hold no secrets."""
    services = request.services
    parts = {
        "storage": _state(services.storage.check),
        "index": _state(services.index.check, services.follower.check),
    }
    healthy = all(state == "ok" for state in parts.values())
    if services.listener is not None:  # nothing that is served depends on it
        parts["events"] = services.listener.problem or "ok"
    if services.follower.state.progress is not None:
        parts["sync"] = str(services.follower.state.progress)
    document = {"status": "ok" if healthy else "failing", **parts}
    return json_response(document, status=200 if healthy else 503)


def _state(*checks: Callable[[], None]) -> str:
    try:
        for check in checks:
            check()
    except IndexBuilding as exc:  # which is no failure; what is one, the log has already
        LOG.warning("health check failed: %s", exc)
        return exc.message
    except PypicloudLiteError as exc:
        LOG.error("health check failed: %s", exc)
        return exc.message
    except Exception:
        LOG.exception("health check failed")
        return "failing"
    return "ok"
