"""One connection of a client on uvicorn and h11: time limits, and what HTTP leaves open is refused.

h11 reads a body as a body whatever is said of an upgrade, and drops the trailers of a chunked one. Here come the time
in which a request has to arrive and an answer to be taken in, the heads and bodies that a proxy in front of the service
might read in another way, and refusals as problem documents.

What this does not protect against: requests that are whole, from somebody who may send them, and more senders than
the line or the processor can take. That is for what stands in front of the service.
"""

import asyncio
import re
import sys
from http import HTTPStatus
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.contract.problems import refusal

#: Bytes of the line and the headers of a request, of a line between chunks, and of trailers.
HEAD_LIMIT = 65_536
#: So many seconds a request may take to arrive, from its first byte to its last, and an answer stand still on its way.
STALL_TIMEOUT_S = 20.0
#: Under this name the application's lifespan gives what is to be called when the server begins to stop.
ON_SHUTDOWN = "saring.leaving"
#: Headers of a request; and chunks of a body that may be of any size, and the bytes that the others have on average.
MAX_HEADERS, MAX_SMALL_CHUNKS, CHUNK_BYTES = 1_000, 1_000, 512
#: What is told of what h11 refuses; any other status of its is told as 400.
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "this is not a request of HTTP/1.1",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"the line and the headers of the request have more than "
    f"{HEAD_LIMIT:,} bytes, or more than {MAX_HEADERS:,} lines",
    HTTPStatus.REQUEST_TIMEOUT: f"the request did not arrive within {STALL_TIMEOUT_S:.0f} seconds",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"the body comes in more than {MAX_SMALL_CHUNKS:,} small chunks",
}
_REQUEST_LINE = re.compile(rb"(?!CONNECT )[!-~]+ [!-~]+ HTTP/1\.[01](?:\r\n|\Z)")
_LENGTH_HEADERS = frozenset((b"content-length", b"transfer-encoding"))


class Connection(H11Protocol):
    """uvicorn's own protocol on h11, with a time for requests to arrive and for answers to be taken in."""

    _stage: object = None
    _since_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, and not for ever."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.conn = StrictReader(h11.SERVER, HEAD_LIMIT)
        self._check_progress()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking after the connection."""
        self._timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End what would not end by itself: the server waits for all that is under way before it stops."""
        self.app_state.get(ON_SHUTDOWN, lambda: None)()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 has just found to be wrong."""
        hint = getattr(sys.exception(), "error_status_hint", None)
        self._refuse(HTTPStatus(hint) if hint in _DETAILS else HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer is given already
            self.transport.write(refusal(status, _DETAILS[status]))
        self.transport.close()

    def _check_progress(self) -> None:
        """End the connection when it has waited for the same thing too long."""
        stage, now_s = self._awaited_progress(), self.loop.time()
        if stage is None or stage != self._stage:
            self._stage, self._since_s = stage, now_s
        elif now_s - self._since_s >= STALL_TIMEOUT_S:
            if self.transport.is_closing() or self.transport.get_write_buffer_size():
                self.transport.abort()
            elif self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            else:
                self.transport.close()
        self._timer = self.loop.call_later(STALL_TIMEOUT_S / 4, self._check_progress)

    def _awaited_progress(self) -> object:
        """Return what the client has to do next: equal until it has done it, None when it has nothing to do."""
        if unread := self.transport.get_write_buffer_size():
            return unread
        if self.transport.is_closing():
            return "end"
        arriving = self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.flow.read_paused
        return (self.cycle, self.conn.their_state) if arriving else None


class StrictReader(h11.Connection):
    """h11's own, stricter: HTTP leaves it open how some requests are read, and two readers must not differ.

    Nor may a few bytes cost much: a chunk takes h11 as long as a tenth of a score.
    """

    _chunks = _bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Read on.

        Raises
        ------
        RemoteProtocolError
        """
        if self.their_state is h11.IDLE:
            _check_head(*self.trailing_data[0].partition(b"\r\n\r\n")[:2])
        event = super().next_event()
        if type(event) is h11.Request:
            self._chunks = self._bytes = 0
            if {name for name, _ in event.headers} >= _LENGTH_HEADERS:
                raise h11.RemoteProtocolError("two lengths")
        elif type(event) is h11.Data and event.chunk_start:
            self._chunks += 1
            self._bytes += len(event.data)
            if self._chunks > MAX_SMALL_CHUNKS + self._bytes // CHUNK_BYTES:
                raise h11.RemoteProtocolError("small chunks", error_status_hint=413)
        return event


def _check_head(head: bytes, end: bytes) -> None:
    """Check as much as there is of a head: its size, its first line, and how its lines end."""
    lines = head.count(b"\n")
    if len(head) > HEAD_LIMIT or lines > MAX_HEADERS:
        raise h11.RemoteProtocolError("too large", error_status_hint=431)
    folded = b"\n " in head or b"\n\t" in head
    if lines != head.count(b"\r\n") or folded or ((end or b"\n" in head) and not _REQUEST_LINE.match(head)):
        raise h11.RemoteProtocolError("no plain head")
