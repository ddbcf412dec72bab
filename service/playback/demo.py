"""The whole story on one machine: a made-up year, a model, a service told its last weeks, a board with live calls."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from model.calls.call_events import known_at
from model.calls.call_log import write_log
from model.errors import SaringError
from model.evaluation.ranking import auc_and_precision, rank_calls
from model.params import Params
from model.release.folder import read_release, write_release
from model.release.pipeline import make_release
from model.simulation.city import CityLog, simulate
from service.maintenance.log_import import import_log
from service.playback.demo_traffic import DemoTraffic
from service.playback.log_replay import Step, replay, steps
from service.queue.badge import LOOKS, detail_text
from service.security.key_store import create_key
from service.security.pseudonyms import Pseudonyms, read_keys
from service.store.store import Store

CITY, SEED, LAST_DAYS = "bengkulu", 0, 60
READY_S = 20.0
console = Console(highlight=False)


def run(folder: Path, port: int, *, stay: bool) -> None:
    """Tell the story, and with `stay` keep serving until Ctrl-C.

    Parameters
    ----------
    folder : Path
        Where the log, the release and the store go; those of an earlier demo are replaced.
    port : int
    stay : bool
        Whether calls go on flowing in at the board.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in ("saring.db", "saring.db-wal", "saring.db-shm", "saring.key"):
        (folder / old).unlink(missing_ok=True)
    console.print("[bold]1. A year of calls[/bold] (made up, from the published figures of Bengkulu's 112 in 2024)")
    log = _until_now(simulate(CITY, SEED))
    write_log(known_at(log.calls, pd.Timestamp.now("UTC")), folder / "calls.parquet")
    until = log.calls["received_at"].max() - pd.Timedelta(days=LAST_DAYS)
    truth = _genuine(log.calls, log.corrections)
    console.print(f"   {len(truth):,} calls, {truth.sum():,} of them genuine: {folder / 'calls.parquet'}\n")

    console.print(f"[bold]2. A model[/bold] from what was known {LAST_DAYS} days before the end of the year")
    now = datetime.now(UTC)
    made = make_release(log.calls, Params(), now, until, log.corrections)
    write_release(folder / "release", made.files(), made.facts(now))
    release = read_release(folder / "release")
    console.print(f"   release {release.name}; what it does for genuine callers: {folder / 'release' / 'report.html'}")
    console.print(f"   {release.certificate.sentence('en')}\n")

    console.print(
        f"[bold]3. A service[/bold] that knows the calls before, and is told those of the last {LAST_DAYS} days"
    )
    store = Store(f"sqlite:///{folder / 'saring.db'}")
    earlier = log.corrections[log.corrections["disposed_at"] < until]
    past = known_at(log.calls, until)
    earlier = earlier[earlier["call_id"].isin(past["call_id"])]
    import_log(past, earlier, release, store, Pseudonyms(read_keys(folder / "saring.key")), lambda _: None)
    started = datetime.now(UTC)
    key, own = (
        create_key(store.engine, name, role, started) for name, role in (("rina", "operator"), ("demo", "admin"))
    )
    store.close()
    later = [step for step in steps(log.calls, log.corrections) if until <= step.at < started]
    headers = {"Authorization": f"Bearer {own}"}
    with _serving(folder, port) as url, httpx.Client(base_url=url, timeout=30.0, headers=headers) as client:
        board = f"   [bold]{url}/console[/bold]\n   operator's key: [bold]{key}[/bold]"
        if stay:
            console.print("   its board can be opened now; it shows those days as they are told, and live calls after:")
            console.print(board, soft_wrap=True)
        answers: dict[str, dict[str, Any]] = {}

        def told(step: Step, answer: dict[str, Any]) -> None:
            if step.path == "/v1/score":
                answers[step.call_id] = answer

        for step in track(later, "   telling", console=console, transient=True):
            replay([step], client, as_recorded=True, told=told)
        console.print(f"   {len(answers):,} calls scored and kept, {len(later):,} events in all\n")
        _story(client, answers, truth)
        client.put("/v1/operations", json={"operators": 3, "mean_handling_s": 45.0}).raise_for_status()
        rush = DemoTraffic(log.calls[log.calls["received_at"] >= until], client)
        rush.step(time.monotonic())
        if stay:
            console.print("\n[bold]6. The board[/bold], a call every few seconds; two colleagues answer some of them")
            console.print(board, soft_wrap=True)
            console.print("   Ctrl-C stops it.")
            with suppress(KeyboardInterrupt, httpx.HTTPError):  # Ctrl-C reaches the service, too
                rush.run(lambda: True)
        else:
            console.print(f"\nThe board was at {url}/console; [bold]saring demo --stay[/bold] keeps it running.")


def _story(client: httpx.Client, answers: dict[str, dict[str, Any]], truth: pd.Series) -> None:
    genuine = truth[list(answers)].to_numpy()
    score = np.array([answer["prank_likelihood"] for answer in answers.values()])
    calls = {call_id: client.get(f"/v1/calls/{call_id}").json() for call_id in answers}
    earlier = np.array([call["history"]["not_genuine_ever"] for call in calls.values()])
    first_come = np.zeros(len(score))
    console.print(
        f"[bold]4. How well genuine calls were found[/bold] among {len(score):,}, {genuine.sum()} of them genuine"
    )
    table = Table("", "a genuine call stood before a false one", "genuine among the 5 % put first")
    foremost = max(1, len(score) // 20)
    for name, by in (("first come, first served", first_come), ("counting earlier pranks", earlier), ("Saring", score)):
        pairs, _ = auc_and_precision(rank_calls(genuine, by))
        order = np.argsort(by, kind="stable")[:foremost]
        table.add_row(name, f"{pairs:.0%} of pairs", f"{genuine[order].sum()} of {genuine.sum()}")
    console.print(table)
    console.print("[bold]5. Three calls, and why[/bold]")
    for title, call_id in _examples(calls, answers, genuine):
        answer = answers[call_id]
        call = calls[call_id]
        console.print(
            f"   {title}: {call_id}, closed as {call['disposition'] or 'nothing yet'}; "
            f"shown as {LOOKS[answer['badge']].words['en']!r}: {detail_text(answer['one_in'], False, 'en')}"
        )
        for reason in answer["reasons"][:3]:
            console.print(f"      {reason['contribution']:+.2f}  {reason['text']}")
        if answer["guardrails"]:
            console.print(f"      not put back further because: {', '.join(answer['guardrails'])}")


def _examples(calls: dict[str, Any], answers: dict[str, Any], genuine: np.ndarray) -> Iterator[tuple[str, str]]:
    names = list(answers)
    by_score = sorted(range(len(names)), key=lambda place: answers[names[place]]["prank_likelihood"])
    found = [place for place in by_score if genuine[place]]
    if found:
        yield "The genuine call with the lowest score", names[found[0]]
        yield "The genuine call with the highest score", names[found[-1]]
    serial = max(range(len(names)), key=lambda place: calls[names[place]]["history"]["not_genuine_30d"])
    yield "The number most often closed as not genuine", names[serial]


def _until_now(log: CityLog) -> CityLog:
    """Move a log by whole weeks, so that its last call lies in the last one."""
    week = pd.Timedelta(weeks=1)
    shift = (pd.Timestamp.now("UTC") - log.calls["received_at"].max()) // week * week
    frames = [frame.copy() for frame in (log.calls, log.corrections)]
    for frame in frames:
        for name in frame.select_dtypes("datetimetz"):
            frame[name] += shift
    return replace(log, calls=frames[0], corrections=frames[1])


def _genuine(calls: pd.DataFrame, corrections: pd.DataFrame) -> pd.Series:
    """Return for each call whether it was genuine by all that ever became known."""
    last = calls.set_index("call_id")["disposition"].astype("object")
    last.update(
        corrections.sort_values("disposed_at")
        .drop_duplicates("call_id", keep="last")
        .set_index("call_id")["disposition"]
    )
    return last.isin(["genuine", "duplicate"])


@contextmanager
def _serving(folder: Path, port: int) -> Iterator[str]:
    """Run `saring serve` beside us until done."""
    import os

    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "SARING_KEY_FILE": str(folder / "saring.key"),
        "SARING_JOURNAL": str(folder / "journal"),
    }
    command = [
        sys.executable,
        "-P",
        "-m",
        "service.cli.main",
        "serve",
        "--release",
        str(folder / "release"),
        "--port",
        str(port),
    ]
    command += ["--database", f"sqlite:///{folder / 'saring.db'}"]
    # A busy machine is no fault of the store, and nobody waits for these answers.
    environment |= {"SARING_DEADLINE_MS": "10000", "SARING_LOG_LEVEL": "warning", "SARING_MODE": "board"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            started = time.monotonic()
            while True:
                if process.poll() is not None:
                    raise SaringError(
                        f"the service stopped with exit status {process.returncode}; is port {port} in use?"
                    )
                with suppress(httpx.HTTPError):
                    if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                        break
                if time.monotonic() - started > READY_S:
                    raise SaringError(f"the service was not ready within {READY_S:.0f} s")
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait()
