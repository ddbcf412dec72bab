"""What is wrong is said on the board at once: a lost line, a service that hangs, a store out of reach."""

import signal
from datetime import UTC, datetime

import httpx
from playwright.sync_api import expect

from service.security.key_store import create_key
from service.store.database import connect
from tests.support.console_pages import ago, opened, row, rows, sign_in
from tests.support.keyed_service import keyed, now
from tests.support.processes import Process, until
from tests.support.store.crashes import locked


def test_a_line_that_is_lost_is_said_and_looks_like_no_other_and_comes_back(service, page):
    service.ring("before", ago(30))
    sign_in(page, service.keys["operator"])
    live = row(page, "before").evaluate("row => getComputedStyle(row).borderTopStyle")
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#line")).to_have_text("Disconnected")
    assert row(page, "before").evaluate("row => getComputedStyle(row).borderTopStyle") != live
    expect(page.locator("#next")).to_be_disabled()
    page.keyboard.press("n")
    stood = row(page, "before").locator(".waited").inner_text()
    page.wait_for_timeout(1_500)
    assert row(page, "before").locator(".waited").inner_text() == stood  # as of then
    service.ring("meanwhile")
    assert rows(page) == ["before"]
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    expect(row(page, "meanwhile")).to_be_visible()
    assert service.known("before")["state"] == "waiting"


def test_a_service_that_hangs_is_killed_and_comes_back_is_told_at_each_step(browser, tmp_path, acting_release):
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    chosen = {"insecure_local": False, "mode": "board"}
    first = Process(tmp_path, "first", acting_release, database, **chosen).ready()
    second = None
    try:
        engine = connect(database)
        keys = {role: create_key(engine, role, role, datetime.now(UTC)) for role in ("operator", "admin")}
        engine.dispose()
        with httpx.Client(base_url=first.url, headers={"Authorization": f"Bearer {keys['admin']}"}) as client:
            until(lambda: client.get("/v1/queue").status_code == 200)
            client.post("/v1/score", json={"call_id": "stays", "received_at": now()}).raise_for_status()
        with opened(browser, first.url) as page:
            sign_in(page, keys["operator"])
            expect(row(page, "stays")).to_be_visible()
            first.process.send_signal(signal.SIGSTOP)
            expect(page.locator("#lost")).to_be_visible()
            first.process.send_signal(signal.SIGCONT)
            expect(page.locator("#lost")).to_be_hidden()
            first.stop(signal.SIGKILL)
            expect(page.locator("#lost")).to_contain_text("the service is not responding")
            second = Process(tmp_path, "second", acting_release, database, first.port, **chosen).ready()
            expect(page.locator("#lost")).to_be_hidden()
            assert rows(page) == ["stays"]  # and whoever was signed in still is
            page.keyboard.press("n")
            expect(page.locator("article.mine")).to_have_attribute("data-id", "stays")
    finally:
        for process in (first, second):
            if process is not None and process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.stop()


def test_a_store_out_of_reach_an_unscored_call_and_a_stale_one_are_told(browser, tmp_path, acting_release, often):
    with (
        keyed(tmp_path, acting_release, deadline_ms=1_000, waiting_timeout_s=10) as weak,
        opened(browser, weak.url) as page,
    ):
        sign_in(page, weak.keys["operator"])
        with locked(tmp_path / "saring.db"):
            answer = weak.ring("late", caller=often)
            assert answer["degraded"]
            expect(page.locator("#degraded")).to_be_visible()
        expect(row(page, "late").locator(".badge")).to_have_attribute("data-badge", "not_rated")
        expect(row(page, "late")).to_contain_text("Not rated: some data was missing")
        expect(page.locator("#degraded")).to_be_hidden()
        expect(row(page, "late")).to_contain_text("Nothing heard of this call")
        known = weak.known("late")
        assert (known["genuine_like"], known["one_in"], known["badge"]) == (None, None, "not_rated")
