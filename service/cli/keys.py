"""`saring keys`: makes, lists, replaces and ends access keys. The key itself is all that goes to standard output.

`numbers`, `rotate-numbers` and `drop-numbers` are of the other keys, those of the hash of callers' numbers.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import SaringError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

app = typer.Typer(
    help="Access keys: who may call the service, and for what; and the keys of the hash of callers' numbers.",
    no_args_is_help=True,
)
Database = Annotated[str | None, typer.Option(help="SQLAlchemy URL of the store; default: SARING_DATABASE.")]
KeyFile = Annotated[Path | None, typer.Option(help="Keys of the hash of numbers; default: SARING_KEY_FILE.")]
KeyId = Annotated[str, typer.Argument(help="The key_id that `saring keys list` shows, not the key.")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


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
    until = None if expires is None else now + duration("--expires", expires)
    with _opened(database) as engine:
        print(created(engine, name, role, now, until), flush=True)
        _explain(f"A key for {name!r} with the role {role}, {_until(until)}, kept in {_place(engine)}.")


@app.command(name="list")
def list_(database: Database = None) -> None:
    """List the keys that ever were, without their secrets."""
    from service.security.key_store import list_keys

    now = datetime.now(UTC)
    with _opened(database) as engine:
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

    still = duration("--grace", grace)
    with _opened(database) as engine:
        print(rotated(engine, key_id, datetime.now(UTC), still), flush=True)
        _explain(f"It takes the place of {key_id}, which ends in {grace}; kept in {_place(engine)}.")


@app.command()
def revoke(key_id: KeyId, database: Database = None) -> None:
    """End a key now."""
    from service.security.key_store import revoke_key as revoked

    with _opened(database) as engine:
        revoked(engine, key_id, datetime.now(UTC))
    print(f"{key_id} opens nothing any more, as soon as the service has read it", file=sys.stderr)


@app.command()
def numbers(database: Database = None, key_file: KeyFile = None) -> None:
    """Show the keys of the hash of callers' numbers, the current one first, and how many callers are under each."""
    from service.maintenance.number_keys import count_callers, open_key_file
    from service.settings import Settings

    with _opened(database) as engine:
        for place, name in enumerate(open_key_file(engine, key_file or Settings().key_file).key_ids):
            current = "  current" if place == 0 else ""
            print(f"{name.hex()}  {count_callers(engine, name):>12,} callers{current}")


@app.command()
def rotate_numbers(key_file: KeyFile = None) -> None:
    """Make a new key of the hash of callers' numbers; each caller is moved to it when it rings, with its history."""
    from service.security.pseudonyms import rotate_number_key as rotated
    from service.settings import Settings

    path = key_file or Settings().key_file
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
    journal: Annotated[Path | None, typer.Option(help="Folder of the journals; default: SARING_JOURNAL.")] = None,
) -> None:
    """Take an older key of the hash of callers' numbers out of the file, once no caller is stored under it."""
    from service.maintenance.number_keys import drop_key
    from service.settings import Settings

    settings = Settings()
    try:
        name = bytes.fromhex(key_id)
    except ValueError:
        raise SaringError(f"{key_id!r}: expected eight hex digits, as `saring keys numbers` shows them") from None
    with _opened(database) as engine:
        drop_key(engine, key_file or settings.key_file, name, journal or settings.journal)
    print(f"{key_id} is gone from the key file for good", file=sys.stderr)


def duration(option: str, text: str) -> timedelta:
    """Read a duration.

    Raises
    ------
    SaringError
        When it is not a number of up to four digits with its unit.

    Examples
    --------
    >>> duration("--expires", "90d"), duration("--grace", "0m")
    (datetime.timedelta(days=90), datetime.timedelta(0))
    """
    match = re.fullmatch(r"([0-9]{1,4})([mhdw])", text)
    if match is None:
        raise SaringError(f"{option}: {text!r}, expected minutes, hours, days or weeks, such as 30m, 1h, 90d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@contextmanager
def _opened(database: str | None) -> Iterator["Engine"]:
    from service.cli.options import database_of
    from service.store.database import connect

    engine = connect(database_of(database))
    try:
        yield engine
    finally:
        engine.dispose()


def _place(engine: "Engine") -> str:
    return engine.url.render_as_string(hide_password=True)


def _explain(what: str) -> None:
    print(f"{what}\nIt is not shown again. Send it as the header `Authorization: Bearer KEY`.", file=sys.stderr)


def _until(time: datetime | None) -> str:
    return f"good until {_time(time)}" if time else "good until it is revoked"


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
