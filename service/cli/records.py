"""What a centre does with its history: `saring rebuild`, `retention`, `erase`, `protect` and `switch`."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import SaringError
from service.cli.options import Database, Journal, KeyFile, ServedRelease, open_database, parse_duration, settings
from service.cli.output import Bar, counted

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from service.maintenance.verify import VerifyReport

#: Surge compares with the eight weeks before the last call, and an hour.
SHORTEST = timedelta(weeks=8, hours=1)
MAX_SHOWN = 50
WHO = "command"
Reason = Annotated[str, typer.Option(help="Why; it is kept, so do not write the number into it.")]
Number = Annotated[
    str, typer.Argument(help="The number; `-` reads it from standard input, since others can see a command line.")
]
protect = typer.Typer(help="The protected list: callers who are never deferred.", no_args_is_help=True)


def rebuild(
    database: Database = None,
    release: Annotated[
        Path | None, typer.Option(help="Release that the histories are to be made for; default: as they are.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Derive everything anew; no service may be running.")] = False,
) -> None:
    """Prove that every stored history follows from its events, or derive it anew for a release."""
    from model.release.folder import read_release
    from service.maintenance.rebuild import exclude_services
    from service.maintenance.rebuild import rebuild as written_anew
    from service.maintenance.verify import count, history_facts, labels_of, read_history_facts, verify

    with open_database(database) as engine:
        stored = read_history_facts(engine)
        labels = read_release(release).labels if release else labels_of(stored)
        others = {name: value for name, value in history_facts(labels).items() if stored.get(name, value) != value}
        total = count(engine)
        if write:
            with exclude_services(engine), Bar("writing", total) as bar:
                written = written_anew(engine, labels, bar.advance)
            print(f"{written.checkpoints:,} checkpoints dropped, {written.events:,} labels of events written anew")
            if written.callers_with_old_labels:
                print(
                    f"{written.callers_with_old_labels:,} callers keep the old labels of calls that retention removed"
                )
        elif others:
            name, value = next(iter(others.items()))
            raise SaringError(
                f"the histories were made with {name} {stored[name]}, not {value}: saring rebuild --write"
            )
        with Bar("checking", total) as bar:
            found = verify(engine, labels, bar.advance)
        _print_report(found)
        if found.differences:
            raise typer.Exit(1)


def retention(
    older_than: Annotated[str, typer.Option(help="Remove calls received longer ago than this, such as 180d.")],
    database: Database = None,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Then write the SQLite file anew, so that its unused space has nothing "
            "of them; calls are answered without a score for about ten seconds per gigabyte.",
        ),
    ] = False,
) -> None:
    """Remove old calls; what they taught of their callers stays, as sums. The service may go on running."""
    from service.maintenance.retention import count_old_calls, monitor_since_us, remove_old_calls
    from service.maintenance.scrubbing.sqlite_scrub import compact as written_anew
    from service.timestamps import microseconds, rfc3339

    age = parse_duration("--older-than", older_than)
    if age < SHORTEST:
        raise SaringError(
            f"--older-than: {older_than}, expected at least 57d: what is usual is that of the last eight weeks"
        )
    now = datetime.now(UTC)
    cutoff_us = microseconds(now - age)
    with open_database(database) as engine:
        since_us = monitor_since_us(engine)
        if since_us is not None and since_us < cutoff_us:
            print("note: the monitor of this release has counted callers whose calls are removed now, and starts anew "
                  f"at {rfc3339(cutoff_us)}", file=sys.stderr)  # fmt: skip
        total = count_old_calls(engine, cutoff_us)
        with Bar("removing old calls", total) as bar:
            removed = remove_old_calls(engine, cutoff_us, microseconds(now), bar.advance, WHO)
        print(f"{removed.calls:,} calls and {removed.events:,} events of {removed.streams:,} callers removed")
        if total > removed.calls:
            print(f"{total - removed.calls:,} old calls stay, behind later ones of the same callers, until these go")
        if compact:
            written_anew(engine)


def erase(
    caller: Annotated[str, typer.Option(help="The number; `-` reads it from standard input.")],
    reason: Reason,
    database: Database = None,
    release: ServedRelease = None,
    key_file: KeyFile = None,
    journal: Journal = None,
) -> None:
    """Forget a caller: history, hash and every observation. What is left is a note that it was done."""
    from service.contract.problems import Problem
    from service.maintenance.erasure import check_journals, check_reason, erase_from
    from service.security.pseudonyms import short_pseudonym

    chosen = settings(release=release, key_file=key_file, journal=journal)
    with open_database(database) as engine:
        number = _number(caller, chosen.release)
        hashes = _hashes(engine, chosen.key_file, number)
        try:
            check_reason(reason, number)
            check_journals(chosen.journal)
            removed = erase_from(engine, hashes, WHO, reason)
        except Problem as problem:
            raise SaringError(problem.detail) from None
        gone = f"{counted(removed.calls, 'call')} and {counted(removed.events, 'event')} removed"
        print(f"{short_pseudonym(hashes[0])}: {gone}")


@protect.command(name="add")
def protect_add(
    number: Number,
    reason: Reason,
    expires: Annotated[str, typer.Option(help="For how long, such as 365d.")] = "365d",
    database: Database = None,
    release: ServedRelease = None,
    key_file: KeyFile = None,
) -> None:
    """Put a caller on the list."""
    from service.contract.problems import Problem
    from service.maintenance.erasure import check_reason
    from service.maintenance.number_keys import hash_in_use, open_key_file
    from service.queue.protected_callers import add_protected
    from service.security.pseudonyms import short_pseudonym
    from service.store.database import run_transaction
    from service.timestamps import microseconds

    chosen, now = settings(release=release, key_file=key_file), datetime.now(UTC)
    ends_us = microseconds(now + parse_duration("--expires", expires))
    with open_database(database) as engine:
        normal = _number(number, chosen.release)
        try:
            check_reason(reason, normal)
        except Problem as problem:
            raise SaringError(problem.detail) from None
        pseudonyms = open_key_file(engine, chosen.key_file)
        mine = hash_in_use(engine, pseudonyms, normal)
        hashes = list(dict.fromkeys((mine, pseudonyms.hash(normal), *pseudonyms.others(normal))))
        run_transaction(
            engine,
            lambda connection: add_protected(connection, hashes, reason, ends_us, microseconds(now), WHO),
            snapshot=True,
        )
        print(f"{short_pseudonym(mine)} is protected for {expires}")


@protect.command(name="list")
def protect_list(database: Database = None) -> None:
    """Show the list."""
    from service.queue.protected_callers import list_protected
    from service.store.database import transaction
    from service.timestamps import now_us, rfc3339

    with open_database(database) as engine, transaction(engine) as connection:
        for one in list_protected(connection):
            ended = " (ended)" if one.expires_at_us <= now_us() else ""
            print(f"{one.caller}  until {rfc3339(one.expires_at_us)}{ended}  {one.reason}")


@protect.command(name="remove")
def protect_remove(
    number: Number, database: Database = None, release: ServedRelease = None, key_file: KeyFile = None
) -> None:
    """Take a caller off the list."""
    from service.queue.protected_callers import remove_protected
    from service.security.pseudonyms import short_pseudonym
    from service.store.database import run_transaction
    from service.timestamps import now_us

    chosen = settings(release=release, key_file=key_file)
    with open_database(database) as engine:
        hashes = _hashes(engine, chosen.key_file, _number(number, chosen.release))
        if not run_transaction(
            engine, lambda connection: remove_protected(connection, hashes, now_us(), WHO), snapshot=True
        ):
            raise SaringError(f"{short_pseudonym(hashes[0])} is not on the list")
        print(f"{short_pseudonym(hashes[0])} is no longer protected")


def switch(
    to: Annotated[str | None, typer.Argument(help="off stops all deferral and flags, on allows them again.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; operators read it.")] = None,
    database: Database = None,
) -> None:
    """Stop all deferral, from within a second on, or allow it again; without a word, show which it is."""
    from service.queue.operations import record_decision
    from service.store.database import run_transaction
    from service.timestamps import now_us

    if to not in (None, "on", "off"):
        raise SaringError(f"{to!r}, expected on or off")
    if to is not None and len((reason or "").strip()) < 3:
        raise SaringError("--reason: expected a few words, which operators read")
    with open_database(database) as engine:
        if to is not None:
            body = {"on": to == "on", "reason": (reason or "").strip()}
            run_transaction(
                engine, lambda connection: record_decision(connection, WHO, "switch", body, now_us()), snapshot=True
            )
        _show_switch(engine)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the one command."""
    for command in (rebuild, retention, erase, switch):
        app.command()(command)
    app.add_typer(protect, name="protect")


def _show_switch(engine: "Engine") -> None:
    from service.queue.operations import read_operations
    from service.timestamps import rfc3339

    switch = read_operations(engine).switch
    state = "on: calls may be deferred" if switch.on else "off: no call is deferred, none is marked"
    since = f" (since {rfc3339(switch.at_us)}, by {switch.who}: {switch.reason})" if switch.at_us else ""
    print(f"{state}{since}")


def _print_report(found: "VerifyReport") -> None:
    print(f"{found.streams:,} callers, {found.events:,} events, {found.calls:,} calls looked at")
    agreed = found.checkpoints - found.checkpoints_differ
    print(f"{agreed:,} of {found.checkpoints:,} checkpoints agree, {found.to_the_bit:,} of them to the bit")
    for difference in found.differences[:MAX_SHOWN]:
        print(f"  {difference}")
    if len(found.differences) > MAX_SHOWN:
        print(f"  and {len(found.differences) - MAX_SHOWN:,} more")
    print(f"{len(found.differences):,} differences" if found.differences else "everything agrees")


def _number(text: str, release: Path) -> str:
    """Read a number and normalise it."""
    from model.calls.phone_numbers import normalise_number
    from model.release.folder import read_release

    if text == "-":
        text = sys.stdin.readline().strip()
    else:
        print("note: others on this machine can see a number on a command line; - reads it from standard input",
              file=sys.stderr)  # fmt: skip
    normal = normalise_number(text, read_release(release).numbering)
    if normal is None:
        raise SaringError("this shows no number, expected a telephone number")
    return normal


def _hashes(engine: "Engine", key_file: Path, number: str) -> list[bytes]:
    from service.maintenance.number_keys import open_key_file

    pseudonyms = open_key_file(engine, key_file)
    return [pseudonyms.hash(number), *pseudonyms.others(number)]
