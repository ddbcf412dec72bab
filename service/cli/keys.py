"""`saring keys`: makes, lists, replaces and ends access keys. The key itself is all that goes to standard output.

`numbers`, `rotate-numbers` and `drop-numbers` are of the other keys, those of the hash of callers' numbers; so is
`saring rekey`, which moves callers whose numbers are read in another way by now.
"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import SaringError
from service.cli.options import (
    Calls,
    Database,
    Journal,
    KeyFile,
    NamesAndValues,
    ServedRelease,
    open_database,
    parse_duration,
    read_log,
    settings,
)
from service.cli.output import Bar

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

app = typer.Typer(
    help="Access keys: who may call the service, and for what; and the keys of the hash of callers' numbers.",
    no_args_is_help=True,
)
KeyId = Annotated[str, typer.Argument(help="The key_id that `saring keys list` shows, not the key.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who will hold the key, such as pbx.")],
    role: Annotated[str, typer.Option(help="intake, operator, scientist or admin.")],
    expires: Annotated[
        str | None, typer.Option(help="For how long it is good, such as 90d; default: for ever.")
    ] = None,
    database: Database = None,
) -> None:
    """Make a key; it is shown this once."""
    from service.security.key_store import create_key as created

    now = datetime.now(UTC)
    until = None if expires is None else now + parse_duration("--expires", expires)
    with open_database(database, create=True) as engine:
        print(created(engine, name, role, now, until), flush=True)
        _explain(f"A key for {name!r} with the role {role}, {_until(until)}, kept in {_place(engine)}.")


@app.command(name="list")
def list_(database: Database = None) -> None:
    """List the keys that ever were, without their secrets."""
    from service.security.key_store import list_keys

    now = datetime.now(UTC)
    with open_database(database, create=True) as engine:
        found = list_keys(engine)
    if not found:
        print("no keys yet: saring keys create", file=sys.stderr)
        return
    print(f"{'key_id':<12}{'role':<11}{'state':<9}{'created':<22}{'ends':<22}name")
    for key in found:
        ends = key.revoked_at or key.expires_at
        state = f"{key.key_id:<12}{key.role:<11}{key.state(now):<9}"
        print(f"{state}{_time(key.created_at):<22}{_time(ends) if ends else 'never':<22}{key.name}")


@app.command()
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="For how long the old key stays good, such as 1h.")] = "1h",
    database: Database = None,
) -> None:
    """Make a new key in the place of one; it is shown this once."""
    from service.security.key_store import rotate_key as rotated

    still = parse_duration("--grace", grace)
    with open_database(database, create=True) as engine:
        print(rotated(engine, key_id, datetime.now(UTC), still), flush=True)
        _explain(f"It takes the place of {key_id}, which ends in {grace}; kept in {_place(engine)}.")


@app.command()
def revoke(key_id: KeyId, database: Database = None) -> None:
    """End a key now."""
    from service.security.key_store import revoke_key as revoked

    with open_database(database, create=True) as engine:
        revoked(engine, key_id, datetime.now(UTC))
    print(f"{key_id} opens nothing any more once the service has read this", file=sys.stderr)


@app.command()
def numbers(database: Database = None, key_file: KeyFile = None) -> None:
    """Show the keys of the hash of callers' numbers, the current one first, and how many callers are under each."""
    from service.maintenance.number_keys import count_callers, open_key_file

    with open_database(database, create=True) as engine:
        for place, name in enumerate(open_key_file(engine, settings(key_file=key_file).key_file).key_ids):
            current = "  current" if place == 0 else ""
            print(f"{name.hex()}  {count_callers(engine, name):>12,} callers{current}")


@app.command()
def rotate_numbers(key_file: KeyFile = None) -> None:
    """Make a new key of the hash of callers' numbers; each caller is moved to it when it rings, with its history."""
    from service.security.pseudonyms import rotate_number_key as rotated

    path = settings(key_file=key_file).key_file
    if not path.is_file():
        raise SaringError(f"{path}: there is no such file, expected the key file of the service")
    print(rotated(path).hex())
    print("It is the current key once every service on this history was started anew with the file. Back it up.",
          file=sys.stderr)  # fmt: skip


@app.command()
def drop_numbers(
    key_id: Annotated[str, typer.Argument(help="The id that `saring keys numbers` shows.")],
    database: Database = None,
    key_file: KeyFile = None,
    journal: Journal = None,
) -> None:
    """Take an older key of the hash of callers' numbers out of the file, once no caller is stored under it."""
    from service.maintenance.number_keys import drop_key

    chosen = settings(key_file=key_file, journal=journal)
    try:
        name = bytes.fromhex(key_id)
    except ValueError:
        raise SaringError(f"{key_id!r}: expected eight hex digits, as `saring keys numbers` shows them") from None
    with open_database(database, create=True) as engine:
        drop_key(engine, chosen.key_file, name, chosen.journal)
    print(f"{key_id} is gone from the key file for good", file=sys.stderr)


def rekey(
    calls: Calls,
    mapping: NamesAndValues = None,
    database: Database = None,
    release: ServedRelease = None,
    key_file: KeyFile = None,
    journal: Journal = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Move stored callers whose number is read in another way by now; a log with their numbers says who they are."""
    from model.release.folder import read_release
    from service.maintenance.erasure import check_journals
    from service.maintenance.number_keys import open_key_file
    from service.maintenance.rebuild import exclude_services
    from service.maintenance.renumbering import plan_renumbering, renumber

    chosen = settings(release=release, key_file=key_file, journal=journal)
    numbering, (log, _) = read_release(chosen.release).numbering, read_log(calls, None, mapping)
    texts = log["caller"].dropna().unique()
    with open_database(database) as engine:
        pseudonyms = open_key_file(engine, chosen.key_file)
        plan = plan_renumbering(engine, pseudonyms, texts, numbering)
        print(f"{len(texts):,} spellings in the log; of the callers stored under them:")
        print(f"  {plan.stay:,} stay as they are")
        print(f"  {plan.merged:,} are one with others by now, and become {plan.into:,}")
        print(f"  {plan.renamed:,} only change their hash")
        print(f"  {plan.nobodies:,} show no number, and their calls become calls without one")
        if plan.unclear:
            print(f"  {plan.unclear:,} stay, though the log shows each of them as several people by now")
        if plan.tombstones:
            print(f"{len(plan.tombstones):,} were erased under another reading: the note moves, and what is stored of "
                  "them under this one stays until it is erased")  # fmt: skip
        if dry_run:
            print("nothing was written")
            return
        check_journals(chosen.journal)
        with exclude_services(engine), Bar("moving", len(plan.moves)) as bar:
            renumber(engine, pseudonyms, plan, bar.advance, "command")
        print("done; saring rebuild proves it")


def _place(engine: "Engine") -> str:
    return engine.url.render_as_string(hide_password=True)


def _explain(what: str) -> None:
    print(f"{what}\nIt is not shown again. Send it as the header `Authorization: Bearer KEY`.", file=sys.stderr)


def _until(time: datetime | None) -> str:
    return f"good until {_time(time)}" if time else "good until it is revoked"


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
