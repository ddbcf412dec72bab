"""Keeps telephone numbers out of what is stored: the caller's own, by its digits, and whatever else reads as one.

A call_id that holds a number is kept under a name of its own, the same each time it is sent, so that a PBX may go on
using it; whoever sends it is answered by it. A queue, a centre and an operator are told apart by such names, too.

What it does not protect against: a number in a `x_*` field of another caller than the one who rings with it, and one
spelt out or with letters between its digits.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import phonenumbers
from pydantic import BaseModel

from model.calls.phone_numbers import shows_nothing
from service.telemetry.logs import masked, masked_id

#: So many of its last digits, side by side, tell a number; and so many whatever stands between them.
TELLING, ANYWHERE = 6, 8
_BESIDE = re.compile(r"\d(?:[\s().\-/+_~]{0,3}\d)*")
_OTHER_THAN_DIGITS = re.compile(r"\D")
_SCHEME = re.compile(r"^.*?\b(?:sips?|tel|callto):", re.IGNORECASE | re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_BEHIND = re.compile(r"[@;,#>x]|ext", re.IGNORECASE)
#: Without any of this nothing is taken out of an id by `masked_id`.
_ODD = re.compile(r"[+\uff0b]|^[\s(]*0|saring_|bearer|basic", re.IGNORECASE)
#: Within an id: as dialled at home, or as long as an international one.
_DIALLED = re.compile(r"(?<!\d)(?:0[1-9]\d{7,13}|[1-9]\d{10,14})(?!\d)")
#: From so many digits on, side by side, they are taken for a number. Many queues are named by a short number of theirs.
_NAMED = {"centre": 7, "queue": 7, "operator": TELLING}
T = TypeVar("T", bound=BaseModel)
Warned = dict[str, str]


def digits_of(caller: str | None) -> str | None:
    """Give the digits that tell a caller's number, without what is no part of it; "" of a pseudonym.

    None when nobody knows the number: it is not shown, or has too few digits to be found by.

    Examples
    --------
    >>> [digits_of(text) for text in ("0812-3456-7890", "<sip:+6281234567890@10.0.0.5:5060>", "(0736) 123456 ext 12")]
    ['081234567890', '6281234567890', '0736123456']
    >>> [digits_of(text) for text in ("a1f9c0", "110", "sip:alice@10.20.30.40", "anonymous", None)]
    ['', None, None, None, None]
    """
    if caller is None:
        return None
    plain = caller[1:] if caller.startswith("+") else caller
    if plain.isascii() and plain.isdigit() and len(plain) >= TELLING and plain.strip("0"):
        return plain  # as nearly all are
    if shows_nothing(caller):
        return None
    bare = _SCHEME.sub("", caller)
    digits = _digits(_BEHIND.split(bare, maxsplit=1)[0])
    if len(digits) >= TELLING:
        return digits
    return "" if bare == caller and _LETTER.search(caller) else None


def tells(text: str, digits: str | None) -> bool:
    """Say whether a text gives a number away, given the number's digits as `digits_of` gives them.

    Examples
    --------
    >>> number = digits_of("0812-3456-7890")
    >>> tells("trunk 7, 62 812.3456.7890", number), tells("of 567890", number), tells("5 of 67890", number)
    (True, True, False)
    >>> tells("0a8b1c2d3e4f5g6h7i8j9k0", number), tells("trunk 7", number), tells("a", "")
    (True, False, False)
    """
    if not digits or len(text) < TELLING:
        return False
    told, tail = _digits(text), digits[-TELLING:]
    if tail not in told:
        return False
    return digits[-ANYWHERE:] in told or any(tail in _digits(run) for run in _BESIDE.findall(text))


def may_tell(text: str) -> bool:
    """Say whether a text has enough digits to tell a number.

    Examples
    --------
    >>> may_tell("call 1730448000"), may_tell("call 12")
    (True, False)
    """
    return len(_digits(text)) >= TELLING


class Masks:
    """Names for what holds a number, made with a key that the store does not have.

    Parameters
    ----------
    keyed_name : callable
        Gives the name of a length that stands for a text of a kind, such as `Pseudonyms.name`.
    region : callable
        Gives the region of numbers without a country code, such as "ID".
    """

    def __init__(self, keyed_name: Callable[[str, str, int], str], region: Callable[[], str]) -> None:
        self._keyed_name, self._region = keyed_name, region

    def name_of(self, call_id: str) -> str:
        """Give the name of a call whose call_id holds a number."""
        return f"call-{self._keyed_name('call', call_id, 20)}"

    def call_id(self, call_id: str, digits: str | None = None) -> str:
        """Give the name under which a call is kept: its call_id, unless that reads as a number or tells `digits`."""
        return self.name_of(call_id) if tells(call_id, digits) or _dialled(call_id, self._region()) else call_id

    def text(self, text: str, least: int = _NAMED["queue"]) -> str:
        """Give a text, or the name that stands for one with what may be a number, the same each time."""
        return (
            text if not may_tell(text) or masked(text, least) == text else f"name-{self._keyed_name('text', text, 10)}"
        )

    def operator(self, name: str) -> str:
        """Give an operator's name, or the one that stands for it."""
        return self.text(name, _NAMED["operator"])

    def kept(self, request: T, warnings: list[Warned]) -> T:
        """Give a request as it may be kept: centre, queue and operator without a number, and a warning for each."""
        has = type(request).model_fields
        told = {name: value for name in _NAMED if name in has and (value := getattr(request, name)) is not None}
        if not told:
            return request
        changed = self.changed(told, digits_of(getattr(request, "caller", None)))
        for name, stands in changed.items():
            what = "a name stands for it" if stands else "taken as not known"
            warnings.append({"field": name, "detail": f"may hold a number, which is never kept; {what}"})
        return request.model_copy(update=changed) if changed else request

    def changed(self, told: Mapping[str, Any], digits: str | None) -> dict[str, str | None]:
        """Give what is to stand for centre, queue and operator where they may hold a number; None for the caller's."""
        found: dict[str, str | None] = {}
        for name, least in _NAMED.items():
            text = told.get(name)
            if text is not None:
                stands = None if tells(text, digits) else self.text(text, least)
                if stands != text:
                    found[name] = stands
        return found


def without_numbers(value: Any) -> Any:
    """Mask what may be a number in JSON of which nobody knows whose it is: six digits and more.

    Examples
    --------
    >>> without_numbers({"from": "0812-3456-7890", "0812345": [6281234567890, 12.3456789, 110, True]})
    {'from': '[number]', '[number]': [None, 12.3456789, 110, True]}
    """
    if isinstance(value, str):
        return masked(value, TELLING)
    if isinstance(value, list):
        return [without_numbers(item) for item in value]
    if isinstance(value, dict):
        return {masked(name, TELLING): without_numbers(item) for name, item in value.items()}
    long = isinstance(value, int | float) and abs(value) >= 10 ** (TELLING - 1)
    return None if long else value


@lru_cache(4_096)
def _dialled(call_id: str, region: str) -> bool:
    """Whether a call_id reads as a number that somebody dialled or that a network gives, or has one in it.

    Examples
    --------
    >>> [_dialled(id, "ID") for id in ("+62 812-3456-7890", "pbx-081234567890-2", "6281234567890.1")]
    [True, True, True]
    >>> [_dialled(id, "US") for id in ("1730448000.1234", "1730448000123", "112-20261101-0042", "000000001234")]
    [False, False, False, False]
    """
    if not may_tell(call_id):
        return False
    if _ODD.search(call_id) and masked_id(call_id) != call_id:
        return True
    country = str(phonenumbers.country_code_for_region(region))
    return any(
        run.startswith("0") or (run.startswith(country) and _possible(f"+{run}")) for run in _DIALLED.findall(call_id)
    )


def _possible(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def _digits(text: str) -> str:
    """Give the digits of a text, of whatever script."""
    if text.isascii():
        return _OTHER_THAN_DIGITS.sub("", text)
    return "".join(str(int(character)) for character in text if character.isdecimal())
