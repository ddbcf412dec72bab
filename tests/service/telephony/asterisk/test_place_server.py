"""The FastAGI server against a dialplan written from the protocol: what it sets, and what it never holds up."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from service.client import AsyncClient
from service.telephony.asterisk.place_server import PlaceServer
from service.telephony.asterisk.talk_meter import TalkMeter
from tests.support.telephony.asterisk_peers import Dialplan


def channel(number: int, caller: str, **said: str) -> Dialplan:
    """Give a channel that was made so many seconds ago."""
    made = int(time.time()) - number
    return Dialplan(
        said={"uniqueid": f"{made}.{number}", "callerid": caller, "channel": f"PJSIP/trunk-{number}", **said}
    )


async def asked(service, *questions, talk=None, deadline_s=5.0, url=None):
    client = AsyncClient(url or service.url, service.keys["intake"], deadline_s=5.0)
    server = await PlaceServer(client, talk, deadline_s=deadline_s).serve("127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        for dialplan, script, more in questions:
            await dialplan.agi(port, script, **more)
    finally:
        server.close()
        await client.aclose()


def made_at(dialplan: Dialplan) -> int:
    return int(dialplan.said["uniqueid"].split(".")[0])


def test_a_new_caller_keeps_the_second_of_its_coming_and_one_who_often_played_stands_later(service, prankster):
    new, often = channel(9, "+628131000111"), channel(8, prankster)
    query = "ring?expected_wait_s=200&line=mobile"
    asyncio.run(asked(service, (new, query, {}), (often, query, {})))
    assert int(new.variables["QUEUE_PRIO"]) == -made_at(new)
    assert int(often.variables["QUEUE_PRIO"]) < -made_at(often) - 30
    assert float(often.variables["SARING_DEFER_S"]) == pytest.approx(
        -int(often.variables["QUEUE_PRIO"]) - made_at(often), abs=1.0
    )
    assert often.variables["SARING_CALL_ID"] == often.said["uniqueid"]


def test_at_the_opening_the_greeting_and_its_silence_are_told(service):
    talk, heard = TalkMeter(), channel(20, "+628131000112")
    talk.listen(heard.said["channel"], datetime.fromtimestamp(made_at(heard), UTC))
    talk.stopped(heard.said["channel"], 5_000)
    asyncio.run(asked(service, (heard, "ring", {}), (heard, "opening", {}), talk=talk))
    known = service.known(heard.said["uniqueid"])
    assert known["opening_duration_s"] == pytest.approx(20.0, abs=3.0)
    assert known["opening_silence_ratio"] == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_what_comes_in_pieces_is_read_the_same(service, piece):
    dialplan = channel(3, "unknown")
    asyncio.run(asked(service, (dialplan, "ring", {"piece": piece})))
    assert int(dialplan.variables["QUEUE_PRIO"]) == -made_at(dialplan)


def test_without_the_service_the_place_is_that_of_the_coming(service, prankster):
    dialplan = channel(5, prankster)
    asyncio.run(asked(service, (dialplan, "ring?expected_wait_s=200", {}), url="http://127.0.0.1:9"))
    assert int(dialplan.variables["QUEUE_PRIO"]) == -made_at(dialplan)
    assert dialplan.variables["SARING_DEGRADED"] == "True"


@pytest.mark.parametrize("hang_up_after", [0, 1, 2])
def test_a_channel_that_hangs_up_in_the_middle_ends_its_connection_only(service, prankster, hang_up_after):
    gone, next_one = channel(6, prankster), channel(7, "+628131000113")
    asyncio.run(asked(service, (gone, "ring", {"hang_up_after": hang_up_after}), (next_one, "ring", {})))
    assert "QUEUE_PRIO" in next_one.variables


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"agi_network_script: nowhere\n\n", b"x" * 100_000, b"agi_a: b\n" * 500, b""]
)
def test_garbage_is_let_go_within_the_deadline_and_others_are_served(service, said):
    async def talk() -> tuple[bytes, float, Dialplan]:
        client = AsyncClient(service.url, service.keys["intake"], deadline_s=5.0)
        server = await PlaceServer(client, deadline_s=0.3).serve("127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        started = time.monotonic()
        rest = b""
        with suppress(ConnectionError):
            rest = await asyncio.wait_for(reader.read(), 10.0)
        took = time.monotonic() - started
        writer.close()
        dialplan = channel(4, "+628131000114")
        server.close()
        patient = await PlaceServer(client, deadline_s=5.0).serve("127.0.0.1", 0)
        await dialplan.agi(patient.sockets[0].getsockname()[1], "ring")
        patient.close()
        await client.aclose()
        return rest, took, dialplan

    rest, took, dialplan = asyncio.run(talk())
    assert b"SET VARIABLE" not in rest
    assert took < 9.0
    assert "QUEUE_PRIO" in dialplan.variables
