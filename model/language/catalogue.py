"""A catalogue: says a text of one language, with facts in its gaps."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from string import Formatter
from typing import Any

from model.language.numbers import KINDS
from model.language.texts import LANGUAGES, Language, Text, locale_of, texts_of

#: Fills the gaps of a text.
Filler = Callable[[Mapping[str, Any]], str]


class Catalogue:
    """The texts of one language, by dotted name.

    Examples
    --------
    >>> catalogue("id")("drift.count_moved", then=264.0, now=1530.0)
    'dulu 264, sekarang 1.530'
    """

    def __init__(self, language: Language, texts: Mapping[str, Text]) -> None:
        self.language = language
        self._texts = texts
        self._compiled: dict[str, Filler] = {}

    def __call__(self, name: str, **values: Any) -> str:
        """Return a text with values in its gaps; a KeyError when the catalogue does not have it.

        A tuple holds a value and what else its kind asks for, such as the ends of a range.
        """
        return (self._compiled.get(name) or self._compile(name))(values)

    def get(self, name: str, otherwise: str) -> str:
        """Return a text without gaps, or something else when the catalogue does not have it."""
        return self(name) if name in self._texts else otherwise

    def under(self, *beginnings: str) -> dict[str, Text]:
        """Return the texts whose names begin so, their gaps still open."""
        return {name: text for name, text in self._texts.items() if name.startswith(beginnings)}

    def _compile(self, name: str) -> Filler:
        """Parse a text once; thereafter it is only filled in."""
        text = self._texts[name]
        if isinstance(text, str):
            said = self._filled(text)
        else:
            by, forms = text["by"], {form: self._filled(one) for form, one in text.items() if form != "by"}

            def said(values: Mapping[str, Any]) -> str:
                return forms[locale_of(self.language).plural_form(values[by])](values)

        self._compiled[name] = said
        return said

    def _filled(self, text: str) -> Filler:
        pieces = [
            (before, name or "", self._written(*spec.split(".")) if spec else str)
            for before, name, spec, _ in Formatter().parse(text)
        ]
        if [bool(name) for _, name, _ in pieces] == [True, False]:  # as nearly every reason of a score
            (before, name, write), (after, _, _) = pieces
            return lambda values: before + write(values[name]) + after
        return lambda values: "".join(
            [before + write(values[name]) if name else before for before, name, write in pieces]
        )

    def _written(self, kind: str, *digits: str) -> Callable[[Any], str]:
        """Return how the value of a gap is written."""
        write, more = partial(KINDS[kind], language=self.language), [int(one) for one in digits]
        return lambda value: write(*value, *more) if type(value) is tuple else write(value, *more)


@cache
def catalogue(language: Language) -> Catalogue:
    """Return the catalogue of `model` in a language."""
    return Catalogue(language, texts_of(language))


def in_each_language(name: str, **values: Any) -> dict[Language, str]:
    """Return a text in every language.

    Examples
    --------
    >>> in_each_language("feature.line.meaning")
    {'en': 'kind of line', 'id': 'jenis jalur'}
    """
    return {language: catalogue(language)(name, **values) for language in LANGUAGES}
