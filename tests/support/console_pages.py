"""Windows of a real Chromium on a console."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect

expect.set_options(timeout=15_000)


@contextmanager
def opened(browser: Browser, url: str, **options) -> Iterator[Page]:
    """Open a window of its own; what a page's modules or its policy complain of is a failure."""
    with browser.new_context(**{"base_url": url, "locale": "en-GB"} | options) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
        )
        yield page
        assert complaints == []


def sign_in(page: Page, key: str, path: str = "/console") -> None:
    """Sign in with a key, and be led to the page that was asked for."""
    page.goto(path)
    page.locator("#key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlsplit(url).path == path)
    if path == "/console":
        expect(page.locator("#line")).to_have_attribute("data-state", "live")


def rows(page: Page) -> list[str]:
    """Give the calls on the board, in its order."""
    return page.eval_on_selector_all("li.row", "rows => rows.map(row => row.dataset.id)")


def row(page: Page, call_id: str) -> Locator:
    """Give the row of a call on the board."""
    return page.locator(f'li.row[data-id="{call_id}"]')


def ago(seconds: float) -> datetime:
    """Give the moment so long ago."""
    return datetime.now(UTC) - timedelta(0, seconds)
