"""Five hundred waiting calls, twenty events a second: the board answers to a key, and keeps nothing of what left."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.support.console_pages import opened, sign_in
from tests.support.keyed_service import Keyed, keyed

WAITING, EVENTS_PER_S = 500, 20
OBSERVE = """() => {
  window.long = [];
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: "longtask" });
}"""


@pytest.fixture
def service(tmp_path: Path, acting_release: Path) -> Iterator[Keyed]:
    with keyed(tmp_path, acting_release) as service:
        yield service


class Ringing:
    """Callers who ring, are heard more of, and go, so that about as many wait all the time."""

    def __init__(self, service: Keyed) -> None:
        self._client = httpx.Client(base_url=service.client.base_url, headers=service.by("admin"), timeout=30.0)
        self._draw, self._number, self.waiting = random.Random(5), 0, list[str]()
        self._stop = threading.Event()
        self.told = 0

    def fill(self, count: int) -> None:
        """Let so many wait."""
        for _ in range(0, count, 100):
            calls = [self._call() for _ in range(100)]
            answered = self._client.post("/v1/score/batch", json={"calls": calls})
            assert answered.status_code == 200

    def _call(self) -> dict:
        self._number += 1
        self.waiting.append(f"c{self._number}")
        at = datetime.now(UTC) - timedelta(seconds=self._draw.uniform(0.0, 300.0))
        caller = f"+62812{self._draw.randrange(10**7):07}"
        return {"call_id": f"c{self._number}", "received_at": at.isoformat(), "caller": caller, "line": "mobile",
                "duration_s": 4.0}  # fmt: skip

    def run(self) -> None:
        """Tell something at a steady pace."""
        due = time.monotonic()
        while not self._stop.is_set():
            if self._draw.random() < 0.5 + (WAITING - len(self.waiting)) / 100.0:
                answered = self._client.post("/v1/score", json=self._call())
            else:
                gone = self.waiting.pop(self._draw.randrange(len(self.waiting)))
                answered = self._client.post(
                    f"/v1/calls/{gone}/ended", json={"ended_at": datetime.now(UTC).isoformat()}
                )
            assert answered.status_code == 200
            self.told += 1
            due += 1.0 / EVENTS_PER_S
            time.sleep(max(0.0, due - time.monotonic()))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Do so beside what is looked at."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._client.close()


@contextmanager
def full_board(service: Keyed, browser: Browser, ringing: Ringing) -> Iterator[Page]:
    ringing.fill(WAITING)
    with opened(browser, service.url) as page:
        sign_in(page, service.keys["operator"])
        expect(page.locator("li.row")).to_have_count(WAITING)
        page.evaluate(OBSERVE)
        yield page


def shown_is_true(service: Keyed, page: Page) -> None:
    waiting = service.waiting()
    expect(page.locator("li.row")).to_have_count(len(waiting))
    assert page.eval_on_selector_all("li.row", "rows => rows.map(row => row.dataset.id)") == waiting


def test_the_board_stays_quick_with_five_hundred_calls_and_twenty_events_a_second(service, browser):
    ringing = Ringing(service)
    with full_board(service, browser, ringing) as page:
        page.evaluate("""() => {
          window.touched = new Set();
          new MutationObserver((changes) => {
            for (const { addedNodes } of changes) for (const row of addedNodes) window.touched.add(row.dataset.id);
          }).observe(document.getElementById("queue"), { childList: true });
        }""")
        with ringing.going_on():
            page.wait_for_timeout(6_000)
            page.keyboard.press("n")
            expect(page.locator("article.mine")).to_have_count(1)
        page.wait_for_timeout(500)
        long = page.evaluate("window.long")
        assert ringing.told > 60
        shown_is_true(service, page)
        # Rows of other calls are left alone: only those that came, moved or were taken were put anywhere.
        assert page.evaluate("window.touched.size") <= ringing.told
        # No promise of time on a machine that others use too, but a board that drew itself anew would do little else.
        assert len(long) < 20, long
        assert sum(long) < 3_000, long


@pytest.mark.slow
def test_ten_minutes_leave_no_more_memory_than_the_first(service, browser):
    ringing = Ringing(service)
    with full_board(service, browser, ringing) as page, ringing.going_on():
        devtools = page.context.new_cdp_session(page)
        page.wait_for_timeout(60_000)
        first = memory(devtools)
        page.wait_for_timeout(540_000)
        last = memory(devtools)
        long = page.evaluate("window.long")
        print(f"after 1 min {first}, after 10 min {last} with {len(ringing.waiting)} calls, "
              f"{len(long)} long tasks of {sum(long):.0f} ms in all, "
              f"longest {max(long, default=0):.0f} ms, {ringing.told:,} events")  # fmt: skip
        assert abs(len(ringing.waiting) - WAITING) < 50
        assert last["JSHeapUsedSize"] < first["JSHeapUsedSize"] * 1.2 + 1_000_000
        assert last["Nodes"] < first["Nodes"] * 1.1
        assert last["JSEventListeners"] < first["JSEventListeners"] * 1.1


def memory(devtools: CDPSession) -> dict[str, float]:
    """Give what the page holds once garbage was collected."""
    devtools.send("HeapProfiler.collectGarbage")
    devtools.send("Performance.enable")
    found = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
    return {name: found[name] for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners")}
