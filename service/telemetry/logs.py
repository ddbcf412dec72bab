r"""The service's log: one line a record, and in no line a telephone number or a key.

**What counts as a number.** In anything that may hold free text (messages, exceptions, unknown fields) every run of
seven or more digits is one, whatever stands between them that people or programs put into numbers: spaces, dots,
dashes, slashes, brackets, `%20`, `\xa0`, invisible characters. Only a full time, such as 2026-11-01T20:15:00.123456Z,
stays: it has colons where a number has none. This masks some dates, sizes and hashes too; a log with a gap is better
than one with a caller. A value that is a number and no text passes below a million: `extra={"seconds": 0.0123456}`.

**Fields of their own** that hold ids (`extra={"call_id": ...}`, see IDENTIFIERS) stay as they are, since half of all
ids have seven digits in a row. They are masked when they read as a dialled number and nothing else, with a leading 0,
and in any part that starts with "+". A call_id is unique, so it cannot be just the caller's number; a request_id may
come from the client, so that nothing of seven to fifteen digits alone passes there.

What this does not protect against: a sender that hides a number inside a call_id, or spells it out.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from math import isfinite
from time import monotonic
from typing import Any, Literal, TextIO

#: What is known of the request that is being answered: the state of its ASGI scope, to which others may still add.
request_state: ContextVar[Mapping[str, Any] | None] = ContextVar("request_state", default=None)

IDENTIFIERS = frozenset(("call_id", "request_id", "trace_id", "release", "host"))
#: Characters. Texts are masked first and cut then: half a key is still half a key.
LONGEST, LONGEST_ID = 16_000, 200
NUMBER, KEY = "[number]", "[key]"

_BETWEEN = (
    r"(?:[\s().\-/+_~\u00ad\u00b7\u180e\u200b-\u200f\u2010-\u2015\u2024\u202a-\u202e\u2044\u2060-\u2069\u2212\ufe58\ufe63"
    r"\ufeff\uff08\uff09\uff0b\uff0d\uff0e]|%[0-9A-Fa-f]{2}|\\{1,4}(?:[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}))"
)


def _number(least: int) -> str:
    return rf"[+\uff0b(]{{0,3}}\d(?:{_BETWEEN}{{0,3}}\d){{{least - 1},}}"


_NUMBER = _number(7)
_TIME = (
    r"(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d"
    r"(?::[0-5]\d(?:\.\d{1,6})?)?(?:Z|[+-][01]\d:?[0-5]\d)?(?!\d)"
)
_TIME_OR_NUMBER = {least: re.compile(rf"({_TIME})|{_number(least)}") for least in (6, 7)}
_WHOLE_NUMBER = re.compile(rf"\s*(?:{_NUMBER})\s*")
_FROM_PLUS = re.compile(rf"[+\uff0b]\d(?:{_BETWEEN}{{0,3}}\d){{6,}}")
_KEY = re.compile(r"saring_[0-9A-Za-z]+_[0-9A-Za-z_-]{16,}|\b(?:bearer|basic)\s+[^\s\"',;]+", re.IGNORECASE)
_OWN = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"))


class RateLimit:
    """Lets one of many be logged in so many seconds, or an overloaded service would be busy with its log.

    Examples
    --------
    >>> may = RateLimit(60.0)
    >>> may(), may()
    (True, False)
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds, self._quiet_until_s = seconds, 0.0

    def __call__(self) -> bool:
        """Return whether this one is to be logged; the metrics have them all."""
        now_s = monotonic()
        if now_s < self._quiet_until_s:
            return False
        self._quiet_until_s = now_s + self._seconds
        return True


def mask_numbers(text: str, least: int = 7) -> str:
    """Take out of a free text whatever looks like a telephone number, of so many digits at least, or a key.

    Examples
    --------
    >>> mask_numbers("caller 0812-3456-7890 at 2026-11-01T20:15:00+07:00 after 12.5 s")
    'caller [number] at 2026-11-01T20:15:00+07:00 after 12.5 s'
    >>> mask_numbers("Authorization: Bearer saring_0123456789_abcdefghijklmnopqrstuvwxyz")
    'Authorization: [key]'
    """
    return _TIME_OR_NUMBER[least].sub(lambda found: found[1] or NUMBER, _KEY.sub(KEY, text))


def mask_id(text: str, *, dialled: bool = True) -> str:
    """Take out of an id only what can be nothing but a telephone number or a key.

    With `dialled`, digits alone are a number only behind a 0, as people dial it.

    Examples
    --------
    >>> [mask_id(id) for id in ("1730448000.1234", "+62 812-3456-7890", "0812 3456 7890", "00001234")]
    ['1730448000.1234', '[number]', '[number]', '00001234']
    """
    text = _FROM_PLUS.sub(NUMBER, _KEY.sub(KEY, text))
    digits = "".join(filter(str.isdecimal, text))
    is_number = 7 <= len(digits) <= 15 and _WHOLE_NUMBER.fullmatch(text)
    if is_number and (not dialled or (int(digits[0]) == 0 and int(digits[:3]) != 0)):
        return NUMBER
    return text[:LONGEST_ID]


def escape_control_characters(text: str) -> str:
    r"""Write control and invisible characters out, so that a text stays on its line and does nothing to a terminal.

    Examples
    --------
    >>> print(escape_control_characters("one\ntwo \x1b[31mred"))
    one\ntwo \x1b[31mred
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class Formatter(logging.Formatter):
    """Makes a line of a record."""

    def __init__(self, form: Literal["json", "text"]) -> None:
        super().__init__()
        self._json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line: time, level, logger, message, request_id, fields, exception."""
        line = self._document(record)
        if self._json:
            # The standard leaves DEL as it is, and terminals do not.
            return json.dumps(line, allow_nan=False).replace("\x7f", "\\u007f")
        start = [line.pop(name) for name in ("time", "level", "logger", "message")]
        fields = [f"{name}={_shown(value)}" for name, value in line.items() if value is not None]
        return " ".join(escape_control_characters(str(part)) for part in (*start, *fields))

    def _document(self, record: logging.LogRecord) -> dict[str, Any]:
        state = request_state.get() or {}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": mask_numbers(_message(record))[:LONGEST],
            "request_id": _value("request_id", state.get("request_id")),
        }
        if "trace_id" in state:
            line["trace_id"] = _value("trace_id", state["trace_id"])
        for name, value in vars(record).items():
            if name not in _OWN:
                line.setdefault(mask_numbers(name), _value(name, value))
        if record.exc_info:
            line["exception"] = mask_numbers(self.formatException(record.exc_info))[-LONGEST:]
        elif record.exc_text:
            line["exception"] = mask_numbers(record.exc_text)[-LONGEST:]
        if record.stack_info:
            line["stack"] = mask_numbers(record.stack_info)[-LONGEST:]
        return line


class Handler(logging.StreamHandler[TextIO]):
    """Writes lines; when that fails it says so without the record, which the standard would print as it is."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard's name
        """Report on standard error that a record is lost, and why."""
        print(f"a log record of {record.name} is lost: {sys.exc_info()[0]}", file=sys.stderr)


class Thinned(logging.Filter):
    """Lets one of many warnings of the server through: a client can cause one by every request."""

    def __init__(self) -> None:
        super().__init__()
        self._may_log = RateLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        return record.levelno != logging.WARNING or self._may_log()


def configure(level: str, format: Literal["json", "text"], stream: TextIO | None = None) -> None:  # noqa: A002
    """Send everything that this process logs through one handler; for the server only, once in each process.

    Lines go to `stream`, by default to standard error. uvicorn must be started with `log_config=None`, or it sets up
    lines of its own. Its access log is switched off: it has raw paths, and the metrics have what it says.
    """
    handler = Handler(stream)
    handler.setFormatter(Formatter(format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").filters[:] = [Thinned()]
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        told = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        logging.getLogger(__name__).critical("a thread has failed", exc_info=told)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a mistake in a log call must not lose what it wanted to say
        return f"{record.msg} (its arguments do not fit)"


def _value(name: str, value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not isfinite(value):
            return str(value)
        return NUMBER if abs(value) >= 1e6 else round(value, 6)
    if name in IDENTIFIERS:
        return mask_id(str(value), dialled=name != "request_id")
    return mask_numbers(str(value))[:LONGEST]


def _shown(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[\s"=]', text) else text
