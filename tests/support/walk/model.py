"""What was said of each call in a walk and what was acknowledged of it: what a centre has to hold."""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

#: Of something that was asked and not answered it is not known whether it was done.
Done = Literal["no", "maybe", "yes"]
#: The largest deferral of the sentence that Saring promises.
SENTENCE_S = 300.0
#: A key is rounded to a millisecond.
ROUNDED_S = 0.002


@dataclass(eq=False)
class WalkedCall:
    """One call.

    Parameters
    ----------
    repeats : bool
        Whether its PBX asks again as long as it waits; one that does not has forgotten it.
    asked : dict
        The last request for a score, to be repeated as it is.
    born : bool
        Whether it was ever acknowledged for good.
    heard_s : float
        When the last thing that was acknowledged of it was sent, by the monotonic clock.
    key_s : float or None
        The earliest key that was ever given or shown, in seconds since 1970.
    journaled_key_s : dict
        By service, the key that it gave without the store: no other service knows of it until its journal is delivered.
    answered, over, erased : Done
    dispositions : list
        What it may be closed as: the last that was acknowledged, and those that nobody answered since.
    end : dict or None
        What was told of its end, to be told again as it is.
    genuine_s : float or None
        Since when it is closed as genuine, told while every clock was right.
    taken : (str, float) or None
        Who has taken it and when, until it is given back.
    """

    call_id: str
    received_at: datetime
    caller: str | None
    repeats: bool = True
    asked: dict[str, Any] = field(default_factory=dict)
    born: bool = False
    heard_s: float = 0.0
    key_s: float | None = None
    journaled_key_s: dict[int | None, float] = field(default_factory=dict)
    answered: Done = "no"
    over: Done = "no"
    erased: Done = "no"
    dispositions: list[str | None] = field(default_factory=lambda: [None])
    end: dict[str, Any] | None = None
    genuine_s: float | None = None
    taken: tuple[str, float] | None = None

    @property
    def waits(self) -> bool:
        """Whether it was acknowledged and, for all that was said, still waits."""
        return self.born and self.answered == self.over == self.erased == "no"

    @property
    def live(self) -> bool:
        """Whether it may be not over yet."""
        return self.over != "yes" and self.erased != "yes"


class Model:
    """All calls of a walk, and the trace of what was said."""

    def __init__(self, seed: int) -> None:
        self.seed, self.step = seed, 0
        self.calls: dict[str, WalkedCall] = {}
        #: What cannot be mended by waiting, such as a key that moved back in an answer.
        self.faults: list[str] = []
        #: Since when deferral is switched off; None while it is on.
        self.switch_off_s: float | None = None
        self.clocks_right = True
        #: By how much the clock of any service ever was wrong.
        self.offsets_s = {0.0}
        #: The open screens by operator, and since when those have left who did.
        self.screens: dict[str, Any] = {}
        self.left_s: dict[str, float] = {}
        self.trace: list[str] = []
        self.lock = threading.RLock()
        self._began_s = time.monotonic()

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.step:4} {time.monotonic() - self._began_s:8.3f} {what}")

    def fault(self, what: str) -> None:
        """Note that a promise was broken."""
        self.note(f"BROKEN {what}")
        self.faults.append(what)

    def new(
        self, call_id: str, caller: str | None, *, age: timedelta = timedelta(0), repeats: bool = True
    ) -> WalkedCall:
        """Let a call come in, of which nothing was told yet."""
        received_at = (datetime.now(UTC) - age).replace(microsecond=0)
        call = WalkedCall(call_id, received_at, caller, repeats)
        with self.lock:
            self.calls[call_id] = call
        return call

    def known(self) -> list[WalkedCall]:
        """Give every call."""
        with self.lock:
            return list(self.calls.values())

    def of(self, caller: str | None) -> list[WalkedCall]:
        """Give the calls of a caller that are not forgotten yet."""
        with self.lock:
            return [call for call in self.calls.values() if call.caller == caller and call.erased != "yes"]

    def keyed(
        self, call: WalkedCall, key_s: float, where: str, *, number: int | None = None, degraded: bool = False
    ) -> None:
        """Take note of a key that was given or shown: it is never beyond the sentence and never moves back.

        `number` is the service that gave it, and `degraded` says that it did so without the store.
        """
        received_s, now_s = call.received_at.timestamp(), time.time()
        with self.lock:
            # Where received_at is not believed, it arrived when a service first heard of it, by that one's clock.
            first_s, last_s = received_s + min(self.offsets_s), max(received_s, now_s + max(self.offsets_s))
            if not first_s <= key_s <= last_s + SENTENCE_S + ROUNDED_S:
                self.fault(f"{call.call_id}: {where} puts it {key_s - received_s:.3f} s behind its received_at")
            before = [one for one in (call.key_s, call.journaled_key_s.get(number)) if one is not None]
            if before and key_s > min(before) + ROUNDED_S:
                self.fault(f"{call.call_id}: {where} moves its key back by {key_s - min(before):.3f} s")
            if degraded:
                call.journaled_key_s[number] = key_s
            else:
                call.key_s = key_s if call.key_s is None else min(call.key_s, key_s)

    def told_of(self, call: WalkedCall, limit: int = 40) -> list[str]:
        """Give what the trace says of a call."""
        return [line for line in self.trace if call.call_id in line][-limit:]
