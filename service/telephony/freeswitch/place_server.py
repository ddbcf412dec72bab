"""Answers a dialplan's `socket`: where a call stands in mod_callcenter's queue.

mod_callcenter serves whoever has the largest sum of seconds waited and base score first. So `cc_base_score` is the
negated deferral in seconds: 0, and first come, first served, without Saring, and never above 0.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from service.telephony.freeswitch.event_socket import LONGEST_LINE, EventSocket, EventSocketError

if TYPE_CHECKING:
    from service.client.clients import AsyncClient

log = logging.getLogger(__name__)
_KEPT = {"saring_band": "band", "saring_defer_s": "defer_s", "saring_degraded": "degraded"}


class PlaceServer:
    """The server of outbound sockets: `socket` with `127.0.0.1:8084 sync full`, once before the queue.

    Parameters
    ----------
    deadline_s : float
        After so long a connection is closed, and the dialplan goes on (`socket_resume=true`).
    """

    def __init__(self, client: "AsyncClient", *, deadline_s: float = 0.5) -> None:
        self._client, self._deadline_s = client, deadline_s

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen; the server that is returned runs until it is closed."""
        return await asyncio.start_server(self._connected, host, port, limit=LONGEST_LINE)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket = EventSocket(reader, writer)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._answer(socket)
        except TimeoutError:
            log.warning("a dialplan was let go after %g s", self._deadline_s)
        except (EventSocketError, ValueError, OSError) as error:
            log.warning("a dialplan was not answered: %s", error)
        finally:
            writer.close()

    async def _answer(self, socket: EventSocket) -> None:
        channel = await socket.command("connect")
        answer = await self._client.score(call_of(channel, datetime.now(UTC)))
        variables = {"cc_base_score": str(base_score_of(float(answer["defer_s"])))}
        variables |= {name: str(answer[field]) for name, field in _KEPT.items()}
        for name, value in variables.items():
            await socket.command(
                "sendmsg", "call-command: execute", "execute-app-name: set", f"execute-app-arg: {name}={value}"
            )


def call_of(channel: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return the call that a channel's data describe; a ValueError when it has no Unique-ID.

    `saring_heard` (`true` after a greeting) makes it the stage `opening`.

    Examples
    --------
    >>> call = call_of({"unique-id": "a", "caller-channel-created-time": "1717207195500000"}, datetime.now(UTC))
    >>> call["call_id"], call["received_at"].isoformat(), call["caller"]
    ('a', '2024-06-01T01:59:55.500000+00:00', None)
    """
    call_id = channel.get("unique-id", "")
    if not call_id:
        raise ValueError("no channel: its data have no Unique-ID")
    created = channel.get("caller-channel-created-time", "")
    at = datetime.fromtimestamp(int(created) / 1e6, UTC) if created.isdigit() and int(created) else now
    number = channel.get("caller-caller-id-number", "")
    call: dict[str, Any] = {"call_id": call_id, "received_at": at, "caller": number or None, "stage": "ring"}
    if channel.get("variable_saring_heard") == "true":
        call |= {"stage": "opening", "duration_s": max(0.0, (now - at).total_seconds())}
    return call


def base_score_of(defer_s: float) -> int:
    """Return the cc_base_score of a deferral: whole seconds, never above 0.

    Examples
    --------
    >>> base_score_of(0.0), base_score_of(119.6), base_score_of(float("nan"))
    (0, -120, 0)
    """
    return -round(defer_s) if math.isfinite(defer_s) and defer_s > 0.0 else 0
