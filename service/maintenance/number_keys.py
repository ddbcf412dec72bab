"""The keys of the hash of callers' numbers, against what a database holds under each of them."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from model.errors import SaringError, StoreError
from service.maintenance.erasure import check_journals
from service.security.pseudonyms import ID_BYTES, Pseudonyms, drop_number_key, read_keys
from service.store.database import run_transaction, transaction
from service.store.store import Store
from service.store.tables import bases, calls, checkpoints, events, facts, protected

#: So begins the fact that a service has used a key.
KEY_FACT_PREFIX = "number key "


def check_held(store: Store, pseudonyms: Pseudonyms) -> None:
    """See that every key under which callers are stored is still there.

    Raises
    ------
    StoreError
    """
    lacking = sorted(
        set(store.fact_names(KEY_FACT_PREFIX)) - {KEY_FACT_PREFIX + name.hex() for name in pseudonyms.key_ids}
    )
    if lacking:
        raise StoreError(f"its callers were stored with the {lacking[0]}, which the key file does not hold")


def take_in_use(store: Store, pseudonyms: Pseudonyms) -> None:
    """Hash numbers under the newest key that every service on a history holds: what one keeps all others then find.

    Raises
    ------
    StoreError
    """
    held = [name.hex() for name in pseudonyms.key_ids]
    used_before = {name.removeprefix(KEY_FACT_PREFIX) for name in store.fact_names(KEY_FACT_PREFIX)}
    if store.shared:
        # Of one that does not say, as one of an older version, is known that it was let in with the keys used before.
        of_all = [used_before if said is None else set(said.split()) for said in store.write_heartbeat(" ".join(held))]
        held = [name for name in held if all(name in of_one for of_one in of_all)] or held[-1:]
    pseudonyms.in_use = bytes.fromhex(held[0])
    if held[0] not in used_before:
        store.ensure_fact(KEY_FACT_PREFIX + held[0], "in use")


def open_key_file(engine: Engine, path: Path) -> Pseudonyms:
    """Read a key file that must hold every key under which a database was ever used.

    Raises
    ------
    SaringError
        When there is no such file, or it is that of another database.
    """
    if not path.is_file():  # none is made: under a new key nobody would be found
        raise SaringError(f"{path}: there is no such file, expected the key file of the service")
    pseudonyms = Pseudonyms(read_keys(path))
    held = {name.hex() for name in pseudonyms.key_ids}
    lacking = sorted(keys_in_use(engine) - held)
    if lacking:
        raise SaringError(f"{path}: does not hold the key {lacking[0]}, which the service on this database has used")
    return pseudonyms


def keys_in_use(engine: Engine) -> set[str]:
    """Return the ids, in hex, of the keys that services on a database were started with."""
    query = sa.select(facts.c.name).where(facts.c.name.startswith(KEY_FACT_PREFIX, autoescape=True))
    with transaction(engine) as connection:
        return {name.removeprefix(KEY_FACT_PREFIX) for name in connection.execute(query).scalars()}


def hash_in_use(engine: Engine, pseudonyms: Pseudonyms, number: str) -> bytes:
    """Return the hash by which a service knows a number now: that of the newest key it was started with."""
    known = keys_in_use(engine)
    hashes = [pseudonyms.hash(number), *pseudonyms.others(number)]
    return next((one for one in hashes if one[:ID_BYTES].hex() in known), hashes[0])


def count_callers(engine: Engine, name: bytes) -> int:
    """Count the callers that are stored under a key."""
    behind = (int.from_bytes(name) + 1).to_bytes(ID_BYTES)
    columns = (events.c.chain, bases.c.chain, checkpoints.c.chain, protected.c.chain, calls.c.caller)
    parts = [sa.select(column.label("chain")).where(column >= name, column < behind) for column in columns]
    with transaction(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(sa.union(*parts).subquery())).scalar_one())


def drop_key(engine: Engine, path: Path, name: bytes, journals: Path) -> None:
    """Take a key out of the file for good, once nobody is stored under it.

    Parameters
    ----------
    engine : Engine
    path : Path
        The key file.
    name : bytes
        The key's id.
    journals : Path
        Folder of the journals, which must be empty: their records have hashes.

    Raises
    ------
    SaringError
        When the key is not in the file, is the current one, or is still needed.
    """
    pseudonyms = open_key_file(engine, path)
    shown = name.hex()
    if name not in pseudonyms.key_ids:
        others = ", ".join(one.hex() for one in pseudonyms.key_ids)
        raise SaringError(f"{path}: holds no key {shown}, expected one of {others}")
    if name == pseudonyms.current:
        raise SaringError(f"{shown} is the current key: rotate first, and restart the service")
    shown_current = pseudonyms.current.hex()
    if shown_current not in keys_in_use(engine):
        raise SaringError(f"not every service was started with the current key {shown_current} yet: restart them")
    check_journals(journals)
    count = count_callers(engine, name)
    if count:
        raise SaringError(f"{count:,} callers are still stored under the key {shown}; each is moved when it rings")
    # The fact goes first: a key in the file that nobody asks for does no harm.
    run_transaction(
        engine,
        lambda connection: connection.execute(sa.delete(facts).where(facts.c.name == KEY_FACT_PREFIX + shown)),
        snapshot=True,
    )
    drop_number_key(path, name)
