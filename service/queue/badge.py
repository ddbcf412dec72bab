"""The badge: how each of its states looks, as a picture and as data; word, shape, colour and score, never colour alone.

`LOOKS` is the one place. The picture is drawn from it here; the console's style sheet and the custom element
`<saring-badge>` get it written into them (`service.console.assets`).
"""

from collections.abc import Mapping
from html import escape
from typing import Any, Literal, NamedTuple

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


_QUIET = (("#333a44", "#eef0f3"), ("#d5dde5", "#2a343e"))
LOOKS: Mapping[str, BadgeStyle] = {
    "normal": BadgeStyle(
        "M10 3a7 7 0 1 0 .01 0z",  # a disc
        ("#0b4f2f", "#e3f4ea"),
        ("#b5ecce", "#12331f"),
        "solid",
        {"en": "usual", "id": "biasa"},
    ),
    "unsure": BadgeStyle(
        "M10 2l8 8-8 8-8-8z",  # a diamond
        ("#5c4300", "#fff3cf"),
        ("#ffe2a1", "#3d3008"),
        "solid",
        {"en": "unusual history", "id": "riwayat tidak biasa"},
    ),
    "likely_prank": BadgeStyle(
        "M4 4h12v12H4z",  # a square
        ("#6d1a1a", "#fde8e6"),
        ("#ffc9c4", "#43191a"),
        "solid",
        {"en": "mostly closed as prank", "id": "umumnya ditutup sebagai prank"},
    ),
    "unscored": BadgeStyle(
        "M3 9h14v2.5H3z",  # a dash
        *_QUIET,
        "dashed",
        {"en": "no score", "id": "tanpa skor"},
    ),
    "none": BadgeStyle(
        "M2.5 8.5h3v3h-3zM8.5 8.5h3v3h-3zM14.5 8.5h3v3h-3z",  # three dots
        *_QUIET,
        "dotted",
        {"en": "no badge", "id": "tanpa label"},
    ),
    #: Of the element alone: what it shows is not what the service says now.
    "stale": BadgeStyle(
        "M5.5 4h3.5v12H5.5zM11 4h3.5v12H11z",  # two bars: it stands still
        *_QUIET,
        "dashed",
        {"en": "not current", "id": "tidak mutakhir"},
    ),
}
#: States of which a score is shown.
SCORED = ("normal", "unsure", "likely_prank")


def state_of(call: Call) -> str:
    """Return the state of a call's badge; one of the random share has none, and says so."""
    return "none" if call.held_out else call.shown_band


def likelihood_of(call: Call) -> float | None:
    """Return the score that stands on a call's badge; None where none does."""
    answer = call.answer("opening", "ring") or {}
    return answer.get("prank_likelihood") if state_of(call) in SCORED else None


def percent(share: float) -> str:
    """Write a probability; never as certainty.

    Examples
    --------
    >>> percent(0.72), percent(0.998), percent(0.001)
    ('72 %', '> 99 %', '< 1 %')
    """
    if share > 0.99:
        return "> 99 %"
    return "< 1 %" if share < 0.01 else f"{100.0 * share:.0f} %"


def badge_svg(state: str, likelihood: float | None, language: str = "en", theme: Theme = "light") -> str:
    """Draw a badge of a state of `LOOKS`, for a screen of the given theme: a picture cannot know where it stands."""
    look = LOOKS[state]
    ink, ground = look.light if theme == "light" else look.dark
    label = escape(look.words[language] + ("" if likelihood is None else f" {percent(likelihood)}"))
    width = 34 + 8 * len(label)
    dashes = {"solid": "", "dashed": ' stroke-dasharray="5 3"', "dotted": ' stroke-dasharray="1.5 2.5"'}[look.border]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="28" viewBox="0 0 {width} 28" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<rect x=".5" y=".5" width="{width - 1}" height="27" rx="5" fill="{ground}" stroke="{ink}"{dashes}/>'
        f'<path transform="translate(5 4)" d="{look.shape}" fill="{ink}"/>'
        f'<text x="29" y="18.5" font-family="system-ui, sans-serif" font-size="13" fill="{ink}">{label}</text>'
        "</svg>"
    )


def looks_document() -> dict[str, Any]:
    """Return the looks as the element has them."""
    return {state: look._asdict() for state, look in LOOKS.items()}


def looks_css() -> str:
    """Return the colours as variables of the console's style sheet, such as `--unsure` and `--unsure-ink`."""

    def variables(theme: Theme) -> str:
        return "".join(
            f"--{state}-ink:{ink};--{state}:{ground};"
            for state, look in LOOKS.items()
            for ink, ground in [look.light if theme == "light" else look.dark]
        )

    return f":root{{{variables('light')}}}@media (prefers-color-scheme:dark){{:root{{{variables('dark')}}}}}"
