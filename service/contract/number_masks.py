"""Mask telephone numbers in what is stored: the caller's own, by its digits, and whatever else reads as one.

A call_id that contains a number is stored as a pseudonym, the same each time it is sent, so that a PBX may go on using
it and is answered by it. Queues, centres, operators and incidents whose names contain a number get pseudonyms, too.

What it does not protect against: a number in an `x_*` field of another caller than the one who rings with it, and one
spelt out or with letters between its digits.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import phonenumbers
from pydantic import BaseModel

from model.calls.caller_text import read_text
from service.telemetry.logs import mask_id, mask_numbers

#: A number is recognized by so many of its last digits side by side, or so many whatever stands between them.
ADJACENT_DIGITS, SCATTERED_DIGITS = 6, 8
_DIGIT_RUN = re.compile(r"\d(?:[\s().\-/+_~]{0,3}\d)*")
_NON_DIGIT = re.compile(r"\D")
#: Without any of this nothing is taken out of an id by `mask_id`.
_NEEDS_MASK = re.compile(r"[+\uff0b]|^[\s(]*0|saring_|bearer|basic", re.IGNORECASE)
#: Within an id: as dialled at home, or as long as an international one.
_DIALLED_RUN = re.compile(r"(?<!\d)(?:0[1-9]\d{7,13}|[1-9]\d{10,14})(?!\d)")
#: From so many digits on, side by side, they are taken for a number. Many queues are named by a short number of theirs.
_MASKED_FIELDS = {"centre": 7, "queue": 7, "operator": ADJACENT_DIGITS, "incident_id": ADJACENT_DIGITS}
T = TypeVar("T", bound=BaseModel)
FieldWarning = dict[str, str]


def digits_of(caller: str | None) -> str | None:
    """Return the digits of a caller's number, without prefix, host or extension; "" for a pseudonym.

    None without a number: it is withheld, or has too few digits to be recognized by.

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
    if plain.isascii() and plain.isdigit() and len(plain) >= ADJACENT_DIGITS and plain.strip("0"):
        return plain  # as nearly all are
    found = read_text(caller)
    if found.shape == "pseudonym":  # it may have a number in it all the same
        return digits if len(digits := _digits(found.text)) >= ADJACENT_DIGITS else ""
    return found.digits or None


def contains_number(text: str, digits: str | None) -> bool:
    """Return whether a text contains a number, given the number's digits as `digits_of` returns them.

    Examples
    --------
    >>> number = digits_of("0812-3456-7890")
    >>> [contains_number(text, number) for text in ("trunk 7, 62 812.3456.7890", "of 567890", "5 of 67890")]
    [True, True, False]
    >>> contains_number("0a8b1c2d3e4f5g6h7i8j9k0", number), contains_number("trunk 7", number), contains_number("a", "")
    (True, False, False)
    """
    if not digits or len(text) < ADJACENT_DIGITS:
        return False
    told, tail = _digits(text), digits[-ADJACENT_DIGITS:]
    if tail not in told:
        return False
    return digits[-SCATTERED_DIGITS:] in told or any(tail in _digits(run) for run in _DIGIT_RUN.findall(text))


def may_contain_number(text: str) -> bool:
    """Return whether a text has enough digits to contain a number.

    Examples
    --------
    >>> may_contain_number("call 1730448000"), may_contain_number("call 12")
    (True, False)
    """
    return len(text) >= ADJACENT_DIGITS and len(_digits(text)) >= ADJACENT_DIGITS


class NumberMasks:
    """Pseudonyms for what contains a number, made with a key that the store does not have.

    `keyed_name` returns the pseudonym of a kind of text in so many letters, such as `Pseudonyms.name`; `region` the
    region of numbers without a country code, such as "ID".
    """

    def __init__(self, keyed_name: Callable[[str, str, int], str], region: Callable[[], str]) -> None:
        self._keyed_name, self._region = keyed_name, region

    def call_name(self, call_id: str) -> str:
        """Return the pseudonym of a call whose call_id contains a number."""
        return f"call-{self._keyed_name('call', call_id, 20)}"

    def mask_call_id(self, call_id: str, digits: str | None = None) -> str:
        """Return the stored call_id: the pseudonym of one that reads as a number or contains `digits`."""
        if not may_contain_number(call_id):
            return call_id
        holds = contains_number(call_id, digits) or _contains_dialled_number(call_id, self._region())
        return self.call_name(call_id) if holds else call_id

    def mask_text(self, text: str, least: int = _MASKED_FIELDS["queue"]) -> str:
        """Return a text, or its pseudonym when it may contain a number."""
        return (
            text
            if not may_contain_number(text) or mask_numbers(text, least) == text
            else f"name-{self._keyed_name('text', text, 10)}"
        )

    def mask_operator(self, name: str) -> str:
        """Return an operator's name, or its pseudonym."""
        return self.mask_text(name, _MASKED_FIELDS["operator"])

    def mask_request(self, request: T, warnings: list[FieldWarning]) -> T:
        """Return a request with centre, queue, operator and incident masked; a warning is added for each."""
        fields = vars(request)
        told = {name: text for name in _MASKED_FIELDS if (text := fields.get(name)) and may_contain_number(text)}
        if not told:
            return request
        changed = self.masked_fields(told, digits_of(getattr(request, "caller", None)))
        for name, stands in changed.items():
            what = "a name stands for it" if stands else "taken as not known"
            warnings.append({"field": name, "detail": f"may hold a number, which is never kept; {what}"})
        return request.model_copy(update=changed) if changed else request

    def masked_fields(self, told: Mapping[str, Any], digits: str | None) -> dict[str, str | None]:
        """Return the masked centre, queue, operator and incident where they may contain a number.

        None stands for the caller's own, but not as the name of an incident: other callers' calls have it, too.
        """
        found: dict[str, str | None] = {}
        for name, least in _MASKED_FIELDS.items():
            text = told.get(name)
            if text is not None:
                own = name != "incident_id" and contains_number(text, digits)
                stands = None if own else self.mask_text(text, least)
                if stands != text:
                    found[name] = stands
        return found


def mask_numbers_in_json(value: Any) -> Any:
    """Mask every possible number in JSON of unknown origin: six digits and more.

    Examples
    --------
    >>> mask_numbers_in_json({"from": "0812-3456-7890", "0812345": [6281234567890, 12.3456789, 110, True]})
    {'from': '[number]', '[number]': [None, 12.3456789, 110, True]}
    """
    if isinstance(value, str):
        return mask_numbers(value, ADJACENT_DIGITS)
    if isinstance(value, list):
        return [mask_numbers_in_json(item) for item in value]
    if isinstance(value, dict):
        return {mask_numbers(name, ADJACENT_DIGITS): mask_numbers_in_json(item) for name, item in value.items()}
    long = isinstance(value, int | float) and abs(value) >= 10 ** (ADJACENT_DIGITS - 1)
    return None if long else value


@lru_cache(4_096)
def _contains_dialled_number(call_id: str, region: str) -> bool:
    """Whether a call_id is or contains a number as dialled or as a network sends it.

    Examples
    --------
    >>> [_contains_dialled_number(id, "ID") for id in ("+62 812-3456-7890", "pbx-081234567890-2", "6281234567890.1")]
    [True, True, True]
    >>> ids = ("1730448000.1234", "1730448000123", "112-20261101-0042", "000000001234")
    >>> [_contains_dialled_number(id, "US") for id in ids]
    [False, False, False, False]
    """
    if _NEEDS_MASK.search(call_id) and mask_id(call_id) != call_id:
        return True
    runs = _DIALLED_RUN.findall(call_id)
    country = str(phonenumbers.country_code_for_region(region)) if runs else ""
    return any(run.startswith("0") or (run.startswith(country) and _is_possible_number(f"+{run}")) for run in runs)


def _is_possible_number(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def _digits(text: str) -> str:
    """Return the digits of a text, of whatever script."""
    if text.isascii():
        return _NON_DIGIT.sub("", text)
    return "".join(str(int(character)) for character in text if character.isdecimal())
