"""A small application inside of the security middleware, and requests written byte by byte."""

import httpx
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from service.contract.problems import Problem
from service.http.problem_responses import problem_response
from service.security.api_keys import ApiKeys, Role
from service.security.middleware import SecurityMiddleware
from service.security.route_access import RoleRoute, public, require_role
from tests.support.small_service import raw as sent

SITE = "https://board.example.org"
HOSTS = ["127.0.0.1", "saring.example.org", "[2001:db8::1]", "narrow.example.org:8443"]
API_POLICY = "default-src 'none'; frame-ancestors 'none'"


def small_app() -> FastAPI:
    """One route a role, one for everybody, one that names nobody, and some that go wrong."""
    router = APIRouter(route_class=RoleRoute)

    @router.get("/public")
    @public
    async def everybody(request: Request) -> dict:
        principal = request.state.principal
        return {
            "name": principal and principal.name,
            "role": principal and principal.role,
            "request_id": request.state.request_id,
            "authorization": request.headers.get("authorization"),
        }

    for role in Role:

        @router.get(f"/{role}", name=role)
        @require_role(role)
        async def one(request: Request) -> dict:
            return {"key_id": request.state.principal.key_id}

    @router.post("/body/{name:path}")
    @require_role(Role.INTAKE, Role.OPERATOR)
    async def body(request: Request, name: str) -> dict:
        return {"bytes": len(await request.body()), "name": name}

    @router.get("/nobody")
    async def nobody() -> dict:
        return {}

    @router.get("/page")
    @public
    async def page() -> Response:
        own = {"Content-Security-Policy": "default-src 'self'", "CACHE-CONTROL": "max-age=60"}
        return Response("<p>page", media_type="text/html", headers=own)

    @router.get("/broken")
    @public
    async def broken() -> dict:
        raise RuntimeError("broken")

    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(router, prefix="/v1")
    looked_at = {"methods": ["GET", "HEAD"], "include_in_schema": False, "route_class_override": RoleRoute}
    app.router.add_api_route("/healthz", everybody, **looked_at)
    for error in (Problem, Exception):
        app.add_exception_handler(error, problem_response)
    return app


def secured(keys: ApiKeys | None = None, app: ASGIApp | None = None, **options) -> SecurityMiddleware:
    chosen = {"insecure_local": False, "hosts": [], "origins": []} | options
    return SecurityMiddleware(app or small_app(), keys or ApiKeys(), **chosen)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def raw(client: httpx.Client, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send these very bytes; give status, headers and body of the first answer."""
    answered = sent(client, request, patience_s=20.0)
    head, _, body = answered.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for name, value in (line.split(": ", 1) for line in lines):
        assert name.lower() not in headers, f"{name} came twice"
        headers[name.lower()] = value
    return int(status.split()[1]), headers, body


def get(path: str, *lines: bytes, host: bytes = b"127.0.0.1") -> bytes:
    all_lines = [b"GET " + path.encode() + b" HTTP/1.1", b"Host: " + host, *lines, b"Connection: close", b"", b""]
    return b"\r\n".join(all_lines)
