"""Debian's Kamailio as deploy/kamailio has it: it asks about each call, and all go on, whatever Saring does."""

import itertools
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import pytest

from benchmarks.far_end import FarEnd, Request
from benchmarks.kamailio import proxy
from tests.support.fake_service import SLOW, WRONG, good, hang, listening, reply, replying, scored
from tests.support.processes import free_port, until

OURS = "emergency-CallSuspicion"


class Line(NamedTuple):
    """A telephone on a socket of its own, before a proxy that asks whoever listens on a port."""

    socket: socket.socket
    proxy: int
    asked: int
    numbers: Iterator[int] = itertools.count()
    over: str = "UDP"

    def send(self, method: str, call_id: str, *headers: str, to: str = "<sip:112@far.example>", at: int = 1) -> None:
        """Send a request; within a call, `to` is where the far end wants it."""
        own = self.socket.getsockname()[1]
        lines = [
            f"{method} {'sip:112@127.0.0.1' if at == 1 else to.strip('<>').split('>')[0]} SIP/2.0",
            f"Via: SIP/2.0/{self.over} 127.0.0.1:{own};branch=z9hG4bK{call_id}{at}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {at} {method}",
            f"Contact: <sip:caller@127.0.0.1:{own}>",
            *headers,
            "Content-Length: 0",
        ]
        sent = ["Max-Forwards: 70"] if not any(line.startswith("Max-Forwards") for line in headers) else []
        sent += ["From: <sip:+62812904177@far.example>;tag=1"] if not any("From:" in line for line in headers) else []
        request = "\r\n".join([*lines[:1], *sent, *lines[1:], "", ""]).encode("utf-8", "surrogateescape")
        if self.over == "TCP":
            self.socket.sendall(request)
        else:
            self.socket.sendto(request, ("127.0.0.1", self.proxy))

    def ring(self, far: FarEnd, *headers: str) -> Request:
        """Call, and give the INVITE as it came to the far end."""
        call_id = f"ring{next(self.numbers)}"
        self.send("INVITE", call_id, *headers)
        return until(lambda: far.invites().get(call_id))

    def statuses(self, patience_s: float = 5.0, last: int = 200) -> list[int]:
        """Give what is answered, up to a final status."""
        self.socket.settimeout(patience_s)
        told: list[int] = []
        while not told or told[-1] != last:
            told.append(int(self.socket.recv(65_535).split(b" ", 2)[1]))
        return told


@pytest.fixture(scope="module")
def behind(tmp_path_factory) -> Iterator[tuple[FarEnd, int, int]]:
    end, asked, folder = FarEnd(), free_port(), tmp_path_factory.mktemp("kamailio")
    with proxy(folder, end.port, f"http://127.0.0.1:{asked}", "key") as port:
        yield end, port, asked
    end.close()


@pytest.fixture
def line(behind) -> Iterator[Line]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        yield Line(own, behind[1], behind[2])


def test_a_scored_call_is_asked_about_by_its_number_and_says_so(behind, line):
    headers = (f"Call-Info: <99>;purpose={OURS}", "P-Asserted-Identity: <sip:+62811000111@far.example>")
    with listening(good, line.asked) as (server, _):
        invite = line.ring(behind[0], *headers)
    assert invite.values("Call-Info") == [f"<40>;purpose={OURS}"]
    assert invite.values("X-Saring-Defer") == ["0.000"]
    ((path, asked),) = server.told
    assert (path, asked["call_id"], asked["caller"]) == ("/v1/score", invite.call_id, "sip:+62811000111@far.example")
    assert abs(datetime.fromisoformat(asked["received_at"]).timestamp() - invite.at) < 5.0
    assert "Authorization: Bearer key" in server.heads[0]


UNTOLD = [
    {"band": "unscored", "prank_likelihood": None},
    {"band": "unscored"},
    {"prank_likelihood": None},
    {"held_out": True},
]
NONSENSE = [
    {"prank_likelihood": 1.1},
    {"prank_likelihood": "0.4"},
    {"prank_likelihood": float("nan")},
    {"defer_s": 301.0},
    {"defer_s": -1.0},
    {"queue_key_epoch": None},
    {"call_id": "another"},
]


@pytest.mark.parametrize("change", UNTOLD + NONSENSE, ids=str)
def test_only_a_scored_call_says_how_suspicious_it_is(behind, line, change):
    with listening(replying(lambda _, body: reply(scored(body) | change)), line.asked) as (server, _):
        invite = line.ring(behind[0], f"Call-Info: <99>;purpose={OURS}")
    assert invite.values("Call-Info") == []
    assert bool(invite.values("X-Saring-Queue-Key")) == (change in UNTOLD)
    assert len(server.told) == 1


@pytest.mark.parametrize(("behave", "why"), [one for one in SLOW + WRONG if one[1] != "something else"])
def test_a_call_goes_on_untouched_when_saring_does_not_answer(behind, line, behave, why):
    with listening(behave, line.asked) as (server, _):
        invite = line.ring(behind[0], "Call-Info: <a:b>;purpose=icon")
        assert server.connections == 1
    assert invite.values("Call-Info") == ["<a:b>;purpose=icon"]
    assert not any(name.lower().startswith("x-saring") for name, _ in invite.headers)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (f"Call-Info: <90>;purpose={OURS}", []),
        (f"Call-Info: <a:b>;purpose=icon,<90>;purpose={OURS}", ["<a:b>;purpose=icon"]),
        (f"CALL-INFO : <90>;purpose={OURS.upper()},\r\n <a:b,c>;purpose=icon", ["<a:b,c>;purpose=icon"]),
        (f'call-info: <90>;x="a;b,";\r\n\tPurpose\t= "{OURS}"', []),
        (f'Call-Info: "a, <90>;purpose={OURS}', []),
        (f'Call-Info: <a:b>;info="\\";purpose=x", 90;purpose={OURS}', ['<a:b>;info="\\";purpose=x"']),
        ('Call-Info: <a:b>;purpose="icon, and more"', ['<a:b>;purpose="icon, and more"']),
        ("Call-Info: <x:\udcff>;purpose=icon", []),
        ("X-Call-Info: <a:b>", []),
    ],
)
def test_a_suspicion_from_outside_is_taken_away_and_nothing_else(behind, line, told, kept):
    invite = line.ring(behind[0], told)  # nobody listens: it is refused
    assert invite.values("Call-Info") == kept
    assert invite.values("X-Call-Info") == (["<a:b>"] if told.startswith("X") else [])


@pytest.mark.parametrize(
    "header",
    [
        'From: "a \\" b" <sip:%22@far.example>;tag=1',
        "From: Anonymous <sip:anonymous@anonymous.invalid>;tag=1",
        "From: <tel:+62812904177>;tag=1",
        "From: \udcff\udcfe <sip:\udcff@far.example>;tag=1",
        "P-Asserted-Identity: nonsense",
    ],
)
def test_a_call_of_a_strange_sender_goes_on(behind, line, header):
    with listening(good, line.asked):
        assert line.ring(behind[0], header)


def test_a_retransmission_is_one_call_and_is_asked_about_once(behind, line):
    with listening(hang, line.asked) as (server, _):
        for _ in range(5):
            line.send("INVITE", "again")
            time.sleep(0.02)
        assert 200 in line.statuses()
    assert server.connections == 1
    assert sum(request.call_id == "again" for request in behind[0].requests) == 1


def test_a_call_that_is_cancelled_while_saring_is_asked_is_told_so_and_goes_no_further(behind, line):
    with listening(hang, line.asked) as (server, _):
        line.send("INVITE", "gone")
        until(lambda: server.connections == 1)
        line.send("CANCEL", "gone")
        assert 487 in line.statuses(last=487)
        until(lambda: line.ring(behind[0]))
    assert not any(request.call_id == "gone" and request.method == "INVITE" for request in behind[0].requests)


def test_calls_of_one_connection_do_not_wait_for_each_other_while_saring_hangs(behind, line):
    with socket.create_connection(("127.0.0.1", line.proxy)) as own, listening(hang, line.asked):
        trunk = line._replace(socket=own, over="TCP")
        names = [f"trunk{number}" for number in range(40)]
        for name in names:
            trunk.send("INVITE", name)
        came = until(lambda: (there := behind[0].invites()) and names[-1] in there and there)
    assert set(names) <= set(came)
    assert came[names[-1]].at - came[names[0]].at < 3.0  # one after another it is 150 ms for each: 6 s


def test_a_call_that_says_it_goes_on_but_has_no_route_goes_nowhere(behind, line):
    line.send("INVITE", "nowhere", to="<sip:somebody@127.0.0.1:9>;tag=x", at=2)
    assert line.statuses(last=404) == [404]


def test_what_is_said_within_a_call_is_not_asked_about(behind, line):
    with listening(good, line.asked) as (server, _):
        line.send("INVITE", "long")
        assert 200 in line.statuses()
        route = next(one for one in behind[0].invites()["long"].values("Record-Route"))
        line.send(
            "INVITE",
            "long",
            f"Route: {route}",
            f"Call-Info: <99>;purpose={OURS}",
            to=f"<sip:far@127.0.0.1:{behind[0].port}>;tag=far",
            at=2,
        )
        assert 200 in line.statuses()
    assert len(server.told) == 1
    assert [request.method for request in behind[0].requests if request.call_id == "long"] == ["INVITE", "INVITE"]


def test_a_call_that_went_in_circles_is_refused(behind, line):
    line.send("INVITE", "circles", "Max-Forwards: 0")
    assert line.statuses(last=483) == [483]
