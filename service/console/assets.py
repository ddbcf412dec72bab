"""The console's modules and style sheet, read once, under an address that changes when one of them does.

Modules name each other by relative addresses, so all of them share one digest. A browser may keep what it got for
ever; a page of another version, which may be open while a service is renewed, is given what there is now.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from service.guard import GuardedRoute, public
from service.problems import Unknown

FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FILES: Mapping[str, bytes] = {
    path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES
}
DIGEST = sha256(b"".join(name.encode() + b"\0" + content for name, content in FILES.items())).hexdigest()[:16]
BASE = f"/console/static/{DIGEST}"
router = APIRouter(route_class=GuardedRoute, include_in_schema=False)


@router.get("/console/static/{digest}/{name}")
@public
async def asset(digest: str, name: str) -> Response:
    """Give one file."""
    if name not in FILES:
        raise Unknown("there is no such file")
    kept = "public, max-age=31536000, immutable" if digest == DIGEST else "no-cache"
    return Response(FILES[name], media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": kept})
