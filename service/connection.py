"""One connection of a client: as long, as slow and as many as connections may be.

The server reads a request's head however large it is and waits for the rest for ever, before anybody has asked for a
key. Here a head has a size, a request a time to arrive in, and a process only so many connections that its own files,
the store and the journal, can always be opened. Whoever is refused is told so in a problem document.

What this does not protect against: requests that are whole, from somebody who may send them, and more senders than
the line or the processor can take. That is for what stands in front of the service.
"""

import asyncio
import resource
from functools import cache
from http import HTTPStatus
from typing import Any, cast

from pydantic_core import to_json
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.problems import MEDIA_TYPE
from service.shortcut import SHORTCUT, PlainRequest, Shortcut

#: Of the line and the headers of a request, in bytes.
HEAD_LIMIT = 65_536
#: A request has so long to arrive, from its first byte, or from when the connection was made, to its last.
REQUEST_S = 20.0
#: Under this name the application's lifespan gives what is to be called when the server begins to stop.
LEAVING = "saring.leaving"
#: So many requests of a connection may wait for the answer to the one before: they are held in memory.
MOST_IN_LINE = 1_000
#: Share of the files that a process may open.
SHARE_OF_FILES = 0.8
#: A request with one of these takes the long way.
_NOT_PLAIN = frozenset((b"expect", b"transfer-encoding", b"upgrade"))


class Connection(HttpToolsProtocol):
    """Hands requests on to the application; for uvicorn's `http`."""

    #: What is being answered: uvicorn's own, or a request on the short way.
    cycle: Any
    _timer: asyncio.TimerHandle | None = None
    #: When the request began that is still arriving, and when the last one was answered; None while that is not so.
    _since_s: float | None = None
    _idle_s: float | None = None
    #: How many requests have begun, and how much of the head of the last one is known to have come.
    _began = _head = 0
    _in_head = False
    _refusal = (HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request, if there is room for one more connection."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._shortcut: Shortcut | None = self.app_state.get(SHORTCUT)
        self._since_s = self.loop.time()
        if len(self.connections) > most():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; close some, or try again")
        else:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(self.cycle, PlainRequest) and not self.cycle.begun:
            self.cycle.broke_off()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what the parser holds of a head that has not ended yet counts as much as the rest of it."""
        before = self._began
        super().data_received(data)
        # Where in these bytes a head begins nobody knows, since requests may stand before it: the next ones count.
        if self._in_head and self._began == before and not self.transport.is_closing():
            self._head += len(data)
            if self._head > HEAD_LIMIT:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)

    def shutdown(self) -> None:
        """End what would not end by itself: the server waits for all that is under way before it stops."""
        self.app_state.get(LEAVING, lambda: None)()
        super().shutdown()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._since_s, self._idle_s, self._head, self._in_head = self.loop.time(), None, 0, True
        self._began += 1

    def on_headers_complete(self) -> None:
        """Hand it on, now that its head has arrived; its size is that of what it says, however it was sent."""
        self._in_head = False
        size, length, plain = len(self.url), -1, True
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"content-length":
                length = int(value)  # the parser has seen to it
            elif name in _NOT_PLAIN:
                plain = False
        if size > HEAD_LIMIT:
            self._refusal = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
            raise ValueError  # the parser ends by it, and `send_400_response` is asked
        if len(self.pipeline) >= MOST_IN_LINE:
            self._refusal = (HTTPStatus.TOO_MANY_REQUESTS, "too many requests in a row; read the answers first")
            raise ValueError
        short, parser, before = self._shortcut, self.parser, self.cycle
        if (
            short is not None
            and self.url == short.url
            and plain
            and 0 <= length <= short.limit
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and (before is None or before.response_complete)
        ):
            self.cycle = PlainRequest(cast("Scope", self.scope), short, keep_alive=parser.should_keep_alive())
            if self.cycle.refused is not None:
                self._begin()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Gather the body."""
        if isinstance(self.cycle, PlainRequest):
            if not self.cycle.begun:
                self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Know that the whole of it has arrived."""
        self._since_s = None
        if not isinstance(self.cycle, PlainRequest):
            super().on_message_complete()
        elif not self.cycle.begun:
            self._begin()

    def _begin(self) -> None:
        """Let a request on the short way be answered."""
        self.cycle.begun = True
        task = self.loop.create_task(self.cycle.run(self.transport, self.flow, self.on_response_complete))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Go on with what came in meanwhile; the wait for more is timed by `_look`, not by a timer for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._since_s is None:
            self._idle_s = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read on, with a problem document."""
        status, detail = self._refusal
        document = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
        body = to_json(document)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}"
        self.transport.write(f"{head}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _look(self) -> None:
        """See whether a request takes too long to arrive."""
        if self.transport.is_closing():
            return
        now_s, waits_s = self.loop.time(), REQUEST_S
        if self._since_s is not None and not self.flow.read_paused:
            waits_s = self._since_s + REQUEST_S - now_s
        elif self._idle_s is not None:
            waits_s = self._idle_s + self.timeout_keep_alive - now_s
        if waits_s > 0.0:
            self._timer = self.loop.call_later(min(waits_s, self.timeout_keep_alive), self._look)
        elif self._in_head or (self.cycle is not None and not self.cycle.response_started):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request did not arrive within {REQUEST_S:.0f} seconds")
        else:
            self.transport.close()  # nothing is asked, or it is answered and the rest is not waited for

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._refusal = (status, detail)
        self.send_400_response(detail)


_TOO_LARGE = f"the line and the headers of the request have more than {HEAD_LIMIT:,} bytes"


@cache
def most() -> int:
    """Give how many connections a process may have."""
    return int(SHARE_OF_FILES * resource.getrlimit(resource.RLIMIT_NOFILE)[0])
