"""Who called, as a log has it: how many callers in how many spellings, and how many calls that show no number."""

from typing import NamedTuple

import pandas as pd

from model.calls.caller_text import FEWEST_DIGITS
from model.calls.phone_numbers import Numbering, read_caller

#: So many of the busiest callers are named.
BUSIEST = 10


class CallerCounts(NamedTuple):
    """What the callers of a log were read as.

    Parameters
    ----------
    calls, callers : pandas.Series
        By shape (`model.calls.phone_numbers.Shape`), how many calls and how many callers; a call with an empty caller
        counts as "none", which is no caller.
    spellings : int
        How many texts the callers were written as.
    nobody : pandas.Series
        By text, how many calls show no number, the most first; "" for an empty one, and digits are hidden.
    busiest : pandas.DataFrame
        `caller` (hidden but for its ends), `shape`, `calls` and `spellings` of the ten callers with the most calls.
    respelt : pandas.DataFrame
        The same of all callers who are written in more than one way, the most spellings first.
    """

    calls: pd.Series
    callers: pd.Series
    spellings: int
    nobody: pd.Series
    busiest: pd.DataFrame
    respelt: pd.DataFrame


def count_callers(callers: pd.Series, numbering: Numbering) -> CallerCounts:
    """Count the callers of a log.

    Parameters
    ----------
    callers : str (n,)
        The column of a call log.
    numbering : Numbering

    Examples
    --------
    >>> counts = count_callers(pd.Series(["081290417733", "+6281290417733", "Private Number", None]), Numbering("ID"))
    >>> int(counts.callers["valid"]), counts.spellings, counts.nobody.to_dict()
    (1, 2, {'': 1, 'Private Number': 1})
    >>> counts.busiest.to_dict("records")
    [{'caller': '+62..33', 'shape': 'valid', 'calls': 2, 'spellings': 2}]
    """
    by_text = callers.fillna("").str.strip().value_counts().rename_axis("text").reset_index(name="calls")
    readings = [read_caller(text, numbering) for text in by_text["text"]]
    by_text["caller"] = pd.Series([reading.caller for reading in readings], dtype="str")
    by_text["shape"] = pd.Series([reading.shape for reading in readings], dtype="str")
    shown = by_text[by_text["caller"].notna()]
    by_caller = shown.groupby("caller").agg(
        shape=("shape", "first"), calls=("calls", "sum"), spellings=("text", "size")
    )
    nobody = by_text[by_text["caller"].isna()].assign(text=lambda texts: texts["text"].map(_hidden_digits))
    return CallerCounts(
        by_text.groupby("shape")["calls"].sum(),
        by_caller["shape"].value_counts(),
        len(shown),
        nobody.groupby("text")["calls"].sum().sort_values(ascending=False, kind="stable"),
        _most(by_caller, ["calls", "spellings"]).head(BUSIEST),
        _most(by_caller[by_caller["spellings"] > 1], ["spellings", "calls"]),
    )


def _most(callers: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    found = callers.sort_values(by, ascending=False, kind="stable").reset_index()
    return found.assign(caller=found["caller"].map(_hidden))


def _hidden(caller: str) -> str:
    return f"{caller[:3]}..{caller[-2:]}"


def _hidden_digits(text: str) -> str:
    return text if sum(one.isdigit() for one in text) < FEWEST_DIGITS else "[number]"
