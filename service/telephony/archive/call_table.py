"""Past calls as a call log, and an account of what was joined, guessed and left out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pandas as pd

from model.calls.columns import COLUMNS
from model.calls.files.contradictions import contradictions
from model.calls.files.mapping import Mapping
from model.calls.files.raw_log import hide_numbers
from service.telephony.archive.past_calls import Joined, PastCall
from service.telephony.vocabulary import disposition_of

_SHOWN = 5


class Said(NamedTuple):
    """One line of the account: under which heading, how many of what, and what of them."""

    heading: str
    number: int
    noun: str
    text: str


@dataclass(frozen=True)
class PastLog:
    """A call log, and what is to be said of it.

    Parameters
    ----------
    calls : pandas.DataFrame
        The contract's columns and `x_transferred`, by arrival.
    contradictions : pandas.Series of int
        By column and what was expected, how many calls were left out for it.
    unknown_codes : Counter of str
        Codes of operators that the mapping does not name; without numbers.
    """

    calls: pd.DataFrame
    joined: Joined
    contradictions: pd.Series
    unknown_codes: Counter[str]

    def account(self, broken: Sequence[tuple[str, int]]) -> Iterator[Said]:
        """Yield what was joined, guessed and left out; `broken` are files and lines that were not read."""
        kept = self.calls
        answered = kept["answered_at"].notna()
        ends = kept["disposition"].value_counts()
        yield Said("joined", sum(call.legs for call in self.joined.calls), "leg", f"to {len(kept):,} calls")
        yield Said("calls", int(answered.sum()), "call", "answered")
        for outcome in ("abandoned", "unanswered"):
            yield Said("calls", int(ends.get(outcome, 0)), "call", outcome)
        closed = int(kept.loc[answered, "disposition"].notna().sum())
        yield Said("outcomes", closed, "answered call", "with an outcome that the mapping names")
        for code, count in self.unknown_codes.most_common(_SHOWN):
            yield Said("outcomes", count, "call", f"with {code!r}, which the mapping does not name")
        for guess, count in sorted(Counter(guess for call in self.joined.calls for guess in call.guesses).items()):
            yield Said("guessed", count, "call", guess)
        if self.joined.begun_before:
            yield Said("left out", self.joined.begun_before, "call", "in a queue before the log began")
        if self.joined.other_legs:
            yield Said("left out", self.joined.other_legs, "leg", "of calls to no queue that was asked for")
        for what, count in self.contradictions.items():
            yield Said("left out", int(count), "call", f"that cannot be so: {what}")
        if broken:
            places = ", ".join(f"{file} line {line:,}" for file, line in broken[:_SHOWN])
            more = ", ..." if len(broken) > _SHOWN else ""
            yield Said("left out", len(broken), "line", f"cut, or not of this kind: {places}{more}")


def past_log(joined: Joined, mapping: Mapping, centre: str | None, now: datetime) -> PastLog:
    """Make a call log of past calls.

    Parameters
    ----------
    mapping : Mapping
        Its `values.disposition` says what an operator's codes mean, `values.category` which kind of emergency; a code
        that is one of the contract's dispositions means that.
    centre : str, optional
    now : datetime
        Aware; a call later than this is left out.
    """
    words, kinds = mapping.words_of("disposition"), mapping.words_of("category")
    unknown: Counter[str] = Counter()
    rows = []
    for call in joined.calls:
        said = disposition_of(call.code, words)
        if call.code and said is None and call.code.casefold() not in words:
            unknown[hide_numbers(call.code)] += 1
        rows.append(_row(call, said, kinds.get(call.code.casefold()) if call.code else None, centre))
    table = pd.DataFrame(rows, columns=[*(column.name for column in COLUMNS), "x_transferred"])
    for column in COLUMNS:
        if column.kind == "time":
            table[column.name] = pd.to_datetime(table[column.name], unit="us", utc=True).astype("datetime64[us, UTC]")
        elif column.kind == "number":
            table[column.name] = table[column.name].astype("float64")
        else:
            table[column.name] = table[column.name].astype("string")
    wrong = contradictions(table, now)
    bad = {problem.row for problem in wrong if problem.row >= 0}
    reasons = pd.Series([f"{problem.column}, expected {problem.expected}" for problem in wrong], dtype="object")
    kept = table.drop(index=list(bad)).reset_index(drop=True)
    return PastLog(kept, joined, reasons.value_counts(), unknown)


def _row(call: PastCall, said: str | None, kind: str | None, centre: str | None) -> dict[str, object]:
    disposed = call.coded_us if said else call.ended_us
    disposition = said or call.outcome or None
    duration_s = None
    if call.answered_us is not None and call.ended_us is not None:
        duration_s = max(0.0, (call.ended_us - call.answered_us) / 1e6)
    return {
        "call_id": call.call_id,
        "received_at": call.received_us,
        "caller": call.caller or None,
        "centre": centre,
        "queue": call.queue or None,
        "opening_duration_s": call.opening_s,
        "duration_s": duration_s,
        "answered_at": call.answered_us,
        "ended_at": call.ended_us,
        "ended_by": call.ended_by,
        "disposition": disposition if disposed is not None else None,
        "disposed_at": disposed if disposition else None,
        "category": kind if said == "genuine" else None,
        "x_transferred": call.transferred,
    }
