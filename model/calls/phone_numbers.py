"""Who the caller is: one person in any spelling, and nobody where a text shows no number.

Everything that reads a caller reads it here: a log, a request, the list of protected callers, a look-up, an erasure.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat
from phonenumbers.shortnumberinfo import is_valid_short_number_for_region

from model.calls.caller_text import FEWEST_DIGITS, WITHHELD, read_text

Shape = Literal["valid", "possible", "pseudonym", "none", "cut"]
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_SPELT = frozenset(word.translate(_KEYPAD) for word in WITHHELD)
#: Counted up or down: typed where there is no number.
_COUNTED = ("0123456789012345", "1234567890123456", "9876543210987654", "0987654321098765")
#: North America: the numbers by which an exchange finds the way back to a mobile caller: area code and then 211 or
#: 511. Each stands for a call and not for a telephone.
_ROUTED = re.compile(r"\+1[2-9][0-9]{2}[25]11[0-9]{4}")
#: 911, or 112 to 115, and the last seven digits of a telephone without a number.
_NO_SIM = re.compile(r"(?:911|11[2-5])[0-9]{7}")
#: Helplines of all of Europe.
_EUROPEAN = re.compile(r"116[0-9]{3}")


class Numbering(NamedTuple):
    """How a centre's callers are read; decided in training, and carried in the release.

    Parameters
    ----------
    region : str
        ISO 3166, for numbers without a country code, such as "ID".
    shared : frozenset of str
        Callers as `read_caller` gives them that many telephones show, such as a PBX's trunk: they are nobody.
    pseudonym : str, optional
        The shape of the centre's own pseudonyms, as `model.calls.caller_text.read_text` takes it.
    """

    region: str
    shared: frozenset[str] = frozenset()
    pseudonym: str | None = None


def numbering_of(region: str, shared: Iterable[str] = (), pseudonym: str | None = None) -> Numbering:
    """Return how callers are read, from settings as a person writes them: shared numbers in any spelling.

    Raises
    ------
    ValueError
        When there is no such region; when the shape of pseudonyms is no regular expression, or fits words that stand
        for nobody; when a shared number is none.

    Examples
    --------
    >>> numbering_of("ID", ["(0736) 27411"]).shared
    frozenset({'+6273627411'})
    """
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("expected an ISO 3166 region, such as ID")
    if pseudonym is not None:
        try:
            fits = [word for word in ("", "anonymous", "Private Number", "-1") if re.fullmatch(pseudonym, word)]
        except re.error as error:
            raise ValueError(f"pseudonym: is no regular expression: {error}") from None
        if fits:
            raise ValueError(f"pseudonym: fits {fits[0]!r}, which names nobody; expected the shape of pseudonyms alone")
    plain = Numbering(region, pseudonym=pseudonym)
    callers = [normalise_number(text, plain) for text in shared]
    if None in callers:
        place = callers.index(None) + 1
        raise ValueError(f"shared: entry {place} names nobody already, expected a number or a name as calls show it")
    return plain._replace(shared=frozenset(one for one in callers if one is not None))


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


def normalise_number(text: str | None, numbering: Numbering) -> str | None:
    """Return the caller that a text shows; None when it shows none: such calls are never one caller.

    Parameters
    ----------
    text : str or None
        A number as dialled or as the network gives it, or any stable pseudonym.
    numbering : Numbering

    Examples
    --------
    >>> normalise_number("0812-3456-7890", Numbering("ID")), normalise_number("a1f9c0", Numbering("ID"))
    ('+6281234567890', 'a1f9c0')
    >>> [normalise_number(no, Numbering("ID")) for no in (None, "", "+0", "Anonymous", "112")]
    [None, None, None, None, None]
    """
    return None if text is None else read_caller(text, numbering).caller


# Those who ring often: the plain spellings of a number are read in 3 us, a pseudonym in 40.
@lru_cache(maxsize=8_192)
def read_caller(text: str, numbering: Numbering) -> CallerReading:
    """Read who calls, and say what the text was taken for.

    A valid reading comes before a possible one, and a number of the region before a foreign one. A plus is not trusted
    when no valid number follows it. What was read is read as itself.

    Parameters
    ----------
    text : str
    numbering : Numbering

    Examples
    --------
    >>> read_caller('"Wati" <sip:081290417733@10.0.0.5;user=phone>', Numbering("ID"))
    CallerReading(caller='+6281290417733', shape='valid')
    >>> [read_caller(text, Numbering("ID")).shape for text in ("Private Number", "6.28129E+12", "a1f9c0", "112")]
    ['none', 'cut', 'pseudonym', 'none']
    >>> read_caller("0736 27411", Numbering("ID", shared=frozenset({"+6273627411"}))).shape
    'none'
    """
    reading = _read(text, numbering)
    return NOBODY if reading.caller in numbering.shared else reading


def _read(text: str, numbering: Numbering) -> CallerReading:
    valid, (code, trunk) = _valid_in(numbering.region), _dialling(numbering.region)
    if numbering.pseudonym is None:
        # Nearly all are written in one of these two ways, and read a hundred times as fast so.
        spelt = f"+{code}{text[len(trunk) :]}" if trunk and text.startswith(trunk) else text
        if valid.fullmatch(spelt):
            return NOBODY if _stands_for_many(spelt, spelt[1 + len(code) :]) else CallerReading(spelt, "valid")
    found = read_text(text, numbering.pseudonym)
    if found.shape != "number":
        return CUT if found.shape == "cut" else CallerReading(found.text or None, found.shape)
    reading = _read_digits(found.digits, numbering.region, plus=found.text.startswith("+"))
    while reading.shape == "possible" and reading.caller is not None:
        again = _read_digits(reading.caller[1:], numbering.region, plus=True)
        if again == reading:
            break
        reading = again
    return reading


def _read_digits(digits: str, region: str, *, plus: bool) -> CallerReading:
    """Read digits as dialled in the region, with its prefix for abroad, or with a plus that was lost or not meant."""
    code, trunk = _dialling(region)
    # Where numbers are dialled with a prefix of their own, one that begins with the country's code has lost its plus.
    own = trunk is not None and digits.startswith(code)
    abroad = [f"+{digits.removeprefix(prefix)}" for prefix in ("00", "011") if digits.startswith(prefix)]
    told = [f"+{digits}"] * (plus or own) + [digits] * (not (plus and own)) + abroad
    if _SPELT.intersection(one.removeprefix("+") for one in told) and (trunk or not _is_valid(digits, region)):
        return NOBODY
    candidates = [number for one in told if (number := _parse(one, region)) is not None]
    guess = None if plus or own or _is_counted(digits) else _parse(f"+{digits}", region)
    guesses = candidates + ([] if guess is None else [guess])
    for number in guesses:
        if phonenumbers.is_valid_number(number):
            return _reading(number, "valid")
    if any(map(_is_placeholder, guesses)) or any(_is_short(number, region) for number in candidates):
        return NOBODY
    possible = next((number for number in guesses if phonenumbers.is_possible_number(number)), None)
    if possible is None:
        return CallerReading("+" * plus + digits, "pseudonym")
    return _reading(possible, "possible")


def _reading(number: PhoneNumber, shape: Shape) -> CallerReading:
    caller = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return NOBODY if _stands_for_many(caller, _national(number)) else CallerReading(caller, shape)


def _stands_for_many(caller: str, national: str) -> bool:
    return _is_one_digit(national) or (caller.startswith("+1") and _ROUTED.fullmatch(caller) is not None)


def _is_placeholder(number: PhoneNumber) -> bool:
    """Whether a number that is not valid only fills a field, or stands for a telephone without one."""
    national = _national(number)
    return _is_counted(national) or _is_one_digit(national) or _NO_SIM.fullmatch(national) is not None


def _is_one_digit(digits: str) -> bool:
    return digits == digits[:1] * len(digits)


def _is_counted(digits: str) -> bool:
    return any(one.startswith(digits) for one in _COUNTED)


def _is_short(number: PhoneNumber, region: str) -> bool:
    """Whether it is a short code, such as 112, with or without a country's code before it."""
    national = _national(number)
    if len(national) < FEWEST_DIGITS or _EUROPEAN.fullmatch(national):
        return True
    return bool(is_valid_short_number_for_region(number, region))


def _national(number: PhoneNumber) -> str:
    return str(phonenumbers.national_significant_number(number))


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
    return re.compile(valid_pattern(region), re.ASCII)


def valid_pattern(region: str) -> str:
    """Return the pattern of a region's valid numbers in E.164, for `re` and for RE2; "x" when there is no such region.

    Nearly every text that it fits is read as itself: all but one digit again and again, and North America's numbers
    that stand for a call.
    """
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return "x"
    kinds = (metadata.fixed_line, metadata.mobile, metadata.toll_free, metadata.premium_rate, metadata.shared_cost,
             metadata.personal_number, metadata.voip, metadata.pager, metadata.uan, metadata.voicemail)  # fmt: skip
    patterns = "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    return rf"\+{metadata.country_code}(?:{patterns})"
