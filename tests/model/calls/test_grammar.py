import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls.grammar import AmbiguousNumberError, match_word, parse_number, spell_caller, spell_time

wholes = st.integers(0, 9_999_999)
fractions = st.integers(0, 999_999).map(lambda number: str(number).rstrip("0"))


def written(whole, fraction, sign, grouped):
    digits = f"{whole:,}" if grouped else str(whole)
    digits = digits.replace(",", "." if sign == "," else ",")
    return f"{digits}{sign}{fraction}" if fraction else digits


@given(wholes, fractions, st.sampled_from(".,"), st.booleans())
def test_a_number_is_itself_where_the_decimal_sign_is_known(whole, fraction, sign, grouped):
    text = written(whole, fraction, sign, grouped)
    assert parse_number(text, decimal=sign) == float(f"{whole}.{fraction or 0}")


@given(wholes, fractions, st.sampled_from(".,"), st.booleans())
def test_without_one_a_number_is_itself_or_refused_as_ambiguous_and_never_another(whole, fraction, sign, grouped):
    text = written(whole, fraction, sign, grouped)
    one_sign_before_three_digits = text.count(".") + text.count(",") == 1 and len(text.split(sign)[-1]) == 3
    try:
        assert parse_number(text) == float(f"{whole}.{fraction or 0}")
    except AmbiguousNumberError:
        grouped_alone = grouped and not fraction and 1_000 <= whole < 1_000_000
        assert grouped_alone or (one_sign_before_three_digits and 0 < whole < 1_000)


@pytest.mark.parametrize("text", ["1.234", "1,234", "-12.345", "123,456", "1.234e2"])
def test_one_sign_before_three_digits_is_ambiguous(text):
    with pytest.raises(AmbiguousNumberError):
        parse_number(text)


@pytest.mark.parametrize("text", ["", ".", "nan", "inf", "1_000", "0x1", "1.2.3", "1,2,3", "12,34.5", "1 2", "٣", "e5"])
def test_what_is_no_number_is_none(text):
    with pytest.raises(ValueError, match="no number"):
        parse_number(text)


@pytest.mark.parametrize("date", ["2024-06-01T", "2024-06-01t", "2024-06-01 "])
@pytest.mark.parametrize("fraction", ["", ".25", ".123456"])
@pytest.mark.parametrize(
    ("offset", "spelt"),
    [("+07", "+07:00"), ("+0700", "+07:00"), ("-03:30", "-03:30"), ("-0330", "-03:30"), ("Z", "Z"), ("z", "Z")],
)
def test_a_time_is_spelt_in_one_way(date, fraction, offset, spelt):
    assert spell_time(f" {date}09:01:00{fraction}{offset} ") == f"2024-06-01T09:01:00{fraction}{spelt}"


@pytest.mark.parametrize("text", ["2024-06-01T09:00:00", "2024-06-01", "09:00:00+07", "2024-06-01T09:00:00+7", "soon"])
def test_a_time_without_its_offset_is_none(text):
    assert spell_time(text) is None


@given(st.sampled_from(["no_sim", "wrong_number", "A", "failed"]), st.sampled_from([str.upper, str.lower, str.title]))
def test_a_word_is_itself_in_any_casing(word, casing):
    assert match_word(f" {casing(word)}", ("no_sim", "wrong_number", "A", "failed")) == word


@given(st.integers(100_000, 2**53 - 1))
def test_a_caller_is_the_same_as_a_whole_number_and_as_a_float_unless_its_digits_may_be_lost(number):
    assert spell_caller(number) == str(number)
    assert spell_caller(float(number)) in (str(number), None)
    if number % 1_000_000:
        assert spell_caller(float(number)) == str(number)
