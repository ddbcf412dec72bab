"""One person in any spelling is one caller, and a text without a number is nobody."""

import re
from itertools import cycle

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from model.calls.phone_numbers import Numbering, normalise_number, numbering_of, read_caller

REGIONS = ("ID", "US", "GB", "DE", "FR", "IN", "BR", "JP", "AU", "ZA", "MX", "IT")
KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.TOLL_FREE)


def example_numbers(region: str) -> list[PhoneNumber]:
    found = (phonenumbers.example_number_for_type(region, kind) for kind in KINDS)
    return [number for number in found if number is not None]


EXAMPLES = [(region, number) for region in REGIONS for number in example_numbers(region)]


def written(number: PhoneNumber, form: PhoneNumberFormat) -> str:
    return str(phonenumbers.format_number(number, form))


def e164(number: PhoneNumber) -> str:
    return written(number, PhoneNumberFormat.E164)


#: How people dial and print a number in its region.
DIALLED = (
    lambda number, _: e164(number),
    lambda number, _: e164(number)[1:],
    lambda number, _: f"00{e164(number)[1:]}",
    lambda number, _: f"+00{e164(number)[1:]}",
    lambda number, _: f"++{e164(number)[1:]}",
    lambda number, _: written(number, PhoneNumberFormat.NATIONAL),
    lambda number, _: re.sub(r"\D", "", written(number, PhoneNumberFormat.NATIONAL)),
    lambda number, _: re.sub(r"^\+?0", "+0", re.sub(r"\D", "", written(number, PhoneNumberFormat.NATIONAL))),
    lambda number, _: written(number, PhoneNumberFormat.INTERNATIONAL),
    lambda number, _: written(number, PhoneNumberFormat.INTERNATIONAL).replace(" ", "\u2011"),
    lambda number, _: written(number, PhoneNumberFormat.INTERNATIONAL).replace("+", "(+", 1).replace(" ", ") ", 1),
    lambda number, _: written(number, PhoneNumberFormat.RFC3966).removeprefix("tel:"),
    phonenumbers.format_out_of_country_calling_number,
)

#: What telephone systems, spreadsheets and people put around a number.
AROUND = (
    "{}", " {} ", "\u200b{}\u202c", "\ufeff{}\r\n", '"{}"', "'{}", "'{}'", "\u201c{}\u201d", '="{}"', "={}", "<{}>",
    '"Ibu Wati" <{}>', "'Wati' <{}>", "{} ext 2", "{};ext=12", "{}x7", "{} #12", "{} (ext. 12)", "{} pesawat 12",
    "{} poste 3", "{} Durchwahl 12", "{} \u0434\u043e\u0431. 4", "{}\u5185\u7dda12", "tel. {}", "HP: {}",
)  # fmt: skip
#: Around a number without spaces and dashes.
ADDRESSES = (
    "sip:{}@10.0.0.5;user=phone", "<sip:{}@10.0.0.5:5060>", "Wati <sip:{}@10.0.0.5:5060>",
    "<sip:{}@[2001:db8::1]>;tag=8", '"Wati, Ibu" <sip:{}@pbx>;tag=8af3',
    "From: <sip:{}@pbx>", "sip:{}@private.example.org", "sips:{}@pbx.example.org?x=1", "SIP:{};cpc=ordinary@PBX",
    "sip:{}:secret@pbx", "sip:{}", "tel:{}", "TEL:{};isub=1", "callto:{}", "{}@10.0.0.5", "{}.0", "*31#{}",
)  # fmt: skip
#: Digits of other scripts: full-width, Arabic-Indic, Persian, Devanagari, and mathematical ones.
ZEROS = "0\uff10\u0660\u06f0\u0966\U0001d7ce"


@given(
    st.sampled_from(EXAMPLES),
    st.sampled_from(DIALLED),
    st.sampled_from(AROUND + ADDRESSES),
    st.lists(st.sampled_from(ZEROS), min_size=1, max_size=5),
)
@settings(max_examples=400)
def test_one_person_in_any_spelling_is_one_caller(of, dialled, around, zeros):
    region, number = of
    spelt = dialled(number, region)
    if around in ADDRESSES:
        spelt = re.sub(r"[^+0-9]", "", spelt)
    scripts = cycle(zeros)
    spelt = "".join(chr(ord(next(scripts)) + int(one)) if one.isdigit() else one for one in spelt)
    assert read_caller(around.format(spelt), Numbering(region)) == (e164(number), "valid")


@given(st.sampled_from(REGIONS), st.integers(0, 10**8), st.integers(0, 10**8), st.sampled_from(DIALLED))
def test_two_different_valid_numbers_are_two_callers(region, one, other, dialled):
    example = example_numbers(region)[0]
    numbers = []
    for change in (one, other):
        changed = PhoneNumber()
        changed.merge_from(example)
        changed.national_number = example.national_number - example.national_number % 10**6 + change % 10**6
        numbers.append(changed)
    assume(numbers[0] != numbers[1] and all(map(phonenumbers.is_valid_number, numbers)))
    assume(not any(re.fullmatch(r"\+1...[25]11....", e164(number)) for number in numbers))  # stands for a call
    callers = {normalise_number(dialled(number, region), Numbering(region)) for number in numbers}
    assert callers == {e164(number) for number in numbers}


@given(
    st.sampled_from(REGIONS),
    st.text(max_size=14)
    | st.text("+0123456789 ()-./", max_size=18)
    | st.text("+0123456789ax<>\"'=@:;%. #", max_size=14),
)
@settings(max_examples=500)
def test_who_was_read_is_read_as_the_same(region, text):
    once = normalise_number(text, Numbering(region))
    assert once is None or normalise_number(once, Numbering(region)) == once
    assert once != ""


@given(st.sampled_from(REGIONS), st.text(st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=15))
def test_a_text_without_a_digit_is_nobody(region, text):
    assume("%" not in text)  # of an address: %31 is a 1
    assert read_caller(text, Numbering(region)) == (None, "none")


@given(
    st.sampled_from(REGIONS),
    st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=8), min_size=1, max_size=4),
    st.integers(-99_999, 99_999),
)
def test_words_with_a_few_digits_are_nobody(region, words, number):
    assert read_caller(f"{' '.join(words)} {number}", Numbering(region)).caller is None
    assert read_caller(f"{number}", Numbering(region)).caller is None


@pytest.mark.parametrize(
    "nobody",
    [None, "", "  ", "+", "-", "0", "+0", "000000000", "Unknown", "<unknown>", "ANONYMOUS", "anonymous@host",
     "withheld", "sip:anonymous@anonymous.invalid", "sip:081290417733@anonymous.invalid",
     '"Anonymous" <anonymous>', "(null)", r"\N",
     "null", "None", "nan", "N/A", "s", "-1", "Private Number", "No Caller ID", "blocked", "Ext 12", "112", "911",
     "110", "266696687", "7378742833", "123-456-7890", "1234567890", "sip:10.0.0.5", "sip:pbx@example.org",
     "NUMBERUNAVAILABLE", "withheldbysubscriber", "sip:restricted@pbx", '"Wati" <sip:+6281290417733@unknown.invalid>',
     "sip:@10.0.0.5", "tel:112;phone-context=+62", "sip:112;phone-context=+62@pbx", "+62 112", "+353112", "0062110",
     "118", "119", "113", "115", "000", "999", "-1.0", "\u22121", "*112", "112#", "116117", "unknown1", "Privat-2",
     "+266696687", "7748283", "8656696", "86282452253", "2562533", "94844353", "66686237", "668282452253", "7777777",
     "1-123-456-7890", "+62123456", "0123456789", "+10000000000", "10.20.30.40:5060", "sip:192.168.100.200@pbx",
     "ffffffffffffffff", "00000000-0000-0000-0000-000000000000", "#N/A", "\u00a0", "%00", "urn:service:sos"],
)  # fmt: skip
def test_what_shows_no_number_is_nobody(nobody):
    assert normalise_number(nobody, Numbering("ID")) is None


@pytest.mark.parametrize("pseudonym", ["a1f9c0", "caller-17", "0x7f", "deadbeefdeadbeef", "MFRGGZDFMZTWQ2LK",
                                       "ABCDEFGHIJKLMNOP", "123e45",
                                       "356938035643809999", "KIXA-WBSE-PNHU-UJEL-QGUY-WXEM"])  # fmt: skip
def test_a_pseudonym_stays_as_it_is(pseudonym):
    assert read_caller(f" {pseudonym} ", Numbering("ID")) == (pseudonym, "pseudonym")


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
    assert normalise_number(text, Numbering(region)) == number


def test_a_plus_before_a_number_that_is_not_valid_is_not_trusted():
    assert normalise_number("+073627411", Numbering("ID")) == "+6273627411"
    assert read_caller("+4930123456", Numbering("ID")) == ("+4930123456", "valid")


@pytest.mark.parametrize("cut", ["6.28129E+12", "6,28129E+12", "6.28e12", "6E+12", '"6.28E+12"'])
def test_digits_that_a_spreadsheet_lost_are_no_caller(cut):
    assert read_caller(cut, Numbering("ID")) == (None, "cut")


@pytest.mark.parametrize(
    "pseudo", ["9115551234", "+1 911 555 1234", "2125111234", "(212) 211-1234", "+12125111234", "sip:+12122110001@esrp"]
)
def test_a_north_american_number_that_stands_for_a_call_is_nobody(pseudo):
    assert normalise_number(pseudo, Numbering("US")) is None


@pytest.mark.parametrize("spelt", ["(0736) 27411", "+6273627411", "sip:073627411@pbx", "6273627411", "trunk-1"])
def test_a_number_that_many_telephones_share_is_nobody_in_any_spelling(spelt):
    numbering = numbering_of("ID", ["0736-27411", "trunk-1"])
    assert read_caller(spelt, numbering) == (None, "none")
    assert read_caller(spelt, Numbering("ID")).caller is not None


def test_pseudonyms_of_a_shape_of_their_own_are_callers_and_other_words_are_not():
    numbering = numbering_of("ID", pseudonym=r"Ibu [A-Z][a-z]+|\d{7}")
    assert read_caller('"Ibu Wati"', numbering) == ("Ibu Wati", "pseudonym")
    assert read_caller("1234567", numbering) == ("1234567", "pseudonym")
    assert read_caller("081290417733", numbering) == ("+6281290417733", "valid")
    assert read_caller("a1f9c0", numbering) == (None, "none")


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"shared": ["9" * 300]}, "entry 1"), ({"shared": ["0736-27411", "112"]}, "entry 2"),
     ({"pseudonym": "["}, "regular expression"),
     ({"pseudonym": r"\w+"}, "'anonymous'")],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        numbering_of("ID", **settings)
