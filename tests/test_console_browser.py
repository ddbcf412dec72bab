"""The console as an operator has it: a real Chromium in front of a real service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.keyed import Keyed, keyed


@pytest.fixture(scope="module")
def service(tmp_path_factory, acting_release: Path) -> Iterator[Keyed]:
    with keyed(tmp_path_factory.mktemp("browser"), acting_release) as service:
        yield service


@pytest.fixture
def page(browser: Browser, service: Keyed) -> Iterator[Page]:
    with browser.new_context(base_url=f"http://127.0.0.1:{service.port}", locale="en-GB") as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
        )
        yield page
        assert complaints == []


def sign_in(service: Keyed, page: Page, role: str = "operator") -> None:
    page.goto("/console")
    page.get_by_label("Access key").fill(service.keys[role])
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Board")).to_be_visible()


def test_an_operator_signs_in_with_a_key_and_out_again(service, page):
    page.goto("/console")
    page.get_by_label("Access key").fill("saring_of_nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("opens nothing")
    sign_in(service, page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access key")).to_be_focused()
