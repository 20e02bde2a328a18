"""What only admins may do."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response
from pyramid.view import view_config

from pypicloud_lite.views.request import Request
from pypicloud_lite.views.responses import json_response

#: How long the answer waits for a rebuild to end, in seconds.
_WAIT = 5.0


@view_config(route_name="rebuild", request_method="GET", permission="rebuild")
@view_config(route_name="rebuild", request_method="POST", permission="rebuild")
@view_config(route_name="rebuild_slash", request_method="GET", permission="rebuild")
@view_config(route_name="rebuild_slash", request_method="POST", permission="rebuild")
def rebuild(request: Request) -> Response:
    """Look at every file of the storage anew; the index serves meanwhile."""
    follower = request.services.follower
    follower.request(rebuild=True)
    follower.idle.wait(_WAIT)
    state = follower.state
    if state.problem is not None:
        request.facts["code"] = "sync-failed"
        return json_response({"status": "failed", "problem": state.problem}, status=503)
    idle = follower.idle.is_set() and not state.running
    if state.elsewhere or not idle or state.report is None:
        # Here, or in another process.
        document: dict[str, Any] = {"status": "running"}
        if state.progress is not None:
            document |= {"done": state.progress.done, "total": state.progress.total}
        return json_response(document, status=202)
    return json_response(
        {
            "status": "done",
            "listed": state.report.listed,
            "changed": state.report.changed,
            "gone": state.report.gone,
        }
    )
