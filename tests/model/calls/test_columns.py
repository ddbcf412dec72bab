import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls.columns import COLUMNS, DEFAULT_LABELS, DISPOSITIONS, GENUINE
from model.calls.phone_numbers import normalise_number


@pytest.mark.parametrize(
    "written",
    ["+6281234567890", "+62 812-3456-7890", "0812-3456-7890", "0812 3456 7890", " 081234567890 ", "(0812) 3456 7890",
     "0812.3456.7890", "6281234567890", "tel:+6281234567890", "+62 0812 3456 7890"],
)  # fmt: skip
def test_a_number_is_the_same_however_it_is_written(written):
    assert normalise_number(written, "ID") == "+6281234567890"


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("020 7946 0018", "GB", "+442079460018"),
        ("(0736) 123456", "ID", "+62736123456"),
        ("+1 (202) 555-0143", "ID", "+12025550143"),
        ("030/1234567", "DE", "+49301234567"),
    ],
)
def test_a_number_without_a_country_is_read_in_its_region(written, region, number):
    assert normalise_number(written, region) == number


@pytest.mark.parametrize(
    "nobody",
    [None, "", "  ", "+", "-", "0", "+0", "000000000", "unknown", "Unknown", "<unknown>", "ANONYMOUS", "anonymous@host",
     "anonymous@anonymous.invalid", "sip:anonymous@anonymous.invalid", "<sip:anonymous@anonymous.invalid>", "private",
     "Withheld", "restricted", "unavailable", "null", "None", "nan"],
)  # fmt: skip
def test_who_shows_no_number_is_nobody(nobody):
    assert normalise_number(nobody, "ID") is None


@pytest.mark.parametrize("pseudonym", ["a1f9c0", "112", "caller-17", "0x7f", "sip:1234@pbx", "ann", "nobody"])
def test_a_pseudonym_stays_as_it_is(pseudonym):
    assert normalise_number(f" {pseudonym} ", "ID") == pseudonym


@given(st.text(max_size=12) | st.text("+0123456789 ()-./", max_size=18))
def test_a_normal_number_is_already_normal(text):
    once = normalise_number(text, "ID")
    assert once is None or normalise_number(once, "ID") == once
    assert once != ""


def test_every_disposition_that_gives_a_label_is_one_of_the_contract():
    assert set(DEFAULT_LABELS) < set(DISPOSITIONS)
    assert set(DISPOSITIONS) - set(DEFAULT_LABELS) == {"test", "abandoned", "unanswered"}
    assert {word for word, label in DEFAULT_LABELS.items() if label == 0} == set(GENUINE)


def test_only_the_call_and_its_arrival_are_required():
    assert [column.name for column in COLUMNS if column.required] == ["call_id", "received_at"]
