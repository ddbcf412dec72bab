"""The client's work within one event loop: requests, events, and an answer in every case."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from model.errors import StoreError
from service.client.event import Event, accepted_receipt, undelivered_receipt
from service.client.fallback import ROUNDING_S, first_come_answer, implausible_answer
from service.client.redelivery import Redelivery
from service.client.score_request import ScoreRequest, moment, rfc3339
from service.client.transport.circuit_breaker import CircuitBreaker
from service.client.transport.exchange import Exchange, RefusedError, UnansweredError

if TYPE_CHECKING:
    from service.client.outbox import Outbox

T = TypeVar("T")
#: How long what is under way may take to end by itself when the client is closed.
_LAST_S = 2.0
#: How many calls are remembered, the latest ones.
REMEMBERED = 10_000
#: The service believes no larger age of a request: `service.http.dependencies`.
_OLDEST_S = 900.0
_log = logging.getLogger("saring.client")


class _SkippedError(UnansweredError):
    """The breaker is open."""


class ClientCore:
    """Everything that a client does, without its threads.

    Parameters
    ----------
    exchange : Exchange
    breaker : callable
        Makes one: a service that takes no events may well score, and the other way round.
    outbox : Outbox or None
    max_defer_s : float
        An answer that puts a call further back is ignored.
    """

    def __init__(
        self, exchange: Exchange, breaker: Callable[[], CircuitBreaker], outbox: "Outbox | None", max_defer_s: float
    ) -> None:
        self._exchange, self._max_defer_s = exchange, max_defer_s
        self._scores, self._events = breaker(), breaker()
        self._backlog = None if outbox is None else Redelivery(outbox, self._send_in_order)
        #: Calls that the service may not know: it takes no event of a call that it never heard of.
        self._unknown: dict[str, ScoreRequest] = {}
        #: The place in the queue that each call was last given.
        self._places: dict[str, dict[str, Any]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Get ready, and begin with what an earlier client left in the outbox."""
        await self._exchange.warm_up()
        if self._backlog is not None:
            self._backlog.start()

    async def close(self) -> None:
        """Let what is under way end, within a while, and close all connections."""
        if self._backlog is not None:
            self._backlog.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=_LAST_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._exchange.close()
        await asyncio.sleep(0)  # a connection ends in the loop's next round
        if self._backlog is not None:
            self._backlog.shut()

    async def score(self, asked: ScoreRequest, until: float) -> dict[str, Any]:
        """Ask for a score, until a moment of the loop's clock."""
        _remember(self._unknown, asked.call_id, asked)
        try:
            answer = await self._attempt(self._scores, lambda: self._request_score(asked, until))
        except (UnansweredError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.final:
                self._unknown.pop(asked.call_id, None)
            _say(error, "call %r is not scored", asked.call_id)
            answer = first_come_answer(asked, str(error), datetime.now(UTC))
        except asyncio.CancelledError:
            self._placed(first_come_answer(asked, "", datetime.now(UTC)))  # whoever waited has such an answer already
            raise
        return self._placed(answer)

    async def send(self, event: Event, until: float) -> dict[str, Any]:
        """Send an event, until a moment of the loop's clock; one that does not arrive is kept."""
        # The events of one call go one after another, each behind those that are left of it.
        async with self._turns.setdefault(event.call_id, asyncio.Lock()):
            if self._backlog is not None and self._backlog.holds(event.call_id):
                return await self._keep(event, "did not take an earlier event of this call yet")
            try:
                return accepted_receipt(
                    event, await self._attempt(self._events, lambda: self._send_in_order(event, until))
                )
            except RefusedError as error:
                _say(error, "%s of call %r is not taken", event.kind, event.call_id)
                if error.final:
                    if self._backlog is not None:
                        await self._backlog.put_aside(event, error)
                    return undelivered_receipt(event, str(error))
                why = str(error)
            except UnansweredError as error:
                _say(error, "%s of call %r is not taken", event.kind, event.call_id)
                why = str(error)
            except asyncio.CancelledError:
                why = "did not answer before the client was closed"
            return await self._keep(event, why)

    async def flush(self, until: float) -> int:
        """Send the outbox now, until a moment of the loop's clock; return how many events are left in it."""
        return 0 if self._backlog is None else await self._backlog.flush(until)

    async def _attempt(self, breaker: CircuitBreaker, job: Callable[[], Awaitable[T]]) -> T:
        """Do something with the service, unless the breaker is open, and record how it went."""
        ticket = breaker.admit()
        if ticket is None:
            raise _SkippedError("is left alone for a while, after several times without an answer")
        answered = False
        try:
            result = await job()
            answered = True
        except RefusedError as error:
            answered = not error.busy
            raise
        except UnansweredError:
            raise
        except Exception as error:  # whatever it is, the call goes to the queue and the event to the outbox
            raise UnansweredError(f"could not be asked ({type(error).__name__})") from error
        finally:
            self._note(breaker, ticket, answered)
        return result

    def _note(self, breaker: CircuitBreaker, ticket: int, answered: bool) -> None:
        if answered:
            breaker.succeeded(ticket)
            if self._backlog is not None:
                self._backlog.answered()
            return
        open_s = breaker.failed(ticket)
        if open_s is not None:
            _log.warning("the service is left alone for %.1f s, after several times without an answer", open_s)

    async def _request_score(self, asked: ScoreRequest, until: float) -> dict[str, Any]:
        answer = await self._post_score(asked, until)
        why = implausible_answer(answer, asked, self._max_defer_s)
        if why is not None:
            raise UnansweredError(why)
        if answer["durable"]:
            self._unknown.pop(asked.call_id, None)
        answer["queue_key"] = rfc3339(moment("queue_key", answer["queue_key"]))  # as text, too, it is to sort rightly
        answer["warnings"] += asked.warnings
        return answer

    async def _post_score(self, asked: ScoreRequest, until: float) -> dict[str, Any]:
        """Ask for a score, and say for how long the call has been known here, whatever the two clocks show."""
        age_s = min(monotonic() - asked.asked_s, _OLDEST_S)
        return await self._exchange.post("/v1/score", asked.body, until, {"Saring-Age": f"{age_s:.3f}"})

    def _placed(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep a call from moving back: its place is the earlier of this one and the one given before."""
        place = self._places.get(answer["call_id"])
        if place is not None and answer["queue_key_epoch"] > place["queue_key_epoch"] + ROUNDING_S:
            warning = {"field": "queue_key", "detail": "lies behind the one that was given before, which stays"}
            return {**answer, **place, "warnings": [*answer["warnings"], warning]}
        place = {name: answer[name] for name in ("defer_s", "queue_key", "queue_key_epoch")}
        _remember(self._places, answer["call_id"], place)
        return answer

    async def _send_in_order(self, event: Event, until: float) -> dict[str, Any]:
        call = self._unknown.get(event.call_id)
        if call is not None:
            try:
                _check_receipt(await self._post_score(call, until), event.call_id)
            except RefusedError as error:
                if not error.final:
                    raise
            self._unknown.pop(event.call_id, None)
        return _check_receipt(await self._exchange.post(event.path, event.body.encode("ascii"), until), event.call_id)

    async def _keep(self, event: Event, why: str) -> dict[str, Any]:
        try:
            if self._backlog is None:
                raise StoreError("there is no outbox")
            await self._backlog.keep(event)
        except StoreError as error:
            _log.error("%s of call %r is lost: the service %s; %s", event.kind, event.call_id, why, error)
            return undelivered_receipt(event, f"{why}; {error}")
        return undelivered_receipt(event, why, queued=True)


def _check_receipt(answer: dict[str, Any], call_id: str) -> dict[str, Any]:
    """Check that an answer confirms this call's event."""
    if answer.get("call_id") != call_id:
        raise UnansweredError("answered about another call")
    if answer.get("durable") is False:
        raise UnansweredError("took it, but not to its disk")
    return answer


def _remember(calls: dict[str, T], call_id: str, value: T) -> None:
    calls.pop(call_id, None)
    calls[call_id] = value
    if len(calls) > REMEMBERED:
        del calls[next(iter(calls))]


def _say(error: Exception, what: str, *arguments: str) -> None:
    level = logging.DEBUG if isinstance(error, _SkippedError) else logging.WARNING
    _log.log(level, f"{what}: the service %s", *arguments, error)
