"""What the two clients share: settings, requests, parts, and what happens in a forked process."""

import math
import os
import ssl
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, Generic, TypeVar

import httpx

from model.policy.arrival import CLOCK_TOLERANCE_S
from service.client.core import REMEMBERED, ClientCore
from service.client.event import Event, Time
from service.client.outbox import OUTBOX_LIMIT, Outbox
from service.client.score_request import ScoreRequest
from service.client.transport.circuit_breaker import CircuitBreaker
from service.client.transport.exchange import Exchange
from service.client.transport.loop_thread import LoopThread

T = TypeVar("T")
Answer = TypeVar("Answer")


class BaseClient(ABC, Generic[Answer]):
    """Everything but the waiting, which decides what an `Answer` is: a dict, or a coroutine that returns one.

    A process that is forked off may go on using it, without the outbox, which stays with the process that opened it.

    Parameters
    ----------
    url : str
        The address of the service, such as https://saring.example:8112.
    key : str, optional
        An access key of the role intake. It is never shown.
    deadline_s : float
        How long an exchange with the service may take, all in all.
    outbox : Path, optional
        A file of this client alone, for the events that the service does not take at once. Without it such events
        are lost, and the answer says so.
    max_defer_s : float
        An answer that puts a call further back is ignored.
    failures : int
        After so many in a row the service is left alone.
    open_s, longest_open_s : float
        For how long, at first and at most.
    outbox_limit : int
        Bytes of the outbox, set aside when it is made; what comes when it is full is lost, and the answer says so.
    clock_tolerance_s : float
        Without the service a call is placed by its received_at only when that lies at most so far behind the moment at
        which it was first asked about, and not after it; else by that moment. As SARING_CLOCK_TOLERANCE_S.
    tls : ssl.SSLContext, optional
        By default the certificates that this machine trusts.

    Raises
    ------
    ValueError
        Naming the setting that makes no sense.
    StoreError
        When the outbox is in use by another client, or cannot be opened.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        deadline_s: float = 0.15,
        outbox: Path | None = None,
        max_defer_s: float = 300.0,
        failures: int = 5,
        open_s: float = 2.0,
        longest_open_s: float = 30.0,
        outbox_limit: int = OUTBOX_LIMIT,
        clock_tolerance_s: float = CLOCK_TOLERANCE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        service, checked = _address(url), _checked(key)
        _positive(deadline_s=deadline_s, failures=failures, open_s=open_s, longest_open_s=longest_open_s)
        _positive(outbox_limit=outbox_limit)
        for name, seconds in (("max_defer_s", max_defer_s), ("clock_tolerance_s", clock_tolerance_s)):
            if not 0.0 <= seconds < math.inf:
                raise ValueError(f"{name}: {seconds!r}, expected 0 or more seconds")
        trusted = ssl.create_default_context() if tls is None else tls

        def breaker() -> CircuitBreaker:
            return CircuitBreaker(failures=failures, open_s=open_s, longest_s=longest_open_s)

        def core(kept: Outbox | None) -> ClientCore:
            return ClientCore(Exchange(service, checked, trusted), breaker, kept, max_defer_s)

        self._url, self._deadline_s, self._make = url, deadline_s, core
        self._clock_tolerance_s = clock_tolerance_s
        self._first_asked = lru_cache(REMEMBERED)(lambda _call_id: (datetime.now(UTC), monotonic()))
        self._outbox = None if outbox is None else Outbox(Path(outbox), outbox_limit)
        self._thread, self._core = LoopThread(), core(self._outbox)
        client = weakref.ref(self)  # the hook stays for good, and is not to keep a client alive

        def forked() -> None:
            if (own := client()) is not None:
                own._forked()

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=forked)
        # Before the first call, which would otherwise wait for it.
        started = self._submit(lambda core: core.start())
        if started is not None:
            started.result()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def score(self, call: Mapping[str, Any]) -> Answer:
        """Ask for a call's place in the queue, at any stage, as often as more becomes known of it.

        Parameters
        ----------
        call : mapping
            The fields of POST /v1/score; `call_id` and `received_at` are required. Times are aware or RFC 3339 text.

        Returns
        -------
        answer : dict
            That of the service; or, within the deadline, one of the same fields that puts nobody back: band
            "unscored", `degraded` true, and in `warnings` why. A place never lies behind one that was given before.

        Raises
        ------
        ValueError
            When call_id or received_at lacks or makes no sense. Nothing else is raised, whatever the service does.
        """
        return self._score(ScoreRequest.of(call, self._first_asked, self._clock_tolerance_s), monotonic())

    def answered(self, call_id: str, answered_at: Time, operator: str | None = None) -> Answer:
        """Report that an operator answered a call.

        Returns
        -------
        answer : dict
            `call_id`; `durable`: the service has it on disk; `queued`: the outbox has it on disk, and it is told as
            soon as the service takes it; `degraded`; `warnings`. When neither is true it is lost.

        Raises
        ------
        ValueError
            When call_id or the time makes no sense. Nothing else is raised, whatever the service does.
        """
        return self._send(Event.answered(call_id, answered_at, operator))

    def ended(
        self,
        call_id: str,
        ended_at: Time,
        ended_by: str | None = None,
        duration_s: float | None = None,
        silence_ratio: float | None = None,
    ) -> Answer:
        """Report that a call ended, as `answered` does; the answer has the score of the whole call, if there is one.

        Parameters
        ----------
        call_id : str
        ended_at : datetime or str
        ended_by : str, optional
            caller, operator or network.
        duration_s, silence_ratio : float, optional
            Of the conversation, on the caller's side; the share is from 0 to 1.
        """
        return self._send(Event.ended(call_id, ended_at, ended_by, duration_s, silence_ratio))

    def disposition(
        self,
        call_id: str,
        disposition: str,
        disposed_at: Time,
        category: str | None = None,
        operator: str | None = None,
        incident_id: str | None = None,
    ) -> Answer:
        """Report how an operator closed a call, as `answered` does; a second report is a correction.

        Parameters
        ----------
        incident_id : str, optional
            Your name of the incident, the same for every call about it.
        """
        return self._send(Event.disposition(call_id, disposition, disposed_at, category, operator, incident_id))

    @abstractmethod
    def _score(self, asked: ScoreRequest, started: float) -> Answer: ...

    @abstractmethod
    def _send(self, event: Event) -> Answer: ...

    def _submit(self, job: Callable[[ClientCore], Coroutine[Any, Any, T]]) -> Future[T] | None:
        """Start something in the background; None when the client is closed."""
        core = self._core
        return self._thread.submit(lambda: job(core))

    def _pending(self) -> int:
        return 0 if self._outbox is None else len(self._outbox)

    def _close(self) -> None:
        self._thread.close(self._core.close)
        if self._outbox is not None:
            self._outbox.close()

    def _forked(self) -> None:
        # The parent's parts are kept, not closed: they share with it what it has under way.
        self._parents = (self._thread, self._core, self._outbox)
        if self._outbox is not None:
            self._outbox.close()
        self._thread, self._core, self._outbox = LoopThread(), self._make(None), None


def _address(url: str) -> httpx.URL:
    """Parse the address of a service. An error does not quote it, since it may hold a password.

    Examples
    --------
    >>> _address("https://saring.example/api/")
    URL('https://saring.example/api/')
    """
    expected = "url: expected the address of the service, like https://saring.example:8112"
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ValueError(expected) from None
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(expected)
    if address.userinfo or address.query or address.fragment:
        raise ValueError(f"{expected}, without a user, a query or a fragment")
    return address


def _checked(key: str | None) -> str | None:
    """Return a key that can stand in a header."""
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("key: expected printable ASCII characters and no space")
    return key


def _positive(**settings: float) -> None:
    for name, value in settings.items():
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name}: {value!r}, expected a number above 0")
