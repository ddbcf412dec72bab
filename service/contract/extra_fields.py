"""Fields of the sender's own, named `x_*`: kept with the call, within bounds, and never with the caller's number."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from pydantic_core import to_json

from service.contract.fields import DEEPEST, LONGEST_NAME, MAX_EXTRAS, printable_name
from service.contract.number_masks import ADJACENT_DIGITS, contains_number, mask_numbers_in_json
from service.telemetry.logs import mask_numbers

#: As much as one request has by default.
MAX_BYTES = 65_536
#: So many fields that are not known are pointed out one by one.
MAX_PROBLEMS = 20
Warned = dict[str, str]


def filter_extra_fields(found: Mapping[str, Any], digits: str | None) -> tuple[dict[str, Any], list[Warned]]:
    """Take out of the unknown fields of a request those that are kept.

    Parameters
    ----------
    found : mapping
        As they were sent; NaN and infinity may stand in them, which become null.
    digits : str or None
        Of the caller's number, as `service.contract.number_masks.digits_of` gives them; where nobody knows them,
        whatever may be a number is taken out.

    Returns
    -------
    kept : dict
        Those named `x_*`.
    warnings : list
        One entry for each of the others, up to twenty, and for each that could not be kept as it is.

    Examples
    --------
    >>> filter_extra_fields({"x_trunk": 7, "x_from": "<sip:+6281234567890@pbx>", "color": "red"}, "081234567890")[0]
    {'x_trunk': 7, 'x_from': None}
    >>> filter_extra_fields({"x_from": "<sip:+6281234567890@pbx>"}, None)[0]
    {'x_from': '<sip:[number]@pbx>'}
    """
    kept: dict[str, Any] = {}
    warnings: list[Warned] = []
    more = 0
    for name, value in found.items():
        problem: str | None
        if not name.startswith("x_"):
            problem = "is not a field of this request; extra fields are named x_*"
        elif len(name) > LONGEST_NAME or not name.isprintable() or _numbered(name, digits):
            problem = f"expected a name of at most {LONGEST_NAME} printable characters, without a number; not kept"
        elif len(kept) >= MAX_EXTRAS:
            problem = f"is one of more than {MAX_EXTRAS} fields named x_*; not kept"
        else:
            kept[name], problem = _sifted(value, digits)
        if problem and len(warnings) < MAX_PROBLEMS:
            warnings.append({"field": printable_name(name), "detail": problem})
        elif problem:
            more += 1
    if more:
        warnings.append({"field": "(body)", "detail": f"{more:,} more fields are not of this request or not kept"})
    return kept, warnings


def joined(
    kept: Mapping[str, Any], told: Mapping[str, Any], most_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], list[Warned]]:
    """Add the fields of a request to those that are kept of its call, up to `most_bytes` of JSON in all.

    A field that would go beyond that, or be one too many, is left as it was, with a warning.

    Examples
    --------
    >>> joined({"x_a": 1}, {"x_a": 2, "x_b": "so long a text"}, most_bytes=20)[0]
    {'x_a': 2}
    """
    all_of_it, left = dict(kept), 0
    size = sum(map(_size, all_of_it.items()))
    for name, value in told.items():
        longer = _size((name, value)) - (_size((name, all_of_it[name])) if name in all_of_it else 0)
        room = name in all_of_it or len(all_of_it) < MAX_EXTRAS or name == LAST_DIGITS
        if room and (longer <= 0 or size + longer <= most_bytes):
            all_of_it[name], size = value, size + longer
        else:
            left += 1
    if not left:
        return all_of_it, []
    detail = f"{left:,} fields go beyond the {MAX_EXTRAS} or {most_bytes:,} bytes that are kept of a call; left out"
    return all_of_it, [{"field": "x_*", "detail": detail}]


def _size(field: tuple[str, Any]) -> int:
    return sum(len(to_json(part)) + 1 for part in field)


def _numbered(name: str, digits: str | None) -> bool:
    return mask_numbers(name, ADJACENT_DIGITS) != name if digits is None else contains_number(name, digits)


def _sifted(value: object, digits: str | None) -> tuple[Any, str | None]:
    """Return a value as it is kept, and what was wrong with it."""
    try:
        plain = _plain(value, DEEPEST)
    except RecursionError:
        return None, f"is nested more than {DEEPEST} deep; taken as not known"
    if digits is None:
        bare = mask_numbers_in_json(plain)
        return bare, None if bare == plain else "may hold a number, which is never kept; it is masked"
    if value is not None and contains_number(to_json(plain).decode(), digits):
        return None, "holds the caller's number, which is never kept; taken as not known"
    return plain, None


def _plain(value: Any, deeper: int) -> Any:
    if isinstance(value, dict | list):
        if not deeper:
            raise RecursionError
        if isinstance(value, list):
            return [_plain(item, deeper - 1) for item in value]
        return {name: _plain(item, deeper - 1) for name, item in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


#: The field under which last digits stand among the sender's own; nobody but the service fills it.
LAST_DIGITS = "x_last_digits"
