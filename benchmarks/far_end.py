"""What stands behind a SIP proxy: it notes every request, and answers."""

import re
import socket
import threading
import time
from typing import NamedTuple

_RETURNED = ("via", "record-route", "from", "call-id", "cseq")


class Request(NamedTuple):
    """A request as it came to the far end."""

    method: str
    headers: list[tuple[str, str]]
    at: float

    def values(self, name: str) -> list[str]:
        """Give the values of a header, each line of it one."""
        return [value for told, value in self.headers if told.lower() == name.lower()]

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.values("Call-ID")[0]

    @property
    def sent_at(self) -> float:
        """When sipp sent it."""
        return float(self.values("X-Sent")[0].split("\t")[-1])

    @property
    def took_s(self) -> float:
        """How long after that it came."""
        return self.at - self.sent_at

    @property
    def suspicion(self) -> str | None:
        """What its Call-Info tells of suspicion, all of it."""
        told = [value for value in self.values("Call-Info") if "emergency-callsuspicion" in value.lower()]
        return ", ".join(told) or None


class FarEnd:
    """What stands behind the proxy: it notes every request, and answers all but ACK with 200."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65_535)
            at = time.time()
            if not data:
                return
            request = read_request(data, at)
            self.requests.append(request)
            if request.method != "ACK":
                self._socket.sendto(self._ok(request), sender)

    def _ok(self, request: Request) -> bytes:
        kept = [f"{name}: {value}" for name, value in request.headers if name.lower() in _RETURNED]
        to = request.values("To")[0]
        to += "" if "tag=" in to else ";tag=far"
        lines = ["SIP/2.0 200 OK", *kept, f"To: {to}", f"Contact: <sip:far@127.0.0.1:{self.port}>", "Content-Length: 0"]
        return "\r\n".join([*lines, "", ""]).encode()

    def invites(self) -> dict[str, Request]:
        """Give the first INVITE of each call, in the order in which they came."""
        first: dict[str, Request] = {}
        for request in list(self.requests):
            if request.method == "INVITE":
                first.setdefault(request.call_id, request)
        return first

    def close(self) -> None:
        """Let it go."""
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()


def read_request(data: bytes, at: float) -> Request:
    """Read a request: its method, and its headers in their order, unfolded."""
    head = re.sub(r"\r\n[ \t]+", " ", data.decode("utf-8", "replace").partition("\r\n\r\n")[0])
    first, *lines = head.split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Request(first.split(" ")[0], [(name.strip(), value.strip()) for name, _, value in pairs], at)
