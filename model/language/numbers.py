"""Numbers, stretches of time and days as a person reads them; what was not measured is said in words."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from math import ceil, floor, isfinite
from zoneinfo import ZoneInfo

from model.language.texts import Language, locale_of, texts_of


def is_known(*values: float | None) -> bool:
    """Return whether every value was measured.

    Examples
    --------
    >>> is_known(0.0, 1.5), is_known(0.0, None), is_known(float("nan"))
    (True, False, False)
    """
    return all(value is not None and isfinite(value) for value in values)


def choose_denominator(shares: Iterable[float | None], denominators: tuple[int, ...] = (100, 1_000)) -> int:
    """Choose of how many people shares are told: of the first number that keeps different shares apart.

    Examples
    --------
    >>> choose_denominator([0.091, 0.102]), choose_denominator([0.132, 0.129]), choose_denominator([0.5, 0.5])
    (100, 1000, 100)
    """
    values = {share for share in shares if share is not None}
    for whole in denominators:
        if len({round(share * whole) for share in values}) == len(values):
            return whole
    return denominators[-1]


def format_decimal(value: float | None, digits: int = 1, *, language: Language = "en") -> str:
    """Return a number with thousands marked, and so many decimals.

    Examples
    --------
    >>> format_decimal(13746, 0), format_decimal(1.758, language="id"), format_decimal(None)
    ('13,746', '1,8', 'not measured')
    """
    if value is None or not isfinite(value):
        return _text("not_measured", language)
    # Adding 0 makes a rounded -0.0 plain.
    return _marked(f"{round(value, digits) + 0.0:,.{digits}f}", language)


def format_count(value: float | None, *, language: Language = "en") -> str:
    """Return a whole number."""
    return format_decimal(value, 0, language=language)


def format_digits(value: float, digits: int, *, language: Language = "en") -> str:
    """Return a number with so many digits that count.

    Examples
    --------
    >>> format_digits(0.2857, 2), format_digits(234.0, 2), format_digits(0.5, 3, language="id")
    ('0.29', '230', '0,5')
    """
    return _marked(f"{float(f'{value:.{digits}g}'):,g}", language)


def format_amount(value: float, *, language: Language = "en") -> str:
    """Return a sum of weights: whole when it is, or when nobody asks for its tenths.

    Examples
    --------
    >>> format_amount(9.0), format_amount(3.4142, language="id"), format_amount(0.97), format_amount(0.02)
    ('9', '3,4', '1', 'less than 0.1')
    """
    if 0.0 < value < 0.1:
        return _text("less_than_a_tenth", language)
    return _marked(f"{value:,.0f}" if value >= 10.0 else f"{value:.1f}".removesuffix(".0"), language)


def format_percent(share: float, digits: int = 0, *, language: Language = "en") -> str:
    """Return a share in percent, with so many decimals.

    Examples
    --------
    >>> format_percent(0.925), format_percent(0.925, 1, language="id")
    ('92%', '92,5%')
    """
    return _marked(f"{share:.{digits}%}", language)


def format_precise(share: float, *, language: Language = "en") -> str:
    """Return a share in percent, with as many decimals as it has.

    Examples
    --------
    >>> format_precise(0.975), format_precise(0.975, language="id"), format_precise(0.95)
    ('97.5%', '97,5%', '95%')
    """
    return _marked(f"{100.0 * share:.6g}%", language)


def format_people(share: float | None, whole: int = 100, *, language: Language = "en") -> str:
    """Return a share as a count of people, without the whole.

    Examples
    --------
    >>> format_people(0.142), format_people(0.002), format_people(0.002, 1000), format_people(None, language="id")
    ('14', 'fewer than 1', '2', 'tidak terukur')
    """
    if share is not None and 0.0 < share * whole < 0.5:
        return _text("fewer_than_one", language)
    return format_count(None if share is None else share * whole, language=language)


def format_share(share: float | None, whole: int = 100, *, language: Language = "en") -> str:
    """Return a share as a count of a hundred people, or of another whole.

    Examples
    --------
    >>> format_share(0.142), format_share(0.0004, 10_000), format_share(0.0, language="id"), format_share(None)
    ('14 of 100', '4 of 10,000', '0 dari 100', 'not measured')
    """
    people = format_people(share, whole, language=language)
    if not is_known(share):
        return people
    return _text("share", language, people=people, whole=format_count(whole, language=language))


def format_limit(share: float, *, language: Language = "en") -> str:
    """Return a limit as a count of people, rounded up so that it is never told too low.

    Examples
    --------
    >>> format_limit(0.05), format_limit(0.025), format_limit(0.1608), format_limit(0.00037, language="id")
    ('5 of 100', '25 of 1,000', '17 of 100', '4 dari 10.000')
    """
    # Six places are enough to see that 0.07 * 100 is 7.
    exact = [whole for whole in (100, 1_000) if round(share * whole, 6).is_integer()]
    whole = next((whole for whole in (*exact, 100, 1_000) if share * whole >= 1.0), 10_000)
    return format_share(ceil(round(share * whole, 6)) / whole, whole, language=language)


def format_range(low: float | None, high: float | None, digits: int = 1, *, language: Language = "en") -> str:
    """Return an interval; "" when it was not measured.

    Examples
    --------
    >>> format_range(0.91, 1.34), format_range(None, 1.0)
    ('0.9 to 1.3', '')
    """
    if not is_known(low, high):
        return ""
    ends = (format_decimal(end, digits, language=language) for end in (low, high))
    return _text("range", language, **dict(zip(("low", "high"), ends, strict=True)))


def format_people_range(low: float | None, high: float | None, *, language: Language = "en") -> str:
    """Return an interval of shares as counts of a hundred people, rounded outward; "" when it was not measured.

    Examples
    --------
    >>> format_people_range(0.0, 0.19279), format_people_range(0.1353, 0.1519), format_people_range(None, None)
    ('0 to 20', '13 to 16', '')
    """
    if low is None or high is None or not is_known(low, high):
        return ""
    return format_range(floor(round(low * 100, 6)), ceil(round(high * 100, 6)), 0, language=language)


def format_duration(seconds: float | None, *, language: Language = "en") -> str:
    """Return a stretch of time in the unit that a person would choose.

    Examples
    --------
    >>> format_duration(4.6), format_duration(358.9), format_duration(900), format_duration(7300, language="id")
    ('5 s', '359 s', '15 min', '2,0 jam')
    """
    if seconds is None or not isfinite(seconds):
        return _text("not_measured", language)
    if abs(seconds) < 600.0:
        return _text("seconds", language, "unit", n=format_count(seconds, language=language))
    if abs(seconds) < 7_200.0:
        return _text("minutes", language, "unit", n=format_count(seconds / 60.0, language=language))
    return _text("hours", language, "unit", n=format_decimal(seconds / 3600.0, 1, language=language))


def format_elapsed(seconds: float, *, language: Language = "en") -> str:
    """Return how long ago something was, in the largest unit of which there are at least two.

    Examples
    --------
    >>> format_elapsed(30.0), format_elapsed(5400.0), format_elapsed(200_000.0, language="id")
    ('30 s', '90 minutes', '2 hari')
    """
    units = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))
    unit, length = next(((unit, length) for unit, length in units if seconds >= 2 * length), ("seconds", 1.0))
    return _text(unit, language, "elapsed", n=format_count(seconds / length, language=language))


def format_clock(hours: float, *, language: Language = "en") -> str:
    """Return a time of day.

    Examples
    --------
    >>> format_clock(14.55), format_clock(14.55, language="id")
    ('14:33', '14.33')
    """
    hour, minute = divmod(round(hours * 60.0), 60)
    return f"{hour:02}{'.' if language == 'id' else ':'}{minute:02}"


def format_day(at: datetime | str | None, zone: str = "UTC", *, language: Language = "en") -> str:
    """Return the local day of a moment.

    Examples
    --------
    >>> format_day("2024-12-31T19:00:00+00:00", "Asia/Jakarta", language="id"), format_day(None)
    ('1 Januari 2025', 'not measured')
    """
    from babel.dates import format_date

    if at is None:
        return _text("not_measured", language)
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return format_date(moment.astimezone(ZoneInfo(zone)).date(), "long", locale=locale_of(language))


#: How a gap of a text is written, and the filters of a template: `{ratio:decimal.2}`, `{{ ratio|decimal(2) }}`.
KINDS: Mapping[str, Callable[..., str]] = {
    "amount": format_amount,
    "clock": format_clock,
    "count": format_count,
    "day": format_day,
    "decimal": format_decimal,
    "digits": format_digits,
    "duration": format_duration,
    "elapsed": format_elapsed,
    "limit": format_limit,
    "people": format_people,
    "people_range": format_people_range,
    "percent": format_percent,
    "precise": format_precise,
    "range": format_range,
    "share": format_share,
}


def _text(name: str, language: Language, section: str = "number", **values: str) -> str:
    text = texts_of(language)[f"{section}.{name}"]
    return str(text).format(**values) if values else str(text)


def _marked(number: str, language: Language) -> str:
    """Put the marks of the language into a number that Python wrote, whose marks are the English ones."""
    return number if language == "en" else number.translate(_marks(language))


@cache
def _marks(language: Language) -> dict[int, str]:
    symbols = locale_of(language).number_symbols["latn"]
    return {ord(","): symbols["group"], ord("."): symbols["decimal"]}
