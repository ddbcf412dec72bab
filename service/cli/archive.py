"""What a centre does with what its telephone system has written: `saring import-asterisk` and `import-freeswitch`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, available_timezones

import typer

from model.errors import SaringError
from service.cli.options import NamesAndValues
from service.cli.output import counted

if TYPE_CHECKING:
    from service.telephony.archive.past_calls import Joined

Files = Annotated[list[Path] | None, typer.Option("--queue-log", help="queue_log, or a part rotated away; repeatable.")]


def import_asterisk(
    out: Annotated[Path, typer.Option(help="Where the call log goes, .parquet or .csv.")],
    queue_log: Files = None,
    cdr: Annotated[
        list[str] | None,
        typer.Option(help="Master.csv, a cdr_custom file, or the SQLAlchemy URL of a database; repeatable."),
    ] = None,
    cdr_table: Annotated[str, typer.Option(help="The table of the records, where --cdr is a database.")] = "cdr",
    cdr_columns: Annotated[
        str, typer.Option(help="Names of the columns of a file without a header, in order, with commas between.")
    ] = "",
    time_zone: Annotated[
        str | None, typer.Option(help="Where the clock of the records stood, like Asia/Jakarta; UTC with usegmtime.")
    ] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Only calls of this queue; repeatable.")] = None,
    dialled: Annotated[
        list[str] | None, typer.Option(help="Without a queue_log: calls to this number (dst); repeatable.")
    ] = None,
    centre: Annotated[str | None, typer.Option(help="Name of the centre, written into every call.")] = None,
    outcome_event: Annotated[
        str, typer.Option(help="Event of QueueLog() that holds what an operator keyed.")
    ] = "DISPOSITION",
    mapping: NamesAndValues = None,
) -> None:
    """Make a call log of what Asterisk wrote: queue_log, call detail records, or both."""
    from service.telephony.archive.cdr import FIELDS, CallRecords, read_cdr, read_cdr_table
    from service.telephony.archive.past_calls import join_calls
    from service.telephony.archive.queue_log import QueueLog, read_queue_log

    if not queue_log and not cdr:
        raise SaringError("expected --queue-log, --cdr, or both")
    if cdr and time_zone not in available_timezones():
        raise SaringError(
            f"--time-zone: {time_zone!r}, expected the zone of the PBX's clock, like Asia/Jakarta: "
            "call detail records have local times without one (UTC with usegmtime=yes)"
        )
    names = [name.strip().lower() for name in cdr_columns.split(",") if name.strip()]
    if missing := {"start", "uniqueid"} - set(names) if names else set():
        raise SaringError(
            f"--cdr-columns: {', '.join(sorted(missing))} lacks, expected names such as {', '.join(FIELDS)}"
        )
    events = read_queue_log(queue_log) if queue_log else QueueLog([], [])
    zone = ZoneInfo(time_zone or "UTC")
    records = CallRecords([], [], 0.0)
    for source in cdr or []:
        more = read_cdr_table(source, cdr_table, zone) if "://" in source else read_cdr([Path(source)], zone, names)
        records = CallRecords(records.legs + more.legs, records.broken + more.broken, more.wrong_hours)
        if more.wrong_hours:
            raise SaringError(
                f"--time-zone: by {time_zone} the records start {more.wrong_hours:+g} h apart from when their "
                "uniqueids say that they did; expected the zone of the PBX's clock"
            )
    joined = join_calls(
        events.events, records.legs, queues=queue or (), dialled=dialled or (), outcome_event=outcome_event.upper()
    )
    _write_past(joined, events.broken + records.broken, mapping, centre, out)


def import_freeswitch(
    out: Annotated[Path, typer.Option(help="Where the call log goes, .parquet or .csv.")],
    cdr: Annotated[list[Path], typer.Option(help="JSON records, a folder of them, or a CSV; repeatable.")],
    time_zone: Annotated[str | None, typer.Option(help="Where the clock of a CSV stood, like Asia/Jakarta.")] = None,
    cdr_columns: Annotated[
        str, typer.Option(help="Names of the columns of a CSV, in order, with commas between; default: the usual.")
    ] = "",
    queue: Annotated[list[str] | None, typer.Option(help="Only calls of this queue; repeatable.")] = None,
    dialled: Annotated[list[str] | None, typer.Option(help="Also calls to this number; repeatable.")] = None,
    centre: Annotated[str | None, typer.Option(help="Name of the centre, written into every call.")] = None,
    mapping: NamesAndValues = None,
) -> None:
    """Make a call log of FreeSWITCH's call detail records."""
    from service.telephony.archive.freeswitch_cdr import COLUMNS, read_freeswitch

    if time_zone is not None and time_zone not in available_timezones():
        raise SaringError(f"--time-zone: {time_zone!r}, expected a zone like Asia/Jakarta")
    names = [name.strip().lower() for name in cdr_columns.split(",") if name.strip()]
    joined, broken = read_freeswitch(
        cdr,
        ZoneInfo(time_zone) if time_zone else None,
        names or COLUMNS,
        queues=frozenset(queue or ()),
        dialled=frozenset(dialled or ()),
    )
    _write_past(joined, broken, mapping, centre, out)


def _write_past(
    joined: "Joined", broken: Sequence[tuple[str, int]], mapping: Path | None, centre: str | None, out: Path
) -> None:
    from model.calls.call_log import write_log
    from model.calls.files.mapping import AS_IS, read_mapping
    from service.telephony.archive.call_table import past_log

    log = past_log(joined, read_mapping(mapping) if mapping else AS_IS, centre, datetime.now(UTC))
    if log.calls.empty:
        raise SaringError("no call entered a queue, or was to a number that --dialled names; nothing is written")
    write_log(log.calls, out)
    for heading, count, noun, text in log.account(broken):
        print(f"{heading:9} {counted(count, noun)} {text}")
    print(f"{counted(len(log.calls), 'call')} in {out}; next: saring check {out}, then saring train")
