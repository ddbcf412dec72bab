"""Telephone numbers: what a caller's number is, in E.164."""

import re

import phonenumbers

_NO_NUMBER = re.compile(
    r"[+\s0-]*|<?(sips?:)?(unknown|anonymous|private|withheld|restricted|unavailable|null|none|nan)>?(@.*)?",
    re.IGNORECASE,
)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DIALLED = re.compile(r"(tel:)?\+?\(?[0-9][0-9\s().\-/]{5,}")


def is_withheld(text: str | None) -> bool:
    """Return whether a caller's number was withheld, or is none.

    Examples
    --------
    >>> is_withheld("Anonymous"), is_withheld("+0"), is_withheld("a1f9c0")
    (True, True, False)
    """
    return text is None or _NO_NUMBER.fullmatch(text.strip()) is not None


def normalise_number(text: str | None, region: str) -> str | None:
    """Bring a caller's number to E.164; a pseudonym stays, a withheld number is None: such calls are never one caller.

    Parameters
    ----------
    text : str or None
        A number as dialled or as the network gives it, or any stable pseudonym.
    region : str
        ISO 3166 region for numbers without a country code, such as "ID".

    Examples
    --------
    >>> normalise_number("0812-3456-7890", "ID"), normalise_number("a1f9c0", "ID")
    ('+6281234567890', 'a1f9c0')
    >>> [normalise_number(no, "ID") for no in (None, "", "+0", "Anonymous", "sip:anonymous@anonymous.invalid")]
    [None, None, None, None, None]
    """
    if text is None or is_withheld(text):
        return None
    text = text.strip()
    if _E164.fullmatch(text):
        return text
    if _DIALLED.fullmatch(text):
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            return text
        if phonenumbers.is_possible_number(number):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return text
