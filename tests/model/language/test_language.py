"""The catalogues of the two languages: the same texts with the same gaps, and how their gaps are written."""

import re
import subprocess
import sys
from string import Formatter

import pytest

from model.language.catalogue import Catalogue, catalogue
from model.language.numbers import KINDS
from model.language.texts import locale_of, texts_of
from model.policy.guardrails import SHOWN
from model.queueing.caller_groups import SLICES
from model.scorecard.features import FEATURES
from service.console.catalogues.catalogue import words

PAIRS = {"model": (catalogue("en"), catalogue("id")), "console": (words("en"), words("id"))}


def gaps(text):
    """The gaps of a text and their kinds; of plural forms, those of each must be the same."""
    forms = [text] if isinstance(text, str) else [form for name, form in text.items() if name != "by"]
    found = [sorted((name, kind) for _, name, kind, _ in Formatter().parse(form) if name is not None) for form in forms]
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_both_languages_have_the_same_texts_with_the_same_gaps(pair):
    english, indonesian = (one.under("") for one in pair)
    assert set(english) == set(indonesian)
    for name, text in english.items():
        assert gaps(text) == gaps(indonesian[name]), name


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_every_kind_of_gap_is_known_and_every_plural_form_is_there(pair):
    for said in pair:
        for name, text in said.under("").items():
            assert all(kind.partition(".")[0] in {*KINDS, ""} for _, kind in gaps(text)), name
            if not isinstance(text, str):
                assert set(text) - {"by"} == locale_of(said.language).plural_form.tags | {"other"}, name
                assert text["by"] in dict(gaps(text)), name


def test_the_plural_form_follows_the_gap_that_counts():
    english, indonesian = PAIRS["model"]
    facts = {"stage": "S", "callers": 0, "confidence": 0.95, "share": 0.05}
    assert "1 more genuine caller is needed" in english("certificate.no_promise", missing=1, **facts)
    assert "39 more genuine callers are needed for 5%" in english("certificate.no_promise", missing=39, **facts)
    assert "39 penelepon darurat lagi untuk 5%" in indonesian("certificate.no_promise", missing=39, **facts)


def test_a_text_that_is_not_there_and_a_gap_that_nobody_fills_are_errors():
    said = Catalogue("en", {"one": "{calls:count} calls"})
    assert said("one", calls=1_234, unused=1) == "1,234 calls"
    with pytest.raises(KeyError, match="calls"):
        said("one")
    with pytest.raises(KeyError, match="two"):
        said("two")


def test_every_feature_guardrail_and_slice_has_its_texts():
    names = set(texts_of("en"))
    wanted = {f"feature.{one.name}.{kind}" for one in FEATURES for kind in ("meaning", "reason")}
    wanted |= {f"guardrail.{rule.name}" for rule in SHOWN} | {f"slice.{name}" for name in SLICES}
    wanted |= {f"value.{word}" for one in FEATURES for word in one.words}
    assert wanted <= names
    prefixes = tuple({name.partition(".")[0] + "." for name in wanted})
    assert {name for name in names if name.startswith(prefixes)} - wanted == {
        "feature.unknown",
        "feature.no_earlier_call",
    }


def test_nobody_is_judged():
    wrong = r"prankster|fraud|spam|blacklist|offender|penipu|pelaku|pembohong"
    for pair in PAIRS.values():
        for said in pair:
            for name, text in said.under("").items():
                assert not re.search(wrong, str(text), re.IGNORECASE), (said.language, name)


def test_reasons_in_english_are_said_without_babel():
    code = (
        "import sys\n"
        "from model.scorecard.features import FEATURES\n"
        "from model.scorecard.reasons import reasons\n"
        "found = reasons([1.5] * len(FEATURES), [0.5] * len(FEATURES), in_words=True)\n"
        "assert len(found) == len(FEATURES)\n"
        "print('babel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
