"""Numbers as a person says them, in English and Indonesian; what was not measured is said in words."""

from collections.abc import Iterable
from datetime import datetime
from math import ceil, floor, isfinite
from zoneinfo import ZoneInfo

from model.promise import Language

MONTHS: dict[Language, tuple[str, ...]] = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "id": (
        "Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November",
        "Desember",
    ),
}  # fmt: skip
NOT_MEASURED: dict[Language, str] = {"en": "not measured", "id": "tidak terukur"}
_UNITS: dict[Language, tuple[str, str, str]] = {"en": ("s", "min", "h"), "id": ("detik", "menit", "jam")}
_FEWER: dict[Language, str] = {"en": "fewer than 1", "id": "kurang dari 1"}
_OF: dict[Language, str] = {"en": "of", "id": "dari"}
_TO: dict[Language, str] = {"en": "to", "id": "sampai"}


def known(*values: float | None) -> bool:
    """Say whether every value was measured.

    Examples
    --------
    >>> known(0.0, 1.5), known(0.0, None), known(float("nan"))
    (True, False, False)
    """
    return all(value is not None and isfinite(value) for value in values)


def decimal(value: float | None, digits: int = 1, language: Language = "en") -> str:
    """Write a number with thousands marked, and so many decimals.

    Examples
    --------
    >>> decimal(13746, 0), decimal(1.758, 1, "id"), decimal(13746, 0, "id"), decimal(None)
    ('13,746', '1,8', '13.746', 'not measured')
    """
    if value is None or not isfinite(value):
        return NOT_MEASURED[language]
    # Adding 0 makes a rounded -0.0 plain.
    text = f"{round(value, digits) + 0.0:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "id" else text


def count(value: float | None, language: Language = "en") -> str:
    """Write a whole number; `decimal` without decimals."""
    return decimal(value, 0, language)


def whole_for(shares: Iterable[float | None], wholes: tuple[int, ...] = (100, 1_000)) -> int:
    """Choose of how many people shares are told: of the first whole that keeps different shares apart.

    Examples
    --------
    >>> whole_for([0.091, 0.102]), whole_for([0.132, 0.129]), whole_for([0.1321, 0.1322]), whole_for([0.5, 0.5])
    (100, 1000, 1000, 100)
    """
    values = {share for share in shares if share is not None}
    for whole in wholes:
        if len({round(share * whole) for share in values}) == len(values):
            return whole
    return wholes[-1]


def people(share: float | None, language: Language = "en", whole: int = 100) -> str:
    """Write a share as a count of people, without the whole.

    Examples
    --------
    >>> people(0.142), people(0.002), people(0.002, "id", 1000), people(0.0), people(None, "id")
    ('14', 'fewer than 1', '2', '0', 'tidak terukur')
    """
    if share is None or not isfinite(share):
        return NOT_MEASURED[language]
    if 0.0 < share * whole < 0.5:
        return _FEWER[language]
    return count(share * whole, language)


def of_people(share: float | None, language: Language = "en", whole: int = 100) -> str:
    """Write a share as a count of a hundred people, or of another whole.

    Examples
    --------
    >>> of_people(0.142), of_people(0.0004), of_people(0.0004, whole=10_000), of_people(None)
    ('14 of 100', 'fewer than 1 of 100', '4 of 10,000', 'not measured')
    """
    said = people(share, language, whole)
    return said if not known(share) else f"{said} {_OF[language]} {count(whole, language)}"


def at_most(share: float, language: Language = "en") -> str:
    """Write a limit as a count of people, rounded up so that it is never told too low.

    Examples
    --------
    >>> at_most(0.05), at_most(0.1608), at_most(0.00037), at_most(1.0, "id")
    ('5 of 100', '17 of 100', '4 of 10,000', '100 dari 100')
    """
    whole = next((whole for whole in (100, 1_000) if share * whole >= 1.0), 10_000)
    return f"{count(ceil(round(share * whole, 6)), language)} {_OF[language]} {count(whole, language)}"


def span(low: float | None, high: float | None, digits: int = 1, language: Language = "en") -> str:
    """Write an interval; "" when it was not measured.

    Examples
    --------
    >>> span(0.91, 1.34), span(None, 1.0)
    ('0.9 to 1.3', '')
    """
    if not known(low, high):
        return ""
    return f"{decimal(low, digits, language)} {_TO[language]} {decimal(high, digits, language)}"


def span_of(low: float | None, high: float | None, language: Language = "en", whole: int = 100) -> str:
    """Write an interval of shares as counts of people, outward rounded; "" when it was not measured.

    Examples
    --------
    >>> span_of(0.0, 0.19279), span_of(0.1353, 0.1519), span_of(None, None)
    ('0 to 20', '13 to 16', '')
    """
    if low is None or high is None or not known(low, high):
        return ""
    ends = floor(round(low * whole, 6)), ceil(round(high * whole, 6))
    return f"{count(ends[0], language)} {_TO[language]} {count(ends[1], language)}"


def duration(seconds: float | None, language: Language = "en") -> str:
    """Write a stretch of time in the unit that a person would choose.

    Examples
    --------
    >>> duration(4.6), duration(358.9), duration(900), duration(7300, "id"), duration(None)
    ('5 s', '359 s', '15 min', '2,0 jam', 'not measured')
    """
    if seconds is None or not isfinite(seconds):
        return NOT_MEASURED[language]
    second, minute, hour = _UNITS[language]
    if abs(seconds) < 600.0:
        return f"{count(seconds, language)} {second}"
    if abs(seconds) < 7_200.0:
        return f"{count(seconds / 60.0, language)} {minute}"
    return f"{decimal(seconds / 3600.0, 1, language)} {hour}"


def day(at: datetime | str | None, zone: str, language: Language = "en") -> str:
    """Write the local day of a moment.

    Examples
    --------
    >>> day("2024-12-31T19:00:00+00:00", "Asia/Jakarta", "id"), day(None, "UTC")
    ('1 Januari 2025', 'not measured')
    """
    if at is None:
        return NOT_MEASURED[language]
    moment = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(ZoneInfo(zone))
    return f"{moment.day} {MONTHS[language][moment.month - 1]} {moment.year}"
