"""Asterisk's call detail records: one row a leg, in the variants that people have.

Master.csv has no header and 16 to 21 columns, by what cdr.conf says; cdr_custom has an order of its own; others write a
header; many keep a table. A call makes several rows, which share their `linkedid` where it is written, else their
`uniqueid`.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from model.errors import LogError
from service.telephony.archive.pbx_clock import local_us
from service.telephony.archive.queue_log import numbered_lines
from service.telephony.channel_names import uniqueid_us

FIELDS = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer",
    "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield", "peeraccount", "linkedid",
    "sequence",
)  # fmt: skip
#: The order that the sample of cdr_custom.conf has.
CUSTOM = (
    "clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer", "end",
    "duration", "billsec", "disposition", "amaflags", "accountcode", "uniqueid", "userfield", "sequence",
)  # fmt: skip
#: What tables and headers call them besides.
ALIASES = {"calldate": "start", "callid": "clid", "source": "src", "destination": "dst"}
RESULTS = frozenset({"ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION", "CANCEL"})
_BASE, _NEW = FIELDS[:16], FIELDS[18:]
_ID = "uniqueid"


class Leg(NamedTuple):
    """One row.

    Parameters
    ----------
    start_us, answer_us, end_us : int or None
        Microseconds since 1970.
    billsec : float or None
        Seconds from answer to end.
    """

    uniqueid: str
    linkedid: str
    src: str
    dst: str
    dcontext: str
    lastapp: str
    lastdata: str
    start_us: int | None
    answer_us: int | None
    end_us: int | None
    billsec: float | None
    disposition: str
    userfield: str


class CallRecords(NamedTuple):
    """What was read.

    Parameters
    ----------
    legs : list of Leg
    broken : list of (str, int)
        File and line of what is no record, such as a last line that was cut.
    wrong_hours : float
        By how many hours the starts disagree with the uniqueids, in the median: other than 0 when the zone is wrong.
    """

    legs: list[Leg]
    broken: list[tuple[str, int]]
    wrong_hours: float


def read_cdr(paths: Iterable[Path], zone: ZoneInfo, columns: Sequence[str] = ()) -> CallRecords:
    """Read files of records.

    Parameters
    ----------
    zone : ZoneInfo
        Where the clock stood that wrote the times; UTC with `usegmtime=yes`.
    columns : sequence of str
        Their names, in order, where neither a header nor a known order says them.

    Raises
    ------
    LogError
        When a file cannot be read, or its order of columns is not known.
    """
    legs: list[Leg] = []
    broken: list[tuple[str, int]] = []
    for path in paths:
        names = tuple(columns)
        for number, fields in _records(path):
            if fields is None:
                broken.append((str(path), number))
                continue
            if not names:
                names = _names_of(path, fields)
                if _ID in (field.strip().lower() for field in fields):
                    continue
            if len(fields) != len(names):
                broken.append((str(path), number))
            else:
                legs.append(leg_of(dict(zip(names, fields, strict=True)), zone))
    return CallRecords(legs, broken, wrong_hours(legs))


def read_cdr_table(url: str, table: str, zone: ZoneInfo) -> CallRecords:
    """Read records from a table; its columns are named as in Asterisk, or `calldate` for the start.

    Raises
    ------
    LogError
        When the database or the table cannot be read.
    """
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            rows = connection.execute(sa.select(sa.Table(table, sa.MetaData(), autoload_with=connection)))
            names = [ALIASES.get(name.lower(), name.lower()) for name in rows.keys()]  # noqa: SIM118 - no mapping
            texts = (["" if value is None else str(value) for value in row] for row in rows)
            legs = [leg_of(dict(zip(names, values, strict=True)), zone) for values in texts]
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        # Neither the URL nor the statement is quoted: a password may stand in them.
        raise LogError(f"--cdr: the table {table} cannot be read: {type(error).__name__}") from error
    return CallRecords(legs, [], wrong_hours(legs))


def leg_of(row: dict[str, str], zone: ZoneInfo) -> Leg:
    """Make a leg of a row's texts by name; what is not there is empty.

    Examples
    --------
    >>> row = {"uniqueid": "1717207200.1", "start": "2024-06-01 09:00:00", "billsec": "35"}
    >>> leg = leg_of(row, ZoneInfo("Asia/Jakarta"))
    >>> leg.linkedid, leg.start_us, leg.billsec
    ('1717207200.1', 1717207200000000, 35.0)
    """
    uniqueid = row.get("uniqueid", "").strip()
    near = uniqueid_us(uniqueid)
    start_us = local_us(row.get("start", "").strip(), zone, near)
    later = start_us if start_us is not None else near
    return Leg(
        uniqueid=uniqueid,
        linkedid=row.get("linkedid", "").strip() or uniqueid,
        src=row.get("src", "").strip(),
        dst=row.get("dst", "").strip(),
        dcontext=row.get("dcontext", "").strip(),
        lastapp=row.get("lastapp", "").strip(),
        lastdata=row.get("lastdata", "").strip(),
        start_us=start_us,
        answer_us=local_us(row.get("answer", "").strip(), zone, later),
        end_us=local_us(row.get("end", "").strip(), zone, later),
        billsec=_seconds(row.get("billsec", "")),
        disposition=row.get("disposition", "").strip().upper(),
        userfield=row.get("userfield", "").strip(),
    )


def wrong_hours(legs: Sequence[Leg]) -> float:
    """Return by how many hours, in the median, legs start apart from when their uniqueids say; 0.0 when none says.

    A channel is made at most seconds before its record starts, so whole hours or halves of them are a wrong zone.
    """
    apart = sorted(
        leg.start_us - made for leg in legs if leg.start_us is not None and (made := uniqueid_us(leg.uniqueid))
    )
    return round(apart[len(apart) // 2] / 3.6e9 * 4) / 4 if apart else 0.0


def _names_of(path: Path, fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns that the first record shows: of its header, else by where result and flags stand."""
    values = [field.strip() for field in fields]
    header = tuple(ALIASES.get(value.lower(), value.lower()) for value in values)
    if _ID in header:
        return header
    if len(values) in (18, 19) and values[13].upper() in RESULTS:
        return CUSTOM[: len(values)]
    if len(values) >= len(_BASE) and values[14].upper() in RESULTS:
        extra = len(values) - len(_BASE)
        new, extra = (_NEW, extra - 3) if extra >= 3 else ((), extra)
        if extra == 2:
            return (*_BASE, "uniqueid", "userfield", *new)
        if extra == 1:
            one = "uniqueid" if uniqueid_us(values[16]) is not None else "userfield"
            return (*_BASE, one, *new)
        if extra == 0:
            return (*_BASE, *new)
    raise LogError(
        f"{path}: the order of its {len(values)} columns is not known; expected a header with uniqueid, the order of "
        "Master.csv or of the sample cdr_custom.conf, or --cdr-columns with their names"
    )


def _records(path: Path) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line and the fields of each record; None for a last line that was cut."""
    lines = list(numbered_lines(path))
    cut = lines.pop() if lines and not lines[-1][2] else None
    reader = csv.reader(line for _, line, _ in lines)
    for fields in reader:
        yield lines[reader.line_num - 1][0], fields
    if cut is not None:
        yield cut[0], None


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
