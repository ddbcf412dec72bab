"""Who the caller is: one person in any spelling, and nobody where a text shows no number.

Everything that reads a caller reads it here: a log, a request, the list of protected callers, a look-up, an erasure.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat

from model.calls.caller_text import unwrap

Shape = Literal["valid", "possible", "pseudonym", "none", "cut"]
#: Fewer are an extension or a short code such as 112: many telephones show the same, so it is nobody's.
FEWEST_DIGITS = 6
#: Dialled on a keypad these words stand where a number should: 266696687 is ANONYMOUS.
_WORDS = ("ANONYMOUS", "RESTRICTED", "UNAVAILABLE", "UNKNOWN", "BLOCKED", "PRIVATE", "WITHHELD")
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_SPELT = frozenset(word.translate(_KEYPAD) for word in _WORDS)
#: A keyed hash, also one without a digit: in hexadecimal, in base32 (whole bytes, or padded), or as `saring export`
#: writes it. A long word, such as NUMBERUNAVAILABLE, is none.
_TOKEN = re.compile(r"(?i:[0-9a-f]{16,})|[A-Z2-7]{16}(?:[A-Z2-7]{8})*|[A-Z2-7]{16,}=+|(?:[A-Z2-7]{4}-){3,}[A-Z2-7]{4}")
_EXTENSION = re.compile(r"(?:;?\s*ext[=.\s]*|\s*x\s*|\s*#)[0-9]{1,6}$", re.IGNORECASE)
_DIALLED = re.compile(r"\+?[0-9\s().\-/]*")
_PLACEHOLDER = re.compile(r"(.)\1*|1234567890?")
#: North America: 911 and the last digits of a telephone without a number; and the numbers by which an exchange finds
#: the way back to a mobile caller (area code and then 211 or 511). Each stands for a call and not for a telephone.
_NANP_PSEUDO = re.compile(r"\+?1?(?:911[0-9]{7}|[2-9][0-9]{2}[25]11[0-9]{4})")
_NANP = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])


class CallerReading(NamedTuple):
    """Who calls.

    Parameters
    ----------
    caller : str or None
        In E.164, or a pseudonym as it is; None when nobody can be told apart by it.
    shape : {"valid", "possible", "pseudonym", "none", "cut"}
        What it was taken for; "cut" when a spreadsheet has lost digits of it.
    """

    caller: str | None
    shape: Shape


NOBODY, CUT = CallerReading(None, "none"), CallerReading(None, "cut")


def normalise_number(text: str | None, region: str) -> str | None:
    """Return the caller that a text shows; None when it shows none: such calls are never one caller.

    Parameters
    ----------
    text : str or None
        A number as dialled or as the network gives it, or any stable pseudonym.
    region : str
        ISO 3166 region for numbers without a country code, such as "ID".

    Examples
    --------
    >>> normalise_number("0812-3456-7890", "ID"), normalise_number("a1f9c0", "ID")
    ('+6281234567890', 'a1f9c0')
    >>> [normalise_number(no, "ID") for no in (None, "", "+0", "Anonymous", "sip:anonymous@anonymous.invalid")]
    [None, None, None, None, None]
    """
    return None if text is None else read_caller(text, region).caller


@lru_cache(maxsize=65_536)
def read_caller(text: str, region: str) -> CallerReading:
    """Read who calls, and say what the text was taken for.

    A valid reading comes before a possible one, and a number of the region before a foreign one. A plus is not trusted
    when no valid number follows it. What was read is read as itself.

    Parameters
    ----------
    text : str
    region : str
        ISO 3166.

    Examples
    --------
    >>> read_caller('"Wati" <sip:081290417733@10.0.0.5;user=phone>', "ID")
    CallerReading(caller='+6281290417733', shape='valid')
    >>> [read_caller(text, "ID").shape for text in ("Private Number", "6.28129E+12", "a1f9c0", "112")]
    ['none', 'cut', 'pseudonym', 'none']
    """
    valid, (code, trunk) = _valid_in(region), _dialling(region)
    # Nearly all are written in one of these two ways, and read a hundred times as fast so.
    for spelt in (text, f"+{code}{text[len(trunk) :]}" if trunk and text.startswith(trunk) else ""):
        if valid.fullmatch(spelt):
            return CallerReading(spelt, "valid")
    found = _read_text(text)
    if isinstance(found, CallerReading):
        return found
    plus, digits = found
    reading = _read_digits(digits, region, plus=plus)
    while reading.shape in ("valid", "possible") and reading.caller is not None:
        again = _read_digits(reading.caller[1:], region, plus=True)
        if again == reading:
            break
        reading = again if again.shape == "valid" or reading.shape != "valid" else NOBODY
    return reading


def is_withheld(text: str | None) -> bool:
    """Return whether a text shows no number and is no pseudonym, wherever it comes from.

    Examples
    --------
    >>> is_withheld("Anonymous"), is_withheld("+0"), is_withheld("a1f9c0")
    (True, True, False)
    """
    return text is None or (isinstance(found := _read_text(text), CallerReading) and found.caller is None)


def _read_text(text: str) -> CallerReading | tuple[bool, str]:
    """Read a text as far as no region is needed: what it is, or of a number whether it has a plus, and its digits."""
    plain, cut = unwrap(text)
    if cut:
        return CUT
    if _TOKEN.fullmatch(plain) and not plain.isdecimal():
        return CallerReading(plain, "pseudonym")
    number = _EXTENSION.sub("", plain)
    digits = re.sub(r"[^0-9]", "", number)
    if not _DIALLED.fullmatch(number):
        # Words name nobody: whoever shows the same ones would be one person.
        return (
            NOBODY if re.search(r"\s", plain) or not re.search(r"[0-9]", plain) else CallerReading(plain, "pseudonym")
        )
    if len(digits) < FEWEST_DIGITS or _PLACEHOLDER.fullmatch(digits):
        return NOBODY
    return number.startswith("+"), digits


def _read_digits(digits: str, region: str, *, plus: bool) -> CallerReading:
    """Read digits as dialled in the region, with its prefix for abroad, or with a plus that was lost."""
    code, trunk = _dialling(region)
    if digits in _SPELT and (trunk or not _is_valid(digits, region)):
        return NOBODY
    if region in _NANP and _NANP_PSEUDO.fullmatch(digits):
        return NOBODY
    abroad = [f"+{digits.removeprefix(prefix)}" for prefix in ("00", "011") if digits.startswith(prefix)]
    # Where numbers are dialled with a prefix of their own, one that begins with the country's code has lost its plus.
    own = trunk is not None and digits.startswith(code)
    spelt = [f"+{digits}", digits, *abroad] if plus or own else [digits, *abroad, f"+{digits}"]
    candidates = [number for one in spelt if (number := _parse(one, region)) is not None]
    tests: tuple[tuple[Shape, Callable[[PhoneNumber], bool]], ...] = (
        ("valid", phonenumbers.is_valid_number),
        ("possible", phonenumbers.is_possible_number),
    )
    for shape, test in tests:
        for number in candidates:
            if test(number):
                caller = phonenumbers.format_number(number, PhoneNumberFormat.E164)
                return CallerReading(caller, shape) if len(caller) > FEWEST_DIGITS else NOBODY
    return CallerReading(digits, "pseudonym")


def _is_valid(text: str, region: str) -> bool:
    number = _parse(text, region)
    return number is not None and phonenumbers.is_valid_number(number)


def _parse(text: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


@cache
def _dialling(region: str) -> tuple[str, str | None]:
    """Return a region's country code, and the prefix with which its own numbers are dialled."""
    metadata = PhoneMetadata.metadata_for_region(region)
    return (str(metadata.country_code), metadata.national_prefix) if metadata else ("", None)


@cache
def _valid_in(region: str) -> "re.Pattern[str]":
    """Return the pattern of a region's valid numbers in E.164."""
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return re.compile(r"(?!)")
    kinds = (metadata.fixed_line, metadata.mobile, metadata.toll_free, metadata.premium_rate, metadata.shared_cost,
             metadata.personal_number, metadata.voip, metadata.pager, metadata.uan, metadata.voicemail)  # fmt: skip
    patterns = "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    return re.compile(rf"\+{metadata.country_code}(?:{patterns})")
