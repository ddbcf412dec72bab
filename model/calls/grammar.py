"""How one value is written: a time, a number, a word or a caller.

Every door reads its values by these rules: a call log (CSV, Parquet, a workbook) and a request over HTTP. They know
nothing of tables, so that the service uses them without the libraries of training.
"""

import re
from collections.abc import Sequence
from typing import Literal

from model.calls.columns import TIMESTAMP

DecimalSign = Literal[".", ","]
_TIMESTAMP = re.compile(TIMESTAMP, re.ASCII)


def _number(sign: str, group: str) -> str:
    """Return the pattern of a number: digits, alone or in groups of three, then a fraction and an exponent."""
    digits = rf"[0-9]+{sign}?[0-9]*|{sign}[0-9]+|[1-9][0-9]{{0,2}}({group}[0-9]{{3}})+({sign}[0-9]*)?"
    return rf"[+-]?({digits})([eE][+-]?[0-9]+)?"


#: By its decimal sign; the other one may stand between groups of three digits.
NUMBERS: dict[DecimalSign, str] = {".": _number("[.]", "[,]"), ",": _number("[,]", "[.]")}
_NUMBERS = {sign: re.compile(pattern) for sign, pattern in NUMBERS.items()}
#: From here on not every whole number has a float of its own.
_INEXACT = 2**53
#: Of a telephone number no spreadsheet leaves so few digits and so many zeros, unless it has cut the others off.
_CUT = re.compile(r"[0-9]{1,7}0{6,}")


class AmbiguousNumberError(ValueError):
    """A text that is one number where the point is the decimal sign, and another where the comma is."""


def spell_time(text: str) -> str | None:
    """Return a time as RFC 3339 writes it; None when it is no time with an offset.

    Examples
    --------
    >>> [spell_time(text) for text in ("2024-06-01 09:01:00.25+07", "2024-06-01t02:01:00z", "2024-06-01 09:01:00")]
    ['2024-06-01T09:01:00.25+07:00', '2024-06-01T02:01:00Z', None]
    """
    text = text.strip()
    if not _TIMESTAMP.fullmatch(text):
        return None
    spelt = f"{text[:10]}T{text[11:].upper()}"
    if spelt.endswith("Z"):
        return spelt
    at = max(spelt.rfind("+"), spelt.rfind("-"))
    digits = spelt[at + 1 :].replace(":", "").ljust(4, "0")
    return f"{spelt[: at + 1]}{digits[:2]}:{digits[2:]}"


def parse_number(text: str, decimal: DecimalSign | None = None) -> float:
    """Return the number that a text is, with a point or a comma.

    Parameters
    ----------
    text : str
    decimal : {".", ","}, optional
        The decimal sign, where it is known; the other sign may then stand between groups of three digits.

    Raises
    ------
    AmbiguousNumberError
        Without `decimal`, for texts such as `1.234` and `1,234`: 1.234 here, 1234 there.
    ValueError
        When it is no number.

    Examples
    --------
    >>> [parse_number(text) for text in ("12.5", "12,5", "1.234,5", "0.125", "1e1")]
    [12.5, 12.5, 1234.5, 0.125, 10.0]
    >>> parse_number("1.234", decimal=",")
    1234.0
    >>> parse_number("1.234")
    Traceback (most recent call last):
    model.calls.grammar.AmbiguousNumberError: 1.234 or 1234: it does not say which sign is the decimal one
    """
    text = text.strip()
    readings = {
        _float(text, sign) for sign, pattern in _NUMBERS.items() if decimal in (None, sign) and pattern.fullmatch(text)
    }
    if len(readings) > 1:
        low, high = sorted(readings, key=abs)
        raise AmbiguousNumberError(f"{low:g} or {high:.0f}: it does not say which sign is the decimal one")
    if not readings:
        raise ValueError("it is no number")
    return readings.pop()


def match_word(text: str, words: Sequence[str]) -> str | None:
    """Return the word that a text is, in any casing; None when it is none of them.

    Examples
    --------
    >>> match_word(" Mobile ", ("mobile", "landline")), match_word("a", ("A", "B")), match_word("fax", ("mobile",))
    ('mobile', 'A', None)
    """
    text = text.strip().casefold()
    return next((word for word in words if word.casefold() == text), None)


def spell_caller(number: float) -> str | None:
    """Return the text of a caller who was given as a number; None when it is not all digits of one.

    Parameters
    ----------
    number : int or float
        A float as tables make of a column of numbers in which some are missing.

    Examples
    --------
    >>> spell_caller(81290417733), spell_caller(81290417733.0)
    ('81290417733', '81290417733')
    >>> spell_caller(6.28e12), spell_caller(0.5), spell_caller(-1), spell_caller(float("nan"))
    (None, None, '-1', None)
    """
    if isinstance(number, float):
        if not number.is_integer() or abs(number) >= _INEXACT or _CUT.fullmatch(str(int(number))):
            return None
        number = int(number)
    return str(number)


def _float(text: str, sign: DecimalSign) -> float:
    group = "," if sign == "." else "."
    return float(text.replace(group, "").replace(sign, "."))
