"""The texts of a language as its catalogue holds them, and what the language itself prescribes."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from babel import Locale

Language = Literal["en", "id"]
LANGUAGES: tuple[Language, ...] = ("en", "id")
#: A text, or its plural forms: `by` names the gap that counts, the other keys are plural forms.
Text = str | Mapping[str, str]
_REGIONS: Mapping[Language, str] = {"en": "en_GB", "id": "id_ID"}


def read_texts(file: Traversable) -> dict[str, Text]:
    """Read a catalogue; a text of a table has the dotted name of both.

    Examples
    --------
    >>> read_texts(files("model.language") / "en.toml")["drift.bin.known"]
    'known'
    """
    return dict(_flat(tomllib.loads(file.read_text(encoding="utf-8")), ""))


@cache
def texts_of(language: Language) -> Mapping[str, Text]:
    """Return the texts of `model`."""
    return read_texts(files(__package__) / f"{language}.toml")


@cache
def locale_of(language: Language) -> "Locale":
    """Return what Babel (CLDR) knows of a language; the first time takes some 50 ms."""
    from babel import Locale

    return Locale.parse(_REGIONS[language])


def _flat(table: Mapping[str, Any], before: str) -> Iterator[tuple[str, Text]]:
    for name, value in table.items():
        if isinstance(value, dict) and "by" not in value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
