"""One person in any spelling is one caller, and a text without a number is nobody."""

import re

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from model.calls.phone_numbers import is_withheld, normalise_number, read_caller

REGIONS = ("ID", "US", "GB", "DE", "FR", "IN", "BR", "JP", "AU", "ZA", "MX", "IT")
KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.TOLL_FREE)


def example_numbers(region: str) -> list[PhoneNumber]:
    found = (phonenumbers.example_number_for_type(region, kind) for kind in KINDS)
    return [number for number in found if number is not None]


def written(number: PhoneNumber, form: PhoneNumberFormat) -> str:
    return str(phonenumbers.format_number(number, form))


def spellings(number: PhoneNumber, region: str) -> list[str]:
    """Write a number as people dial and print it in its region."""
    e164, national = written(number, PhoneNumberFormat.E164), written(number, PhoneNumberFormat.NATIONAL)
    return [
        e164,
        e164[1:],
        f"00{e164[1:]}",
        national,
        re.sub(r"\D", "", national),
        written(number, PhoneNumberFormat.INTERNATIONAL),
        written(number, PhoneNumberFormat.RFC3966),
        phonenumbers.format_out_of_country_calling_number(number, region),
    ]


#: What telephone systems and spreadsheets put around a number.
WRAPPINGS = (
    "{}",
    " {} ",
    "\u200b{}\u202c",
    '"{}"',
    "'{}",
    '="{}"',
    "<{}>",
    '"Ibu Wati" <{}>',
    "Wati <sip:{}@10.0.0.5:5060>",
    "<sip:{}@10.0.0.5>;tag=8af3",
    "sip:{}@10.0.0.5;user=phone",
    "sips:{}@pbx.example.org?x=1",
    "tel:{}",
    "TEL:{};isub=1",
    "{} ext 2",
    "{};ext=12",
    "{}x7",
)


@given(
    st.sampled_from([(region, number) for region in REGIONS for number in example_numbers(region)]),
    st.sampled_from(range(8)),
    st.sampled_from(WRAPPINGS),
    st.booleans(),
)
def test_one_person_in_any_spelling_is_one_caller(of, form, wrapping, full_width):
    region, number = of
    spelt = spellings(number, region)[form]
    assume(not (spelt.startswith("tel:") and "tel:" in wrapping.lower()))
    if "sip" in wrapping:
        spelt = re.sub(r"[^+0-9]", "", spelt.partition(";ext=")[0])
    if full_width:
        spelt = "".join(chr(ord(one) + 0xFEE0) if one.isdigit() else one for one in spelt)
    assert read_caller(wrapping.format(spelt), region) == (written(number, PhoneNumberFormat.E164), "valid")


@given(st.sampled_from(REGIONS), st.integers(0, 10**8), st.integers(0, 10**8))
def test_two_different_valid_numbers_are_two_callers(region, one, other):
    example = example_numbers(region)[0]
    numbers = []
    for change in (one, other):
        changed = PhoneNumber()
        changed.CopyFrom(example) if hasattr(changed, "CopyFrom") else changed.merge_from(example)
        changed.national_number = example.national_number - example.national_number % 10**6 + change % 10**6
        numbers.append(changed)
    assume(numbers[0] != numbers[1] and all(map(phonenumbers.is_valid_number, numbers)))
    assert len({normalise_number(written(number, PhoneNumberFormat.NATIONAL), region) for number in numbers}) == 2


@given(st.sampled_from(REGIONS), st.text(max_size=14) | st.text("+0123456789 ()-./", max_size=18))
def test_who_was_read_is_read_as_the_same(region, text):
    once = normalise_number(text, region)
    assert once is None or normalise_number(once, region) == once
    assert once != ""


@given(st.sampled_from(REGIONS), st.text(st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=15))
def test_a_text_without_a_digit_is_nobody(region, text):
    assert read_caller(text, region) == (None, "none")


@pytest.mark.parametrize(
    "nobody",
    [None, "", "  ", "+", "-", "0", "+0", "000000000", "Unknown", "<unknown>", "ANONYMOUS", "anonymous@host",
     "withheld", "sip:anonymous@anonymous.invalid", "sip:081290417733@anonymous.invalid",
     '"Anonymous" <anonymous>', "(null)", r"\N",
     "null", "None", "nan", "N/A", "s", "-1", "Private Number", "No Caller ID", "blocked", "Ext 12", "112", "911",
     "110", "266696687", "7378742833", "123-456-7890", "1234567890", "sip:10.0.0.5", "sip:pbx@example.org",
     "NUMBERUNAVAILABLE", "withheldbysubscriber"],
)  # fmt: skip
def test_what_shows_no_number_is_nobody(nobody):
    assert normalise_number(nobody, "ID") is None


@pytest.mark.parametrize("pseudonym", ["a1f9c0", "caller-17", "0x7f", "deadbeefdeadbeef", "MFRGGZDFMZTWQ2LK",
                                       "ABCDEFGHIJKLMNOP", "KIXA-WBSE-PNHU-UJEL-QGUY-WXEM"])  # fmt: skip
def test_a_pseudonym_stays_as_it_is(pseudonym):
    assert read_caller(f" {pseudonym} ", "ID") == (pseudonym, "pseudonym")
    assert not is_withheld(pseudonym)


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("020 7946 0018", "GB", "+442079460018"),
        ("(0736) 123456", "ID", "+62736123456"),
        ("6273627411", "ID", "+6273627411"),
        ("+62 0812 3456 7890", "ID", "+6281234567890"),
        ("0062 812 3456 7890", "ID", "+6281234567890"),
        ("+1 (202) 555-0143", "ID", "+12025550143"),
        ("011 62 812 3456 7890", "US", "+6281234567890"),
        ("030/1234567", "DE", "+49301234567"),
        ("tel:081290417733;phone-context=+62", "GB", "+6281290417733"),
        ("sip:%2B6281290417733@pbx", "GB", "+6281290417733"),
        ("6281290417733.0", "ID", "+6281290417733"),
    ],
)
def test_a_number_without_a_country_is_read_in_its_region(text, region, number):
    assert normalise_number(text, region) == number


@pytest.mark.parametrize("cut", ["6.28129E+12", "6,28129E+12", "6.28e12", '"6.28E+12"'])
def test_digits_that_a_spreadsheet_lost_are_no_caller(cut):
    assert read_caller(cut, "ID") == (None, "cut")


@pytest.mark.parametrize("pseudo", ["9115551234", "+1 911 555 1234", "2125111234", "(212) 211-1234"])
def test_a_north_american_number_that_stands_for_a_call_is_nobody(pseudo):
    assert normalise_number(pseudo, "US") is None
