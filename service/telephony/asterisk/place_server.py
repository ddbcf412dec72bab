"""Answers the dialplan: where a call stands in the queue, asked at ring and again as it joins the queue.

Asterisk serves the caller with the highest QUEUE_PRIO first, and equal ones in the order of their coming. So the
priority is the negated second of the queue key: first come, first served without Saring (the dialplan sets `-${EPOCH}`
before it asks), and deferred by whole seconds with it.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from service.telephony.asterisk.fast_agi import LONGEST_LINE, AgiError, AgiSession
from service.telephony.asterisk.talk_meter import TalkMeter
from service.telephony.channel_names import uniqueid_us

if TYPE_CHECKING:
    from service.client.clients import AsyncClient

log = logging.getLogger(__name__)
STAGES = ("ring", "opening")
#: What a channel keeps of an answer; QUEUE_PRIO is what Queue() reads.
PRIORITY, CALL_ID, RECEIVED = "QUEUE_PRIO", "SARING_CALL_ID", "SARING_RECEIVED_AT"
_KEPT = {"SARING_BAND": "band", "SARING_DEFER_S": "defer_s", "SARING_DEGRADED": "degraded"}


class PlaceServer:
    """The FastAGI server; `agi://host/ring` and `agi://host/opening`, with fields of the call after a `?`.

    Parameters
    ----------
    client : AsyncClient
    talk : TalkMeter, optional
        What the manager's events say of talking; without it the silence of the opening is not known.
    deadline_s : float
        After so long a connection is closed, whatever state it is in, and the call goes on as the dialplan set it.
    """

    def __init__(self, client: "AsyncClient", talk: TalkMeter | None = None, *, deadline_s: float = 0.5) -> None:
        self._client, self._talk, self._deadline_s = client, talk, deadline_s

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen; the server that is returned runs until it is closed."""
        return await asyncio.start_server(self._connected, host, port, limit=LONGEST_LINE)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._answer(await AgiSession.open(reader, writer))
        except TimeoutError:
            log.warning("a dialplan was let go after %g s", self._deadline_s)
        except (AgiError, ValueError, ConnectionError) as error:
            log.warning("a dialplan was not answered: %s", error)
        finally:
            writer.close()

    async def _answer(self, session: AgiSession) -> None:
        asked = urlsplit(session.variables.get("network_script", ""))
        stage = asked.path.strip("/")
        if stage not in STAGES:
            raise AgiError(f"agi://.../{stage}, expected {' or '.join(STAGES)}")
        found = await session.expand(f"${{CHANNEL(linkedid)}}|${{{RECEIVED}}}")
        call_id, _, received = found.partition("|")
        call_id = call_id or session.variables.get("uniqueid", "")
        call = await self._call(session, stage, call_id, received) | dict(parse_qsl(asked.query))
        answer = await self._client.score(call)
        await session.set_variable(PRIORITY, str(priority_of(float(answer["queue_key_epoch"]))))
        await session.set_variable(CALL_ID, call_id)
        for name, field in _KEPT.items():
            await session.set_variable(name, str(answer[field]))

    async def _call(self, session: AgiSession, stage: str, call_id: str, received: str) -> dict[str, Any]:
        made_us = uniqueid_us(session.variables.get("uniqueid", ""))
        now = datetime.now(UTC)
        at = datetime.fromtimestamp(made_us / 1e6, UTC) if made_us else now
        if received:
            at = datetime.fromisoformat(received)
        elif not made_us:  # the next question is to name the same moment
            await session.set_variable(RECEIVED, at.isoformat())
        call: dict[str, Any] = {
            "call_id": call_id,
            "stage": stage,
            "received_at": at,
            "caller": caller_of(session.variables),
        }
        if stage == "opening":
            call["duration_s"] = max(0.0, (now - at).total_seconds())
            if self._talk is not None:
                call["silence_ratio"] = self._talk.silence_ratio(session.variables.get("channel", ""), now)
        return call


def priority_of(queue_key_epoch: float) -> int:
    """Return the QUEUE_PRIO of a queue key in seconds since 1970.

    Examples
    --------
    >>> priority_of(1717207195.9), priority_of(1717207196.0)
    (-1717207195, -1717207196)
    """
    return -math.floor(queue_key_epoch)


def caller_of(variables: Mapping[str, str]) -> str | None:
    """Return the caller's number as the channel has it; None when it shows none.

    Examples
    --------
    >>> caller_of({"callerid": "0812"}), caller_of({"callerid": "unknown"}), caller_of({})
    ('0812', None, None)
    """
    number = variables.get("callerid", "")
    return None if number.lower() in ("", "unknown", "<unknown>") else number
