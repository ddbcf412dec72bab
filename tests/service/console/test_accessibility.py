"""axe-core finds nothing serious on any page of the console, in either language, light and dark."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.console_pages import opened
from tests.support.keyed_service import Keyed

SETTINGS = {"random_share": 0.5}
SERIOUS = ("serious", "critical")
#: Each language and each theme once; all four pairs are a slow proof.
LOOKS = [("en-GB", "light"), ("id-ID", "dark")]
SLOW = [pytest.param(look, marks=pytest.mark.slow) for look in (("en-GB", "dark"), ("id-ID", "light"))]


@pytest.fixture(scope="module", autouse=True)
def busy(service: Keyed, often: str) -> None:
    """Let nine calls wait, one have been wrongly marked, and the switch have been put."""
    service.ring("marked", caller=often)
    service.close("marked", "genuine", "intake")
    for place in range(9):
        caller = {} if place % 3 == 0 else {"caller": f"+628130000{place % 2:03}"}
        at = datetime.now(UTC) - timedelta(seconds=100 - place)
        service.ring(f"c{place}", at, duration_s=4.0, expected_wait_s=100.0, **caller)
    for on in (False, True):
        body = {"switch": {"on": on, "reason": "a drill"}}
        assert service.ask("admin", "PUT", "/v1/operations", json=body).is_success


@pytest.fixture(params=[*LOOKS, *SLOW], ids="-".join)
def page(request, browser: Browser, service: Keyed) -> Iterator[Page]:
    language, theme = request.param
    with opened(browser, service.url, locale=language, color_scheme=theme, reduced_motion="reduce") as page:
        yield page
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
    for path in ("calls/c1", "calls/c4", "calls/unknown", "shift", "badge"):
        page.goto(f"/console/{path}")
        assert serious(page) == [], path
    page.goto("/console/supervisor")
    for place in ("#marked", "#waits", "#put"):
        expect(page.locator(place)).to_be_visible()
    assert serious(page) == []


def test_what_is_hard_to_read_would_be_found(service, page):
    page.goto("/console")
    page.locator("h1").evaluate("title => { title.style.color = '#808080'; title.style.backgroundColor = '#777' }")
    assert any(found.startswith("color-contrast") for found in serious(page))
