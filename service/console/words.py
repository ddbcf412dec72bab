"""The console's words: one catalogue for each language, and which of them a browser wants."""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.requests import Request

from model.promise import Language
from service.console.words_en import WORDS as ENGLISH
from service.console.words_id import WORDS as INDONESIAN

CATALOGUES: Mapping[Language, Mapping[str, str]] = {"en": ENGLISH, "id": INDONESIAN}
#: What each language calls itself.
LANGUAGES: Mapping[Language, str] = {"id": "Indonesia", "en": "English"}
COOKIE = "saring-language"
#: `in` is what Indonesian was called before 1989, and some browsers still say so.
_CODES: Mapping[str, Language] = {"en": "en", "id": "id", "in": "id"}


class Words:
    """The words of one language.

    Parameters
    ----------
    language : {"en", "id"}

    Examples
    --------
    >>> Words("id")("nav.board"), Words("en").under("nav.b")
    ('Papan', {'nav.board': 'Board'})
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = CATALOGUES[language]

    def __call__(self, name: str, **values: object) -> str:
        """Give a text with its values filled in; a name that is not in the catalogue is a KeyError."""
        return self._texts[name].format(**values)

    def get(self, name: str, otherwise: str) -> str:
        """Give a text, or another one when the catalogue does not have it."""
        return self._texts.get(name, otherwise)

    def under(self, *beginnings: str) -> dict[str, str]:
        """Give the texts whose names begin so, for a page's modules."""
        return {name: text for name, text in self._texts.items() if name.startswith(beginnings)}


def words_of(request: Request) -> Words:
    """Give the words that a browser wants: as was chosen on a page, else as its header Accept-Language says."""
    try:
        chosen = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        chosen = None
    if chosen is not None and chosen.value in _CODES:
        return Words(_CODES[chosen.value])
    return Words(preferred(request.headers.get("accept-language", "")))


def preferred(accepted: str) -> Language:
    """Give the language that a header Accept-Language prefers, English when it names none of ours.

    Examples
    --------
    >>> preferred("id-ID,id;q=0.9,en;q=0.8"), preferred("fr, en;q=0.5, in;q=0.7"), preferred("de"), preferred("id;q=0")
    ('id', 'id', 'en', 'en')
    """
    best: tuple[float, Language] = (0.0, "en")
    for part in accepted.split(","):
        tag, _, weight = part.partition(";")
        language = _CODES.get(tag.strip().lower().split("-")[0])
        try:
            wanted = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            wanted = 0.0
        if language is not None and wanted > best[0]:
            best = (wanted, language)
    return best[1]
