"""The badge on the page of another system: a real Chromium, a page from another origin, a token and no key."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zlib import crc32

import pytest
from playwright.sync_api import Browser, Page, expect

from service.console.assets import ELEMENT, FILES
from service.queue.badge import LOOKS
from service.security.tokens import Grant
from service.timestamps import microseconds
from tests.support.console_pages import opened
from tests.support.keyed_service import Keyed

SETTINGS = {"random_share": 0.5}
#: What a badge shows that is not stale and not by lot.
RATED = re.compile("like_emergencies|not_clear")
#: What is left to say of a page that knows the band alone.
BANDS = {
    "normal": "not_clear",
    "unsure": "not_clear",
    "likely_prank": "prank_like",
    "unscored": "not_rated",
    "none": "not_rated",
}
#: The two lines, as the docs have them.
LINES = """<script type="module" src="{service}/badge.js"></script>
<saring-badge call="{call}" token="{token}"></saring-badge>"""


@pytest.fixture(scope="module")
def calls(service: Keyed, often: str) -> dict[bool, str]:
    """Two calls: one with a badge, and one of the random share."""
    assert not ring(service, "112/first")["held_out"]
    # Of those who would be shown as likely prank, half are of the random share; which, hangs on a key.
    names = (f"112/often {number}" for number in range(40))
    held = next(call_id for call_id in names if ring(service, call_id, caller=often)["held_out"])
    return {False: "112/first", True: held}


def ring(service: Keyed, call_id: str, **more) -> dict:
    caller = f"+62812{crc32(call_id.encode()) % 10**8:08}"  # each rings for the first time
    return service.ring(call_id, **{"caller": caller} | more)


def token_of(service: Keyed, call_id: str) -> str:
    """Ask for a token as the other system's server does, with its own key."""
    asked = {"scope": "badge", "call_id": call_id}
    return service.ask("intake", "POST", "/v1/tokens", json=asked).json()["token"]


def lines(service: Keyed, call_id: str, token: str | None = None, *, refresh: int | None = None) -> str:
    html = LINES.format(service=service.url, call=call_id, token=token or token_of(service, call_id))
    return html if refresh is None else html.replace("<saring-badge", f'<saring-badge refresh="{refresh}"')


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """Another system's server, on a port and so an origin of its own: the folder of its pages, and its address."""
    folder = tmp_path_factory.mktemp("elsewhere")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def shown(browser: Browser, other: tuple[Path, str], html: str) -> Iterator[Page]:
    folder, url = other
    page_of_it = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>CAD</title>{html}'
    (folder / "index.html").write_text(page_of_it, encoding="utf-8")
    with opened(browser, url) as page:
        page.goto(url)
        yield page


def badge(page: Page):
    return page.locator("saring-badge")


def test_two_lines_on_the_page_of_another_origin_show_the_badge(service, browser, elsewhere, calls):
    call_id = calls[False]
    with shown(browser, elsewhere, lines(service, call_id)) as page:
        told = service.known(call_id.replace("/", "%2F"))
        expect(badge(page)).to_have_attribute("shown", told["badge"])
        expect(badge(page)).to_contain_text(LOOKS[told["badge"]].words["en"])
        expect(badge(page)).to_contain_text(f"1 in {told['one_in']:,} here was an emergency")
        assert page.evaluate("location.origin") == elsewhere[1] != service.url
        assert "saring_" not in page.content()
        page.locator("html").evaluate("html => { html.lang = 'id' }")
        badge(page).evaluate("one => one.setAttribute('lang', 'id')")
        expect(badge(page)).to_contain_text(LOOKS[told["badge"]].words["id"])
        expect(badge(page)).to_contain_text("di sini darurat")


def test_a_call_of_the_random_share_shows_no_badge_and_no_score(service, browser, elsewhere, calls):
    call_id = calls[True]
    with shown(browser, elsewhere, lines(service, call_id)) as page:
        expect(badge(page)).to_have_attribute("shown", "not_rated")
        expect(badge(page)).to_have_text("Not ratedby lot")


def test_the_token_of_a_badge_can_read_nothing_else_from_that_page(service, browser, elsewhere, calls):
    mine, other = (calls[held] for held in (False, True))
    token = token_of(service, mine)
    ask = """async ([path, token, way]) => {
      const address = new URL(path);
      if (way === "address") address.searchParams.set("token", token);
      const headers = way === "header" ? { Authorization: `Bearer ${token}` } : {};
      try {
        return (await fetch(address, { headers, credentials: "include" })).status;
      } catch {
        return "not readable";
      }
    }"""
    paths = ("/v1/queue", "/v1/queue/stream", "/v1/model", "/v1/operations", "/metrics", "/console/mine",
             "/v1/calls/{}", "/v1/calls/{}/badge.svg", "/v1/calls/{}/badge")  # fmt: skip
    with shown(browser, elsewhere, lines(service, mine, token)) as page:
        expect(badge(page)).to_have_attribute("shown", RATED)
        plain = """async (address) => (await fetch(address, { credentials: "omit" })).status"""
        own, others = (call.replace("/", "%2F") for call in (mine, other))
        assert page.evaluate(plain, f"{service.url}/v1/calls/{own}/badge?token={token}") == 200
        assert page.evaluate(plain, f"{service.url}/v1/calls/{others}/badge?token={token}") == 401
        for path in paths:
            for way in ("address", "header"):
                # A page of another origin does not even see the refusal; who asks without a browser does.
                assert page.evaluate(ask, [service.url + path.format(others), token, way]) == "not readable", path
            asked = path.format(others)
            assert service.client.get(asked, params={"token": token}).status_code == 401, path
            assert service.client.get(asked, headers={"Authorization": f"Bearer {token}"}).status_code == 401, path
    for path in ("/v1/callers/lookup", "/v1/tokens", "/v1/score"):
        assert service.client.post(path, json={}, params={"token": token}).status_code == 401, path


def test_a_token_that_has_ended_shows_stale_and_a_new_one_the_badge_again(service, browser, elsewhere, calls):
    call_id, tokens = calls[False], service.app.state.tokens
    key_id = service.keys["intake"].split("_")[1]
    short = tokens.issue("badge", Grant(key_id, microseconds(datetime.now(UTC)) + 3_000_000, call_id=call_id))
    asks = "<script>addEventListener('saring-renew', (event) => { window.asked = event.target.localName })</script>"
    with shown(browser, elsewhere, asks + lines(service, call_id, short, refresh=1)) as page:
        expect(badge(page)).to_have_attribute("shown", RATED)
        assert page.evaluate("window.asked") == "saring-badge"  # less than a minute is left
        expect(badge(page)).to_have_attribute("shown", "stale")
        expect(badge(page)).to_have_text("Connection lost")
        assert badge(page).locator("span.badge").get_attribute("title") == "its token has ended"
        badge(page).evaluate("(one, token) => one.setAttribute('token', token)", token_of(service, call_id))
        expect(badge(page)).to_have_attribute("shown", RATED)
        badge(page).evaluate("one => one.setAttribute('token', 'nonsense')")
        expect(badge(page)).to_have_attribute("shown", "stale")


def test_a_service_that_cannot_be_reached_shows_stale_and_comes_back(service, browser, elsewhere, calls):
    call_id = calls[False]
    with shown(browser, elsewhere, lines(service, call_id, refresh=1)) as page:
        expect(badge(page)).to_have_attribute("shown", RATED)
        page.context.set_offline(True)
        expect(badge(page)).to_have_attribute("shown", "stale")
        assert badge(page).locator("span.badge").get_attribute("title") == "the service is not responding"
        page.context.set_offline(False)
        expect(badge(page)).to_have_attribute("shown", RATED)


def test_a_badge_follows_what_becomes_of_its_call(service, browser, elsewhere):
    call_id = f"follow {datetime.now(UTC).timestamp()}"
    while ring(service, call_id)["held_out"]:
        call_id += "+"
    with shown(browser, elsewhere, lines(service, call_id, refresh=1)) as page:
        expect(badge(page)).to_have_attribute("shown", RATED)
        before = badge(page).inner_text()
        ring(service, call_id, received_at=service.known(call_id)["received_at"],
             duration_s=40.0, silence_ratio=0.99)  # fmt: skip
        expect(badge(page)).not_to_have_text(before)


def test_a_page_that_knows_the_badge_says_it_by_attributes(service, browser, elsewhere):
    rows = "".join(f'<saring-badge badge="{state}" one-in="1000"></saring-badge>' for state in LOOKS)
    odd = '<saring-badge badge="nonsense" one-in="seven"></saring-badge><saring-badge></saring-badge>'
    # As pages of before have it.
    odd += "".join(f'<saring-badge band="{band}" likelihood="0.9"></saring-badge>' for band in BANDS)
    module = f'<script type="module" src="{service.url}/badge.js"></script>'
    with shown(browser, elsewhere, module + rows + odd) as page:
        expect(badge(page)).to_have_count(len(LOOKS) + 2 + len(BANDS))
        for place, (state, look) in enumerate(LOOKS.items()):
            rated = state in ("like_emergencies", "not_clear", "prank_like")
            text = badge(page).nth(place).evaluate("one => [...one.shadowRoot.querySelectorAll('span span, small')]"
                                                   ".map(part => part.textContent).join(' ')")  # fmt: skip
            assert text == look.words["en"] + (" 1 in 1,000 here was an emergency" if rated else "")
            assert badge(page).nth(place).locator("path").get_attribute("d") == look.shape
        for place in (len(LOOKS), len(LOOKS) + 1):
            expect(badge(page).nth(place)).to_have_attribute("shown", "not_rated")
            expect(badge(page).nth(place)).to_have_text("Not rated")
        for place, state in enumerate(BANDS.values(), len(LOOKS) + 2):
            expect(badge(page).nth(place)).to_have_attribute("shown", state)
            expect(badge(page).nth(place)).to_have_text(LOOKS[state].words["en"])


def test_no_two_states_differ_by_colour_alone():
    for feature in ("shape", "words"):
        assert len({json.dumps(getattr(look, feature)) for look in LOOKS.values()}) == len(LOOKS)
    assert b" = {};" not in FILES[ELEMENT]
    for look in LOOKS.values():
        for ink, ground in (look.light, look.dark):
            assert contrast(ink, ground) >= 7.0, look


def contrast(ink: str, ground: str) -> float:
    """Give the contrast of two colours, as WCAG 2.2 defines it; 7 is its highest demand."""
    light, dark = sorted((luminance(colour) for colour in (ink, ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_module_may_be_loaded_by_any_page_and_is_sent_once(service):
    answered = service.client.get("/badge.js", headers={"Origin": "https://cad.example"})
    assert answered.headers["access-control-allow-origin"] == "*"
    assert answered.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "set-cookie" not in answered.headers
    known = {"If-None-Match": answered.headers["etag"]}
    assert service.client.get("/badge.js", headers=known).status_code == 304


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sheet_shows_every_state_light_and_dark(service, browser, theme):
    with browser.new_context(base_url=service.url, color_scheme=theme, locale="id-ID") as context:
        page = context.new_page()
        page.goto("/console/badge")
        expect(page.locator("tbody tr")).to_have_count(len(LOOKS))
        for state, look in LOOKS.items():
            cell = page.locator(f'tr[data-state="{state}"] saring-badge span.badge')
            grounds = cell.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
            assert grounds == [rgb(look.light[1]), rgb(look.dark[1])]
            expect(cell.first).to_contain_text(look.words["id"])


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*(int(colour[place : place + 2], 16) for place in (1, 3, 5)))
