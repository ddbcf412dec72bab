"""How soon a change is noticed, and how often there is an alarm in years in which nothing changes.

    python -m benchmarks.drift [--seeds 40]

A release is made of the first half; then the latest calls are looked at every day, as the service does.
The tables stand in docs/drift.md. The limits of `model/certification/drift.py` were set on seeds below 140; these
begin at 200.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from model.calls.call_events import events_of, microseconds, sort_calls
from model.certification.bounds import exact_interval
from model.certification.drift import DAYS, Drift, measure_drift, select_recent_calls
from model.certification.profile import DAY_US
from model.params import Params
from model.release.drift_samples import build_sample, training_profile
from model.scorecard.feature_table import FeatureTable
from model.simulation.city import CityLog, simulate
from model.training.dataset import prepare_dataset
from model.training.rolling_origin import train

FIRST_SEED = 200
#: The calls of children are what the made-up campaign is made of.
PERSONA = "children"


class Look(NamedTuple):
    """What was found so many days after the release was made, or after the change."""

    day: float
    drift: Drift


def looks(log: CityLog, until: pd.Timestamp, *, since: pd.Timestamp | None = None, every: int = 1) -> Iterator[Look]:
    """Make a release of what was known at `until`, and look at the later calls every so many days.

    Parameters
    ----------
    log : CityLog
    until : Timestamp
    since : Timestamp, optional
        The first look; by default when `DAYS` days have passed.
    every : int
        Days.
    """
    calls, params = sort_calls(log.calls), Params(time_zone=log.time_zone, region=log.region)
    past = prepare_dataset(calls, params, until, log.corrections)
    trained = train(past, params)
    before = training_profile(trained)
    events = events_of(calls, params.labels, params.numbering, log.corrections)
    table = FeatureTable(calls, events, params.time_zone)
    first_us = past.until_us + DAYS * DAY_US if since is None else int(microseconds(pd.Series([since]))[0])
    for now_us in range(first_us + (0 if since is None else DAY_US), int(events.received_us[-1]), every * DAY_US):
        rows = select_recent_calls(events.received_us, now_us)
        yield Look(
            (now_us - first_us) / DAY_US,
            measure_drift(before, build_sample(table, events, rows, trained.scorecards, now_us)),
        )


def half(log: CityLog) -> pd.Timestamp:
    """Return the middle of a log's time."""
    first, last = log.calls["received_at"].min(), log.calls["received_at"].max()
    return (first + (last - first) / 2).floor("D")


def changed(log: CityLog, since: pd.Timestamp, seed: int, *, campaign: float, voip: float) -> CityLog:
    """Change a city from a moment on: a prank campaign from numbers never seen before, and lines that move to voip.

    Parameters
    ----------
    campaign : float
        Calls of the campaign, as a share of all calls from then on.
    voip : float
        Share of the calls of mobile lines that come over voip from then on.
    """
    rng, calls = np.random.default_rng(seed), log.calls.copy()
    later = calls["received_at"] >= since
    moved = later & (calls["line"] == "mobile") & (rng.random(len(calls)) < voip)
    calls.loc[moved, "line"] = "voip"
    of_kind = calls[calls["x_persona"] == PERSONA]
    added = of_kind.sample(round(campaign * int(later.sum())), replace=True, random_state=seed).reset_index(drop=True)
    span = (calls["received_at"].max() - since).total_seconds()
    new_at = since + pd.to_timedelta(rng.random(len(added)) * span, unit="s").round("us")
    shift = new_at - added["received_at"]
    for name in ("received_at", "answered_at", "ended_at", "disposed_at"):
        added[name] += shift
    added["call_id"] = [f"campaign-{number}" for number in range(len(added))]
    added["caller"] = [f"+6289{number:09}" for number in rng.integers(0, max(1, len(added) // 3), len(added))]
    both = pd.concat([calls, added]).sort_values("received_at", ignore_index=True)
    return CityLog(both, log.corrections, log.time_zone, log.region)


def quiet_years(city: str, seeds: int, every: int = 1) -> tuple[int, int, int]:
    """Count the years in which there was an alarm, and the looks of all years, and those that alarmed."""
    years = looked = alarms = 0
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        log = simulate(city, seed)
        found = [one.drift.alarm for one in looks(log, half(log), every=every)]
        years, looked, alarms = years + any(found), looked + len(found), alarms + sum(found)
    return years, looked, alarms


def noticed(log: CityLog, change: pd.Timestamp, until: pd.Timestamp, within: int = DAYS * 2) -> tuple[float, list[str]]:
    """Return on which day after a change there was the first alarm (NaN: not within so many), and what had moved."""
    for one in looks(log, until, since=change):
        if one.drift.alarm:
            return one.day, [finding.name for finding in one.drift.findings if finding.moved]
        if one.day > within:
            break
    return float("nan"), []


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    seeds = parser.parse_args().seeds
    print("| a quiet city, half a year after training | years | with an alarm | looks | that alarmed |")
    print("|---|---|---|---|---|")
    for city, count in (("bengkulu", seeds), ("silence", max(1, seeds // 8)), ("numberless", max(1, seeds // 8))):
        years, looked, alarms = quiet_years(city, count)
        low, high = exact_interval(years, count)
        print(f"| {city} | {count} | {years} ({low:.1%} to {high:.1%}) | {looked:,} | {alarms} |", flush=True)
    print("\n| what changes | seeds | noticed | days until the alarm: median, longest | what moved first |")
    print("|---|---|---|---|---|")
    for name, count in (("drift city", max(2, seeds // 8)), *((name, max(2, seeds // 4)) for name in CHANGES)):
        found = [_noticed_in(name, seed) for seed in range(FIRST_SEED, FIRST_SEED + count)]
        days = sorted(day for day, _ in found)
        late = [f"{day:.0f}" if np.isfinite(day) else "never" for day in (days[len(days) // 2], days[-1])]
        moved = pd.Series([first for _, names in found for first in names]).value_counts().head(4)
        told = ", ".join(f"{first} ({times})" for first, times in moved.items())
        print(f"| {name} | {count} | {np.isfinite(days).sum()} | {late[0]}, {late[1]} | {told} |", flush=True)


CHANGES = {
    "Bengkulu, a campaign of as many calls again from new numbers": {"campaign": 1.0, "voip": 0.0},
    "Bengkulu, a third of mobile calls come over voip": {"campaign": 0.0, "voip": 1 / 3},
    "Bengkulu, both": {"campaign": 1.0, "voip": 1 / 3},
}


def _noticed_in(name: str, seed: int) -> tuple[float, list[str]]:
    if name in CHANGES:
        log = simulate("bengkulu", seed)
        change = half(log)
        return noticed(changed(log, change, seed, **CHANGES[name]), change, change)
    log = simulate("drift", seed)  # halfway through, it is another city
    return noticed(log, half(log), half(log) - pd.Timedelta(days=7))


if __name__ == "__main__":
    main()
