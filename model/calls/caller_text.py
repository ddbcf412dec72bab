"""What surrounds a caller's number in the exports of telephone systems and spreadsheets, taken off."""

import re
import unicodedata
from typing import NamedTuple
from urllib.parse import unquote

#: A spreadsheet's way to keep a text a text: ="0812..." or '0812...
_FORMULA = re.compile(r'="(.*)"')
_QUOTED = re.compile(r"""(["'])(.*)\1""")
#: RFC 3261: an optional display name, and the address in angle brackets.
_NAME_ADDR = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"<]*)\s*<([^<>]*)>.*')
_URI = re.compile(r"(sips?|tel):(.*)", re.IGNORECASE)
#: What a spreadsheet makes of a number that it takes for a quantity.
_FLOAT = re.compile(r"(\+?[0-9]{6,})\.0+")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
#: RFC 3323 and RFC 2606: the hosts of callers who do not say who they are.
_NOBODYS_HOST = re.compile(r"(.*\.)?(anonymous|unknown|restricted|unavailable)?\.?invalid", re.IGNORECASE)


class CallerText(NamedTuple):
    """The text that tells who calls, without what surrounded it."""

    text: str
    #: Digits of it were lost: a spreadsheet has written it as 6.28E+12.
    cut: bool = False


def unwrap(text: str) -> CallerText:
    """Take off the quotes, addresses and formats around a number.

    Parameters
    ----------
    text : str
        As a telephone system or a spreadsheet has it.

    Returns
    -------
    CallerText
        Empty when the address says that nobody is to know.

    Examples
    --------
    >>> [unwrap(text).text for text in ('"Wati" <sip:+62812@10.0.0.5;user=phone>', '="0812"', "'0812", "6281234567.0")]
    ['+62812', '0812', '0812', '6281234567']
    >>> unwrap("tel:812345;phone-context=+62").text, unwrap("sip:anonymous@anonymous.invalid").text
    ('+62812345', '')
    >>> unwrap("6.28129E+12").cut
    True
    """
    text = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) not in ("Cf", "Cc"))
    text, before = text.strip(), None
    while text != before:
        before = text
        found = _FORMULA.fullmatch(text) or _NAME_ADDR.fullmatch(text)
        if found:
            text = found[1].strip()
        elif quoted := _QUOTED.fullmatch(text):
            text = quoted[2].strip()
        elif uri := _URI.fullmatch(text):
            text = _user_of(uri[1].lower(), uri[2]).strip()
        else:
            text = text.removeprefix("'").strip()
    if _SCIENTIFIC.fullmatch(text):
        return CallerText(text, cut=True)
    return CallerText(_FLOAT.sub(r"\1", text) if _FLOAT.fullmatch(text) else text)


def _user_of(scheme: str, rest: str) -> str:
    """Return the user of a SIP address, or the number of a tel URI with its context."""
    user, at, host = rest.partition("@") if scheme != "tel" else (rest, "", "")
    if at and _NOBODYS_HOST.fullmatch(re.split(r"[:;?]", host, maxsplit=1)[0]):
        return ""
    if not at and scheme != "tel":  # a host alone names nobody
        return ""
    number, *parameters = unquote(user).split(";")
    context = next((one[14:] for one in parameters if one.lower().startswith("phone-context=+")), "")
    number = number.partition(":")[0]  # a password
    return number if number.startswith("+") or not context else f"{context}{number}"
