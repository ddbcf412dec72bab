"""The reasons of a score: its terms, the largest first."""

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from model.language.catalogue import catalogue
from model.language.texts import Language
from model.scorecard.features import FEATURES, NAMES, SINCE, Feature
from model.scorecard.pairs import BOTH

#: A pair's values, to six digits.
_BOTH = f"%.6g{BOTH}%.6g"


def feature_text(feature: Feature, value: float, language: Language = "en") -> str:
    """Return the value of a feature as an operator reads it: a fact about the call or the number, never a verdict.

    Examples
    --------
    >>> line, since_last, calls = (FEATURES[NAMES.index(name)] for name in ("line", "since_last_h", "calls_1d"))
    >>> feature_text(line, 1.0), feature_text(line, 1.0, "id"), feature_text(since_last, math.nan)
    ('line: landline', 'jalur: telepon rumah', 'no earlier call from this number')
    >>> feature_text(calls, 2.5), feature_text(calls, 2.5, "id")
    ('2.5 calls around the last day', '2,5 panggilan sekitar satu hari terakhir')
    """
    say = catalogue(language)
    if math.isnan(value):
        if feature.how == SINCE:
            return say("feature.no_earlier_call")
        return say("feature.unknown", meaning=say(f"feature.{feature.name}.meaning"))
    shown: float | str = value
    if feature.words:
        shown = say(f"value.{feature.words[int(value)]}")
    elif feature.how == SINCE:
        shown = value * feature.plus / 1e6
    return say(f"feature.{feature.name}.reason", value=shown)


def reasons(
    values: Sequence[float],
    contributions: Sequence[float],
    pairs: Sequence[tuple[int, int]] = (),
    *,
    in_words: bool = False,
) -> list[dict[str, Any]]:
    """List what moved a score, the largest contribution first; those of 0 are left out.

    Parameters
    ----------
    values, contributions : sequences of float
        A stage's features, and what each of them, and then each of the pairs, added to the log-odds.
    pairs : sequence of (int, int)
        The places of the features of each pair.
    in_words : bool
        Whether each reason also has a `text` that an operator reads.

    Returns
    -------
    list of dict
        With group, feature, value (None: not known), contribution and, if asked for, text. A pair is one reason, of
        the group of its later feature, its value a text such as "9 x 0.8". Together with the
        scorecard's intercept the contributions are the log-odds: nothing is estimated.

    Examples
    --------
    >>> reasons([3.0, float("nan")], [0.0, -0.5])
    [{'group': 'history', 'feature': 'calls_1d', 'value': None, 'contribution': -0.5}]
    """
    sizes = [abs(contribution) for contribution in contributions]
    table = _table()
    found: list[dict[str, Any]] = []
    for place in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if sizes[place] == 0.0:
            break
        if place < len(values):
            group, name, words, unknown = table[place]
            value = values[place]
            shown = None if value != value else words[int(value)] if words else value
            reason = {"group": group, "feature": name, "value": shown, "contribution": contributions[place]}
            if in_words:
                reason["text"] = unknown if shown is None else _text(place, value)
        else:
            pair = pairs[place - len(values)]
            one, other = values[pair[0]], values[pair[1]]
            group, name, both, text = _pair(pair, None if one != one else one, None if other != other else other)
            reason = {"group": group, "feature": name, "value": both, "contribution": contributions[place]}
            if in_words:
                reason["text"] = text
        found.append(reason)
    return found


@lru_cache(16_384)
def _pair(pair: tuple[int, int], one: float | None, other: float | None) -> tuple[str, str, str, str]:
    """Return the group, the name, the values and the words of a pair, None being what is not known."""
    values = [math.nan if value is None else value for value in (one, other)]
    first, second = (FEATURES[place] for place in pair)
    both = (_BOTH % tuple(values)).replace("nan", "null")
    text = ", ".join(feature_text(feature, value) for feature, value in zip((first, second), values, strict=True))
    return second.group, f"{first.name}{BOTH}{second.name}", both, text


def translate_reasons(found: Sequence[Mapping[str, Any]], language: Language) -> list[dict[str, Any]]:
    """Return reasons that have a `text` with the text of a language.

    Examples
    --------
    >>> translate_reasons(reasons([3.0], [0.5], in_words=True), "id")[0]["text"]
    '3 panggilan sekitar satu jam terakhir'
    """
    return [
        {**reason, "text": _in_language(reason["feature"], reason["value"], language) or reason["text"]}
        for reason in found
    ]


@lru_cache(16_384)
def _in_language(name: str, value: float | str | None, language: Language) -> str | None:
    """Return a reason's value in words; None for a feature or a word that only another version knew."""
    if BOTH in name and isinstance(value, str):
        return _both_in_language(name.split(BOTH), value.split(BOTH), language)
    if name not in NAMES:
        return None
    feature = FEATURES[NAMES.index(name)]
    if isinstance(value, str):
        return feature_text(feature, float(feature.words.index(value)), language) if value in feature.words else None
    return feature_text(feature, math.nan if value is None else value, language)


def _both_in_language(names: Sequence[str], said: Sequence[str], language: Language) -> str | None:
    """Return the values of a pair in words; None for a feature that only another version knew."""
    if not set(names) <= set(NAMES):
        return None
    texts = [
        _in_language(name, None if one == "null" else float(one), language)
        for name, one in zip(names, said, strict=True)
    ]
    return ", ".join(str(text) for text in texts)


@lru_cache(16_384)
def _text(place: int, value: float) -> str:
    """Return a value in words; most values of most calls are those of another call."""
    return feature_text(FEATURES[place], value)


@cache
def _table() -> tuple[tuple[str, str, tuple[str, ...], str], ...]:
    """Look up, once for all calls, the group, the name, the words and the text without a value of each feature."""
    return tuple((feature.group, feature.name, feature.words, feature_text(feature, math.nan)) for feature in FEATURES)
