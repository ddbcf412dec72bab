"""The board as an operator sees it: a real Chromium in front of a real service."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from service.security.key_store import create_key, revoke_key
from tests.support.console_pages import ago, opened, row, rows, sign_in
from tests.support.keyed_service import keyed, now
from tests.support.processes import until

SETTINGS = {"random_share": 0.5}


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


def test_calls_arrive_live_in_the_order_in_which_they_are_to_be_answered(service, page, often):
    sign_in(page, service.keys["operator"])
    expect(page.locator("#empty")).to_be_visible()
    start = ago(30)
    names: list[str] = []

    def ring(caller: str) -> bool:
        names.append(f"order {len(names)}")
        at = start + timedelta(seconds=len(names))
        return service.ring(names[-1], at, caller=caller, expected_wait_s=200.0)["defer_s"] > 0.0

    # Half of those who would be deferred are in the random share: one rings until it is not, and then three new ones.
    while not ring(often):
        assert len(names) < 20
    for new in range(3):
        ring(f"+628131000{new:03}")
    expect(page.locator("li.row")).to_have_count(len(names))
    assert rows(page) == service.waiting() != names
    # A call of which more is heard moves forward, and only its row does.
    service.say("admin", "order 0", "answered", answered_at=now())
    expect(page.locator("li.row")).to_have_count(len(names) - 1)
    assert rows(page) == service.waiting()
    expect(page.locator("#count")).to_have_text(f"{len(names) - 1} waiting")


def test_a_row_tells_the_history_in_words_and_no_number(service, page, often):
    answer = service.ring("words", ago(75), caller=often, duration_s=4.0)
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


def test_a_call_of_the_random_share_has_no_badge_and_says_why(service, page, often):
    # At a quiet hour: the calls of all the tests here are a surge, in which nobody would be deferred.
    quiet = datetime.now(UTC) - timedelta(hours=1)
    answers = [service.ring(f"share {n}", quiet, caller=often, expected_wait_s=100.0) for n in range(20)]
    held = next((answer["call_id"] for answer in answers if answer["held_out"]), None)
    assert held, answers[-1]
    sign_in(page, service.keys["operator"])
    told = row(page, held)
    expect(told.locator(".badge")).to_have_attribute("data-badge", "not_rated")
    expect(told.locator(".badge")).to_have_text("Not ratedby lot")
    expect(told.locator(".reasons")).to_contain_text("By lot: not rated")
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


def test_a_phone_has_all_of_it_without_scrolling_sideways(service, browser, page, often):
    for place in range(3):
        service.ring(f"phone {place}", ago(30), caller=often)
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
