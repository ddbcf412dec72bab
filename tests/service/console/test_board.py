"""The console as an operator has it: a real Chromium in front of a real service."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.security.key_store import create_key, revoke_key
from service.store.database import connect
from tests.support.console_pages import opened, sign_in
from tests.support.crashes import locked
from tests.support.keyed_service import Keyed, keyed, now
from tests.support.processes import Process, until

OFTEN = "+6281299990000"  # whose calls were closed as prank, time and again
SETTINGS = {"random_share": 0.5}


@pytest.fixture
def page(browser: Browser, service: Keyed) -> Iterator[Page]:
    with opened(browser, service.url, viewport={"width": 1366, "height": 768}) as page:
        yield page
    for call_id in service.waiting():
        service.close(call_id)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(0, seconds)


def rows(page: Page) -> list[str]:
    return page.eval_on_selector_all("li.row", "rows => rows.map(row => row.dataset.id)")


def row(page: Page, call_id: str):
    return page.locator(f'li.row[data-id="{call_id}"]')


def mine(page: Page) -> list[str]:
    return page.eval_on_selector_all("article.mine", "calls => calls.map(call => call.dataset.id)")


# Who is in


def test_an_operator_signs_in_with_a_key_and_out_again(service, page):
    page.goto("/console")
    page.get_by_label("Access key").fill("saring_of_nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("unknown or has been revoked")
    sign_in(page, service.keys["operator"])
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "saring_" not in kept + page.content()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access key")).to_be_focused()


def test_a_board_whose_key_is_revoked_leads_to_the_sign_in(service, page):
    key = create_key(service.engine, "soon gone", "operator", datetime.now(UTC))
    until(lambda: service.client.get("/v1/queue", headers={"Authorization": f"Bearer {key}"}).status_code == 200)
    sign_in(page, key)
    revoke_key(service.engine, key.split("_")[1], datetime.now(UTC))
    expect(page.get_by_label("Access key")).to_be_visible()


# What is shown


def test_calls_arrive_live_in_the_order_in_which_they_are_to_be_answered(service, page):
    sign_in(page, service.keys["operator"])
    expect(page.locator("#empty")).to_be_visible()
    start = ago(60)
    deferred = 0
    for place in range(8):
        caller = OFTEN if place % 2 else f"+628131000{place:03}"
        answer = service.ring(f"order {place}", start + timedelta(seconds=place), caller=caller, expected_wait_s=200.0)
        deferred += answer["defer_s"] > 0
    expect(page.locator("li.row")).to_have_count(8)
    assert deferred
    assert rows(page) == service.waiting() != [f"order {place}" for place in range(8)]
    # A call of which more is heard moves forward, and only its row does.
    service.say("admin", "order 0", "answered", answered_at=now())
    expect(page.locator("li.row")).to_have_count(7)
    assert rows(page) == service.waiting()
    expect(page.locator("#count")).to_have_text("7 waiting")


def test_a_row_tells_the_history_in_words_and_no_number(service, page):
    answer = service.ring("words", ago(75), caller=OFTEN, duration_s=4.0)
    service.ring("new", caller="+6281355512345")
    service.ring("hidden", line="withheld")
    sign_in(page, service.keys["operator"])
    told = row(page, "words")
    expect(told).to_contain_text("12 of 12 earlier calls closed as not genuine")
    expect(told.locator(".waited")).to_contain_text("1:")
    for reason in [] if answer["held_out"] else answer["reasons"][:3]:
        expect(told.locator(".reasons")).to_contain_text(reason["text"])
    expect(row(page, "new")).to_contain_text("First call from this number")
    expect(row(page, "new").locator(".guardrails")).to_contain_text("first call from this number")
    expect(row(page, "hidden")).to_contain_text("Number withheld: no history")
    shown = page.content()
    assert "99990000" not in shown
    assert "55512345" not in shown
    first = told.locator(".waited").inner_text()
    expect(told.locator(".waited")).not_to_have_text(first)


def test_a_call_of_the_random_share_has_no_badge_and_says_why(service, page):
    # At a quiet hour: the calls of all the tests here are a surge, in which nobody would be deferred.
    quiet = datetime.now(UTC) - timedelta(hours=1)
    answers = [service.ring(f"share {n}", quiet, caller=OFTEN, expected_wait_s=100.0) for n in range(20)]
    held = next((answer["call_id"] for answer in answers if answer["held_out"]), None)
    assert held, answers[-1]
    sign_in(page, service.keys["operator"])
    told = row(page, held)
    expect(told.locator(".badge")).to_have_attribute("data-band", "none")
    expect(told.locator(".badge")).to_have_text("no badge")
    expect(told.locator(".reasons")).to_contain_text("Picked at random")
    told.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Why this badge")).to_be_visible()
    assert page.locator("table").count() == 0  # nor does its story tell before it is closed


def test_the_switch_is_seen_at_once_with_its_reason(service, page):
    sign_in(page, service.keys["operator"])
    expect(page.locator("#order")).to_have_text("Likely emergencies first")
    body = {"switch": {"on": False, "reason": "the river has risen"}}
    assert service.ask("operator", "PUT", "/v1/operations", json=body).status_code == 200
    expect(page.locator("#off")).to_have_text("Deferral is switched off (operator): the river has risen")
    expect(page.locator("#order")).to_have_text("Order of arrival")
    assert service.ask("admin", "PUT", "/v1/operations", json={"switch": {"on": True, "reason": "back"}}).is_success
    expect(page.locator("#off")).to_be_hidden()


def test_a_caller_who_is_forgotten_leaves_the_board(service, page):
    service.ring("forgotten", caller="+6281377700001")
    sign_in(page, service.keys["operator"])
    expect(row(page, "forgotten")).to_be_visible()
    service.close("forgotten")
    expect(row(page, "forgotten")).to_have_count(0)
    body = {"caller": "+6281377700001", "reason": "asked for"}
    assert service.ask("admin", "POST", "/v1/callers/erase", json=body).json()["calls"] == 1
    page.goto("/console/calls/forgotten")
    expect(page.get_by_role("main")).to_contain_text("There is no such call")


# What operators do


def test_two_who_take_the_next_call_at_once_get_two_different_ones(service, browser, page):
    for place in range(6):
        service.ring(f"race {place}", ago(60 - place))
    with opened(browser, service.url) as other:
        sign_in(page, service.keys["operator"])
        sign_in(other, service.keys["admin"])
        for _ in range(3):
            taken = len(mine(page))
            page.keyboard.press("n")
            other.keyboard.press("n")
            expect(page.locator("article.mine")).to_have_count(taken + 1)
            expect(other.locator("article.mine")).to_have_count(taken + 1)
        assert sorted(mine(page) + mine(other)) == [f"race {place}" for place in range(6)]
        assert {service.known(name)["operator"] for name in mine(page)} == {"operator"}
        assert {service.known(name)["operator"] for name in mine(other)} == {"admin"}
        expect(row(page, mine(other)[0])).to_contain_text("taken by admin")
        page.keyboard.press("n")
        expect(page.locator("#next")).to_be_disabled()


def test_a_call_is_closed_with_one_key_and_corrected_with_another(service, page):
    service.ring("close me", ago(40), caller=OFTEN)
    sign_in(page, service.keys["operator"])
    page.keyboard.press("n")
    expect(page.locator("article.mine")).to_have_count(1)
    page.keyboard.press("2")
    expect(page.locator("#said")).to_contain_text("closed as prank")
    expect(page.locator("article.mine")).to_have_count(0)
    known = service.known("close me")
    assert (known["disposition"], known["state"], known["operator"]) == ("prank", "closed", "operator")
    assert known["answered_at"] is not None
    page.keyboard.press("u")
    page.keyboard.press("1")
    page.keyboard.press("5")
    expect(page.locator("#said")).to_contain_text("closed as genuine, fallen tree")
    known = service.known("close me")
    assert (known["disposition"], known["category"]) == ("genuine", "fallen_tree")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="Corrected later")).to_be_visible()
    expect(page.locator(".changes")).to_contain_text("prank → genuine, fallen tree")
    # And a call closed earlier, from the list.
    page.locator('tr[data-id="close me"] button').click()
    page.keyboard.press("3")
    expect(page.locator('tr[data-id="close me"] .how')).to_have_text("silent")
    assert service.known("close me")["disposition"] == "silent"


def test_a_call_that_was_taken_by_mistake_is_given_back_and_one_survives_a_reload(service, page):
    service.ring("back", ago(30))
    sign_in(page, service.keys["operator"])
    row(page, "back").get_by_role("button").click()
    expect(page.locator("article.mine")).to_have_count(1)
    page.reload()
    expect(page.locator("article.mine")).to_have_count(1)
    page.keyboard.press("g")
    expect(page.locator("article.mine")).to_have_count(0)
    expect(row(page, "back")).to_have_attribute("data-state", "waiting")
    assert service.known("back")["operator"] is None


def test_a_call_taken_while_the_board_still_asks_which_are_its_own_is_not_forgotten(service, page):
    service.ring("hasty", ago(30))
    held = []
    sign_in(page, service.keys["operator"])
    page.route("**/console/mine", lambda route: held.append(route))  # what it asks on the next load is held up
    page.reload()
    expect(row(page, "hasty")).to_be_visible()
    expect(page.locator("#next")).to_be_enabled()
    stale = page.context.request.get("/console/mine").text()
    page.keyboard.press("n")
    expect(page.locator("article.mine")).to_have_count(1)
    assert len(held) == 1
    held[0].fulfill(status=200, body=stale, content_type="application/json")
    page.wait_for_timeout(300)
    for asked_again in held[1:]:
        asked_again.continue_()
    expect(page.locator("article.mine")).to_have_attribute("data-id", "hasty")


def test_everything_is_done_from_the_keyboard_and_the_focus_is_seen(service, page):
    for place in range(3):
        service.ring(f"key {place}", ago(30 - place), caller=f"+62814000{place}11")
    sign_in(page, service.keys["operator"])
    expect(page.locator("li.row")).to_have_count(3)
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid" or page.evaluate("document.activeElement === document.body")
        if page.evaluate("document.activeElement.matches('li.row')"):
            break
    assert page.evaluate("document.activeElement.dataset.id") == "key 0"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.id") == "key 1"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("take the next call")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("t")
    expect(page.locator("article.mine")).to_have_attribute("data-id", "key 1")
    page.keyboard.press("w")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Call from")
    page.wait_for_load_state()  # the page is there before its keys are
    page.keyboard.press("Escape")
    expect(page.locator("article.mine")).to_have_attribute("data-id", "key 1")
    page.keyboard.press("4")
    expect(page.locator("article.mine")).to_have_count(0)
    assert service.known("key 1")["disposition"] == "accidental"


def test_the_story_adds_up_to_the_score(service, page):
    service.ring("told", ago(30), caller="+6281355500011", duration_s=6.0)
    sign_in(page, service.keys["operator"], "/console/calls/told")
    page.locator("details[open] tfoot").wait_for()
    parts = [float(text.replace("−", "-")) for text in page.locator("details[open] td.number").all_inner_texts()]
    total = float(page.locator("tfoot .number").inner_text())
    assert abs(sum(parts) - total) < 0.006 * (len(parts) + 1)
    expect(page.locator(".events")).to_contain_text("Arrived; score")
    service.say("admin", "told", "answered", answered_at=now(), operator="operator")
    page.keyboard.press("u")
    page.keyboard.press("6")
    expect(page.locator("#closed")).to_have_text("information")
    page.reload()
    expect(page.locator(".events")).to_contain_text("Closed by operator as information")
    expect(page.locator("#back-to-queue")).to_be_hidden()


def test_a_call_that_waits_is_closed_when_that_is_confirmed_and_put_back_when_it_was_a_mistake(service, page):
    service.ring("of nobody", ago(30))
    sign_in(page, service.keys["operator"], "/console/calls/of%20nobody")
    page.locator("#correct").wait_for()
    page.wait_for_load_state()  # the page is there before its keys are
    page.keyboard.press("u")
    page.keyboard.press("2")
    expect(page.get_by_role("dialog", name="This call is still waiting")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#said")).to_have_text("Not closed: the call is still waiting.")
    assert service.known("of nobody")["state"] == "waiting"
    page.keyboard.press("u")
    page.keyboard.press("2")
    page.get_by_role("button", name="Close it anyway").click()
    expect(page.locator("#closed")).to_have_text("prank")
    assert service.known("of nobody")["state"] == "closed"
    page.reload()
    expect(page.locator(".events")).to_contain_text("Closed by operator while it waited, as prank")
    page.get_by_role("button", name="Reopen").click()
    expect(page.locator("#said")).to_have_text("It is waiting again, in its old place.")
    assert service.known("of nobody")["state"] == "waiting"
    assert service.known("of nobody")["disposition"] is None
    service.close("of nobody")
    page.reload()  # closed, so that it is told whatever the lot has said
    expect(page.locator(".events")).to_contain_text("Reopened by operator")


def test_a_taken_call_that_was_closed_with_a_wrong_key_is_put_back_with_another(service, page):
    service.ring("wrong key", ago(30))
    sign_in(page, service.keys["operator"])
    row(page, "wrong key").get_by_role("button").click()
    expect(page.locator("article.mine")).to_have_count(1)
    page.keyboard.press("2")
    expect(page.locator("#said")).to_contain_text("closed as prank")
    page.keyboard.press("b")
    expect(page.locator("#said")).to_contain_text("is waiting again, in the old place")
    expect(row(page, "wrong key")).to_have_attribute("data-state", "waiting")
    known = service.known("wrong key")
    assert (known["state"], known["disposition"], known["answered_at"]) == ("waiting", None, None)


def test_where_the_telephone_system_delivers_the_board_only_shows(browser, tmp_path, release_folder):
    with keyed(tmp_path, release_folder, mode="pbx") as pbx, opened(browser, pbx.url) as page:
        pbx.ring("delivered")
        sign_in(page, pbx.keys["operator"])
        expect(row(page, "delivered")).to_be_visible()
        assert page.locator("#next").count() == page.locator("li.row button").count() == 0
        pbx.say("admin", "delivered", "answered", answered_at=now(), operator="operator")
        expect(row(page, "delivered")).to_have_count(0)
        expect(page.locator("article.mine")).to_have_attribute("data-id", "delivered")
        page.keyboard.press("7")
        expect(page.locator("article.mine")).to_have_count(0)
        assert pbx.known("delivered")["disposition"] == "abusive"


# In which words


def test_every_word_changes_with_the_language_and_stays_changed(service, page):
    service.ring("kata", ago(30), caller="+6281355500099", duration_s=6.0)
    sign_in(page, service.keys["operator"])
    english = row(page, "kata").inner_text()
    page.get_by_role("button", name="Indonesia").click()
    expect(page.locator("html")).to_have_attribute("lang", "id")
    expect(page.locator("#next")).to_contain_text("Ambil berikutnya")
    expect(row(page, "kata")).to_contain_text("Panggilan pertama dari nomor ini")
    assert not set(english.split("\n")) & set(row(page, "kata").locator(".reasons").inner_text().split("\n"))
    page.goto("/console/shift")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Dua belas jam terakhir")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The last twelve hours")


def test_a_phone_has_all_of_it_without_scrolling_sideways(service, browser, page):
    for place in range(3):
        service.ring(f"phone {place}", ago(30), caller=OFTEN)
    with opened(browser, service.url, viewport={"width": 360, "height": 740}, has_touch=True) as phone:
        sign_in(phone, service.keys["operator"])
        expect(phone.locator("li.row")).to_have_count(3)
        phone.locator("#next").tap()
        expect(phone.locator("article.mine")).to_be_visible()
        for path in ("/console", "/console/shift", "/console/calls/phone%200"):
            phone.goto(path)
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert phone.evaluate(wide) == 0, path
        small = (
            "buttons => buttons.filter(one => one.offsetHeight && one.offsetHeight < 32).map(one => one.textContent)"
        )
        assert phone.eval_on_selector_all("main button", small) == []


# What is wrong, at once


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


def test_a_store_out_of_reach_an_unscored_call_and_a_stale_one_are_told(browser, tmp_path, acting_release):
    with (
        keyed(tmp_path, acting_release, deadline_ms=1_000, waiting_timeout_s=10) as weak,
        opened(browser, weak.url) as page,
    ):
        sign_in(page, weak.keys["operator"])
        with locked(tmp_path / "saring.db"):
            answer = weak.ring("late", caller=OFTEN)
            assert answer["degraded"]
            expect(page.locator("#degraded")).to_be_visible()
        expect(row(page, "late").locator(".badge")).to_have_attribute("data-band", "unscored")
        expect(row(page, "late")).to_contain_text("Not scored")
        expect(page.locator("#degraded")).to_be_hidden()
        expect(row(page, "late")).to_contain_text("Nothing heard of this call")
