"""Who takes part in a walk: PBXs, which tell of calls, and operators; each notes what was acknowledged."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from string import ascii_lowercase
from typing import Any

from tests.support.walk.centre import OPERATORS, WAITING_S, Centre, Reply
from tests.support.walk.model import Model, WalkedCall

#: So many calls of a PBX wait at once, at most.
MAX_WAITING = 15
#: A decision is known in every process within a second; a busy machine may take as long again.
DECIDED_S = 2.0
CLOSINGS = ("genuine", "prank", "silent", "information", "abusive")


class Teller:
    """Tells a centre of calls, and the model what came of it."""

    def __init__(self, centre: Centre, model: Model) -> None:
        self.centre, self.model = centre, model

    def score(self, number: int, call: WalkedCall, said: dict[str, Any]) -> Reply:
        """Ask for a score, for the first time or once more."""
        sent_s, off_s = time.monotonic(), self.model.switch_off_s
        call.asked = said
        reply = self._tell(number, "intake", "score", call, said)
        if reply.status == 200:
            if reply.durable:
                call.born, call.heard_s = True, max(call.heard_s, sent_s)
            if call.waits:
                key_s, degraded = reply.said["queue_key_epoch"], reply.said["degraded"]
                self.model.keyed(call, key_s, f"the answer of {number}", number=number, degraded=degraded)
            off = off_s is not None and self.model.switch_off_s == off_s and sent_s > off_s + DECIDED_S
            if off and (reply.said["defer_s"] > 0.0 or reply.said["band"] == "likely_prank"):
                self.model.fault(
                    f"{call.call_id}: deferred or marked {sent_s - off_s:.1f} s after the switch was put off"
                )
        elif reply.status not in (0, 503):
            self.model.fault(f"{call.call_id}: a score was refused: {reply}")
        return reply

    def answered(self, number: int, who: str, call: WalkedCall) -> None:
        """Tell that an operator answered."""
        call.answered = "maybe" if call.answered == "no" else call.answered
        sent_s = time.monotonic()
        said = {"answered_at": _now(), "operator": who if who in OPERATORS else "rina"}
        if self._event(number, who, "answered", call, said):
            call.answered, call.heard_s = "yes", max(call.heard_s, sent_s)

    def ended(self, number: int, call: WalkedCall) -> None:
        """Tell that a call ended; what was not answered is told again as it was."""
        call.over = "maybe" if call.over == "no" else call.over
        call.end = call.end or {
            "ended_at": _now(),
            "ended_by": "caller",
            "duration_s": 4.0 if call.answered == "yes" else None,
        }
        if self._event(number, "intake", "ended", call, call.end):
            call.over = "yes"

    def closed(self, number: int, who: str, call: WalkedCall, disposition: str) -> None:
        """Tell how a call was closed, or correct what was told of it."""
        call.over = "maybe" if call.over == "no" else call.over
        call.genuine_s = None
        call.dispositions.append(disposition)
        said = {"disposition": disposition, "disposed_at": _now()}
        if self._event(number, who, "disposition", call, said):
            call.over, call.dispositions = "yes", [disposition]
            if disposition == "genuine" and self.model.clocks_right:
                call.genuine_s = time.monotonic()

    def taken(self, number: int, who: str, call: WalkedCall) -> bool:
        """Take a waiting call for an operator; False when it was refused."""
        before, sent_s = call.taken, time.monotonic()
        if self._tell(number, who, "take", call, {}).status != 200:
            return False
        if before is not None and before[0] != who and call.taken is before:  # it was not given back meanwhile
            screen = self.model.screens.get(before[0])
            if screen is not None and screen.follows and screen.since_s < before[1]:
                self.model.fault(f"{call.call_id}: {who} was given what {before[0]} has taken, who is still there")
        call.taken = (who, sent_s)
        return True

    def released(self, number: int, who: str, call: WalkedCall) -> None:
        """Give it back."""
        call.taken = None
        self._tell(number, who, "release", call, {})

    def _event(self, number: int, who: str, kind: str, call: WalkedCall, said: dict[str, Any]) -> bool:
        """Tell of a call that the centre has to know; gives whether it was acknowledged."""
        reply = self._tell(number, who, kind, call, said)
        if call.erased == "no" and call.born and reply.status not in (0, 200, 503):
            self.model.fault(f"{call.call_id}: {kind} was refused: {reply}")
        return reply.durable

    def _tell(self, number: int, who: str, kind: str, call: WalkedCall, said: dict[str, Any]) -> Reply:
        reply = self.centre.tell(number, who, kind, call.call_id, said)
        if reply.status == 0:
            time.sleep(0.1)  # nobody is there just now
        answer = reply.said or {}
        shown = {name: answer[name] for name in ("state", "defer_s", "band", "detail") if name in answer}
        if answer.get("degraded"):
            shown["degraded"] = True
        self.model.note(f"{who} tells {number} of {call.call_id}: {kind} {_short(said)} -> {reply.status} {shown}")
        return reply


class Pbx(Teller):
    """A PBX: rings, asks again, says more, forgets, hangs up.

    Parameters
    ----------
    centre : Centre
    model : Model
    name : str
        Part of each of its call_ids.
    caller : callable
        Draws who rings.
    """

    def __init__(self, centre: Centre, model: Model, name: str, caller: Callable[[random.Random], str | None]) -> None:
        super().__init__(centre, model)
        self.name, self._caller, self._rung = name, caller, 0
        self.calls: list[WalkedCall] = []

    def work(self, draw: random.Random, until_s: float) -> None:
        """Do one thing after another until that moment."""
        while time.monotonic() < until_s:
            waiting = [call for call in self.calls if call.waits and call.repeats]
            number, dice = draw.randrange(self.centre.count), draw.random()
            unanswered = [call for call in self.calls if call.live and not call.born]
            if unanswered:
                self.repeat(number, unanswered[0])
            elif not waiting or (dice < 0.35 and len(waiting) < MAX_WAITING):
                self.ring(number, self._caller(draw), repeats=draw.random() > 0.08)
            elif dice < 0.6:
                self.repeat(number, min(waiting, key=lambda call: call.heard_s))
            elif dice < 0.75:
                heard = {"duration_s": float(draw.randrange(1, 15)), "silence_ratio": draw.choice([0.1, 0.5, 0.9])}
                call = draw.choice(waiting)
                self.score(number, call, call.asked | heard)
            elif dice < 0.82:
                self.ended(number, draw.choice(waiting))
            elif dice < 0.88:
                self.answered(number, "intake", draw.choice(waiting))
            else:
                self._finish(number, draw)
            time.sleep(draw.uniform(0.0, 0.02))
        self.calls = [call for call in self.calls if call.live or draw.random() < 0.5]

    def ring(self, number: int, caller: str | None, *, repeats: bool = True) -> WalkedCall:
        """Let a new call come in."""
        call = self.model.new(self._name(), caller, repeats=repeats)
        self.calls.append(call)
        asked = {"call_id": call.call_id, "received_at": call.received_at.isoformat(), "caller": caller}
        genuine = self._genuine(caller)
        reply = self.score(number, call, asked | {"line": "mobile", "expected_wait_s": 120.0})
        scored = reply.status == 200 and not reply.said["degraded"]
        if scored and genuine and genuine is self._genuine(caller) and "closed_genuine" not in reply.said["guardrails"]:
            self.model.fault(
                f"{call.call_id}: its caller was closed as genuine ({genuine.call_id}), and it is not known"
            )
        return call

    def _genuine(self, caller: str | None) -> WalkedCall | None:
        """Give a call of this caller that every service knows as closed as genuine by now, if there is one."""
        before_s = time.monotonic() - DECIDED_S
        if caller is None or not self.model.clocks_right:
            return None
        of_caller = [call for call in self.model.of(caller) if call.genuine_s is not None and call.erased == "no"]
        return next((call for call in of_caller if call.genuine_s < before_s), None)

    def repeat(self, number: int, call: WalkedCall) -> None:
        """Ask the same once more."""
        self.score(number, call, call.asked)

    def round(self, draw: random.Random) -> None:
        """Ask for every call that waits or is talked to, and tell again what nobody has acknowledged."""
        now_s = time.monotonic()
        for call in [call for call in self.calls if call.live]:
            number = draw.randrange(self.centre.count)
            if not call.repeats and now_s - call.heard_s > 1.6 * WAITING_S and draw.random() < 0.2:
                call.repeats = True  # forgotten for long, and found again
            if call.over == "maybe" and call.end:
                self.ended(number, call)
            elif call.over == "no" and (call.repeats or not call.born):
                self.repeat(number, call)

    def past(self, number: int, caller: str, count: int, closing: str, age: timedelta) -> list[WalkedCall]:
        """Tell of calls of long ago, each with its end."""
        told = []
        for place in range(count):
            call = self.model.new(self._name(), caller, age=age + timedelta(hours=place), repeats=False)
            asked = {"call_id": call.call_id, "received_at": call.received_at.isoformat(), "caller": caller}
            self.score(number, call, asked)
            over = (call.received_at + timedelta(seconds=9)).isoformat()
            call.answered, call.end = "maybe", {"ended_at": over, "ended_by": "caller", "duration_s": 5.0}
            self._event(
                number, "intake", "answered", call, {"answered_at": call.received_at.isoformat(), "operator": None}
            )
            self.ended(number, call)
            self.closed(number, "intake", call, closing)
            told.append(call)
        return told

    def _name(self) -> str:
        """Name the next call, by letters: digits might be those of its caller's number, and it would be renamed."""
        self._rung += 1
        return f"{self.name}-" + "".join(ascii_lowercase[self._rung // 26**place % 26] for place in (3, 2, 1, 0))

    def _finish(self, number: int, draw: random.Random) -> None:
        """End a conversation, close what has ended, or correct how it was closed."""
        talking = [call for call in self.calls if call.answered == "yes" and call.over == "no"]
        over = [call for call in self.calls if call.over == "yes" and call.erased == "no"]
        if talking and draw.random() < 0.5:
            self.ended(number, draw.choice(talking))
        elif over:
            self.closed(number, "intake", draw.choice(over), draw.choice(CLOSINGS))


class Operator(Teller):
    """An operator: takes the first call of the board, gives it back or answers, talks, ends and closes."""

    def __init__(self, centre: Centre, model: Model, name: str) -> None:
        super().__init__(centre, model)
        self.name = name
        self.mine: WalkedCall | None = None

    def work(self, draw: random.Random, until_s: float) -> None:
        """Do one thing after another until that moment; a call that was taken may be kept for long."""
        while time.monotonic() < until_s:
            number, dice, call = draw.randrange(self.centre.count), draw.random(), self.mine
            if call is None or not call.live:
                self.mine = self._take(number, draw)
            elif call.answered != "yes":
                if dice < 0.15:
                    self.released(number, self.name, call)
                    self.mine = None
                elif dice < 0.4:
                    self.answered(number, self.name, call)
            elif dice < 0.2:
                self.closed(number, self.name, call, draw.choice(CLOSINGS))
                self.mine = None
            time.sleep(draw.uniform(0.02, 0.2))

    def _take(self, number: int, draw: random.Random) -> WalkedCall | None:
        board = self.centre.queue(number)
        shown = [one["call_id"] for one in (board or {"calls": []})["calls"] if one["state"] == "waiting"]
        call = self.model.calls.get(draw.choice(shown[:4])) if shown else None
        return call if call is not None and call.waits and self.taken(number, self.name, call) else None


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _short(said: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in said.items() if name not in ("call_id", "received_at", "line"))
