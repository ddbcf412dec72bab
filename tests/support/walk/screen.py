"""An operator's screen: the board as it is put together from the stream, as long as the stream is open."""

import http.client
import json
import socket
import threading
import time
from typing import Any

from tests.support.walk.centre import Centre

IN_QUEUE = ("waiting", "taken")


class Screen:
    """Follows the queue of one service in a thread of its own.

    Parameters
    ----------
    centre : Centre
    number : int
        Of the service.
    who : str
        Whose screen it is.
    """

    def __init__(self, centre: Centre, number: int, who: str) -> None:
        self.number, self.who = number, who
        self.calls: dict[str, dict[str, Any]] = {}
        #: Whether it shows what the service tells it; a board that hears nothing for some seconds says so by itself.
        self.follows, self.since_s = False, time.monotonic()
        self._line = http.client.HTTPConnection("127.0.0.1", centre.processes[number].port, timeout=10.0)
        self._line.request("GET", "/v1/queue/stream", headers={"Authorization": f"Bearer {centre.keys[who]}"})
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close it: the operator has left."""
        self.follows = False
        if self._line.sock is not None:
            self._line.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(15.0)
        self._line.close()

    def shown(self) -> dict[str, tuple[str, str]]:
        """Give state and key of each call that it shows."""
        return {call_id: (call["state"], call["queue_key"]) for call_id, call in dict(self.calls).items()}

    def _follow(self) -> None:
        event = ""
        try:
            answer = self._line.getresponse()
            while line := answer.readline():  # b"" when it was cut off
                name, _, value = line.decode().strip().partition(":")
                if name == "event":
                    event = value.strip()
                elif name == "data":
                    self._take(event, json.loads(value))
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass  # the service was killed, or the screen closed
        self.follows = False

    def _take(self, event: str, told: dict[str, Any]) -> None:
        if event == "queue":
            self.calls = {call["call_id"]: call for call in told["calls"]}
            self.follows = True
        elif event == "call" and told["state"] in IN_QUEUE:
            self.calls[told["call_id"]] = told
        elif event == "call":
            self.calls.pop(told["call_id"], None)
