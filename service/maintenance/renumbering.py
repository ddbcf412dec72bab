"""Moves stored callers to who they are by now.

A number is stored only as a hash, so that how it was once read cannot be mended there.
A log of old knows the numbers. Each of its texts is read as it was before and as it is now, and whatever is stored
under the one hash goes to the other: events, folded history, protection, the note of an erasure. Callers who show no
number by now become calls without one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from model.calls.phone_numbers import Numbering, normalise_number
from service.intake.rekeying import move_stream
from service.maintenance.number_keys import keys_in_use
from service.queue.operations import record_decision
from service.security.pseudonyms import Pseudonyms
from service.security.tombstones import add_tombstones, last_erased_at_us
from service.store.database import run_transaction, transaction
from service.store.event_streams import lock
from service.store.records import stream_of
from service.store.tables import bases, calls, checkpoints, events, protected
from service.timestamps import microseconds

T = TypeVar("T")
#: So many callers are moved in one transaction, and so many hashes looked up at once.
AT_ONCE, LOOKED_UP = 100, 1_000
_NOBODY = re.compile(
    r"[+\s0-]*|<?(sips?:)?(unknown|anonymous|private|withheld|restricted|unavailable|null|none|nan)>?(@.*)?",
    re.IGNORECASE,
)
_E164, _DIALLED = re.compile(r"\+[1-9][0-9]{6,14}"), re.compile(r"(tel:)?\+?\(?[0-9][0-9\s().\-/]{5,}")


@dataclass
class Renumbering:
    """What another reading of a log's callers changes in a database.

    Parameters
    ----------
    moves : dict of bytes to (bytes or None)
        From the stored hash to the one it moves to; None where no number is shown.
    tombstones : dict of str to int
        By caller, when it was erased under another reading, in microseconds since 1970.
    stay : int
        Stored callers who are read as before.
    merged, into : int
        Stored callers who become one with others, and how many they become.
    renamed : int
        Stored callers whose hash changes, and nothing else.
    unclear : int
        Stored callers whom the log shows as several people by now, so that nobody can tell whose a call was; they stay.
    """

    moves: dict[bytes, bytes | None] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)
    stay: int = 0
    merged: int = 0
    into: int = 0
    renamed: int = 0
    unclear: int = 0

    @property
    def nobodies(self) -> int:
        """Stored callers who show no number by now."""
        return sum(new is None for new in self.moves.values())


def plan_renumbering(engine: Engine, pseudonyms: Pseudonyms, texts: Iterable[str], numbering: Numbering) -> Renumbering:
    """Find which stored callers a log shows to be somebody else, or nobody. Nothing is written.

    Parameters
    ----------
    engine : Engine
    pseudonyms : Pseudonyms
        With every key under which callers are stored.
    texts : iterable of str
        The callers of a log, each as it was written.
    numbering : Numbering
        How they are read now.
    """
    known = keys_in_use(engine)
    pseudonyms.in_use = next((name for name in pseudonyms.key_ids if name.hex() in known), pseudonyms.current)
    now_of: dict[str, set[str | None]] = {}
    for text in texts:
        for before in {_read_before(text, numbering.region), normalise_number(text, Numbering(numbering.region))}:
            if before is not None:
                now_of.setdefault(before, set()).add(normalise_number(text, numbering))
    hashes = {one: [pseudonyms.hash(one), *pseudonyms.others(one)] for one in {*now_of, *_persons(now_of)}}
    found, stored = Renumbering(), _stored(engine, [one for several in hashes.values() for one in several])
    sources: dict[str, int] = {}
    for before, now in now_of.items():
        here = [one for one in hashes[before] if one in stored]
        if len(now) > 1:
            found.unclear += bool(here)
            continue
        (new,) = now
        if new == before:
            found.stay += bool(here)
            continue
        found.moves.update(dict.fromkeys(here, None if new is None else hashes[new][0]))
        if new is not None:
            sources[new] = sources.get(new, 0) + bool(here)
            with transaction(engine) as connection:
                erased_at_us = last_erased_at_us(connection, hashes[before])
            if erased_at_us:
                found.tombstones[new] = max(erased_at_us, found.tombstones.get(new, 0))
    for new, count in sources.items():
        others = any(one in stored for one in hashes[new])
        alone = count == 1 and not others
        found.renamed += alone
        found.merged += 0 if alone else count
        found.into += count > 0 and not alone
    return found


def renumber(
    engine: Engine, pseudonyms: Pseudonyms, plan: Renumbering, progress: Callable[[int], None], who: str
) -> None:
    """Do what was planned: each caller moves whole or not at all, and what was interrupted goes on in another run.

    No service may be running (`service.maintenance.rebuild.exclude_services`).

    Raises
    ------
    StoreError
        When the database did not take a part of it; the parts before are done.
    """
    for moves in _parts(list(plan.moves.items()), AT_ONCE):
        run_transaction(engine, partial(_move, moves=moves), commit=True)
        progress(len(moves))
    now_us = microseconds(datetime.now(UTC))
    body = {"merged": plan.merged, "into": plan.into, "renamed": plan.renamed, "nobodies": plan.nobodies}

    def note(connection: Connection) -> None:
        for caller, erased_at_us in plan.tombstones.items():
            hashes = [pseudonyms.hash(caller), *pseudonyms.others(caller)]
            add_tombstones(connection, hashes, max(erased_at_us, last_erased_at_us(connection, hashes)))
        record_decision(connection, who, "rekey", body, now_us)

    run_transaction(engine, note, snapshot=True)


def _move(connection: Connection, moves: Sequence[tuple[bytes, bytes | None]]) -> None:
    lock(connection, {one for move in moves for one in move if one is not None})
    for old, new in moves:
        if new is None:
            _let_go(connection, old)
        else:
            move_stream(connection, old, new)


def _let_go(connection: Connection, old: bytes) -> None:
    """Make each call of a caller one of nobody's; what was folded of calls that are gone has taught of nobody."""
    said = connection.execute(
        sa.select(events.c.writer, events.c.seq, events.c.call_id).where(events.c.chain == old).order_by(events.c.nth)
    ).all()
    here = {row.call_id for row in said}
    kept: set[str] = set()
    for some in _parts(sorted(here), LOOKED_UP):
        kept |= set(connection.execute(sa.select(calls.c.call_id).where(calls.c.call_id.in_(some))).scalars())
        connection.execute(sa.update(calls).where(calls.c.call_id.in_(some)).values(caller=None))
    count = dict.fromkeys(kept, 0)
    rows = []
    for row in said:
        if row.call_id in kept:
            count[row.call_id] += 1
            stream = stream_of(None, row.call_id)
            rows.append({"of_writer": row.writer, "of_seq": row.seq, "to": stream, "place": count[row.call_id]})
    if rows:
        connection.execute(
            sa.update(events)
            .where(events.c.writer == sa.bindparam("of_writer"), events.c.seq == sa.bindparam("of_seq"))
            .values(chain=sa.bindparam("to"), nth=sa.bindparam("place")),
            rows,
        )
    for table in (events, checkpoints, bases, protected):  # what is left was said late of calls that are gone
        connection.execute(sa.delete(table).where(table.c.chain == old))


def _stored(engine: Engine, hashes: Iterable[bytes]) -> set[bytes]:
    """Return which hashes anything is stored under."""
    found: set[bytes] = set()
    with transaction(engine) as connection:
        for some in _parts(list(hashes), LOOKED_UP):
            for table in (events, bases, protected):
                query = sa.select(table.c.chain).where(table.c.chain.in_(some)).distinct()
                found.update(map(bytes, connection.execute(query).scalars()))
    return found


def _parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _persons(now_of: Mapping[str, set[str | None]]) -> Iterator[str]:
    return (one for several in now_of.values() for one in several if one is not None)


def _read_before(text: str, region: str) -> str | None:
    """Read a caller as versions until November 2026 did."""
    text = text.strip()
    if _E164.fullmatch(text):
        return text
    if _NOBODY.fullmatch(text):
        return None
    if _DIALLED.fullmatch(text):
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            return text
        if phonenumbers.is_possible_number(number):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return text
