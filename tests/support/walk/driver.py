"""A random walk: a busy centre in which something happens at every step, and after each of them nobody may be lost.

What happens is drawn from a seed. The services are real processes and the PBXs threads, so that the same seed walks the
same way and not to the microsecond: a fault that hangs on a race may take several walks with its seed.
"""

import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.support.walk.actors import DECIDED_S, Operator, Pbx
from tests.support.walk.centre import OPERATORS, Centre
from tests.support.walk.invariants import broken, left_of_the_erased, note_keys
from tests.support.walk.model import Model
from tests.support.walk.screen import Screen

SIDES = 4
CALLERS = 8
#: Steps in which a clock is put wrong by so much, or right.
OFFSETS_S = (1_200, -300, 90, 0)
#: What happens, as often as it stands here in each round of so many steps.
ACTS = {
    "calm": 2, "erase": 5, "retain": 2, "switch": 4, "step_a_clock": 3, "restart": 1, "kill": 3, "rotate": 1,
    "leave": 2, "run_a_command": 2, "lock": 1,
}  # fmt: skip
SETTLES_S = 5.0


class Walk:
    """One walk through one centre.

    Parameters
    ----------
    centre : Centre
        That is open.
    model : Model
    region : str
        In which numbers are read.
    acts : mapping, optional
        How often each act happens in a round.
    """

    def __init__(self, centre: Centre, model: Model, region: str, acts: dict[str, int] | None = None) -> None:
        self.centre, self.model, self._region, self._acts = centre, model, region, acts or ACTS
        self._draw = random.Random(model.seed)
        self._numbers = 0
        self._callers: list[str] = []
        #: Whose calls are left alone, since something is about to happen to them.
        self._apart: list[str] = []
        self._erased: list[str] = []
        self._pbxs = [Pbx(centre, model, f"pbx{side}", self._caller) for side in range(SIDES)]
        self._late = Pbx(centre, model, "late", lambda _: None)
        self._operators = [Operator(centre, model, name) for name in OPERATORS[:2]]
        self._screens: list[Screen] = []
        #: Operators who have left, and the step at which they are back.
        self._away: dict[str, int] = {}
        self._settled_s = time.monotonic()

    def go(self, until_s: float) -> list[str]:
        """Walk until that moment, by the monotonic clock, or until something is broken; gives what is."""
        deck: list[str] = []
        with ThreadPoolExecutor(SIDES + len(self._operators) + 1) as threads:
            self._callers = [self._number() for _ in range(CALLERS)]
            known = [
                threads.submit(self._make_known, pbx, self._callers[place::SIDES])
                for place, pbx in enumerate(self._pbxs)
            ]
            for one in known:
                one.result()
            while time.monotonic() < until_s:
                deck = deck or self._deck()
                if found := self._step(deck.pop(), threads):
                    break
            else:
                found = self._settle(self._erased)
        for screen in self._screens:
            screen.close()
        return found

    def _deck(self) -> list[str]:
        names = [name for name, count in self._acts.items() for _ in range(count)]
        self._draw.shuffle(names)
        return names

    def _step(self, act: str, threads: ThreadPoolExecutor) -> list[str]:
        model, draw = self.model, self._draw
        model.step += 1
        model.note(f"--- {act}")
        self._look_at_the_board()
        self._apart, erased_before = draw.sample(self._callers, 2), len(self._erased)
        for pbx in (*self._pbxs, self._late):
            for call in pbx.calls:
                if call.caller in self._apart and call.live:
                    pbx.ended(draw.randrange(self.centre.count), call)
        over = threading.Event()
        least_s = time.monotonic() + draw.uniform(0.4, 1.2)
        working = [
            threads.submit(self._work, actor.work, random.Random(f"{model.seed} {model.step} {place}"), over)
            for place, actor in enumerate((*self._pbxs, *self._operators))
            if getattr(actor, "name", "") not in self._away
        ]
        try:
            time.sleep(draw.uniform(0.0, 0.3))
            getattr(self, f"_{act}")(threads)
            time.sleep(max(0.0, least_s - time.monotonic()))
        finally:
            over.set()
            for one in working:
                one.result()
        self._replace_the_erased(erased_before)
        rounds = [threads.submit(pbx.round, random.Random(draw.random())) for pbx in (*self._pbxs, self._late)]
        for one in rounds:
            one.result()
        return self._settle(self._erased[erased_before:])

    @staticmethod
    def _work(work: Callable[[random.Random, float], None], draw: random.Random, over: threading.Event) -> None:
        while not over.is_set():
            work(draw, time.monotonic() + 0.1)

    def _settle(self, erased: list[str]) -> list[str]:
        """Wait until everything holds, and give what does not in the end."""
        until_s, found = time.monotonic() + SETTLES_S, ["the journals were not told"]
        while found and not self.model.faults and time.monotonic() < until_s:
            if self.centre.told():
                found = broken(self.centre, self.model, self._screens, self._settled_s)
                found = found or left_of_the_erased(self.centre, self.model, erased, self._region)
            if found:
                time.sleep(0.2)
        if not found and (board := self.centre.queue(0)):
            note_keys(self.model, board)
            self.model.note(f"holds: {board['waiting']} wait, {sum(c['defer_s'] > 0 for c in board['calls'])} deferred")
        return self.model.faults + found

    def _look_at_the_board(self) -> None:
        """Let every operator who is there and has none open a screen."""
        for screen in [screen for screen in self._screens if not screen.follows]:
            screen.close()
            self._screens.remove(screen)
        for place, name in enumerate(OPERATORS):
            if self._away.get(name, 0) <= self.model.step and all(screen.who != name for screen in self._screens):
                self._away.pop(name, None)
                self._screens.append(Screen(self.centre, place % self.centre.count, name))
        self.model.screens = {screen.who: screen for screen in self._screens}

    def _caller(self, draw: random.Random) -> str | None:
        found = [caller for caller in self._callers if caller not in self._apart]
        return None if draw.random() < 0.1 else draw.choice(found)

    def _number(self) -> str:
        self._numbers += 1
        return f"+62812{self.model.seed % 1_000:03}{self._numbers:05}"

    def _make_known(self, pbx: Pbx, callers: list[str]) -> None:
        """Let them have rung often, and be closed as a prank each time."""
        for caller in callers:
            pbx.past(0, caller, 6, "prank", timedelta(days=9))

    def _any(self) -> int:
        return self._draw.randrange(self.centre.count)

    def _replace_the_erased(self, since: int) -> None:
        for caller in self._erased[since:]:
            other = self._callers[self._callers.index(caller)] = self._number()
            self._make_known(self._late, [other])

    # What happens.

    def _calm(self, _: ThreadPoolExecutor) -> None:
        pass

    def _erase(self, threads: ThreadPoolExecutor) -> None:
        """Erase two callers, each of whom may ring while it is done."""
        for caller in self._apart:
            old = [call for call in self.model.of(caller) if call.over == "yes"]
            unsure = any(call.live for call in self.model.of(caller))
            for call in old:
                call.erased = "maybe"
            number, other, after_s = self._any(), self._any(), self._draw.choice([0.005, 0.02, 0.1, 0.5])
            repeats = self._draw.random() < 0.3  # who rings once is not brought back by being told of again
            ringing = threads.submit(self._ring_later, after_s, other, caller, repeats)
            asked = {"caller": caller, "reason": "asked for it"}
            reply = self.centre.ask(number, "admin", "POST", "/v1/callers/erase", asked)
            rang_before = ringing.done()
            self.model.note(f"{number} erases {caller}: {reply}; {', '.join(call.call_id for call in old)}")
            ringing.result()
            if reply.status == 200:
                self._erased.append(caller)
            elif reply.status not in (0, 409, 503) or (reply.status == 409 and not unsure and not rang_before):
                self.model.fault(f"{caller}: none of its calls is live, and it is not erased: {reply}")
            for call in old:
                call.erased = {200: "yes", 409: "no"}.get(reply.status, "maybe")

    def _ring_later(self, after_s: float, number: int, caller: str, repeats: bool) -> None:
        time.sleep(after_s)
        self._late.ring(number, caller, repeats=repeats)

    def _retain(self, _: ThreadPoolExecutor) -> None:
        """Remove what is older than sixty days."""
        for age in (70, 90):
            for call in self._late.past(self._any(), self._number(), 2, "silent", timedelta(days=age)):
                call.erased = "maybe"
        self._command("retention", "--older-than", "60d")

    def _switch(self, _: ThreadPoolExecutor) -> None:
        """Switch deferral off, or on again."""
        on = self.model.switch_off_s is not None
        if on:
            self.model.switch_off_s = None
        word = "on" if on else "off"
        if self._draw.random() < 0.3:
            self._command("switch", word, "--reason", "a walk")
        else:
            said = {"switch": {"on": on, "reason": "a walk"}}
            while (reply := self.centre.ask(self._any(), "admin", "PUT", "/v1/operations", said)).status != 200:
                self.model.note(f"the switch: {reply}")
            self.model.note(f"deferral is switched {word}")
        self.model.switch_off_s = None if on else time.monotonic()
        time.sleep(DECIDED_S + 0.5)  # a PBX that asks meanwhile is to be told

    def _step_a_clock(self, _: ThreadPoolExecutor) -> None:
        number, offset_s = self._any(), self._draw.choice(OFFSETS_S)
        if self.centre.clocks[number].steps:
            self.model.offsets_s.add(offset_s)
            self.centre.clocks[number].step(offset_s)
            self.model.clocks_right = all(clock.offset_s == 0 for clock in self.centre.clocks)
            self.model.note(f"the clock of {number} is put wrong by {offset_s} s")
            time.sleep(self._draw.choice([0.0, 6.0]))

    def _restart(self, _: ThreadPoolExecutor, how: int = signal.SIGTERM) -> None:
        number = self._any()
        self.model.note(f"{number} is stopped by {signal.Signals(how).name}")
        self.centre.restart(number, how)
        self._settled_s = time.monotonic()
        self.model.note(f"{number} is ready again")

    def _kill(self, threads: ThreadPoolExecutor) -> None:
        self._restart(threads, signal.SIGKILL)

    def _rotate(self, _: ThreadPoolExecutor) -> None:
        """Make a new key of numbers, and start one service after the other with it."""
        self._command("keys", "rotate-numbers", "--key-file", self.centre.folder / "saring.key")
        last = self.centre.count - 1
        for number in range(self.centre.count):
            self.centre.restart(number)
            self._settled_s = time.monotonic()
            self.model.note(f"{number} was started with the new key")
            if number != last:
                self._genuine(last, number)

    def _genuine(self, number: int, other: int) -> None:
        """Close a caller as genuine at one service, and let it ring at another."""
        caller = self._apart[0]
        call = self._late.ring(number, caller)
        if call.born:
            self._late.answered(number, "intake", call)
            self._late.ended(number, call)
            self._late.closed(number, "intake", call, "genuine")
            time.sleep(DECIDED_S + 1.1)
            self._late.ring(other, caller)

    def _leave(self, _: ThreadPoolExecutor) -> None:
        """Let an operator leave, with whatever was taken."""
        screen = self._draw.choice(self._screens)
        self._away[screen.who] = self.model.step + self._draw.randrange(1, 6)
        screen.close()
        self.model.left_s[screen.who] = time.monotonic()
        self.model.note(f"{screen.who} leaves")

    def _run_a_command(self, _: ThreadPoolExecutor) -> None:
        """Let another process open and close the store."""
        self._command("keys", "list")

    def _lock(self, _: ThreadPoolExecutor) -> None:
        """Let nobody write the store for a while."""
        with self.centre.locked():
            time.sleep(3.0)

    def _command(self, *words: object) -> None:
        done = self.centre.command(*words)
        self.model.note(f"saring {' '.join(map(str, words))}: {done.returncode} {done.stdout.strip()[-200:]!r}")
        if done.returncode:
            self.model.fault(f"saring {' '.join(map(str, words))}: {done.stderr.strip()[-500:]}")
