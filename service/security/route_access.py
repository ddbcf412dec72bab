"""Which roles may call which route: an endpoint that names nobody is closed to everybody.

`RoleRoute` admits the roles that its endpoint declares with `@require_role` or `@public`, before a byte of the body is
read, and says so in the OpenAPI document.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.contract.problems import MEDIA_TYPE, Forbidden, Problem, Unauthorized
from service.security.api_keys import Principal, Role

T = TypeVar("T")
_ALLOWED = "_saring_allowed"
_NOBODY: frozenset[Role] = frozenset()


class RoleRoute(APIRoute):
    """A route that lets in whom its endpoint names: `APIRouter(route_class=RoleRoute)`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        allowed = getattr(endpoint, _ALLOWED, _NOBODY)
        options["generate_unique_id_function"] = lambda route: route.name
        needs: list[dict[str, list[str]]] = [] if allowed is None else [{"bearer": []}]
        options["openapi_extra"] = {"security": needs} | (options.get("openapi_extra") or {})
        if allowed is not None:
            options["responses"] = (options.get("responses") or {}) | _document_refusals(allowed)
        super().__init__(path, endpoint, **options)
        self._answers_by_itself = _takes_the_request_alone(endpoint)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse before the body is read."""
        problem = check_role(self.endpoint, scope)
        if problem is not None:
            await problem.response()(scope, receive, send)
        elif self._answers_by_itself and scope["method"] in (self.methods or ()):
            response = await self.endpoint(Request(scope, receive, send))
            await response(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


def require_role(*roles: Role) -> Callable[[T], T]:
    """Let these roles call an endpoint; an admin always may."""
    if not roles:
        raise ValueError("require_role() names nobody, expected a role")
    return lambda endpoint: _declare(endpoint, frozenset((*roles, Role.ADMIN)))


def public(endpoint: T) -> T:
    """Let everybody call an endpoint, with or without a key."""
    return _declare(endpoint, None)


def check_role(endpoint: Any, scope: Scope) -> Problem | None:
    """Return why the sender may not call an endpoint; None when it may."""
    allowed = getattr(endpoint, _ALLOWED, _NOBODY)
    if allowed is None:
        return None
    if not allowed:
        return Forbidden("nobody may call this, as long as it does not say who may")
    principal: Principal | None = scope.get("state", {}).get("principal")
    if principal is None:
        return Unauthorized()
    if principal.role not in allowed:
        return Forbidden(f"this key has the role {principal.role}, {_expected(allowed)}")
    return None


def _declare(endpoint: T, allowed: frozenset[Role] | None) -> T:
    if hasattr(endpoint, _ALLOWED):
        raise ValueError(f"{endpoint!r} says twice who may call it")
    setattr(endpoint, _ALLOWED, allowed)
    return endpoint


def _takes_the_request_alone(endpoint: Callable[..., Any]) -> bool:
    """Whether an endpoint makes a response of a request by itself: what FastAPI would read of it costs half a score."""
    asked = signature(endpoint)
    return [one.annotation for one in asked.parameters.values()] == [Request] and asked.return_annotation is Response


def _document_refusals(allowed: frozenset[Role]) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    challenge = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return {
        401: {"description": "No access key that is live", "headers": challenge, "content": content},
        403: {"description": f"Not with this role; {_expected(allowed)}", "content": content},
    }


def _expected(allowed: frozenset[Role]) -> str:
    return f"expected {' or '.join(role for role in Role if role in allowed) or 'nobody'}"
