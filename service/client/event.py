"""An event of a call: it was answered, it ended, or it was closed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from service.client.fallback import malformed_answer
from service.client.score_request import encode_json, moment, text

Time = datetime | str
KINDS = ("answered", "ended", "disposition")


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it is sent.

    Parameters
    ----------
    call_id : str
    kind : str
        One of `KINDS`.
    body : str
        A JSON object, in ASCII.
    """

    call_id: str
    kind: str
    body: str

    @classmethod
    def answered(cls, call_id: str, answered_at: Time, operator: str | None) -> Self:
        """Make the event that an operator answered; a ValueError names what makes no sense, here and below."""
        return cls._build(
            call_id, "answered", {"answered_at": moment("answered_at", answered_at), "operator": operator}
        )

    @classmethod
    def ended(
        cls,
        call_id: str,
        ended_at: Time,
        ended_by: str | None,
        duration_s: float | None,
        silence_ratio: float | None,
    ) -> Self:
        """Make the event that the call ended."""
        heard = {"ended_by": ended_by, "duration_s": duration_s, "silence_ratio": silence_ratio}
        return cls._build(call_id, "ended", {"ended_at": moment("ended_at", ended_at), **heard})

    @classmethod
    def disposition(
        cls,
        call_id: str,
        disposition: str,
        disposed_at: Time,
        category: str | None,
        operator: str | None,
        incident_id: str | None,
    ) -> Self:
        """Make the event that an operator closed the call."""
        said = {"disposition": disposition, "category": category, "operator": operator, "incident_id": incident_id}
        return cls._build(call_id, "disposition", {"disposed_at": moment("disposed_at", disposed_at), **said})

    @classmethod
    def _build(cls, call_id: str, kind: str, fields: Mapping[str, Any]) -> Self:
        body, _ = encode_json({name: value for name, value in fields.items() if value is not None})
        return cls(text("call_id", call_id), kind, body.decode())

    @property
    def path(self) -> str:
        """The path to which it is posted.

        Examples
        --------
        >>> Event("a/b", "ended", "{}").path, Event("..", "ended", "{}").path
        ('/v1/calls/a%2Fb/ended', '/v1/calls/%2E%2E/ended')
        """
        call_id = quote(self.call_id, safe="")
        if call_id in (".", ".."):  # as they are, they would be steps of the path
            call_id = call_id.replace(".", "%2E")
        return f"/v1/calls/{call_id}/{self.kind}"

    def line(self, **more: Any) -> bytes:
        """Write it as a line of a file, with more members after its own."""
        members = {"call_id": self.call_id, "kind": self.kind, "body": json.loads(self.body), **more}
        return json.dumps(members).encode("ascii") + b"\n"

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Self:
        """Read it from the members of a line.

        Raises
        ------
        ValueError
            When that is no event.
        """
        call_id, kind, body = line.get("call_id"), line.get("kind"), line.get("body")
        if not isinstance(body, dict) or kind not in KINDS:
            raise ValueError("no event")
        return cls(text("call_id", call_id), str(kind), json.dumps(body))


def accepted_receipt(event: Event, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the receipt of an event that the service took; for the end of a call with the score of all of it."""
    scored = event.kind == "ended" and malformed_answer(answer, event.call_id) is None
    warnings = answer.get("warnings")
    return {
        **(answer if scored else {}),
        "call_id": event.call_id,
        "durable": answer.get("durable") is True,
        "queued": False,
        "degraded": answer.get("degraded") is True,
        "warnings": warnings if isinstance(warnings, list) else [],
    }


def undelivered_receipt(event: Event, why: str, *, queued: bool = False) -> dict[str, Any]:
    """Return the receipt of an event that the service did not take; `queued` when it is on disk, to be sent later."""
    warnings = [{"field": "service", "detail": f"the service {why}"}]
    return {"call_id": event.call_id, "durable": False, "queued": queued, "degraded": True, "warnings": warnings}
