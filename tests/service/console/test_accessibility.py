"""axe-core finds nothing serious on any page of the console, in either language, light and dark."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.keyed_service import Keyed, keyed

SERIOUS = ("serious", "critical")
LANGUAGES, THEMES = ("en-GB", "id-ID"), ("light", "dark")


@pytest.fixture(scope="module")
def service(tmp_path_factory, acting_release: Path) -> Iterator[Keyed]:
    with keyed(tmp_path_factory.mktemp("axe"), acting_release, random_share=0.5) as service:
        for place in range(9):
            at = datetime.now(UTC) - timedelta(seconds=100 - place)
            caller = None if place % 3 == 0 else f"+628130000{place % 2:03}"
            more = {} if caller is None else {"caller": caller}
            body = {"call_id": f"c{place}", "received_at": at.isoformat(), "line": "mobile", "duration_s": 4.0, **more}
            answered = service.ask("intake", "POST", "/v1/score", json=body | {"expected_wait_s": 100.0})
            assert answered.status_code == 200
        fill_the_day(service)
        yield service


def fill_the_day(service: Keyed) -> None:
    """Let the supervisor's page have something to tell: calls closed as prank, one as genuine, the switch put."""
    for place in range(9):
        at = datetime.now(UTC) - timedelta(hours=2) + timedelta(minutes=place)
        body = {"call_id": f"past {place}", "received_at": at.isoformat(), "caller": "+6281299990000", "line": "mobile"}
        how = "genuine" if place == 8 else "prank"
        for path, told in (
            ("/v1/score", body),
            (f"/v1/calls/past {place}/answered", {"answered_at": (at + timedelta(seconds=20)).isoformat()}),
            (f"/v1/calls/past {place}/disposition", {"disposition": how, "disposed_at": at.isoformat()}),
        ):
            answered = service.ask("admin", "POST", path, json=told, headers={"Saring-Clock": "as-recorded"})
            assert answered.status_code == 200, answered.text
    for on in (False, True):
        body = {"switch": {"on": on, "reason": "a drill"}}
        assert service.ask("admin", "PUT", "/v1/operations", json=body).is_success


@pytest.fixture(params=[(language, theme) for language in LANGUAGES for theme in THEMES], ids="-".join)
def page(request, browser: Browser, service: Keyed) -> Iterator[Page]:
    language, theme = request.param
    url = f"http://127.0.0.1:{service.port}"
    with browser.new_context(base_url=url, locale=language, color_scheme=theme, reduced_motion="reduce") as context:
        yield context.new_page()
    for number in range(9):
        service.ask("admin", "POST", f"/v1/calls/c{number}/release", json={})


def serious(page: Page) -> list[str]:
    """Give what axe-core finds, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html']}: {node['failureSummary']}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def test_nothing_serious_is_found_on_any_page(service, page):
    page.goto("/console")
    assert serious(page) == []
    page.locator("#key").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert serious(page) == []
    page.locator("#key").fill(service.keys["admin"])
    page.keyboard.press("Enter")
    expect(page.locator("#line")).to_have_attribute("data-state", "live")
    expect(page.locator("li.row")).to_have_count(9)
    page.keyboard.press("n")
    expect(page.locator("article.mine")).to_have_count(1)
    assert serious(page) == []
    for key in ("?", "1", "x"):
        page.keyboard.press(key)
        page.locator("dialog[open]").wait_for()
        assert serious(page) == []
        page.keyboard.press("Escape")
    page.context.set_offline(True)
    page.locator("#lost").wait_for()
    assert serious(page) == []
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    page.keyboard.press("g")
    expect(page.locator("article.mine")).to_have_count(0)
    for path in (
        "/console/calls/c1",
        "/console/calls/c4",
        "/console/calls/unknown",
        "/console/shift",
        "/console/badge",
    ):
        page.goto(path)
        assert serious(page) == [], path
    page.goto("/console/supervisor")
    for place in ("#marked", "#waits", "#put"):
        expect(page.locator(place)).to_be_visible()
    assert serious(page) == []


def test_what_is_hard_to_read_would_be_found(service, page):
    page.goto("/console")
    page.locator("h1").evaluate("title => { title.style.color = '#808080'; title.style.backgroundColor = '#777' }")
    assert any(found.startswith("color-contrast") for found in serious(page))
