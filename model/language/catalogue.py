"""A catalogue: says a text of one language, with facts in its gaps."""

from collections.abc import Callable, Mapping
from functools import cache
from string import Formatter
from typing import Any, NamedTuple

from model.language.numbers import KINDS
from model.language.texts import LANGUAGES, Language, Text, locale_of, texts_of


class _Piece(NamedTuple):
    """A piece of a text: what stands before a gap, the gap's name ("" for none) and how its value is written."""

    before: str
    name: str
    write: Callable[[Any], str]


class Catalogue:
    """The texts of one language.

    Parameters
    ----------
    language : {"en", "id"}
    texts : mapping of str to Text
        By dotted name, as `read_texts` gives them.

    Examples
    --------
    >>> catalogue("id")("drift.count_moved", then=264.0, now=1530.0)
    'dulu 264, sekarang 1.530'
    >>> [catalogue("en")("drift.steady", calls=5_000, days=days) for days in (1, 7)][0][:28]
    'The 5,000 calls of 1 day loo'
    """

    def __init__(self, language: Language, texts: Mapping[str, Text]) -> None:
        self.language = language
        self._texts = texts
        self._pieces: dict[str, list[_Piece]] = {}

    def __call__(self, name: str, **values: Any) -> str:
        """Say a text.

        Parameters
        ----------
        name : str
            A KeyError when the catalogue does not have it.
        **values
            For its gaps; a tuple holds a value and what else its kind asks for, such as the ends of a range.
        """
        text = self._texts[name]
        if not isinstance(text, str):
            text = text[locale_of(self.language).plural_form(values[text["by"]])]
        pieces = self._pieces.get(text)
        if pieces is None:
            pieces = self._pieces[text] = [self._piece(*parsed) for parsed in Formatter().parse(text)]
        said = [piece.before + (piece.write(values[piece.name]) if piece.name else "") for piece in pieces]
        return "".join(said)

    def get(self, name: str, otherwise: str) -> str:
        """Say a text without gaps, or something else when the catalogue does not have it."""
        return self(name) if name in self._texts else otherwise

    def under(self, *beginnings: str) -> dict[str, Text]:
        """Give the texts whose names begin so, their gaps still open."""
        return {name: text for name, text in self._texts.items() if name.startswith(beginnings)}

    def _piece(self, before: str, name: str | None, spec: str | None, _: str | None) -> _Piece:
        if not name or not spec:
            return _Piece(before, name or "", str)
        kind, _, digits = spec.partition(".")
        write, more = KINDS[kind], (int(digits),) if digits else ()

        def written(value: Any) -> str:
            parts = value if isinstance(value, tuple) else (value,)
            return write(*parts, *more, language=self.language)

        return _Piece(before, name, written)


@cache
def catalogue(language: Language) -> Catalogue:
    """Give the catalogue of `model` in a language."""
    return Catalogue(language, texts_of(language))


def in_each_language(name: str, **values: Any) -> dict[Language, str]:
    """Say a text in every language.

    Examples
    --------
    >>> in_each_language("feature.line.meaning")
    {'en': 'kind of line', 'id': 'jenis jalur'}
    """
    return {language: catalogue(language)(name, **values) for language in LANGUAGES}
