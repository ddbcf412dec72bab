"""Comes back after every break of a connection, at growing intervals."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from model.errors import SaringError

log = logging.getLogger(__name__)
SHORTEST_S, LONGEST_S = 0.5, 30.0


class PeerError(SaringError):
    """The other side refuses, does not answer, or does not speak its protocol."""


async def keep_connected(name: str, once: Callable[[], Awaitable[bool]], pause_s: float = SHORTEST_S) -> None:
    """Connect, and connect again, until cancelled.

    Parameters
    ----------
    name : str
        Of the other side, for the log.
    once : callable
        Connects and stays as long as the connection lasts; true when there was one.
    pause_s : float
        After a break, at first; doubled up to `LONGEST_S` while nobody answers.
    """
    pause = pause_s
    while True:
        try:
            if await once():
                pause = pause_s
        except (PeerError, TimeoutError, OSError) as error:
            log.warning("%s: %s", name, error or type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(LONGEST_S, 2.0 * pause)
