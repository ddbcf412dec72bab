"""The one command, `saring`. Each command reads its words and files here and leaves the work to its room."""

import gc
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from model.errors import SaringError
from service.cli import archive, keys, records, science, telephony
from service.cli import registry as cli_registry
from service.cli.options import (
    Calls,
    Corrections,
    Database,
    KeyFile,
    NamesAndValues,
    ReleaseFolder,
    database_of,
    read_log,
    settings,
)
from service.cli.output import Bar, counted, list_problems, print_callers

app = typer.Typer(
    help="Scores how likely an emergency call is a prank, from call metadata alone. It never drops, blocks or answers "
    "a call.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def simulate(
    city: Annotated[str, typer.Option(help="Name of a made-up city; `saring simulate --city ?` lists them.")],
    out: Annotated[Path, typer.Option(help="Where the call log goes, .parquet or .csv.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same log.")] = 0,
    calls: Annotated[int | None, typer.Option(min=1, help="Scale the city to about so many calls.")] = None,
) -> None:
    """Write a made-up city's call log, and its corrections beside it."""
    from model.calls.call_log import write_log
    from model.simulation.city import cities
    from model.simulation.city import simulate as simulated

    if city not in cities():
        raise SaringError(f"--city: {city!r}, expected one of {', '.join(cities())}")
    with Bar(f"simulating {city}"):
        log = simulated(city, seed, calls=calls)
        beside = out.with_name(f"{out.stem}.corrections{out.suffix}")
        write_log(log.calls, out)
        write_log(log.corrections, beside)
    print(f"{len(log.calls):,} calls in {out}, {len(log.corrections):,} corrections in {beside}")


@app.command()
def check(
    calls: Annotated[Path, typer.Argument(help="Call log: CSV, Parquet or an Excel workbook.")],
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for what was counted.")] = None,
    region: Annotated[
        str | None, typer.Option(help="ISO 3166 region of numbers without a country code; default: that of --params.")
    ] = None,
    params: Annotated[Path | None, typer.Option(help="Settings of training: how callers are read.")] = None,
) -> None:
    """Check a call log against the contract; list every row that breaks it, and say who the callers were read as."""
    from model.calls.call_log import BrokenLogError
    from model.calls.caller_counts import count_callers
    from model.calls.phone_numbers import numbering_of
    from model.params import read_params
    from model.release.folder import to_bytes

    chosen = read_params(params)
    try:
        numbering = numbering_of(region or chosen.region, chosen.callers.shared, chosen.callers.pseudonym)
    except ValueError as error:
        raise SaringError(f"--region: {region!r}: {error}") from None
    try:
        log, later = read_log(calls, corrections, mapping, say_all=True)
    except BrokenLogError as broken:
        list_problems(broken)
        raise typer.Exit(1) from None
    if not len(log):
        print(f"{calls}: no calls")
        raise typer.Exit(1)
    first, last = log["received_at"].min(), log["received_at"].max()
    labelled, counts = int(log["disposition"].notna().sum()), count_callers(log["caller"], numbering)
    print(f"{calls}: {counted(len(log), 'call')} from {first} to {last}, no problem found")
    print_callers(counts)
    corrected = "" if later is None else f", {counted(len(later), 'correction')}"
    print(f"{counted(labelled, 'call')} with a disposition{corrected}")
    dispositions = {str(name): int(count) for name, count in log["disposition"].value_counts().items()}
    for name, count in dispositions.items():
        print(f"  {name:<14}{count:>12,}")
    if out:
        summary: dict[str, Any] = {
            "calls": len(log),
            "shapes": {str(shape): int(number) for shape, number in counts.calls.items()},
            "numbers": int(counts.callers.sum()),
            "spellings": counts.spellings,
            "without_number": int(counts.nobody.sum()),
            "with_disposition": labelled,
        }
        summary |= {"corrections": 0 if later is None else len(later), "dispositions": dispositions}
        out.write_bytes(to_bytes(summary))


@app.command()
def serve(
    release: Annotated[Path | None, typer.Option(help="Release folder.")] = None,
    registry: Annotated[
        str | None, typer.Option(help="Follow a registry instead, such as models:/saring@champion.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy URL of the store.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8112,
    insecure_local: Annotated[
        bool, typer.Option("--insecure-local", help="Let anybody on this machine do everything, without a key.")
    ] = False,
    mode: Annotated[str | None, typer.Option(help="pbx: the PBX delivers; board: operators take calls.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; more than one needs PostgreSQL.")] = 1,
    certfile: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.")] = None,
    keyfile: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    root_path: Annotated[
        str | None, typer.Option(help="Path under which a proxy passes requests on, such as /saring.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Let a log be told by its own clock; never where calls are live.")
    ] = False,
) -> None:
    """Serve a release over HTTP. What is not given here comes from the environment, SARING_*."""
    if release is not None and registry is not None:
        raise SaringError("--registry: given together with --release, expected one of them")
    tls = {"ssl_certfile": certfile, "ssl_keyfile": keyfile} if certfile else None
    gc.disable()  # hardly anything of what is imported is garbage, and looking for it takes a tenth of the start
    try:
        from service.server.process import run

        chosen = settings(
            release=release,
            registry=registry,
            database=database_of(database),
            mode=mode,
            insecure_local=insecure_local or None,
            root_path=root_path,
            replay=replay or None,
        )
        run(chosen, host, port, workers=workers, tls=tls)
    finally:
        gc.enable()


@app.command(name="import")
def import_(
    calls: Calls,
    database: Database = None,
    release: ReleaseFolder = Path("release"),
    key_file: KeyFile = None,
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
) -> None:
    """Load a call log into a service's history, once per call_id. The service must not be running on a SQLite file."""
    from model.release.folder import read_release
    from service.maintenance.log_import import import_log
    from service.maintenance.number_keys import keys_in_use, open_key_file, take_in_use
    from service.security.pseudonyms import Pseudonyms, read_keys
    from service.store.store import Store

    opened = read_release(release)
    log, later = read_log(calls, corrections, mapping)
    path, store = settings(key_file=key_file).key_file, Store(database_of(database))
    try:
        # A key is made only for a database that has no callers yet.
        pseudonyms = open_key_file(store.engine, path) if keys_in_use(store.engine) else Pseudonyms(read_keys(path))
        take_in_use(store, pseudonyms)
        with Bar(f"importing {len(log):,} calls", len(log)) as progress:
            added = import_log(log, later, opened, store, pseudonyms, progress.advance)
    finally:
        store.close()
    print(f"{added:,} calls added, {len(log) - added:,} were known already")


@app.command()
def replay(
    calls: Calls,
    url: Annotated[str, typer.Option(help="Address of the service, such as http://127.0.0.1:8112.")],
    live: Annotated[
        bool, typer.Option("--live/--as-recorded", help="Shift the log to end now, or keep its own clock.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds of the log in one; default: as fast as it goes.")
    ] = None,
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
    key: Annotated[str | None, typer.Option(envvar="SARING_KEY", help="Access key with the role intake.")] = None,
) -> None:
    """Tell a call log to a running service, event by event."""
    import httpx

    from service.playback.log_replay import replay as replayed
    from service.playback.log_replay import shift_to_now, steps

    log, later = read_log(calls, corrections, mapping)
    found = steps(log, later)
    if live:
        found = shift_to_now(found, datetime.now(UTC))
    with (
        httpx.Client(base_url=url, timeout=30.0, headers={"Authorization": f"Bearer {key}"} if key else {}) as client,
        Bar(f"replaying {len(log):,} calls", len(found)) as progress,
    ):
        replayed(found, client, as_recorded=not live, speed=speed, told=lambda *_: progress.advance(1))
    print(f"{len(log):,} calls, {len(found):,} events told to {url}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its files.")] = Path("demo"),
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8112,
    stay: Annotated[
        bool | None, typer.Option(help="Keep serving until Ctrl-C; by default when this is a terminal.")
    ] = None,
) -> None:
    """Tell the whole story on this machine: simulate, train, serve, replay."""
    from service.playback.demo import run

    run(folder, port, stay=sys.stdin.isatty() if stay is None else stay)


app.add_typer(keys.app, name="keys")
app.command()(keys.rekey)
app.command()(archive.import_asterisk)
app.command()(archive.import_freeswitch)
app.command()(telephony.dispose)
app.add_typer(telephony.asterisk, name="asterisk")
app.add_typer(telephony.freeswitch, name="freeswitch")
records.add_to(app)
science.add_to(app)
cli_registry.add_to(app)


def main() -> None:
    """Run the command; what a person can mend is told in one sentence, with exit status 1."""
    try:
        app()
    except (SaringError, OSError) as error:
        print(f"saring: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
