"""The badge as a picture, for screens that take only pictures: word, shape, colour and score, never colour alone."""

from html import escape
from typing import NamedTuple

from service.records import Call


class Look(NamedTuple):
    """How a state of the badge looks: its shape (an SVG path in 20 by 20), colours, and words by language."""

    shape: str
    ink: str
    ground: str
    words: dict[str, str]


_CIRCLE = "M10 3a7 7 0 1 0 .01 0z"
_DIAMOND = "M10 2l8 8-8 8-8-8z"
_SQUARE = "M4 4h12v12H4z"
_DASH = "M3 9h14v2.5H3z"
LOOKS = {
    "normal": Look(_CIRCLE, "#0b4f2f", "#e3f4ea", {"en": "usual", "id": "biasa"}),
    "unsure": Look(_DIAMOND, "#5c4300", "#fff3cf", {"en": "unusual history", "id": "riwayat tidak biasa"}),
    "likely_prank": Look(
        _SQUARE, "#6d1a1a", "#fde8e6", {"en": "mostly closed as prank", "id": "kebanyakan ditutup sebagai iseng"}
    ),
    "unscored": Look(_DASH, "#333a44", "#eef0f3", {"en": "no score", "id": "tanpa skor"}),
    "none": Look(_DASH, "#333a44", "#eef0f3", {"en": "no badge", "id": "tanpa lencana"}),
}


def badge_svg(call: Call, language: str = "en") -> str:
    """Draw the badge of a call; one of the random share has none, and its picture says so.

    Parameters
    ----------
    call : Call
    language : {"en", "id"}
    """
    name = "none" if call.held_out else call.shown_band
    look = LOOKS[name]
    word = look.words[language]
    answer = call.answer("opening", "ring") or {}
    likelihood = answer.get("prank_likelihood") if name not in ("none", "unscored") else None
    score = "" if likelihood is None else f" {likelihood:.0%}"
    width = 34 + 7 * len(word + score)
    label = escape(f"{word}{score}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="28" viewBox="0 0 {width} 28" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<rect x=".5" y=".5" width="{width - 1}" height="27" rx="5" fill="{look.ground}" stroke="{look.ink}"/>'
        f'<path transform="translate(5 4)" d="{look.shape}" fill="{look.ink}"/>'
        f'<text x="29" y="18.5" font-family="system-ui, sans-serif" font-size="13" fill="{look.ink}">{label}</text>'
        "</svg>"
    )
