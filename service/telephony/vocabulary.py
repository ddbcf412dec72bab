"""What telephone systems and their operators call things, in the words of the call log."""

from collections.abc import Mapping

from model.calls.columns import DISPOSITIONS
from model.calls.grammar import match_word

#: Of FreeSWITCH's sip_hangup_disposition: a BYE that came from the caller, or was sent to it.
ENDED_BY = {"recv_bye": "caller", "recv_cancel": "caller", "send_bye": "operator"}


def disposition_of(code: str, codes: Mapping[str, str]) -> str | None:
    """Return what an operator's code means: as `codes` (in lower case) says, else a disposition of that name.

    None for no code, for one that the mapping says nothing of, and for one that it maps to nothing.

    Examples
    --------
    >>> disposition_of("E7", {"e7": "genuine"}), disposition_of("Prank", {}), disposition_of("9", {})
    ('genuine', 'prank', None)
    """
    word = codes.get(code.casefold(), code)
    return match_word(word, DISPOSITIONS) if word else None
