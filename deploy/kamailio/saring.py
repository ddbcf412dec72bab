"""What kamailio.cfg asks of Saring: `strip` takes foreign headers away, `ask` adds our own.

It needs nothing but the Python that Debian's kamailio-python3-modules brings.
"""

import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import KSR

URL = "http://127.0.0.1:8112"
KEY_FILE = Path("/etc/kamailio/saring.key")  # an access key of the role intake, readable by kamailio alone
DEADLINE_S = 0.150

PURPOSE = "emergency-CallSuspicion"
OWN = "x-saring-"
_LIMIT = 65_536
_ADDRESS = urlsplit(URL)


class Handler:
    """What kamailio.cfg calls by name; a positive result is true there."""

    def child_init(self, rank: int) -> int:
        """Read the key, in each process as it starts."""
        self.key = KEY_FILE.read_text(encoding="ascii").strip() if KEY_FILE.exists() else None
        return 0

    def strip(self, msg: object) -> int:
        """Take every suspicion and every header of our own away that comes from outside; all else stays."""
        KSR.textopsx.hf_iterator_start("h")
        while KSR.textopsx.hf_iterator_next("h") > 0:
            name = KSR.pv.get("$hfitname(h)").lower()
            if name == "call-info":
                try:
                    body = KSR.pv.get("$hfitbody(h)")
                except UnicodeDecodeError:  # nobody can say what it says
                    body, kept = "", None
                else:
                    kept = without_suspicion(body)
                if kept == body:
                    continue
                KSR.textopsx.hf_iterator_rm("h")
                if kept:
                    KSR.textopsx.hf_iterator_insert("h", f"Call-Info: {kept}\r\n")
            elif name.startswith(OWN):
                KSR.textopsx.hf_iterator_rm("h")
        KSR.textopsx.hf_iterator_end("h")
        return 1

    def ask(self, msg: object) -> int:
        """Ask for a call's score, and add what is said of it; whatever goes wrong, the call stays as it is."""
        try:
            invited_at = float(KSR.pv.get("$avp(invited_at)"))
            left_s = min(DEADLINE_S, DEADLINE_S - (time.time() - invited_at))
            call = {
                "call_id": KSR.pv.get("$ci"),
                "received_at": datetime.fromtimestamp(invited_at, UTC).isoformat(),
                "caller": KSR.pv.get("$ai") or KSR.pv.get("$fu"),
            }
            headers = headers_of(answer_to(call, self.key, left_s), call["call_id"])
        except Exception as error:  # noqa: BLE001 - the call is worth more than any of them
            KSR.warn(f"a call is passed on unasked: {type(error).__name__}\n")
            return -1
        for header in headers:
            KSR.hdr.append(f"{header}\r\n")
        return 1


def mod_init() -> Handler:
    """Give kamailio what it calls."""
    return Handler()


def without_suspicion(body: str) -> str:
    """Return a Call-Info header without the values that tell a suspicion; one that is not understood goes whole."""
    if PURPOSE.lower() not in body.lower():
        return body
    values = split(body, ",")
    kept = ",".join(value for value in values if not any(_tells(parameter) for parameter in split(value, ";")[1:]))
    return kept.strip() if PURPOSE.lower() not in kept.lower() else ""


def _tells(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip().lower() == "purpose" and value.strip().strip('"').strip().lower() == PURPOSE.lower()


def split(text: str, sign: str) -> list[str]:
    """Split at a sign, but not within <...> or "..."."""
    parts, within, escaped = [""], "", False
    for letter in text:
        if letter == sign and not within:
            parts.append("")
            continue
        parts[-1] += letter
        if escaped:
            escaped = False
        elif within == '"' and letter == "\\":
            escaped = True
        elif within:
            within = "" if letter == {"<": ">"}.get(within, within) else within
        elif letter in '<"':
            within = letter
    return parts


def answer_to(call: dict[str, str | None], key: str | None, left_s: float) -> dict:
    """Ask Saring, all in all for so many seconds: one connection, one request, read to its end."""
    until = time.monotonic() + left_s
    body = json.dumps(call).encode()
    head = ["POST /v1/score HTTP/1.0", f"Host: {_ADDRESS.netloc}", f"Content-Length: {len(body)}"]
    head += [f"Authorization: Bearer {key}"] if key else []
    answered = b""
    with socket.create_connection((_ADDRESS.hostname, _ADDRESS.port or 80), timeout=left(until)) as connection:
        connection.settimeout(left(until))
        connection.sendall("\r\n".join([*head, "", ""]).encode("ascii") + body)
        while not whole(answered):
            connection.settimeout(left(until))
            more = connection.recv(_LIMIT)
            if not more or len(answered) > _LIMIT:
                raise ValueError("half an answer, or a flood")
            answered += more
    status, _, document = answered.partition(b"\r\n\r\n")
    if status.split(b" ", 2)[1] != b"200":
        raise ValueError("it says no")
    return json.loads(document)


def whole(answered: bytes) -> bool:
    """Say whether an answer is there to its end; Saring says how long each is."""
    head, there, document = answered.partition(b"\r\n\r\n")
    if not there:
        return False
    lines = (line.lower().partition(b":") for line in head.split(b"\r\n"))
    return len(document) >= next(int(value) for name, _, value in lines if name == b"content-length")


def left(until: float) -> float:
    """Give the seconds until a moment; there have to be some."""
    seconds = until - time.monotonic()
    if seconds <= 0.0:
        raise TimeoutError
    return seconds


def headers_of(answer: dict, call_id: str) -> list[str]:
    """Return the headers that an answer is worth: its place in the queue, and the suspicion when it was scored."""
    likelihood, defer_s, key = answer["prank_likelihood"], float(answer["defer_s"]), float(answer["queue_key_epoch"])
    if answer["call_id"] != call_id or not 0.0 <= defer_s <= 300.0 or not 0.0 < key < 1e11:
        raise ValueError("it makes no sense")
    headers = [f"X-Saring-Queue-Key: {key:.6f}", f"X-Saring-Defer: {defer_s:.3f}"]
    if answer["band"] != "unscored" and likelihood is not None and not answer["held_out"]:
        if not 0.0 <= likelihood <= 1.0:
            raise ValueError("it is no likelihood")
        headers.append(f"Call-Info: <{round(100 * likelihood)}>;purpose={PURPOSE}")
    return headers
