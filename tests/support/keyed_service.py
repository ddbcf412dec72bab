"""A service on loopback as it stands on a network, where nobody gets in without a key, and what a test asks it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from service.security.api_keys import Role
from service.security.key_store import create_key
from service.server.application import create_app, open_parts
from tests.support.small_service import raw, running, settings_in

NOBODY = "nobody"
WHOEVER = (NOBODY, *Role)


@dataclass
class Keyed:
    """A running service, a key of each role, and what a test asks it by.

    Parameters
    ----------
    client : httpx.Client
        Without a key.
    app : FastAPI
        Inside of the guard.
    engine : Engine
        Of the store.
    """

    client: httpx.Client
    keys: dict[str, str]
    app: FastAPI
    engine: sa.Engine

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        assert self.client.base_url.port is not None
        return self.client.base_url.port

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    def by(self, who: str) -> dict[str, str]:
        """Give the header of a role; none of nobody."""
        return {} if who == NOBODY else {"Authorization": f"Bearer {self.keys[who]}"}

    def ask(self, who: str, method: str, path: str, **more) -> httpx.Response:
        """Ask with the key of a role."""
        return self.client.request(method, path, headers=self.by(who) | more.pop("headers", {}), **more)

    def head(self, who: str, method: str, path: str, *lines: str) -> bytes:
        """Write the head of a request with the key of a role."""
        first = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        own = [f"{name}: {value}" for name, value in self.by(who).items()]
        return "\r\n".join([*first, *own, *lines, "", ""]).encode("latin-1")

    def ring(self, call_id: str, at: datetime | None = None, **more) -> dict:
        """Let a call come in, now unless it is said when, and give the answer; its sender has kept it since."""
        now = datetime.now(UTC)
        body = {"call_id": call_id, "received_at": (at or now).isoformat(), "line": "mobile"} | more
        kept_s = (now - (at or now)).total_seconds()
        headers = {"Saring-Age": str(kept_s)} if 0.0 < kept_s <= 900.0 else {}
        answered = self.ask("intake", "POST", "/v1/score", json=body, headers=headers)
        assert answered.status_code == 200, answered.text
        return answered.json()

    def say(self, who: str, call_id: str, what: str, **body) -> httpx.Response:
        """Say something of a call with the key of a role."""
        return self.ask(who, "POST", f"/v1/calls/{call_id}/{what}", json=body)

    def close(self, call_id: str, disposition: str = "test", who: str = "admin", **more) -> httpx.Response:
        """Close a call, now."""
        return self.say(who, call_id, "disposition", disposition=disposition, disposed_at=now(), **more)

    def known(self, call_id: str) -> dict:
        """Give all that is known of a call."""
        return self.ask("admin", "GET", f"/v1/calls/{call_id}").json()

    def waiting(self) -> list[str]:
        """Give the calls of the queue in its order."""
        return [call["call_id"] for call in self.ask("operator", "GET", "/v1/queue").json()["calls"]]

    @contextmanager
    def signed_in(self, who: str | None = None) -> Iterator[httpx.Client]:
        """Give a client that keeps cookies and says where it comes from, signed in with the key of a role."""
        with httpx.Client(base_url=self.client.base_url, headers={"Origin": self.url}, timeout=30.0) as client:
            if who is not None:
                assert client.post("/console/sign-in", data={"key": self.keys[who]}).status_code == 303
            yield client

    def raw(self, *parts: bytes, pause_s: float = 0.0, patience_s: float = 10.0) -> bytes:
        """Send bytes as they are, and give all that comes until the service closes or says no more."""
        return raw(self.client, *parts, pause_s=pause_s, patience_s=patience_s)


def now() -> str:
    """Give the time as requests say it."""
    return datetime.now(UTC).isoformat()


def ring_in_the_past(service: Keyed, caller: str, calls: int = 12) -> None:
    """Let a caller have rung, two hours ago and once a minute: answered after 20 s, closed as prank after 40."""
    start = datetime.now(UTC) - timedelta(hours=2)
    for number in range(calls):
        rang_at = start + timedelta(minutes=number)
        body = {"call_id": f"past {number}", "received_at": rang_at.isoformat(), "caller": caller, "line": "mobile"}
        answered = {"answered_at": (rang_at + timedelta(seconds=20)).isoformat()}
        disposed = {"disposition": "prank", "disposed_at": (rang_at + timedelta(seconds=40)).isoformat()}
        of_it = f"/v1/calls/past {number}"
        for path, said in (("/v1/score", body), (f"{of_it}/answered", answered), (f"{of_it}/disposition", disposed)):
            told = service.ask("admin", "POST", path, json=said, headers={"Saring-Clock": "as-recorded"})
            assert told.status_code == 200, told.text


@contextmanager
def keyed(folder: Path, release: Path, **changes) -> Iterator[Keyed]:
    """Run it on loopback, on a SQLite file in a folder."""
    settings = settings_in(folder, release, **{"mode": "board"} | changes)
    with open_parts(settings) as parts:
        engine = parts.intake.store.engine
        keys = {role.value: create_key(engine, role.value, role, datetime.now(UTC)) for role in Role}
        guarded = create_app(parts, settings)
        with running(guarded, headers={}) as client:
            yield Keyed(client, keys, inner(guarded), engine)


def inner(app: object) -> FastAPI:
    """Give what stands within the layers around an application."""
    while not isinstance(app, FastAPI):
        app = getattr(app, "app", None) or app._app
    return app


class Event(NamedTuple):
    name: str
    id: str
    data: dict[str, Any]


def events(answered: httpx.Response) -> Iterator[Event]:
    """Read the events of a stream as they come."""
    fields: dict[str, str] = {}
    for line in answered.iter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields.get("event"):
            if fields["event"] == "beat":  # it comes whenever nothing else does
                fields = {}
                continue
            yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
