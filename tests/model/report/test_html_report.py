import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from model.certification.certificate import DeferralProof, FlagProof
from model.evaluation.evaluation import count_splits, evaluate, round_document
from model.evaluation.window import EvaluationWindow, Rehearsal
from model.language.texts import texts_of
from model.queueing.caller_groups import SLICES
from model.report.render import model_card, report
from model.scorecard.features import NAMES

ANSWER = {
    language: {name.removeprefix("answer."): text for name, text in texts_of(language).items()}
    for language in ("en", "id")
}
VOID = {"meta", "line", "rect", "circle", "path", "br"}
GENUINE_CALLERS = 300


class Page(HTMLParser):
    """Reads a page, minding that every tag that opens is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.ids, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert len(given) == len(attrs)
        self.addresses += [given[name] for name in ("src", "href", "xlink:href", "action") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def files(made):
    return {name: content.decode() for name, content in made.files().items() if name.endswith((".html", ".md"))}


@pytest.fixture(scope="module")
def written(made, release):
    """A function that writes the report and the card of the release with other metrics or another certificate."""

    def written(metrics=made.metrics, certificate=made.certificate):
        page = report(metrics, certificate, release.scorecards, release.policy, release.manifest)
        return Page(page).text, model_card(metrics, certificate, release.policy, release.manifest)

    return written


def allowed(certificate, *, flags, deferral):
    """The same certificate with flags and deferral proven or not, at every stage."""
    kinds = {
        True: FlagProof(0.05, 0.0125, GENUINE_CALLERS, 290, 0.97, 0, 10 / GENUINE_CALLERS, 0.0145),
        False: FlagProof(0.05, 0.0125, 25, None, None, 61, None, 0.1608),
    }
    gates = {
        True: DeferralProof(0.006, 0.006, GENUINE_CALLERS, 0.02, 0.05, 900, 0.3, 0.25, 3600.0, True, "proven"),
        False: DeferralProof(0.006, 0.006, 25, 0.02, 0.2, 900, 0.2, 0.1, 3600.0, False, "not_proven"),
    }
    stages = (replace(proof, flag=kinds[flags], deferral=gates[deferral]) for proof in certificate.stages)
    return replace(certificate, stages=tuple(stages))


def changed(metrics, **new):
    """The same document with some parts replaced; a path is written a__b."""
    document = round_document(metrics)
    for path, value in new.items():
        *way, last = path.split("__")
        part = document
        for name in way:
            part = part[name]
        part[last] = value
    return document


def said_of(text, words):
    """Whether a sentence stands in a text, whatever its figures are."""
    return all(piece.strip() in text for piece in re.split(r"\{[^}]+\}", words) if piece.strip())


def test_the_page_is_whole_and_takes_nothing_from_the_network(files):
    page = Page(files["report.html"])
    assert page.addresses
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    for outside in ("http", "<script", "@import", "url("):
        assert outside not in files["report.html"]


def test_the_answer_comes_first_in_indonesian_and_in_english(files):
    text = Page(files["report.html"]).text
    places = [text.index(ANSWER[language]["title"]) for language in ("id", "en")]
    assert places == sorted(places)
    assert places[1] < text.index("Waiting and hanging up")
    for language in ("id", "en"):
        assert said_of(text, ANSWER[language]["sentence"])
        assert said_of(text, ANSWER[language]["how"])


def test_every_feature_of_every_scorecard_is_drawn_or_named(files, made):
    parts = re.split(r"<details><summary>(?:As the phone rings|After the call)", files["report.html"])
    assert len(parts) == 3
    for stage, part in zip(("opening", "ring", "ended"), parts, strict=True):
        drawn = re.findall(r"<code>(\w+)</code>", part)
        assert sorted(name for name in drawn if name in NAMES) == sorted(made.scorecards[stage].features)


def test_nothing_is_shown_as_a_computer_writes_it(files, made, written):
    emptied = changed(
        made.metrics,
        waits=None,
        guardrails=None,
        slices=None,
        slices_worse_off=None,
        slices_not_shown_to_gain=None,
        summary=None,
        yardsticks={"ring": None, "opening": None, "ended": None},
    )
    for text in (*written(), *written(emptied), *files.values()):
        assert not re.search(r"\b(None|nan|NaN|null|inf|True|False)\b", text)
        assert not re.search(r"\{[\w:.]*\}|\{[{%]|[%}]\}", text)


def test_what_could_not_be_measured_is_said_in_words(made, written):
    emptied = changed(made.metrics, waits=None, slices=None, guardrails=None, summary=None, slices_worse_off=None)
    emptied = changed(emptied, slices_not_shown_to_gain=None, window__genuine=0, window__genuine_callers=0)
    page, card = written(emptied)
    assert said_of(page, ANSWER["en"]["no_waits"])
    assert said_of(page, ANSWER["id"]["no_waits"])
    assert said_of(card, ANSWER["en"]["no_waits"])
    assert "Not measured" in page
    assert "Not measured" in card


@pytest.mark.parametrize("closed", [True, False])
def test_calls_without_a_genuine_one_are_reported_too(made, written, closed):
    past = made.past
    pranks = past.certify & (past.events.outcome == 1) & closed
    rows = Rehearsal(past.certify & closed, made.scorecards, made.policy, made_of=None)
    window = EvaluationWindow(past.events, past.table, pranks, [rows])
    about = {**count_splits(past, window), "evaluated_on": "out of time"}
    metrics = evaluate(window, made.policy, made.certificate, about=about)
    page, card = written(metrics)
    for text in (page, card):
        assert said_of(text, ANSWER["en"]["no_waits"])
        assert "no earlier calls to fit baselines on" in text
        assert not re.search(r"\b(None|nan|inf)\b", text)


def test_without_proof_the_first_thing_said_is_that_nothing_changes(made, written):
    page, card = written(certificate=allowed(made.certificate, flags=False, deferral=False))
    for text in (page, card):
        assert ANSWER["en"]["off"] in text
        assert ANSWER["en"]["on"] not in text
        assert ANSWER["en"]["if_busy"] in text
        assert "at most this: no more than 17 of 100 genuine callers marked" in text
        assert "61 more genuine callers are needed" in text
        assert "this release marks no call" in text
    assert ANSWER["id"]["off"] in page


def test_with_proof_it_says_what_calls_may_suffer(made, written):
    certificate = allowed(made.certificate, flags=True, deferral=True)
    metrics = changed(made.metrics, bands__opening__likely_prank__genuine_calls=7, window__genuine=1_210)
    page, card = written(metrics, certificate)
    for text in (page, card):
        assert ANSWER["en"]["on"] in text
        assert "7 of 1,210 genuine calls were marked" in text
        assert "at most 2 of 100 genuine callers marked. This release promises at most 5 of 100" in text
        assert "Calls may be deferred here" in text
    assert "7 dari 1.210 panggilan darurat ditandai" in page


def test_flags_and_deferral_are_told_apart(made, written):
    page, _ = written(certificate=allowed(made.certificate, flags=False, deferral=True))
    assert ANSWER["en"]["on"] in page
    assert "this release marks no call" in page
    page, _ = written(certificate=allowed(made.certificate, flags=True, deferral=False))
    assert ANSWER["en"]["off"] in page
    assert "this release marks no call" not in page


def test_losses_are_told_as_people_of_a_hundred(made, written):
    figures = {"lost_of_100_rule": 3.2, "lost_of_100_rule_low": 2.1, "lost_of_100_rule_high": 4.4}
    figures |= {"lost_of_100_first_come": 7.3, "lost_of_100_first_come_low": 6.0, "lost_of_100_first_come_high": 8.6}
    metrics = changed(made.metrics, **{f"summary__{name}": value for name, value in figures.items()})
    page, card = written(metrics, allowed(made.certificate, flags=True, deferral=True))
    for text in (page, card):
        assert "In busy hours 3 of 100 genuine callers would have hung up unanswered instead of 7." in text
        assert "2 to 5 of 100 with this release, 6 to 9 first come, first served" in text
    assert "Pada jam sibuk 3 dari 100 penelepon darurat akan terputus sebelum dijawab, bukan 7." in page


@pytest.mark.parametrize(
    ("low", "high", "key"), [(-0.03, -0.01, "fewer"), (0.01, 0.03, "more"), (-0.02, 0.01, "unsure")]
)
def test_a_difference_is_called_real_only_when_its_interval_says_so(made, written, low, high, key):
    way = "slices__hang_ups_0.95__all__lost_above_first_come"
    page, _ = written(changed(made.metrics, **{f"{way}_low": low, f"{way}_high": high}))
    for other in ("fewer", "more", "unsure"):
        assert said_of(page, ANSWER["en"][other]) == (other == key)


def test_a_slice_that_is_worse_off_is_named_on_the_first_page(made, written):
    row = {"calls": 420, "callers": 400, "mean_wait_s": 52.0, "mean_wait_first_come_s": 40.0}
    row |= {"wait_ratio": 1.3, "wait_ratio_low": 1.1, "wait_ratio_high": 1.5, "lost": 0.09, "lost_first_come": 0.05}
    row |= {"lost_above_first_come": 0.04, "lost_above_first_come_low": 0.01, "lost_above_first_come_high": 0.07}
    rows = {
        condition: {**found, "silent": {**found["all"], **row}} for condition, found in made.metrics["slices"].items()
    }
    worse = {"hang_ups_0.95": ["silent"], "hang_ups_1.2": ["silent"], "no_hang_ups_0.95": []}
    metrics = changed(made.metrics, slices=rows, slices_worse_off=worse)
    for deferral, title in ((True, "worse"), (False, "if_worse")):
        page, card = written(metrics, allowed(made.certificate, flags=True, deferral=deferral))
        first = page[: page.index("Waiting and hanging up")]
        sentence = (
            "silent callers: wait 52 s on average instead of 40 s in busy hours (1.10 to 1.50 times as long); "
            "9 of 100 lost instead of 5 in busy hours; likewise in overload"
        )
        assert ANSWER["en"][title] in first
        assert sentence in first
        assert "penelepon yang diam: menunggu rata-rata 52 detik, bukan 40 detik" in first
        assert sentence in card
        assert "worse off" in page[len(first) :]


def test_no_slice_worse_off_is_said_beside_those_that_cannot_be_told(made, written):
    nobody = {condition: [] for condition in made.metrics["slices"]}
    unknown = {**nobody, "hang_ups_0.95": ["night"]}
    page, _ = written(changed(made.metrics, slices_worse_off=nobody, slices_not_shown_to_gain=unknown))
    assert said_of(page, ANSWER["en"]["none_worse"])
    assert ANSWER["en"]["worse"] not in page[: page.index("Who gains")]
    calls = made.metrics["slices"]["hang_ups_0.95"]["night"]["calls"]
    assert f"callers at night (22:00 to 05:59) ({calls:,})" in page


def test_every_slice_that_is_measured_has_a_name(made):
    for rows in made.metrics["slices"].values():
        assert set(rows) <= set(SLICES)


def test_history_is_told_and_nobody_is_judged(files):
    for text in (Page(files["report.html"]).text, files["model_card.md"]):
        assert not re.search(r"\b(offender|fraud|spam|blacklist|prankster|culprit|suspect)", text, re.IGNORECASE)
        assert not re.search(r"\b(block|reject)(s|ed|ing)?\b", text, re.IGNORECASE)


def test_the_certificate_says_its_days_and_its_limits(files, made):
    for text in (Page(files["report.html"]).text, files["model_card.md"]):
        assert f"{made.certificate.expires_at.day} {made.certificate.expires_at:%B %Y}" in text
        assert "several callers for one incident" in text.lower()
        assert "wrong" in text


def test_a_log_cannot_write_html(made, release):
    facts = {**release.manifest, "release": "<b>2025</b>", "region": "<i>", "python": "a & b"}
    page = report(made.metrics, made.certificate, release.scorecards, release.policy, facts)
    Page(page)
    assert "<b>2025" not in page
    assert "<i>" not in page
    assert "a &amp; b" in page
    card = model_card(made.metrics, made.certificate, release.policy, facts)
    assert "<b>" not in card


def test_later_calls_are_said_to_be_later(made, written):
    page, _ = written(changed(made.metrics, evaluated_on="later calls", calls=None, genuine_calls=None))
    assert "They came after training." in page
    assert ANSWER["en"]["in_sample"] not in page


def test_days_are_those_of_the_centre(made, release):
    def page(zone):
        facts = {**release.manifest, "time_zone": zone}
        return report(made.metrics, made.certificate, release.scorecards, release.policy, facts)

    expires = re.compile(r"This ends on ([^,]+),")
    assert expires.search(page("Pacific/Kiritimati"))[1] != expires.search(page("Pacific/Pago_Pago"))[1]
