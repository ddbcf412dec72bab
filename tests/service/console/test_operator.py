"""What operators do at the board: take, close, correct, give back and reopen calls."""

from playwright.sync_api import Page, expect

from tests.support.console_pages import ago, opened, row, sign_in
from tests.support.keyed_service import now


def mine(page: Page) -> list[str]:
    return page.eval_on_selector_all("article.mine", "calls => calls.map(call => call.dataset.id)")


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


def test_a_call_is_closed_with_one_key_and_corrected_with_another(service, page, often):
    service.ring("close me", ago(40), caller=often)
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
    expect(page.locator(".events")).to_contain_text("Arrived: 1 in")
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
