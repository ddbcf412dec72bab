"""The path under which a proxy has the service, such as `/saring`; every request has it, also when the proxy cut it."""

from collections.abc import Iterable

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from model.errors import SaringError


class PathPrefix:
    """An application that stands under a path; its routes, links and redirects know it as ASGI's `root_path`.

    Parameters
    ----------
    app : ASGI application
    prefix : str
        Begins with a slash and ends with none.
    routes : iterable of Route
        Of the application.

    Raises
    ------
    SaringError
        When one of its own paths begins so: then nobody could say whether the prefix was cut.
    """

    def __init__(self, app: ASGIApp, prefix: str, routes: Iterable[BaseRoute]) -> None:
        if any(f"{getattr(route, 'path', '')}/".startswith(f"{prefix}/") for route in routes):
            raise SaringError(f"--root-path: {prefix!r} begins a path of the service itself, expected one like /saring")
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the prefix before the path where it is missing."""
        if scope["type"] == "http":
            path = scope["path"]
            scope["root_path"] = self._prefix
            scope["path"] = path if f"{path}/".startswith(f"{self._prefix}/") else self._prefix + path
        await self._app(scope, receive, send)
