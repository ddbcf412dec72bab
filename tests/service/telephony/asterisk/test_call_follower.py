"""The manager's connection against a manager written from the protocol: what the service hears, whatever breaks."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import httpx
import pytest

from service.client import AsyncClient
from service.telephony.asterisk.call_follower import CallFollower
from service.telephony.asterisk.connector import Account, Connector
from service.telephony.asterisk.manager import Manager, ManagerError
from service.telephony.asterisk.priorities import Priorities
from service.telephony.asterisk.talk_meter import TalkMeter
from tests.support.telephony.asterisk_peers import FakeManager
from tests.support.telephony.peer import hearing, until

CHANNEL = "PJSIP/trunk-1"


@asynccontextmanager
async def following(service, manager: FakeManager, *, priorities: bool = False, **more):
    """Follow the calls of a manager; gives a function that waits until the service knows something of a call."""
    client = AsyncClient(service.url, service.keys["intake"], deadline_s=5.0)
    by_key = {"Authorization": f"Bearer {service.keys['intake']}"}
    async with httpx.AsyncClient(base_url=service.url, headers=by_key) as http:
        follower = CallFollower(client, TalkMeter(), **more)
        account = Account("127.0.0.1", manager.port, "saring", "secret")
        movers = Priorities(http) if priorities else None
        task = asyncio.create_task(Connector(account, follower, movers, every_s=0.05, pause_s=0.05).run())
        await until(lambda: any(action["Action"] == "Status" for action in manager.actions))

        try:
            yield hearing(service)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await client.aclose()


def ringing(service, number: int, caller: str = "+628131000200", **more) -> tuple[str, dict[str, str]]:
    """Let a call ring, and give its name and how the manager names its channel."""
    made = time.time() - 30.0
    call_id = f"{int(made)}.{number}"
    assert not service.ring(call_id, datetime.fromtimestamp(int(made), UTC), caller=caller, **more)["degraded"]
    return call_id, {"Channel": f"PJSIP/trunk-{number}", "Uniqueid": call_id, "Linkedid": call_id, "Queue": "112"}


def at(call_id: str, second: float) -> str:
    """Give a Timestamp of the manager, so many seconds after a call came."""
    return f"{int(call_id.split('.')[0]) + second:.6f}"


@pytest.mark.parametrize("piece", [10_000, 1, 5])
def test_a_conversation_is_told_with_who_ended_it_and_how_silent_the_caller_was(service, piece):
    async def talk() -> dict:
        async with FakeManager().running() as manager, following(service, manager) as heard:
            call_id, channel = ringing(service, 300 + piece)
            say = manager.say
            await say("QueueCallerJoin", piece=piece, **channel, Position="1", Count="1")
            await say("AgentConnect", piece=piece, **channel, MemberName="siti", Timestamp=at(call_id, 5))
            await say("ChannelTalkingStart", piece=piece, **channel, Timestamp=at(call_id, 6))
            await say("ChannelTalkingStop", piece=piece, **channel, Duration="3000", Timestamp=at(call_id, 9))
            await say("AgentComplete", piece=piece, **channel, Reason="caller", Timestamp=at(call_id, 17))
            await say("Hangup", piece=piece, **channel, Cause="16", Timestamp=at(call_id, 17))
            return await heard(call_id, "ended_at")

    known = asyncio.run(talk())
    assert known["operator"] == "siti"
    assert known["ended_by"] == "caller"
    assert known["duration_s"] == 12.0
    assert known["silence_ratio"] == pytest.approx(0.75)
    assert known["disposition"] is None


@pytest.mark.parametrize(("told", "who"), [(True, "caller"), (False, None)])
def test_a_hang_up_that_comes_first_waits_for_who_it_was(service, told, who):
    async def talk() -> dict:
        async with FakeManager().running() as manager, following(service, manager) as heard:
            call_id, channel = ringing(service, 315 + told)
            await manager.say("QueueCallerJoin", **channel)
            await manager.say("AgentConnect", **channel, MemberName="siti", Timestamp=at(call_id, 5))
            await manager.say("Hangup", **channel, Timestamp=at(call_id, 17))
            if told:
                await manager.say("AgentComplete", **channel, Reason="caller", Timestamp=at(call_id, 17))
            return await heard(call_id, "ended_at")

    known = asyncio.run(talk())
    assert (known["ended_by"], known["duration_s"]) == (who, 12.0)


def test_a_caller_who_hangs_up_while_waiting_abandoned_the_call(service):
    async def talk() -> dict:
        async with FakeManager().running() as manager, following(service, manager) as heard:
            call_id, channel = ringing(service, 320)
            await manager.say("QueueCallerJoin", **channel)
            await manager.say("QueueCallerAbandon", **channel, HoldTime="12", Timestamp=at(call_id, 12))
            return await heard(call_id, "disposition")

    known = asyncio.run(talk())
    assert (known["disposition"], known["ended_by"], known["answered_at"]) == ("abandoned", "caller", None)


def test_after_a_transfer_the_conversation_ends_with_the_channel(service):
    async def talk() -> dict:
        async with FakeManager().running() as manager, following(service, manager) as heard:
            call_id, channel = ringing(service, 330)
            await manager.say("QueueCallerJoin", **channel)
            await manager.say("AgentConnect", **channel, MemberName="siti", Timestamp=at(call_id, 5))
            await manager.say("AgentComplete", **channel, Reason="transfer", Timestamp=at(call_id, 10))
            await manager.say("Hangup", **channel, Timestamp=at(call_id, 25))
            return await heard(call_id, "ended_at")

    known = asyncio.run(talk())
    assert (known["duration_s"], known["ended_by"]) == (20.0, None)


def test_an_outcome_by_its_code_closes_the_call_and_a_later_one_corrects_it(service):
    async def talk() -> tuple[dict, dict]:
        async with FakeManager().running() as manager, following(service, manager, codes={"e7": "genuine"}) as heard:
            call_id, channel = ringing(service, 340)
            outcome = {"UserEvent": "SaringDisposition", "Uniqueid": call_id, "Linkedid": call_id}
            await manager.say("QueueCallerJoin", **channel)
            await manager.say("AgentConnect", **channel, MemberName="siti", Timestamp=at(call_id, 5))
            await manager.say("UserEvent", **outcome, Disposition="nonsense")
            await manager.say("UserEvent", **outcome, Disposition="prank", Timestamp=at(call_id, 20))
            first = await heard(call_id, "disposition")
            await manager.say("UserEvent", **outcome, Disposition="E7", Category="fire", Timestamp=at(call_id, 25))
            return first, await heard(call_id, "category")

    first, second = asyncio.run(talk())
    assert (first["disposition"], second["disposition"], second["category"]) == ("prank", "genuine", "fire")


def test_a_break_in_the_middle_of_calls_loses_none(service):
    """One call ended while nobody listened, one goes on; a restarted manager knows only the latter."""

    async def talk() -> tuple[dict, dict]:
        manager = FakeManager()
        async with manager.running(), following(service, manager) as heard:
            gone, gone_channel = ringing(service, 350)
            stays, channel = ringing(service, 351)
            await manager.say("QueueCallerJoin", **gone_channel)
            await manager.say("QueueCallerJoin", **channel)
            await manager.say("AgentConnect", **channel, MemberName="siti", Timestamp=at(stays, 5))
            await heard(stays, "answered_at")
            there = {**channel, "Variable": f"SARING_CALL_ID={stays}", "BridgeID": "b"}
            lines = "".join(f"{name}: {value}\n" for name, value in there.items())
            manager.answers["Status"] = lambda _: (
                f"Response: Success\n%ID%\nEventList: start\n\nEvent: Status\n%ID%\n{lines}\n"
                "Event: StatusComplete\n%ID%\nEventList: Complete\n"
            )
            manager.cut()
            ended = await heard(gone, "ended_at")
            await manager.say("AgentComplete", **channel, Reason="agent", Timestamp=at(stays, 45))
            return ended, await heard(stays, "ended_at")

    gone, stays = asyncio.run(talk())
    assert gone["ended_by"] is None
    assert (stays["ended_by"], stays["duration_s"]) == ("operator", 40.0)


def test_garbage_between_messages_is_passed_over(service):
    async def talk() -> dict:
        async with FakeManager().running() as manager, following(service, manager) as heard:
            call_id, channel = ringing(service, 360)
            await manager.raw(b"\r\n\r\nno colon here\r\n\xff\xfe: \x00\r\n\r\nEvent: Unheard\r\nX: \r\n\r\n")
            await manager.say("QueueCallerJoin", **channel)
            await manager.say("AgentConnect", **channel, MemberName="siti", Timestamp=at(call_id, 5))
            return await heard(call_id, "answered_at")

    assert asyncio.run(talk())["operator"] == "siti"


def test_a_wrong_secret_and_what_is_no_manager_are_told(service):
    async def talk() -> None:
        async with FakeManager("other").running() as manager:
            with pytest.raises(ManagerError, match="Login was refused: Authentication failed"):
                await Manager.connect("127.0.0.1", manager.port, "saring", "secret")

        async def web_server(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400\r\n")
            writer.close()

        web = await asyncio.start_server(web_server, "127.0.0.1", 0)
        with pytest.raises(ManagerError, match="is no manager interface"):
            await Manager.connect("127.0.0.1", web.sockets[0].getsockname()[1], "saring", "secret")
        web.close()

    asyncio.run(talk())


def test_a_key_that_moved_forward_is_sent_once_and_never_backward(service, prankster):
    def changes(manager: FakeManager) -> list[dict[str, str]]:
        return [action for action in manager.actions if action["Action"] == "QueueChangePriorityCaller"]

    async def talk() -> list[dict[str, str]]:
        async with FakeManager().running() as manager, following(service, manager, priorities=True):
            deferred, channel = ringing(service, 370, prankster, expected_wait_s=200.0)
            key = datetime.fromisoformat(service.known(deferred)["queue_key"]).timestamp()
            assert key > int(deferred.split(".")[0]) + 30
            manager.answers["Getvar"] = lambda _: f"Response: Success\n%ID%\nVariable: QUEUE_PRIO\nValue: -{int(key)}\n"
            await manager.say("QueueCallerJoin", **channel)
            await until(lambda: any(action["Action"] == "Getvar" for action in manager.actions))
            await asyncio.sleep(0.3)
            assert changes(manager) == []
            off = {"switch": {"on": False, "reason": "a test"}}
            assert service.ask("intake", "PUT", "/v1/operations", json=off).status_code == 200
            try:
                await until(lambda: bool(changes(manager)))
                await asyncio.sleep(0.3)
            finally:
                on = {"switch": {"on": True, "reason": "a test"}}
                assert service.ask("admin", "PUT", "/v1/operations", json=on).status_code == 200
            await asyncio.sleep(0.3)
            return changes(manager)

    sent = asyncio.run(talk())
    assert len(sent) == 1
    assert sent[0]["Caller"] == "PJSIP/trunk-370"
    assert sent[0]["Immediate"] == "yes"
