"""A path that a proxy has before the service: it may be cut off or left, and addresses begin with it."""

import re

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from model.errors import SaringError
from service.server.path_prefix import PathPrefix
from service.settings import Settings
from tests.support.processes import CHECKOUT
from tests.support.small_service import running

CONSOLE = CHECKOUT / "service" / "console"


def small_app() -> FastAPI:
    app = FastAPI()

    @app.get("/console/{call_id:path}")
    async def page(request: Request, call_id: str) -> Response:
        return Response(f"{call_id} {request.url.path} {request.base_url.path}")

    return app


@pytest.mark.parametrize("path", ["/saring/console/a", "/console/a"])
def test_the_proxy_may_cut_the_path_or_leave_it(path):
    app = small_app()
    with running(PathPrefix(app, "/saring", app.routes)) as client:
        assert client.get(path).text == "a /saring/console/a /saring/"
        assert client.get("/saringer/console/a").status_code == 404


@pytest.mark.parametrize("prefix", ["/console", "/console/{call_id:path}", "/docs"])
def test_a_path_that_the_service_has_itself_is_refused(prefix):
    with pytest.raises(SaringError, match=r"^--root-path: .*expected"):
        PathPrefix(small_app(), prefix, small_app().routes)


@pytest.mark.parametrize("path", ["saring", "//a", "/a b", "/a?b", "https://a"])
def test_a_path_that_is_none_is_told(path):
    with pytest.raises(ValueError, match="expected a path such as /saring"):
        Settings(root_path=path)
    assert [Settings(root_path=path).root_path for path in ("/a/", "/")] == ["/a", ""]


def test_a_service_without_a_path_stands_at_its_root():
    with running(small_app()) as client:
        answered: httpx.Response = client.get("/console/a")
        assert answered.text == "a /console/a /"


def test_no_page_of_the_console_forgets_the_path():
    files = [*(CONSOLE / "templates").glob("*.html"), *(CONSOLE / "static").glob("*.js")]
    assert len(files) > 20
    plain = re.compile(r"""(?<!== )["'`]/(?:console|v1|badge)""")  # what is only compared is no address
    assert [file.name for file in files if plain.search(file.read_text(encoding="utf-8"))] == []
