"""The console's modules and style sheets, read once, under an address that changes when one of them does.

What they know of the badge is written into them from `service.queue.badge`. Its custom element stands at /badge.js,
too, for pages of other systems: an address that stays, and that any page may load. Modules name each other by relative
addresses, so all of them share one digest. A browser may keep what it got for ever; a page of another version, which
may be open while a service is renewed, is given what there is now.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.contract.problems import Unknown
from service.queue.badge import looks_css, looks_document, texts_document
from service.security.middleware import CROSS_ORIGIN_HEADERS
from service.security.route_access import RoleRoute, public

FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
ELEMENT = "saring-badge.js"


def _read() -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}
    for name, document in (("LOOKS", looks_document()), ("TEXTS", texts_document())):
        empty, written = f"{name} = {{}};".encode(), json.dumps(document, ensure_ascii=False)
        assert empty in files[ELEMENT]
        files[ELEMENT] = files[ELEMENT].replace(empty, f"{name} = {written};".encode())
    return files | {"looks.css": looks_css().encode()}


FILES: Mapping[str, bytes] = _read()
DIGEST = sha256(b"".join(name.encode() + b"\0" + content for name, content in FILES.items())).hexdigest()[:16]
BASE = f"/console/static/{DIGEST}"
router = APIRouter(route_class=RoleRoute, include_in_schema=False)


@router.get("/console/static/{digest}/{name}")
@public
async def asset(digest: str, name: str) -> Response:
    """Return one file."""
    if name not in FILES:
        raise Unknown("there is no such file")
    kept = "public, max-age=31536000, immutable" if digest == DIGEST else "no-cache"
    return Response(FILES[name], media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": kept})


@router.get("/badge.js")
@public
async def element(request: Request) -> Response:
    """Return the custom element `<saring-badge>`; a browser asks each time whether it has changed."""
    headers = CROSS_ORIGIN_HEADERS | {"Cache-Control": "public, no-cache", "ETag": f'"{DIGEST}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(None, 304, headers)
    return Response(FILES[ELEMENT], media_type=_TYPES[".js"], headers=headers)
