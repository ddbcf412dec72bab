"""FreeSWITCH against peers written from its protocol: the place of a call, and what becomes of it."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from service.client import AsyncClient
from service.telephony.freeswitch.call_follower import CallFollower
from service.telephony.freeswitch.event_socket import EventSocket, EventSocketError
from service.telephony.freeswitch.place_server import PlaceServer
from tests.support.telephony.freeswitch_peers import Channel, FakeEventSocket
from tests.support.telephony.peer import hearing, until


def channel(name: str, number: str, ago_s: float = 8.0, **more: str) -> Channel:
    created = str(round((time.time() - ago_s) * 1e6))
    data = {"Unique-ID": name, "Caller-Channel-Created-Time": created, "Caller-Caller-ID-Number": number}
    return Channel(data | more)


async def asked(service, *channels: Channel, url: str | None = None, **more) -> None:
    client = AsyncClient(url or service.url, service.keys["intake"], deadline_s=5.0)
    server = await PlaceServer(client, deadline_s=10.0).serve("127.0.0.1", 0)
    for one in channels:
        await one.socket(server.sockets[0].getsockname()[1], **more)
    server.close()
    await client.aclose()


@pytest.fixture
def one_operator(service):
    """One is on duty, and calls take a minute: a wait can be expected."""
    staff = {"operators": 1, "mean_handling_s": 60}
    assert service.ask("admin", "PUT", "/v1/operations", json=staff).status_code == 200


@pytest.mark.parametrize("piece", [100_000, 3])
def test_a_base_score_is_never_above_0_and_below_it_by_the_deferral(service, prankster, one_operator, piece):
    numbers = (f"+62813101{piece:06}", f"+62813102{piece:06}", prankster)
    before, new, often = (channel(f"fs {piece} {place}", number) for place, number in enumerate(numbers))
    asyncio.run(asked(service, before, new, often, piece=piece))
    assert new.variables["cc_base_score"] == "0"
    known = service.known(often.data["Unique-ID"])
    assert int(often.variables["cc_base_score"]) == -round(known["defer_s"]) < -30


def test_after_the_greeting_the_stage_is_the_opening(service):
    heard = channel("fs heard", "+628131000301", ago_s=12.0, variable_saring_heard="true")
    asyncio.run(asked(service, heard))
    assert service.known("fs heard")["opening_duration_s"] == pytest.approx(12.0, abs=3.0)


def test_without_the_service_the_base_score_is_0(service, prankster):
    often = channel("fs alone", prankster)
    asyncio.run(asked(service, often, url="http://127.0.0.1:9"))
    assert (often.variables["cc_base_score"], often.variables["saring_degraded"]) == ("0", "True")


@pytest.mark.parametrize("hang_up_after", [0, 1, 2])
def test_a_channel_that_hangs_up_ends_its_own_connection_only(service, hang_up_after):
    asyncio.run(asked(service, channel(f"fs gone {hang_up_after}", "+628131000302"), hang_up_after=hang_up_after))
    after = channel(f"fs after {hang_up_after}", f"+62813100032{hang_up_after}")
    asyncio.run(asked(service, after))
    assert after.variables["cc_base_score"] == "0"


@asynccontextmanager
async def following(service, peer: FakeEventSocket, **more):
    client = AsyncClient(service.url, service.keys["intake"], deadline_s=5.0)
    follower = CallFollower(client, **more)
    task = asyncio.create_task(follower.run("127.0.0.1", peer.port, "ClueCon", pause_s=0.05))
    await until(lambda: any(command.startswith("event json") for command in peer.asked))

    try:
        yield hearing(service)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.aclose()


def ringing(service, call_id: str) -> tuple[int, dict[str, str]]:
    """Let a call ring half a minute ago, and give when, and how events name it."""
    at = int(time.time()) - 30
    assert not service.ring(call_id, datetime.fromtimestamp(at, UTC), caller="+628131000310")["degraded"]
    return at, {"CC_Member_Session_UUID": call_id, "CC_Queue": "112@default"}


@pytest.mark.parametrize("piece", [100_000, 1])
def test_a_conversation_is_told_with_who_ended_it_and_its_outcome(service, piece):
    call_id = f"fs talk {piece}"

    async def talk() -> dict:
        async with FakeEventSocket().running() as peer, following(service, peer, codes={"7": "genuine"}) as heard:
            at, call = ringing(service, call_id)
            answered = {"CC_Agent": "siti", "CC_Agent_Answered_Time": str(at + 5)}
            hung_up = {
                "Unique_ID": call_id,
                "Caller_Channel_Hangup_Time": str((at + 18) * 1_000_000),
                "variable_sip_hangup_disposition": "recv_bye",
                "variable_saring_disposition": "7",
                "variable_saring_category": "fire",
            }
            for action, more in (
                ("member-queue-start", {}),
                ("bridge-agent-start", answered),
                ("bridge-agent-end", {"CC_Bridge_Terminated_Time": str(at + 17)}),
            ):
                await peer.say("CUSTOM", piece=piece, CC_Action=action, **call, **more)
            await peer.say("CHANNEL_HANGUP_COMPLETE", piece=piece, **hung_up)
            return await heard(call_id, "disposition")

    known = asyncio.run(talk())
    assert (known["operator"], known["ended_by"], known["duration_s"]) == ("siti", "caller", 12.0)
    assert (known["disposition"], known["category"]) == ("genuine", "fire")


@pytest.mark.parametrize(("reason", "disposition"), [("BREAK_OUT", "abandoned"), ("TIMEOUT", "unanswered")])
def test_a_call_that_leaves_the_queue_unanswered(service, reason, disposition):
    call_id = f"fs {reason}"

    async def talk() -> dict:
        async with FakeEventSocket().running() as peer, following(service, peer) as heard:
            at, call = ringing(service, call_id)
            await peer.say("CUSTOM", CC_Action="member-queue-start", **call)
            await peer.say("CUSTOM", CC_Action="member-queue-end", CC_Cause="Cancel", CC_Cancel_Reason=reason, **call)
            await peer.say("CHANNEL_HANGUP_COMPLETE", Unique_ID=call_id,
                           Caller_Channel_Hangup_Time=str((at + 18) * 1_000_000))  # fmt: skip
            return await heard(call_id, "disposition")

    assert asyncio.run(talk())["disposition"] == disposition


def test_garbage_and_a_break_in_the_middle_of_a_call_lose_nothing(service):
    async def talk() -> dict:
        async with FakeEventSocket().running() as peer, following(service, peer) as heard:
            at, call = ringing(service, "fs break")
            await peer.say("CUSTOM", CC_Action="member-queue-start", **call)
            await peer.raw(b"\n\nno colon\nContent-Length: 5\nContent-Type: text/event-json\n\n{]{]{")
            await peer.say(
                "CUSTOM", CC_Action="bridge-agent-start", CC_Agent="siti", CC_Agent_Answered_Time=str(at), **call
            )
            await heard("fs break", "answered_at")
            peer.cut()
            await until(lambda: sum(command.startswith("event json") for command in peer.asked) == 2)
            await peer.say("CHANNEL_HANGUP_COMPLETE", Unique_ID="fs break")
            return await heard("fs break", "ended_at")

    assert asyncio.run(talk())["operator"] == "siti"


def test_a_wrong_password_and_what_is_no_event_socket_are_told(service):
    async def talk() -> None:
        async with FakeEventSocket("other").running() as peer:
            with pytest.raises(EventSocketError, match="auth was refused"):
                await EventSocket.log_in("127.0.0.1", peer.port, "ClueCon")

        async def web_server(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1: 400\r\n\r\n")
            writer.close()

        web = await asyncio.start_server(web_server, "127.0.0.1", 0)
        with pytest.raises(EventSocketError, match="is no event socket"):
            await EventSocket.log_in("127.0.0.1", web.sockets[0].getsockname()[1], "ClueCon")
        web.close()

    asyncio.run(talk())
