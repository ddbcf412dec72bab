"""Makes the pictures of the console in docs/screens: a made-up city, a real service, a real Chromium.

    python -m benchmarks.screens [FOLDER]

The city is made up and small, and the certificate of its release is written to say that deferral is proven, which for
so few calls it is not: the pictures show every state of a board, and prove nothing.
"""

import json
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pandas as pd
import uvicorn
from playwright.sync_api import Browser, Page

from benchmarks.browsing import browser
from model.evaluation.evaluation import Effort
from model.params import Params
from model.queueing.queue_replay import keys_after, replay
from model.release.folder import read_release, write_release
from model.release.pipeline import make_release
from model.simulation.city import simulate
from service.maintenance.log_import import import_log
from service.security.key_store import create_key
from service.security.pseudonyms import Pseudonyms, read_keys
from service.server.application import create_app, open_parts
from service.server.process import OPTIONS
from service.settings import Settings
from service.store.store import Store

WIDE, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
FOLDER = Path(__file__).parents[1] / "docs" / "screens"


class Scene:
    """A service with a past, and what rings there now.

    Parameters
    ----------
    url : str
    keys : dict of str to str
        By role.
    calls : pandas.DataFrame
        The city's log, the last call just before now.
    database : Path
        Of the store.
    """

    def __init__(self, url: str, keys: dict[str, str], calls: pd.DataFrame, database: Path) -> None:
        self.url, self.keys, self._rung, self.database = url, keys, 0, database
        self._client = httpx.Client(base_url=url, timeout=30.0, headers={"Authorization": f"Bearer {keys['admin']}"})
        self._draw = random.Random(3)
        columns = ["caller", "line", "opening_duration_s", "opening_silence_ratio"]
        self._likely = calls[columns].tail(600).astype(object).where(calls[columns].tail(600).notna(), None)
        counted = calls[calls["disposition"].isin(["prank", "abusive", "silent"])]["caller"].value_counts()
        self.often = list(counted.index[:12])

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the service."""
        answered = self._client.request(method, path, json=body)
        answered.raise_for_status()
        return answered.json()

    def ring(self, ago_s: float, caller: str | None = "", **more: Any) -> dict[str, Any]:
        """Let somebody ring who has waited for so long by now; without a caller one of the city, often known."""
        self._rung += 1
        found = self._likely.iloc[self._draw.randrange(len(self._likely))]
        if caller == "":
            caller = self._draw.choice(self.often) if self._draw.random() < 0.35 else found["caller"]
        body = {
            "call_id": f"screen-{self._rung}",
            "received_at": (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(),
            "caller": caller,
            "line": found["line"],
            "duration_s": found["opening_duration_s"],
            "silence_ratio": found["opening_silence_ratio"],
        }
        return self.ask(
            "POST", "/v1/score", {name: value for name, value in (body | more).items() if value is not None}
        )

    def new_number(self) -> str:
        """Return a number that never rang."""
        return f"+62811{self._draw.randrange(10**7):07}"

    def clear_last(self) -> None:
        """Let go who rang last."""
        self.ask("POST", f"/v1/calls/screen-{self._rung}/ended", {"ended_at": datetime.now(UTC).isoformat()})

    def handle(self, count: int, gap_s: float, operators: int) -> None:
        """Let calls of the last hours come, be answered in the order of their keys, and be closed."""
        start = datetime.now(UTC) - timedelta(seconds=count * gap_s + 2_000.0)
        after_s, told = 0.0, []
        for _ in range(count):
            after_s += self._draw.expovariate(1.0 / gap_s)
            at = start + timedelta(seconds=after_s)
            answer = self.ring((datetime.now(UTC) - at).total_seconds(), expected_wait_s=60.0)
            genuine = self._draw.random() > (answer["prank_likelihood"] or 0.5)
            handling_s = self._draw.expovariate(1.0 / (110.0 if genuine else 60.0))
            told.append((answer["call_id"], round(after_s * 1e6), answer["defer_s"], genuine, handling_s))
        _, received, deferred, _, handling = (np.array(column) for column in zip(*told, strict=True))
        lived = replay(received, handling, keys_after(received, deferred), operators)
        for (call_id, _, _, genuine, handling_s), left_us in zip(told, lived.left_at_us.tolist(), strict=True):
            begun, end = (start + timedelta(seconds=left_us / 1e6 + more_s) for more_s in (0.0, handling_s))
            closed = {"disposition": "genuine", "category": "accident"} if genuine else {"disposition": "prank"}
            for what, body in (
                ("answered", {"answered_at": begun.isoformat(), "operator": "rina"}),
                ("ended", {"ended_at": end.isoformat()}),
                ("disposition", closed | {"disposed_at": end.isoformat(), "operator": "rina"}),
            ):
                path = f"/v1/calls/{call_id}/{what}"
                self._client.post(path, json=body, headers={"Saring-Clock": "as-recorded"}).raise_for_status()

    def busy(self, count: int, longest_s: float, *, new: float = 0.0) -> None:
        """Let many ring, some of them for the first time."""
        for place in range(count):
            ago_s = longest_s * (1.0 - place / count) * self._draw.uniform(0.9, 1.0)
            self.ring(ago_s, self.new_number() if self._draw.random() < new else "", expected_wait_s=longest_s)


@contextmanager
def scene(folder: Path, mode: str = "board") -> Iterator[Scene]:
    """Make a city, a release and a service with its past, and serve it on loopback."""
    log = simulate("metro", 1, calls=4_000)
    shift = pd.Timestamp.now("UTC").floor("s") - log.calls["received_at"].max() - pd.Timedelta(minutes=20)
    calls, corrections = (_moved(frame, shift) for frame in (log.calls, log.corrections))
    now = datetime.now(UTC)
    calls.loc[calls["disposed_at"] > now, ["disposition", "disposed_at", "category"]] = None
    corrections = corrections[corrections["disposed_at"] < now]
    made = make_release(calls, Params(), now, corrections=corrections, effort=Effort(seeds=1, resamples=20))
    files = dict(made.files())
    certificate = json.loads(files["certificate.json"])
    certificate["issued_at"], certificate["expires_at"] = now.isoformat(), (now + timedelta(days=180)).isoformat()
    for stage in certificate["stages"]:
        stage["deferral"] |= {"genuine_upper": 0.02, "load_lower": 0.05, "on": True, "reason": "proven"}
    files["certificate.json"] = json.dumps(certificate).encode()
    write_release(folder / "release", files, made.facts(now))
    settings = Settings(
        release=folder / "release",
        database=f"sqlite:///{folder / 'saring.db'}",
        key_file=folder / "saring.key",
        journal=folder / "journal",
        journal_mib=1,
        mode=mode,
        deadline_ms=1_000,
        random_share=0.1,
    )
    store = Store(settings.database)
    release = read_release(folder / "release")
    import_log(calls, corrections, release, store, Pseudonyms(read_keys(settings.key_file)), lambda _: None)
    keys = {
        name: create_key(store.engine, name, role, now) for name, role in (("rina", "operator"), ("admin", "admin"))
    }
    store.close()
    with open_parts(settings) as parts:
        config = uvicorn.Config(create_app(parts, settings), **OPTIONS | {"port": 0, "timeout_graceful_shutdown": 1})
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield Scene(f"http://127.0.0.1:{port}", keys, calls, folder / "saring.db")
        finally:
            server.should_exit = True
            thread.join()


def _moved(frame: pd.DataFrame, shift: pd.Timedelta) -> pd.DataFrame:
    frame = frame.copy()
    for name in frame.select_dtypes("datetimetz"):
        frame[name] = frame[name] + shift
    return frame


@contextmanager
def signed_in(running: Browser, made: Scene, who: str = "rina", **options: Any) -> Iterator[Page]:
    """Open a page of whoever holds a key."""
    with running.new_context(base_url=made.url, **options) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: print("page error:", error, file=sys.stderr))
        page.on("console", lambda said: print("console:", said.text, file=sys.stderr) if said.type == "error" else None)
        page.goto("/console")
        page.locator("#key").fill(made.keys[who])
        page.locator("#key").press("Enter")
        page.wait_for_url("**/console")
        yield page


def held_out(made: Scene) -> None:
    """Let somebody ring whose call is of the random share."""
    while not made.ring(330, made.often[5], duration_s=6.0, silence_ratio=0.2, expected_wait_s=340)["held_out"]:
        made.clear_last()


LIGHT = {"viewport": WIDE, "locale": "en-GB", "color_scheme": "light"}
DARK = LIGHT | {"color_scheme": "dark"}


def main(folder: Path = FOLDER) -> None:
    """Make every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, scene(Path(place)) as made, browser() as running:

        def shoot(page: Page, name: str, *, whole: bool = False) -> None:
            page.wait_for_timeout(400)
            page.screenshot(path=folder / f"{name}.png", full_page=whole)

        with running.new_context(base_url=made.url, **LIGHT) as context:
            page = context.new_page()
            page.goto("/console")
            shoot(page, "sign-in")
        made.ask("PUT", "/v1/operations", {"operators": 3, "mean_handling_s": 90.0})
        made.ring(38, expected_wait_s=0)
        made.ring(12, made.new_number(), expected_wait_s=0)
        with signed_in(running, made, **LIGHT) as page:
            page.locator("li.row").first.wait_for()
            shoot(page, "board-quiet")
        made.busy(24, 340, new=0.2)
        for place in range(3):
            made.ring(560 - 30 * place, made.often[place], duration_s=9.0, silence_ratio=0.1, expected_wait_s=340)
        held_out(made)
        with signed_in(running, made, **LIGHT) as page, signed_in(running, made, **DARK) as dark:
            page.locator("li.row").first.wait_for()
            page.keyboard.press("n")
            page.locator("article.mine").wait_for()
            shoot(page, "board-busy")
            dark.locator("article.mine").wait_for()
            shoot(dark, "board-dark")
            page.keyboard.press("1")
            page.locator("dialog[open]").wait_for()
            page.keyboard.press("1")
            page.locator("article.mine").wait_for(state="detached")
            page.locator("li.row[data-badge=prank_like]").first.focus()
            page.keyboard.press("w")
            page.locator("details").first.wait_for()
            shoot(page, "story", whole=True)
            page.goto("/console/shift")
            shoot(page, "shift", whole=True)
        made.handle(200, 45.0, operators=2)
        for name, options in (("supervisor", LIGHT), ("supervisor-dark", DARK | {"locale": "id-ID"})):
            with signed_in(running, made, "admin", **options) as page:
                page.goto("/console/supervisor")
                shoot(page, name, whole=True)
        with signed_in(running, made, **LIGHT) as page:
            page.goto("/console/badge")
            page.locator("saring-badge[shown=stale]").last.wait_for()
            shoot(page, "badge-sheet", whole=True)
            page.goto("/console")
            page.locator("#stop").wait_for()
            page.keyboard.press("x")
            page.locator("dialog[open]").wait_for()
            shoot(page, "board-stop")
        with signed_in(running, made, **LIGHT | {"viewport": PHONE, "locale": "id-ID", "has_touch": True}) as page:
            page.locator("li.row").first.wait_for()
            shoot(page, "board-phone")
        made.ask("PUT", "/v1/operations", {"switch": {"on": False, "reason": "heavy rain, many new callers"}})
        made.busy(90, 700, new=0.8)
        with signed_in(running, made, **LIGHT) as page:
            page.locator("li.row").first.wait_for()
            shoot(page, "board-storm")
            page.context.set_offline(True)
            page.locator("#lost").wait_for()
            shoot(page, "board-lost")
            page.context.set_offline(False)
            page.locator("#lost").wait_for(state="hidden")
            with sqlite3.connect(made.database, isolation_level=None) as held:
                held.execute("BEGIN IMMEDIATE")
                made.ring(4, made.new_number())
                page.locator("#degraded").wait_for()
                shoot(page, "board-degraded")
                held.execute("ROLLBACK")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
