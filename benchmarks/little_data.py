"""How well a centre of a hundred genuine calls a year is learnt: a year to train on, the two after it to judge by.

    python -m benchmarks.little_data [SEEDS]     some fifteen seconds a seed

Prints AUC and average precision of genuine calls at each stage, means over seeds with an interval of 95 % (paired): of
scorecards fitted on half of the genuine calls, on all of them, and on all with chosen settings.
"""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from model.params import Boosting, Params
from model.scorecard.features import NAMES, STAGES, WIDTHS
from model.simulation.city import simulate
from model.simulation.personas import load_city
from model.training.dataset import prepare_dataset
from model.training.rolling_origin import train

YEARS = 3
UNTIL = pd.Timestamp("2024-12-31T17:00:00Z")
WAYS = ("half", "all", "all, settings chosen")


def measure(seed: int) -> np.ndarray:
    """Return AUC and average precision by way and stage, shape (3, 3, 2)."""
    year = load_city("bengkulu")
    pools = {name: replace(pool, numbers=max(1, round(pool.numbers / YEARS))) for name, pool in year.pools.items()}
    city = replace(year, ends="2027-01-01", pools=pools)
    log = simulate(city, seed, calls=YEARS * city.calls)
    past = prepare_dataset(log.calls, Params(), UNTIL, log.corrections)
    plain, chosen = (train(past, Params(boosting=Boosting(choose=choose))) for choose in (False, True))
    whole = prepare_dataset(log.calls, Params(), None, log.corrections)
    later = (whole.events.received_us >= past.until_us) & (whole.events.outcome >= 0)
    rows, prank = whole.table.matrix(later), whole.events.outcome[later] == 1
    found = []
    for cards in (plain.models[0].scorecards, plain.scorecards, chosen.scorecards):
        for stage in STAGES:
            width = WIDTHS[stage]
            score = cards[stage].log_odds(cards[stage].contributions(rows[:, :width], NAMES[:width]))
            found.append((roc_auc_score(prank, score), average_precision_score(~prank, -score)))
    return np.array(found).reshape(len(WAYS), len(STAGES), 2)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with threadpool_limits(1):
        found = np.array([measure(seed) for seed in range(seeds)])
    print("| stage | fitted on | AUC | gain | average precision | gain |\n|---|---|---|---|---|---|")
    for place, stage in enumerate(STAGES):
        for way, name in enumerate(WAYS):
            cells = []
            for measure_ in range(2):
                mine, gain = (
                    found[:, way, place, measure_],
                    found[:, way, place, measure_] - found[:, 0, place, measure_],
                )
                wide = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else np.nan
                told = (
                    "" if way == 0 else f"{gain.mean():+.3f} ({gain.mean() - wide:+.3f} to {gain.mean() + wide:+.3f})"
                )
                cells += [f"{mine.mean():.3f}", told]
            print(f"| {stage} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
