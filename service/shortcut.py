"""The short way for what comes with every call: past FastAPI's middleware and routing, which cost as much as a score.

Such an endpoint reads its request by itself. To the OpenAPI document, and to whoever asks with another method, it is a
route like the others.
"""

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.guard import is_direct, not_let_in
from service.problems import Problem, answer


class Shortcut:
    """An application in which POST to a `direct` endpoint goes straight there.

    Parameters
    ----------
    app : FastAPI
        With all its routes.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes = {
            route.path: (route.original_route, route.endpoint)
            for route in iter_route_contexts(app.routes)
            if route.endpoint is not None and is_direct(route.endpoint) and "POST" in (route.methods or ())
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        found = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            return await self._app(scope, receive, send)
        route, endpoint = found
        scope["app"], scope["route"] = self._app, route
        request = Request(scope, receive, send)
        refused = not_let_in(endpoint, scope)
        if refused is not None:
            return await refused.response()(scope, receive, send)
        try:
            response: Response = await endpoint(request)
        except Problem as problem:
            response = problem.response()
        except Exception as error:
            await (await answer(request, error))(scope, receive, send)
            raise  # into the log
        return await response(scope, receive, send)
