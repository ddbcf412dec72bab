"""The badge: how each of its states looks, as a picture and as data; word, shape and border, never colour alone.

Solid and blue is what to look at first; an outline, a muted ground and a dashed line stand back. Red is no state of a
call: it says that something does not work.

`LOOKS` is the one place. The picture is drawn from it here; the console's style sheet and the custom element
`<saring-badge>` get it written into them (`service.console.assets`).
"""

from collections.abc import Mapping
from html import escape
from typing import Any, Literal, NamedTuple

from model.policy.likeness import badge_of
from service.store.records import Call

Theme = Literal["light", "dark"]


class BadgeStyle(NamedTuple):
    """How a state of the badge looks.

    A shape of its own (an SVG path in 20 by 20), ink and ground by theme, a border as CSS names it, words by language.
    """

    shape: str
    light: tuple[str, str]
    dark: tuple[str, str]
    border: str
    words: dict[str, str]


LOOKS: Mapping[str, BadgeStyle] = {
    "like_emergencies": BadgeStyle(
        "M10 2l8 15H2z",  # a triangle
        ("#ffffff", "#0b4a8f"),
        ("#06182c", "#8fc1ff"),
        "solid",
        {"en": "Like our emergencies", "id": "Mirip darurat"},
    ),
    "not_clear": BadgeStyle(
        "M10 2a8 8 0 1 0 .01 0zM10 4.4a5.6 5.6 0 1 1-.01 0z",  # a ring
        ("#2b3742", "#ffffff"),
        ("#dbe4ec", "#161e26"),
        "solid",
        {"en": "Not clear", "id": "Belum jelas"},
    ),
    "prank_like": BadgeStyle(
        "M4 4h12v12H4z",  # a square
        ("#4a4238", "#e6e2dc"),
        ("#c9c0b4", "#2a2723"),
        "none",
        {"en": "Prank-like", "id": "Mirip prank"},
    ),
    "not_rated": BadgeStyle(
        "M3 8.7h14v2.6H3z",  # a dash
        ("#455260", "#ffffff"),
        ("#a9b7c4", "#161e26"),
        "dashed",
        {"en": "Not rated", "id": "Belum dinilai"},
    ),
    #: Of the element alone: what it shows is not what the service says now.
    "stale": BadgeStyle(
        "M5.5 4h3.5v12H5.5zM11 4h3.5v12H11z",  # two bars: it stands still
        ("#7a1717", "#fdeceb"),
        ("#ffc9c4", "#43191a"),
        "dashed",
        {"en": "Connection lost", "id": "Terputus"},
    ),
}
#: What stands below the word: how rare genuine calls are among those that score like this, or why there is no number.
ONE_IN_TEXT = {"en": "1 in {n} here was an emergency", "id": "1 dari {n} di sini darurat"}
BY_LOT = {"en": "by lot", "id": "undian"}
_THOUSANDS = {"en": ",", "id": "."}


def state_of(call: Call) -> str:
    """Return the state of a call's badge: one of `BADGES`."""
    return badge_of(call.shown_band, call.genuine_like, held_out=call.held_out)


def detail_text(one_in: int | None, held_out: bool, language: str) -> str:
    """Return what stands below the word, or nothing.

    Examples
    --------
    >>> detail_text(1000, False, "en"), detail_text(1000, False, "id"), detail_text(None, True, "en")
    ('1 in 1,000 here was an emergency', '1 dari 1.000 di sini darurat', 'by lot')
    """
    if held_out:
        return BY_LOT[language]
    return "" if one_in is None else ONE_IN_TEXT[language].format(n=f"{one_in:,}".replace(",", _THOUSANDS[language]))


def badge_svg(
    state: str, one_in: int | None, language: str = "en", theme: Theme = "light", *, held_out: bool = False
) -> str:
    """Draw a badge of a state of `LOOKS`, for a screen of the given theme: a picture cannot know where it stands."""
    look = LOOKS[state]
    ink, ground = look.light if theme == "light" else look.dark
    word, detail = look.words[language], detail_text(one_in, held_out, language)
    label = escape(f"{word}: {detail}" if detail else word)
    width = 42 + round(max(8.2 * len(word), 6.4 * len(detail)))
    edge = {"solid": f' stroke="{ink}"', "none": "", "dashed": f' stroke="{ink}" stroke-dasharray="5 3"'}[look.border]
    text = f'<text x="33" y="{17 if detail else 24}" font-size="14" font-weight="600">{escape(word)}</text>'
    text += f'<text x="33" y="31" font-size="11.5">{escape(detail)}</text>' if detail else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="38" viewBox="0 0 {width} 38" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<rect x=".75" y=".75" width="{width - 1.5}" height="36.5" rx="5" fill="{ground}" stroke-width="1.5"{edge}/>'
        f'<path transform="translate(7 9)" d="{look.shape}" fill="{ink}"/>'
        f'<g font-family="system-ui, sans-serif" fill="{ink}">{text}</g>'
        "</svg>"
    )


def looks_document() -> dict[str, Any]:
    """Return the looks as the element has them."""
    return {state: look._asdict() for state, look in LOOKS.items()}


def texts_document() -> dict[str, Any]:
    """Return what stands below the word, as the element has it, by language."""
    return {
        language: {"one_in": ONE_IN_TEXT[language], "by_lot": BY_LOT[language], "thousands": _THOUSANDS[language]}
        for language in ONE_IN_TEXT
    }


def looks_css() -> str:
    """Return the colours as variables of the console's style sheet, such as `--not_clear` and `--not_clear-ink`."""

    def variables(theme: Theme) -> str:
        return "".join(
            f"--{state}-ink:{ink};--{state}:{ground};"
            for state, look in LOOKS.items()
            for ink, ground in [look.light if theme == "light" else look.dark]
        )

    return f":root{{{variables('light')}}}@media (prefers-color-scheme:dark){{:root{{{variables('dark')}}}}}"
