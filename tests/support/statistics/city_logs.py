"""The logs of made-up cities, each made once, and what became known of their calls in the end."""

from functools import cache

import pandas as pd

from model.calls.columns import DEFAULT_LABELS
from model.simulation.city import CityLog, simulate


@cache
def a_log(city: str, seed: int = 0) -> CityLog:
    return simulate(city, seed)


def final_dispositions(log: CityLog) -> pd.Series:
    final = log.calls.set_index("call_id")["disposition"].copy()
    corrected = log.corrections.set_index("call_id")["disposition"]
    final[corrected.index] = corrected
    return final.reset_index(drop=True)


def labels(log: CityLog) -> pd.Series:
    return final_dispositions(log).map(dict(DEFAULT_LABELS))
