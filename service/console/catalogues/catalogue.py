"""The console's words: one catalogue for each language, and which of them a browser wants."""

from collections.abc import Mapping
from functools import cache
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files

from starlette.requests import Request

from model.language.catalogue import Catalogue
from model.language.texts import Language, read_texts

#: What each language calls itself.
LANGUAGES: Mapping[Language, str] = {"id": "Indonesia", "en": "English"}
COOKIE = "saring-language"
#: `in` is what Indonesian was called before 1989, and some browsers still say so.
_CODES: Mapping[str, Language] = {"en": "en", "id": "id", "in": "id"}


@cache
def words(language: Language) -> Catalogue:
    """Return the console's texts in a language.

    Examples
    --------
    >>> words("id")("nav.board"), words("en").under("nav.b")
    ('Antrean', {'nav.board': 'Queue'})
    """
    return Catalogue(language, read_texts(files("service.console") / f"{language}.toml"))


def words_of(request: Request) -> Catalogue:
    """Return the texts that a browser wants: as was chosen on a page, else as its header Accept-Language says."""
    try:
        chosen = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        chosen = None
    if chosen is not None and chosen.value in _CODES:
        return words(_CODES[chosen.value])
    return words(preferred(request.headers.get("accept-language", "")))


def preferred(accepted: str) -> Language:
    """Return the language that a header Accept-Language prefers, English when it names none of ours.

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
