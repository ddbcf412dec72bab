"""What a data scientist does besides training: `saring export` and `drift`."""

from pathlib import Path
from typing import Annotated

import typer

from model.errors import ReleaseError
from service.cli.options import Corrections, parse_timestamp, read_log
from service.cli.output import Bar, print_drift
from service.cli.records import Database, opened_database


def export(
    out: Annotated[Path, typer.Option(help="Where the call log goes, .parquet or .csv.")],
    database: Database = None,
) -> None:
    """Write the service's own log, and later dispositions beside it, for training. The service may go on running."""
    from service.maintenance.log_export import count, export_log

    beside = out.with_name(f"{out.stem}.corrections{out.suffix}")
    with opened_database(database) as engine, Bar(f"exporting to {out}", count(engine)) as bar:
        written = export_log(engine, out, beside, bar.advance)
    print(f"{written.calls:,} calls in {out}, {written.corrections:,} corrections in {beside}")


def drift(
    release: Annotated[Path, typer.Option(help="Release folder.")],
    calls: Annotated[Path, typer.Option(help="Call log, CSV or Parquet, with the calls before as their histories.")],
    corrections: Corrections = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Look at calls from this moment on; default: the last weeks, 1 to 4.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every measure, not only those nearest their limit.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 when there is an alarm.")] = False,
) -> None:
    """Say whether calls still look like those that a release was made from."""
    from model.certification.drift import measure_drift
    from model.release.drift_samples import latest_calls
    from model.release.folder import read_release

    opened = read_release(release)
    if opened.profile is None:
        raise ReleaseError(f"{release}: was made before releases had a fingerprint; train again to watch for drift")
    log, later = read_log(calls, corrections)
    with Bar(f"looking at {calls}"):
        start = parse_timestamp("--from", since) if since else None
        found = measure_drift(opened.profile, latest_calls(log, opened, later, since=start))
    print_drift(found, every=every)
    if fail and found.alarm:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the one command."""
    for command in (export, drift):
        app.command()(command)
