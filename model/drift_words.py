"""How drift is told: what each measure is, and how it changed, in English and Indonesian."""

from collections.abc import Mapping

from model.features import FEATURES
from model.phrases import MEANINGS, WORDS
from model.promise import LANGUAGES, Language

#: The same in each language.
Said = Mapping[Language, str]

_MEANINGS: Mapping[str, Said] = {
    "score_ring": {"en": "score at the stage ring", "id": "skor pada tahap ring"},
    "score_opening": {"en": "score at the stage opening", "id": "skor pada tahap opening"},
    "score_ended": {"en": "score at the stage ended", "id": "skor pada tahap ended"},
    "new_numbers": {
        "en": "calls of a number not heard of for 30 days",
        "id": "panggilan dari nomor yang tidak menelepon selama 30 hari",
    },
    "not_genuine": {
        "en": "closed as not genuine (base rate)",
        "id": "ditutup sebagai bukan darurat (angka dasar)",
    },
    "calibration": {
        "en": "closed as not genuine, against what was predicted",
        "id": "ditutup sebagai bukan darurat, dibanding perkiraan",
    },
    "calls_a_week": {
        "en": "calls a week, of one number three at most",
        "id": "panggilan per minggu, dari satu nomor paling banyak tiga",
    },
    "labelled_in_time": {
        "en": "closed as soon as they used to be",
        "id": "ditutup secepat biasanya",
    },
    **{feature.name: {"en": feature.meaning, "id": MEANINGS[feature.name]} for feature in FEATURES},
}
_GROWS: Said = {
    "en": " (changes as a log grows: never an alarm)",
    "id": " (berubah seiring bertambahnya catatan: tidak pernah menjadi peringatan)",
}
_CHANGES: Mapping[str, Said] = {
    "bin": {"en": "{bin}: {then} of calls then, {now} now", "id": "{bin}: dulu {then} panggilan, sekarang {now}"},
    "number": {"en": "{then} then, {now} now", "id": "dulu {then}, sekarang {now}"},
    "expected": {"en": "{then} expected, {now} observed", "id": "diperkirakan {then}, ternyata {now}"},
    "few": {
        "en": "too few calls of one kind to say",
        "id": "terlalu sedikit panggilan sejenis untuk dinilai",
    },
}
_BINS: Mapping[str, Said] = {
    "unknown": {"en": "not known", "id": "tidak diketahui"},
    "known": {"en": "known", "id": "diketahui"},
    "other": {"en": "another one", "id": "yang lain"},
    "up": {"en": "up to {high:.3g}", "id": "sampai {high:.3g}"},
    "above": {"en": "above {low:.3g}", "id": "di atas {low:.3g}"},
    "between": {"en": "above {low:.3g} up to {high:.3g}", "id": "di atas {low:.3g} sampai {high:.3g}"},
}


def meaning(name: str, *, grows: bool = False) -> Said:
    """Say what a measure is.

    Examples
    --------
    >>> meaning("line")
    {'en': 'kind of line', 'id': 'jenis jalur'}
    >>> meaning("genuine_ever", grows=True)["en"]
    'calls ever closed as genuine (changes as a log grows: never an alarm)'
    """
    return {language: _MEANINGS[name][language] + (_GROWS[language] if grows else "") for language in LANGUAGES}


def few() -> Said:
    """Say that it cannot be said."""
    return _CHANGES["few"]


def shares(then: float, now: float, *, expected: bool = False) -> Said:
    """Say how a share changed, or how far it is from what was expected.

    Examples
    --------
    >>> shares(0.925, 0.9, expected=True)
    {'en': '92.5% expected, 90.0% observed', 'id': 'diperkirakan 92,5%, ternyata 90,0%'}
    """
    return _said("expected" if expected else "number", then=f"{then:.1%}", now=f"{now:.1%}")


def counts(then: float, now: float) -> Said:
    """Say how a number of calls changed.

    Examples
    --------
    >>> counts(264.0, 1530.0)
    {'en': '264 then, 1,530 now', 'id': 'dulu 264, sekarang 1.530'}
    """
    return _said("number", then=f"{then:,.0f}", now=f"{now:,.0f}")


def bins(place: int, edges: list[float], words: tuple[str, ...], then: float, now: float) -> Said:
    """Say how the share of calls in a bin changed.

    Parameters
    ----------
    place : int
        Of the bin; the one after the last edge's holds what is above, or another word; the next one what is not known.
    edges : list of float
        Upper edges; codes, when there are words for them.
    words : tuple of str
        What the codes of a categorical value mean.
    then, now : float
        Shares, 0 to 1.

    Examples
    --------
    >>> bins(1, [0.5, 2.0], (), 0.2, 0.31)["en"]
    'above 0.5 up to 2: 20% of calls then, 31% now'
    >>> bins(1, [0.5, 2.0], (), 0.2, 0.31)["id"]
    'di atas 0,5 sampai 2: dulu 20% panggilan, sekarang 31%'
    """
    numbers = {"then": f"{then:.0%}", "now": f"{now:.0%}"}
    if words and place < len(edges):
        word = words[int(edges[place])]
        names: Said = {"en": word.replace("_", " "), "id": WORDS[word]}
        return {language: _in(language, "bin", bin=names[language], **numbers) for language in LANGUAGES}
    low, high = (edges[at] if 0 <= at < len(edges) else 0.0 for at in (place - 1, place))
    if place == len(edges) + 1:
        kind = "unknown"
    elif place == len(edges):
        kind = "other" if words else "above" if edges else "known"
    else:
        kind = "up" if place == 0 else "between"
    found = {language: _decimal(_BINS[kind][language].format(low=low, high=high), language) for language in LANGUAGES}
    return {language: _in(language, "bin", bin=found[language], **numbers) for language in LANGUAGES}


def _said(kind: str, *, then: str, now: str) -> Said:
    return {
        language: _in(language, kind, then=_decimal(then, language), now=_decimal(now, language))
        for language in LANGUAGES
    }


def _in(language: Language, kind: str, **values: str) -> str:
    return _CHANGES[kind][language].format(**values)


def _decimal(text: str, language: Language) -> str:
    return text.translate({44: ".", 46: ","}) if language == "id" else text
