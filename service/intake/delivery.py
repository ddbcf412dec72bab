"""Deliver one journal record to the store: unless the store has it already, or its caller was erased meanwhile."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from service.contract.problems import Problem, Unknown
from service.contract.requests import Answered, Disposition, Ended, EventRequest, Reopen, ScoreRequest
from service.intake.history_cache import NO_ALIASES
from service.intake.rekeying import gather_aliases
from service.security.pseudonyms import Pseudonyms
from service.security.tombstones import last_erased_at_us
from service.store.records import Source
from service.telemetry.metrics import Metrics
from service.timestamps import microseconds

if TYPE_CHECKING:
    from service.intake.intake import Intake

#: A call of which nothing more was said for so long waits no more.
LONGEST_WAIT = timedelta(hours=1)
_REQUEST_TYPES: dict[str, type[EventRequest]] = {one.KIND: one for one in (Answered, Ended, Disposition, Reopen)}
#: What a request says that does not stand in its event.
_NOT_IN_EVENT = ("received_at", "confirm", "answered_at")
log = logging.getLogger(__name__)


class RecordDelivery:
    """Delivers the records of journals, each at least once; the intake is idempotent.

    Parameters
    ----------
    intake : Intake
    pseudonyms : Pseudonyms
    metrics : Metrics
        Counts what is refused.
    is_over : callable
        Whether the journals hold the end of a call.
    """

    def __init__(
        self, intake: "Intake", pseudonyms: Pseudonyms, metrics: Metrics, is_over: Callable[[str], bool]
    ) -> None:
        self._intake, self._pseudonyms, self._metrics, self._is_over = intake, pseudonyms, metrics, is_over
        #: Calls that were dropped, since their caller was erased after they were kept.
        self._erased: set[str] = set()

    def forget_erased(self) -> None:
        """Forget which calls were dropped: no more is journaled of them."""
        self._erased.clear()

    async def deliver(self, records: Sequence[dict[str, Any]]) -> None:
        """Deliver the records of one call, in order."""
        for record in records:
            await self._deliver(record)

    async def _was_stored(self, record: dict[str, Any], now_us: int, at_us: int) -> bool:
        """Whether the store has this very record already, or a later disposition of the same call.

        The process died, or the store failed, before it was acknowledged; delivered again, it would be a change.
        """
        try:
            call = await self._intake.find_call(record["call_id"])
        except Unknown:
            return False
        if call.changed_at_us < now_us:
            return False
        kind, said = (
            record["kind"],
            {name: value for name, value in record["said"].items() if name not in _NOT_IN_EVENT},
        )
        body = said if kind != "score" else {"request": said, "answer": record["answer"] | {"durable": True}}
        told = any(
            (one["recorded_at_us"] == at_us and body.items() <= one["body"].items())
            # The same disposition twice left nothing the second time; told again, it would undo what came after it.
            or (kind == "disposed" and one["kind"] in ("disposed", "reopened") and one["recorded_at_us"] > at_us)
            for one in await self._intake.store.read_events(call)
        )
        if told:  # the call may have been read before it was
            self._intake.event_log.evict(call.call_id, call.stream)
            self._intake.board.sync(await self._intake.find_call(call.call_id))
        return told

    async def _was_erased(self, record: dict[str, Any]) -> bool:
        """Whether the caller was erased after this was kept, or this is said of a call that was dropped for it.

        What may still wait is told all the same, and begins a new history: an erasure takes no live call.
        """
        call_id, caller = record["call_id"], record.get("caller")
        if caller is None:
            return call_id in self._erased
        hashes = [bytes.fromhex(one) for one in (caller, *record.get("older", ()))]
        erased_us = await self._intake.store.in_thread(lambda connection: last_erased_at_us(connection, hashes))
        kept_at = datetime.fromisoformat(record.get("kept_at", record["at"]))
        if microseconds(kept_at) >= erased_us:
            return False
        if datetime.now(UTC) - kept_at < LONGEST_WAIT and not self._is_over(call_id):
            return False
        self._erased.add(call_id)
        return True

    async def _deliver(self, record: dict[str, Any]) -> None:
        kind, call_id, now = record["kind"], record["call_id"], datetime.fromisoformat(record["at"])
        at = record.get("recorded_at")
        told_by = Source(record.get("told_by"), datetime.fromisoformat(at) if at else None)
        if record["tried"] and await self._was_stored(record, microseconds(now), microseconds(told_by.at or now)):
            return
        if await self._was_erased(record):
            return
        try:
            if kind == "score":
                request = ScoreRequest.model_validate_json(to_json(record["said"]))
                caller = bytes.fromhex(record["caller"]) if record["caller"] else None
                aliases = NO_ALIASES
                if caller:
                    hashes = [caller, *map(bytes.fromhex, record.get("older", []))]
                    # Another key may be in use since; what was kept before a rotation has one hash alone.
                    caller = next((one for one in hashes if one.startswith(self._pseudonyms.in_use)), caller)
                    hashes.remove(caller)
                    aliases = await gather_aliases(self._intake, self._pseudonyms, hashes, caller)
                given = record["answer"] | {"durable": True}
                await self._intake.score(
                    request, caller, given["warnings"], now, given=given, aliases=aliases, told_by=told_by
                )
                if caller and not caller.startswith(self._pseudonyms.in_use):
                    # Whoever rings under the key in use is looked for under this one.
                    self._intake.event_log.evict_all()
            else:
                said = _REQUEST_TYPES[kind].model_validate_json(to_json(record["said"]))
                await self._intake.lifecycle.record(call_id, said, now, told_by=told_by)
        except (Problem, ValueError) as problem:
            log.error("the journal held an event that cannot be kept: %s of a call: %s", kind, type(problem).__name__)
            self._metrics.degraded("refused")
