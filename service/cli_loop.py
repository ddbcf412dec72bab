"""What a data scientist does besides training: `saring export`."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli_history import Database, opened_database
from service.terminal import Bar


def export(
    out: Annotated[Path, typer.Option(help="Where the call log goes, .parquet or .csv.")],
    database: Database = None,
) -> None:
    """Write the service's own log, and later dispositions beside it, for training. The service may go on running."""
    from service.log_export import count, export_log

    beside = out.with_name(f"{out.stem}.corrections{out.suffix}")
    with opened_database(database) as engine, Bar(f"exporting to {out}", count(engine)) as bar:
        written = export_log(engine, out, beside, bar.advance)
    print(f"{written.calls:,} calls in {out}, {written.corrections:,} corrections in {beside}")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the one command."""
    for command in (export,):
        app.command()(command)
