"""Who calls a made-up city: genuine and other callers overlap, and each habit rests on something."""

from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from model.calls.columns import GENUINE
from model.simulation.city import cities
from model.simulation.personas import City, load_city
from tests.support.statistics.city_logs import a_log, labels

NUMBERS = ["opening_duration_s", "opening_silence_ratio", "duration_s", "silence_ratio"]


def test_most_labels_come_within_minutes_some_after_days_and_some_never() -> None:
    calls = a_log("metro").calls
    delay_s = (calls["disposed_at"] - calls["ended_at"]).dt.total_seconds()
    assert (delay_s < 900).mean() > 0.8
    assert 0.01 < (delay_s > 86_400).mean() < 0.1
    assert 0.01 < calls["disposition"].isna().mean() < 0.06


@pytest.mark.parametrize("city", cities())
def test_a_correction_changes_an_earlier_disposition_of_a_call_in_the_log(city: str) -> None:
    log = a_log(city)
    both = log.corrections.merge(log.calls, on="call_id", suffixes=("", "_first"), validate="one_to_one")
    assert 0 < len(both) == len(log.corrections) < 0.1 * len(log.calls)
    assert (both["disposed_at"] > both["disposed_at_first"]).all()
    assert (both["disposition"] != both["disposition_first"]).all()
    assert log.corrections["disposed_at"].is_monotonic_increasing


@pytest.mark.parametrize("city", cities())
def test_only_genuine_calls_have_a_category(city: str) -> None:
    calls = a_log(city).calls
    assert calls["category"].notna().equals(calls["disposition"].isin(GENUINE))


def test_an_incident_is_genuine_once_and_a_duplicate_after() -> None:
    calls = a_log("metro").calls
    seen = calls[calls["x_persona"].eq("witnesses")]["disposition"].value_counts()
    assert seen["duplicate"] > 2 * seen["genuine"] > 0


@pytest.mark.parametrize("persona", ["storm_callers", "fresh_numbers_storm"])
def test_a_storm_brings_hundreds_of_numbers_never_seen_before(persona: str) -> None:
    calls = a_log("storm").calls.dropna(subset="caller")
    hour = calls["received_at"].dt.floor("h")
    theirs = calls["x_persona"].eq(persona)
    busiest = hour[theirs].mode()[0]
    first_seen = hour.groupby(calls["caller"]).min()
    callers = calls.loc[theirs & (hour == busiest), "caller"].unique()
    assert len(callers) > 100
    assert first_seen[callers].eq(busiest).mean() > 0.75


def test_a_storm_of_one_number_is_one_number() -> None:
    calls = a_log("storm").calls
    theirs = calls[calls["x_persona"].eq("one_number_storm")].dropna(subset="caller")
    busiest = theirs[theirs["caller"] == theirs["caller"].mode()[0]]
    assert len(busiest) > 100
    assert busiest["received_at"].max() - busiest["received_at"].min() < pd.Timedelta("12h")


def test_shared_numbers_carry_both_outcomes() -> None:
    log = a_log("shared")
    known = labels(log).groupby(log.calls["caller"]).agg(["count", "mean"])
    often = known[known["count"] >= 10]
    assert len(often) > 500
    assert often["mean"].between(0.05, 0.95).mean() > 0.8


@pytest.mark.parametrize("city", cities())
def test_no_single_column_separates_genuine_calls_from_others(city: str) -> None:
    log = a_log(city)
    label = labels(log)
    hour = log.calls["received_at"].dt.tz_convert(log.time_zone).dt.hour.rename("hour")
    raw = pd.concat([log.calls[NUMBERS], hour, pd.get_dummies(log.calls["line"], dtype=float)], axis=1)
    raw = raw.fillna(raw.median())[label.notna()]
    for name in raw:
        auc = roc_auc_score(label.dropna(), raw[name])
        assert max(auc, 1 - auc) < 0.9, name


def test_genuine_and_other_calls_overlap_in_silence_and_duration() -> None:
    log = a_log("metro")
    for name in NUMBERS:
        genuine, other = (log.calls[name][labels(log) == label].dropna() for label in (0, 1))
        low, high = genuine.quantile([0.01, 0.99])
        assert other.between(low, high).mean() > 0.75, name


def test_history_has_a_heavy_head_and_a_long_tail() -> None:
    often = a_log("bengkulu").calls["caller"].value_counts()
    assert (often == 1).mean() > 0.5
    assert often.head(len(often) // 100).sum() > 0.1 * often.sum()


def test_silent_callers_are_often_genuine_in_the_silent_city() -> None:
    log = a_log("silence")
    silent = log.calls["silence_ratio"] > 0.9
    assert labels(log)[silent].eq(0).mean() > 0.15
    assert silent[labels(log) == 0].mean() > 0.15


def test_most_calls_of_the_numberless_city_show_no_number() -> None:
    assert a_log("numberless").calls["caller"].isna().mean() > 0.5


def test_the_drifting_city_loses_a_third_of_its_genuine_share_halfway() -> None:
    log = a_log("drift")
    day = (log.calls["received_at"] - log.calls["received_at"].iloc[0]).dt.days
    share = labels(log).eq(0).groupby(day < 91).mean()
    assert share[False] < 0.75 * share[True]


def test_false_calls_decay_after_a_launch() -> None:
    log = a_log("launch")
    month = (log.calls["received_at"] - log.calls["received_at"].iloc[0]).dt.days // 61
    false_share = labels(log).groupby(month).mean()
    assert false_share.iloc[0] > 0.95
    assert false_share.iloc[:5].is_monotonic_decreasing
    assert month.value_counts()[0] > 3 * month.value_counts()[5]


def persona_table(city: City) -> str:
    rows = [
        "| persona | who | genuine | calls | share | calls a caller | rests on |",
        "|---|---|---|---:|---:|---|---|",
    ]
    for who in sorted(city.personas, key=lambda persona: (not persona.genuine, -persona.calls)):
        often = who.calls_per_caller
        usual = f"{often.median:g}" + (f", up to {often.most:g}" if often.spread else "")
        rows.append(
            f"| {who.name} | {who.who} | {'yes' if who.genuine else 'no'} | {who.calls:,} "
            f"| {who.calls / city.calls:.2%} | {usual} | {who.rests_on} |"
        )
    return "\n".join(rows)


@pytest.mark.parametrize("city", cities())
def test_the_docs_say_who_calls_each_city(city: str) -> None:
    plan = load_city(city)
    page = (Path(__file__).parents[3] / "docs" / "cities.md").read_text(encoding="utf-8")
    assert f"## {city}: {plan.about}\n" in page
    assert persona_table(plan) in page


def test_every_habit_says_what_it_rests_on() -> None:
    text = (files("model.simulation") / "cities" / "personas.toml").read_text(encoding="utf-8")
    habits = text[text.index("[personas.") :].splitlines()
    told = ("who =", "rests_on =", "genuine =", "like =")
    assert [line for line in habits if "=" in line and "#" not in line and not line.startswith(told)] == []


@pytest.mark.parametrize("city", cities())
def test_genuine_is_what_genuine_personas_are_mostly_closed_as(city: str) -> None:
    log = a_log(city)
    genuine = {persona.name for persona in load_city(city).personas if persona.genuine}
    closed = labels(log).groupby(log.calls["x_persona"].isin(genuine)).mean()
    assert closed[True] < 0.35
    assert closed[False] == 1
