"""The supervisor's page: what it says of a day and of the promise, and the one switch, in a real Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect

from model.queueing.queue_replay import replay
from service.console.daily_stats import One, bands, deferred, in_order_of_arrival, waits
from tests.support.console_pages import opened, sign_in
from tests.support.keyed_service import Keyed, now

SETTINGS = {"random_share": 0.0}
LABELS = {"genuine": 0, "duplicate": 0, "prank": 1, "silent": 1}


def one(received_s: float, answered_s: float | None, disposition: str | None = None, **more) -> One:
    answered_us = None if answered_s is None else round(answered_s * 1e6)
    known = {"centre": None, "queue": None, "state": "closed", "shown_band": "normal", "held_out": False}
    return One(received_at_us=round(received_s * 1e6), answered_at_us=answered_us, disposition=disposition,
               **known | {"defer_s": 0.0} | more)  # fmt: skip


# What it reckons


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 300)), min_size=1, max_size=30))
def test_in_order_of_arrival_nobody_is_answered_before_ringing_and_nobody_is_overtaken(calls):
    received = np.array([at for at, _ in calls], dtype=np.int64)
    answered = received + np.array([wait for _, wait in calls], dtype=np.int64)
    moments = in_order_of_arrival(received, answered)
    assert (moments >= received).all()
    assert sorted(moments) == sorted(answered)  # the same moments
    order = np.argsort(received, kind="stable")
    assert (np.diff(moments[order]) >= 0).all()


@given(st.lists(st.integers(0, 900), min_size=1, max_size=25, unique=True), st.integers(1, 3), st.randoms())
def test_it_is_the_replay_first_come_first_served_where_every_call_takes_as_long(seconds, operators, draw):
    received = np.array(sorted(seconds), dtype=np.int64) * 1_000_000
    handling = np.full(len(received), 60.0)
    keys = received.copy()
    draw.shuffle(keys)  # served in any order at all
    lived = replay(received, handling, keys, operators)
    first_come = replay(received, handling, received, operators)
    assert in_order_of_arrival(received, lived.left_at_us).tolist() == first_come.left_at_us.tolist()


def test_waits_are_told_by_how_calls_were_closed_and_queues_never_mix():
    found = [
        one(0, 5, "prank"),
        one(10, 40, "prank"),
        one(28, 30, "genuine"),
        one(29, 29.5, "genuine", queue="other"),
        one(30, None, None, state="abandoned"),
        one(50, 60, None),
    ]
    table = {wait.group: wait for wait in waits(found, LABELS)}
    assert list(table) == ["genuine", "other", "unlabelled"]
    assert table["genuine"][1:] == (2, 1.25, 6.25, 2.0, 12.0)
    assert table["other"][1:] == (2, 17.5, 12.5, 30.0, 20.0)
    assert table["unlabelled"][1:] == (1, 10.0, 10.0, 10.0, 10.0)
    means = [(wait.calls * wait.mean_s, wait.calls * wait.arrival_mean_s) for wait in table.values()]
    assert sum(mean for mean, _ in means) == sum(mean for _, mean in means)
    assert waits([], LABELS) == waits([one(1, None)], LABELS) == []


def test_the_order_in_which_calls_are_read_makes_no_difference():
    found = [one(0, 5, "prank"), one(10, 40, "prank"), one(28, 30, "genuine")]
    assert len({tuple(waits(order, LABELS)) for order in permutations(found)}) == 1


def test_badges_count_each_call_once_and_the_random_share_apart():
    found = [
        one(0, 5, "prank", shown_band="likely_prank", defer_s=12.0, genuine_like=0.04),
        one(1, None, None, shown_band="normal", held_out=True, state="abandoned", genuine_like=0.04),
        one(2, 9, "duplicate", shown_band="unsure", defer_s=30.5, genuine_like=0.04),
        one(3, None, "test", shown_band="unsure"),
    ]
    counted = {band.state: band for band in bands(found, LABELS)}
    assert list(counted) == ["like_emergencies", "not_clear", "prank_like", "not_rated"]
    assert [band.calls for band in counted.values()] == [0, 2, 1, 1]
    assert (counted["not_rated"].hung_up, counted["not_clear"].hung_up) == (1, 0)
    assert (counted["not_clear"].genuine, counted["not_clear"].unlabelled, counted["prank_like"].other) == (1, 1, 1)
    assert deferred(found, LABELS) == (1, 30.5)
    assert deferred([], LABELS) == (0, 0.0)


# What it shows


@contextmanager
def shown(browser: Browser, service: Keyed, who: str, path: str, **options) -> Iterator[Page]:
    with opened(browser, service.url, **options) as page:
        sign_in(page, service.keys[who], path)
        yield page


@pytest.fixture
def page(browser: Browser, service: Keyed) -> Iterator[Page]:
    with shown(browser, service, "admin", "/console/supervisor") as page:
        yield page
    back = {"switch": {"on": True, "reason": "the test is over"}}
    assert service.ask("admin", "PUT", "/v1/operations", json=back).is_success


def test_it_says_what_is_promised_until_when_and_what_was_seen(service, page):
    model = service.ask("admin", "GET", "/v1/model").json()
    main = page.get_by_role("main")
    expect(main).to_contain_text(model["certificate"]["en"])
    ends = datetime.fromisoformat(model["certificate"]["expires_at"]).astimezone(ZoneInfo(model["time_zone"]))
    expect(page.locator("#expiry")).to_have_text(f"Valid until {ends.day} {ends:%B %Y}, 179 more days.")
    expect(main).to_contain_text(model["release"])
    expect(page.locator("#state")).to_have_text("Calls may be deferred: the certificate is valid.")
    expect(page.get_by_role("heading", name="The monitor")).to_be_visible()
    page.get_by_role("button", name="Indonesia").click()
    expect(main).to_contain_text(model["certificate"]["id"])


def test_bands_and_waits_of_the_day_are_those_of_the_store(service, page):
    calls = [service.known(f"past {number}") for number in range(12)]
    shown = {call["badge"] for call in calls}
    assert len(shown) > 1
    for state in shown:
        row = page.locator(f'#bands tr[data-state="{state}"] td.number')
        assert row.first.inner_text() == str(sum(call["badge"] == state for call in calls))
    expect(page.locator('#waits tr[data-group="other"]')).to_contain_text("20.0 s")
    expect(page.get_by_role("main")).to_contain_text("This is not what would have happened")
    expect(page.get_by_role("main")).to_contain_text("mostly chance")


def test_a_name_by_which_many_people_call_is_told_in_both_languages_and_without_it(service, page):
    expect(page.locator("#merged")).to_have_count(0)
    for call_id, line in (("by mobile", "mobile"), ("by landline", "landline")):
        service.ring(call_id, caller="trunk-7", line=line)
        service.say("admin", call_id, "ended", ended_at=now())
    page.reload()
    expect(page.locator("#merged li")).to_contain_text("a name, 2 calls since")
    expect(page.locator("#merged li")).to_contain_text("lines: landline, mobile")
    expect(page.locator("#merged a")).to_have_attribute("href", "/console/calls/by%20landline")
    expect(page.get_by_role("main")).to_contain_text("callers: shared in params.yaml")
    expect(page.get_by_role("main")).not_to_contain_text("trunk-7")
    page.get_by_role("button", name="Indonesia").click()
    expect(page.locator("#merged li")).to_contain_text("sebuah nama, 2 panggilan sejak")


def test_a_genuine_call_that_was_marked_is_told_with_its_whole_story(service, page, often):
    expect(page.locator("#marked")).to_have_count(0)
    answer = service.ring("wronged", datetime.now(UTC) - timedelta(seconds=70), caller=often, expected_wait_s=200.0)
    assert (answer["band"], answer["defer_s"] > 0) == ("likely_prank", True)
    service.say("admin", "wronged", "answered", answered_at=now())
    service.close("wronged", "genuine", category="fire")
    page.reload()
    row = page.locator('#marked tr[data-id="wronged"]')
    expect(row).to_contain_text("Prank-like")
    expect(row).to_contain_text("fire")
    expect(page.get_by_role("main")).to_contain_text("Later calls could be answered before 1 of the genuine calls")
    expect(page.get_by_role("main")).not_to_contain_text("99990000")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Why this badge")).to_be_visible()
    expect(page.locator(".events")).to_contain_text("genuine, fire")
    service.close("wronged", "prank")
    page.goto("/console/supervisor")
    expect(page.locator("#marked")).to_have_count(0)


def test_the_switch_takes_a_reason_keeps_it_and_only_an_admin_starts_it_again(service, browser, page):
    reason = page.get_by_label("Why stop deferral?")
    reason.focus()
    page.keyboard.press("Enter")
    assert reason.evaluate("input => input.validity.valueMissing")  # without a reason nothing happens
    assert service.ask("admin", "GET", "/v1/operations").json()["switch"]["on"]
    with shown(browser, service, "operator", "/console") as board:
        expect(board.locator("#order")).to_have_text("Likely emergencies first")
        page.keyboard.type("too many storms, call 081234567890")
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_contain_text("Deferral is switched off (admin): too many storms")
        expect(page.locator("#put li").first).to_contain_text("off · admin: too many storms")
        expect(page.get_by_role("main")).not_to_contain_text("081234567890")
        expect(board.locator("#off")).to_contain_text("too many storms")
        expect(board.locator("#stop")).to_be_hidden()
        page.get_by_label("Why start deferral again?").fill("it has passed")
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_have_text("Calls may be deferred: the certificate is valid.")
        expect(page.locator("#put li").first).to_contain_text("on · admin: it has passed")
        expect(board.locator("#off")).to_be_hidden()


def test_an_operator_stops_all_deferral_from_the_board_with_two_keys_and_the_page_says_that_it_changed(
    service, browser, page
):
    with shown(browser, service, "operator", "/console") as board:
        expect(board.locator("#stop")).to_be_visible()
        board.keyboard.press("x")
        expect(board.get_by_role("dialog", name="Back to order of arrival")).to_contain_text("Only an admin")
        board.keyboard.press("Escape")
        assert service.ask("admin", "GET", "/v1/operations").json()["switch"]["on"]
        board.keyboard.press("x")
        board.keyboard.press("1")
        expect(board.locator("#off")).to_have_text("Deferral is switched off (operator): Many new callers at once")
        assert service.ask("admin", "GET", "/v1/operations").json()["switch"]["who"] == "operator"
        expect(page.locator("#changed")).to_contain_text("has changed since this page was loaded")
        page.locator("#changed button").click()
        expect(page.locator("#state")).to_contain_text("Many new callers at once")
        board.goto("/console/supervisor")
        expect(board.get_by_role("main")).to_contain_text("Your access key does not open this page")


def test_a_service_that_is_lost_is_said_and_comes_back(page):
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_contain_text("This page has not been updated since")
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()


def test_a_scientist_sees_it_without_the_switch_and_on_a_phone_nobody_scrolls_sideways(service, browser):
    size = {"viewport": {"width": 360, "height": 740}}
    with shown(browser, service, "scientist", "/console/supervisor", **size) as page:
        expect(page.locator("#bands")).to_be_visible()
        assert page.locator("#switch").count() == 0
        wide = """[...document.querySelectorAll("*")].filter((one) => !one.closest(".scrolls, pre, .spoken, .skip")
          && one.getBoundingClientRect().right > document.documentElement.clientWidth).map((one) => one.outerHTML)"""
        assert page.evaluate(wide) == []
        page.goto("/console/badge")
        assert page.evaluate(wide) == []
