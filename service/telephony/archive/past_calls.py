"""Joins what a telephone system wrote of one call: its events in queues and its legs."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.telephony.archive.cdr import Leg
from service.telephony.archive.queue_log import CALL_EVENTS, QueueEvent
from service.telephony.channel_names import uniqueid_us

_LEFT = frozenset({"EXITEMPTY", "EXITWITHTIMEOUT", "EXITWITHKEY", "WITHDRAW"})
_COMPLETED = {"COMPLETECALLER": "caller", "COMPLETEAGENT": "operator"}
_TRANSFERS = frozenset({"BLINDTRANSFER", "ATTENDEDTRANSFER", "TRANSFER"})
#: Events after which the conversation that began did not take place.
_FAILED = frozenset({"SYSCOMPAT", "AGENTDUMP"})
#: A greeting takes no longer; a channel that was made earlier was a conversation before it was a call to this queue.
_LONGEST_OPENING_US = 3_600_000_000


class PastCall(NamedTuple):
    """One call, as far as the logs tell.

    Parameters
    ----------
    caller : str
        As it is written; empty when no number was shown.
    opening_s : float or None
        From its arrival to the queue: the greeting.
    outcome : str
        abandoned, unanswered, or empty for an answered call.
    code, coded_us : str, int or None
        What the operator keyed, and when.
    guesses : tuple of str
        What was not written and had to be taken from elsewhere.
    """

    call_id: str
    received_us: int
    caller: str
    queue: str
    opening_s: float | None
    answered_us: int | None
    ended_us: int | None
    ended_by: str | None
    outcome: str
    code: str
    coded_us: int | None
    transferred: bool
    legs: int
    guesses: tuple[str, ...]


@dataclass
class Joined:
    """The calls, and what was left out.

    Parameters
    ----------
    calls : list of PastCall
        By arrival.
    begun_before : int
        Calls that were in a queue already when the log began.
    other_legs : int
        Legs of calls that entered no queue that was asked for.
    """

    calls: list[PastCall]
    begun_before: int = 0
    other_legs: int = 0


@dataclass
class _Group:
    events: list[QueueEvent] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)


def join_calls(
    events: Iterable[QueueEvent],
    legs: Sequence[Leg],
    *,
    queues: Collection[str] = (),
    dialled: Collection[str] = (),
    outcome_event: str = "DISPOSITION",
) -> Joined:
    """Join events and legs to calls, each call once however many legs, transfers and queues it had.

    Parameters
    ----------
    events : iterable of QueueEvent
        In order of time.
    queues : collection of str
        Those whose calls are wanted; all by default.
    dialled : collection of str
        Without a queue_log, the numbers (`dst`) whose calls are wanted, beside those that entered a queue.
    outcome_event : str
        The event with which the dialplan writes (by QueueLog) what an operator keyed, in p1.
    """
    linked = {leg.uniqueid: leg.linkedid for leg in legs if leg.uniqueid}
    groups: dict[str, _Group] = defaultdict(_Group)
    for event in events:
        if event.event in CALL_EVENTS or event.event == outcome_event:
            groups[linked.get(event.uniqueid, event.uniqueid)].events.append(event)
    for number, leg in enumerate(legs):
        groups[leg.linkedid or f"row-{number}"].legs.append(leg)
    found = Joined([])
    for call_id, group in groups.items():
        entered = [event for event in group.events if event.event == "ENTERQUEUE"]
        if entered and (not queues or any(event.queue in queues for event in entered)):
            found.calls.append(_queued(call_id, group, entered[0], outcome_event))
        elif group.events and not entered:
            found.begun_before += 1
        elif not group.events and _wanted(group.legs, queues, dialled):
            found.calls.append(_recorded(call_id, group.legs))
        else:
            found.other_legs += len(group.legs)
    found.calls.sort(key=lambda call: (call.received_us, call.call_id))
    return found


def _queued(call_id: str, group: _Group, entered: QueueEvent, outcome_event: str) -> PastCall:
    """Read a call of which the queue_log tells."""
    guesses = []
    starts = [leg.start_us for leg in group.legs if leg.start_us is not None]
    made_us = uniqueid_us(entered.uniqueid) or min(starts, default=None)
    if made_us is None or not 0 <= entered.at_us - made_us <= _LONGEST_OPENING_US:
        made_us = entered.at_us
        guesses.append("arrival: when it entered the queue")
    opening_s = (entered.at_us - made_us) / 1e6
    answered_us = ended_us = None
    ended_by, outcome, transferred = None, "", False
    for event in group.events:
        kind = event.event
        if kind == "CONNECT" and answered_us is None:
            answered_us, outcome = event.at_us, ""
        elif kind in _FAILED and ended_us is None:
            answered_us = None
        elif kind in _COMPLETED:
            ended_us, ended_by = event.at_us, _COMPLETED[kind]
        elif kind in _TRANSFERS:
            transferred, ended_us, ended_by = True, event.at_us, None
        elif kind == "ABANDON" and answered_us is None:
            ended_us, ended_by, outcome = event.at_us, "caller", "abandoned"
        elif kind in _LEFT and answered_us is None:
            ended_us, outcome = event.at_us, "unanswered"
    hung_up = max((leg.end_us for leg in group.legs if leg.end_us is not None), default=None)
    if hung_up is not None and (ended_us is None or (transferred and hung_up > ended_us)):
        ended_us = hung_up
        guesses.append("end: the last leg's")
    elif transferred:
        guesses.append("end: the transfer's")
    code, coded_us = _code(group, outcome_event, ended_us)
    return PastCall(
        call_id=call_id,
        received_us=made_us,
        caller=(entered.values[1] if len(entered.values) > 1 else "") or _caller(group.legs),
        queue=entered.queue,
        opening_s=opening_s if opening_s > 0.0 else None,
        answered_us=answered_us,
        ended_us=ended_us,
        ended_by=ended_by,
        outcome=outcome,
        code=code,
        coded_us=coded_us,
        transferred=transferred,
        legs=len(group.legs),
        guesses=tuple(guesses),
    )


def _recorded(call_id: str, legs: Sequence[Leg]) -> PastCall:
    """Read a call of which only its legs tell: who hung up, and who waited in vain for whom, they do not say."""
    starts = [leg.start_us for leg in legs if leg.start_us is not None]
    received_us = min(starts, default=uniqueid_us(legs[0].uniqueid) or 0)
    talked = [leg for leg in legs if leg.disposition == "ANSWERED" and leg.answer_us is not None and leg.billsec]
    answered_us = min((leg.answer_us for leg in talked if leg.answer_us is not None), default=None)
    code, coded_us = _code(_Group(legs=list(legs)), "", max((leg.end_us or 0 for leg in legs), default=0) or None)
    queued = next((leg for leg in legs if leg.lastapp.lower() == "queue"), legs[0])
    return PastCall(
        call_id=call_id,
        received_us=received_us,
        caller=_caller(legs),
        queue=queued.lastdata.split(",")[0] if queued.lastapp.lower() == "queue" else "",
        opening_s=None,
        answered_us=answered_us,
        ended_us=max((leg.end_us for leg in legs if leg.end_us is not None), default=None),
        ended_by=None,
        outcome="" if answered_us is not None else "unanswered",
        code=code,
        coded_us=coded_us,
        transferred=False,
        legs=len(legs),
        guesses=("answer: the first leg's", "unanswered or abandoned: not told apart"),
    )


def _wanted(legs: Sequence[Leg], queues: Collection[str], dialled: Collection[str]) -> bool:
    return any(
        leg.dst in dialled or (leg.lastapp.lower() == "queue" and (not queues or leg.lastdata.split(",")[0] in queues))
        for leg in legs
    )


def _caller(legs: Sequence[Leg]) -> str:
    first = min(legs, key=lambda leg: leg.start_us or 0, default=None)
    return "" if first is None else first.src


def _code(group: _Group, outcome_event: str, ended_us: int | None) -> tuple[str, int | None]:
    """Return the last thing that an operator keyed, and when: by the event, else by a leg's userfield at its end."""
    said = [event for event in group.events if event.event == outcome_event and event.values and event.values[0]]
    if said:
        return said[-1].values[0], said[-1].at_us
    kept = [leg for leg in group.legs if leg.userfield]
    if not kept:
        return "", None
    last = max(kept, key=lambda leg: leg.end_us or 0)
    return last.userfield, last.end_us or ended_us
