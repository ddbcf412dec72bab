"""What a centre does with its telephone system: `saring asterisk`, `saring freeswitch` and `saring dispose`."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import SaringError
from service.cli.options import NamesAndValues
from service.cli.output import counted, list_problems

if TYPE_CHECKING:
    from service.telephony.asterisk.connector import Account

asterisk = typer.Typer(
    help="Connects a running Asterisk. The key of the service (role intake) is read from SARING_KEY, the manager's "
    "secret from SARING_AMI_SECRET.",
    no_args_is_help=True,
)
freeswitch = typer.Typer(
    help="Connects a running FreeSWITCH with mod_callcenter. The key of the service (role intake) is read from "
    "SARING_KEY, the event socket's password from SARING_ESL_PASSWORD.",
    no_args_is_help=True,
)
Url = Annotated[str, typer.Option(help="Address of the service.")]
Manager = Annotated[str, typer.Option(help="The manager interface, as user@host or user@host:port.")]


@asterisk.command()
def agi(
    url: Url = "http://127.0.0.1:8112",
    listen: Annotated[str, typer.Option(help="Where the dialplan asks, as host:port.")] = "127.0.0.1:4573",
    manager: Annotated[
        str | None, typer.Option(help="As user@host: also hear TALK_DETECT, so that a silent greeting is known.")
    ] = None,
    deadline_ms: Annotated[int, typer.Option(min=10, max=5_000, help="A dialplan is let go after so long.")] = 500,
) -> None:
    """Answer a dialplan: agi://HOST/ring as a call comes in, agi://HOST/opening after the greeting."""
    from service.client.clients import AsyncClient
    from service.telephony.asterisk.call_follower import TalkListener
    from service.telephony.asterisk.connector import Connector
    from service.telephony.asterisk.place_server import PlaceServer
    from service.telephony.asterisk.talk_meter import TalkMeter

    host, port = _address("--listen", listen, 4573)
    account = _account(manager) if manager else None

    async def run() -> None:
        talk = TalkMeter() if account else None
        # A part of the deadline is the dialplan's: its variables are set after the answer.
        client = AsyncClient(url, _key(), deadline_s=deadline_ms / 2_000)
        server = await PlaceServer(client, talk, deadline_s=deadline_ms / 1_000).serve(host, port)
        print(f"agi://{host}:{port}/ring and /opening ask {url}")
        async with server, asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve_forever())
            if account and talk:
                tasks.create_task(Connector(account, TalkListener(talk), tell=print).run())

    _until_stopped(run())


@asterisk.command()
def events(
    manager: Manager,
    outbox: Annotated[Path, typer.Option(help="File for what the service does not take at once.")],
    url: Url = "http://127.0.0.1:8112",
    queue: Annotated[list[str] | None, typer.Option(help="Only calls of this queue; repeatable.")] = None,
    mapping: NamesAndValues = None,
) -> None:
    """Tell the service what becomes of calls, and move waiting callers forward when their place has."""
    import httpx

    from model.calls.files.mapping import AS_IS, read_mapping
    from service.client.clients import AsyncClient
    from service.telephony.asterisk.call_follower import CallFollower
    from service.telephony.asterisk.connector import Connector
    from service.telephony.asterisk.priorities import Priorities
    from service.telephony.asterisk.talk_meter import TalkMeter

    account, key = _account(manager), _key()
    codes = (read_mapping(mapping) if mapping else AS_IS).words_of("disposition")

    async def run() -> None:
        client = AsyncClient(url, key, deadline_s=2.0, outbox=outbox)
        by_key = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(base_url=url, headers=by_key, timeout=2.0) as service:
            follower = CallFollower(client, TalkMeter(), queues=frozenset(queue or ()), codes=codes)
            await Connector(account, follower, Priorities(service), tell=print).run()

    _until_stopped(run())


@freeswitch.command()
def socket(
    url: Url = "http://127.0.0.1:8112",
    listen: Annotated[str, typer.Option(help="Where the dialplan asks, as host:port.")] = "127.0.0.1:8084",
    deadline_ms: Annotated[int, typer.Option(min=10, max=5_000, help="A dialplan is let go after so long.")] = 500,
) -> None:
    """Answer a dialplan's `socket` before the queue: it sets cc_base_score."""
    from service.client.clients import AsyncClient
    from service.telephony.freeswitch.place_server import PlaceServer

    host, port = _address("--listen", listen, 8084)

    async def run() -> None:
        client = AsyncClient(url, _key(), deadline_s=deadline_ms / 2_000)
        server = await PlaceServer(client, deadline_s=deadline_ms / 1_000).serve(host, port)
        print(f"{host}:{port} asks {url}")
        async with server:
            await server.serve_forever()

    _until_stopped(run())


@freeswitch.command(name="events")
def freeswitch_events(
    outbox: Annotated[Path, typer.Option(help="File for what the service does not take at once.")],
    event_socket: Annotated[str, typer.Option(help="FreeSWITCH's event socket, as host:port.")] = "127.0.0.1:8021",
    url: Url = "http://127.0.0.1:8112",
    queue: Annotated[list[str] | None, typer.Option(help="Only calls of this queue; repeatable.")] = None,
    mapping: NamesAndValues = None,
) -> None:
    """Tell the service what becomes of calls."""
    from model.calls.files.mapping import AS_IS, read_mapping
    from service.client.clients import AsyncClient
    from service.telephony.freeswitch.call_follower import CallFollower

    password = os.environ.get("SARING_ESL_PASSWORD")
    if not password:
        raise SaringError("SARING_ESL_PASSWORD: not set, expected the password of the event socket")
    host, port = _address("--event-socket", event_socket, 8021)
    key, codes = _key(), (read_mapping(mapping) if mapping else AS_IS).words_of("disposition")

    async def run() -> None:
        client = AsyncClient(url, key, deadline_s=2.0, outbox=outbox)
        await CallFollower(client, queues=frozenset(queue or ()), codes=codes).run(host, port, password)

    _until_stopped(run())


#: How long `dispose` waits for the service to take what the outbox holds.
FLUSH_S = 10.0


def dispose(
    csv: Annotated[
        Path, typer.Option(help="Outcomes as a CAD exports them: call_id, disposition, disposed_at, category.")
    ],
    outbox: Annotated[Path, typer.Option(help="File for what the service does not take at once.")],
    url: Url = "http://127.0.0.1:8112",
    mapping: NamesAndValues = None,
) -> None:
    """Tell the service how operators closed calls in another system; a later outcome of a call is a correction."""
    from model.calls.call_log import BrokenLogError, read_outcomes
    from model.calls.files.mapping import AS_IS, read_mapping
    from service.client.clients import Client
    from service.telephony.outcomes import tell_outcomes

    try:
        outcomes = read_outcomes(
            csv, read_mapping(mapping) if mapping else AS_IS, now=datetime.now(UTC), tell=lambda text: print(text)
        )
    except BrokenLogError as error:
        list_problems(error)
        raise typer.Exit(1) from None
    with Client(url, _key(), deadline_s=5.0, outbox=outbox) as client:
        told = tell_outcomes(client, outcomes)
        # What an earlier run has left goes first, and what came behind it after that.
        left = client.flush(FLUSH_S)
    print(f"{counted(told.kept, 'outcome')} told; in {outbox}, until the service takes them: {left:,}")
    if told.refused:
        shown = ", ".join(map(repr, told.refused[:5])) + (", ..." if len(told.refused) > 5 else "")
        raise SaringError(
            f"{counted(len(told.refused), 'outcome')} refused, of calls {shown}: {told.why}; they lie beside the outbox"
        )


def _until_stopped(running: Coroutine[object, object, None]) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(running)


def _key() -> str | None:
    key = os.environ.get("SARING_KEY")
    if key is None:
        print("note: SARING_KEY is not set; only a service on --insecure-local answers without a key", file=sys.stderr)
    return key


def _address(option: str, text: str, port: int) -> tuple[str, int]:
    host, _, number = text.rpartition(":")
    if not host:
        return text, port
    if not number.isdigit() or not 0 < int(number) < 65_536:
        raise SaringError(f"{option}: {text!r}, expected host:port")
    return host, int(number)


def _account(manager: str) -> "Account":
    from service.telephony.asterisk.connector import Account

    user, at, address = manager.rpartition("@")
    if not at or not user:
        raise SaringError(f"--manager: {manager!r}, expected user@host")
    secret = os.environ.get("SARING_AMI_SECRET")
    if not secret:
        raise SaringError("SARING_AMI_SECRET: not set, expected the secret of the manager's user")
    return Account(*_address("--manager", address, 5038), user, secret)
