"""What a text shows of who calls, as far as no region is needed: a number, a name, or nobody.

Around a number stands what telephone systems, spreadsheets and people write there: quotes, addresses, names and
extensions.
"""

import re
import unicodedata
from functools import cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

#: Fewer are an extension or a short code such as 112: many telephones show the same, so it is nobody's.
FEWEST_DIGITS = 6
#: What is longer is no caller, here as in a request: rows of a file, most likely, that a quote has swallowed.
MOST_CHARACTERS = 200
#: Words that stand where a number should; dialled on a keypad, 266696687 is ANONYMOUS.
WITHHELD = ("ANONYM", "ANONYMOUS", "ANONYMOUSCALLER", "BLOCKED", "CONFIDENTIAL", "HIDDEN", "INVALID", "NOCALLERID",
            "NONUMBER", "NOTAVAILABLE", "NULL", "NUMBERWITHHELD", "OUTOFAREA", "PRIVAT", "PRIVATE", "PRIVATECALLER",
            "PRIVATENUMBER", "RESTRICTED", "SUPPRESSED", "UNAVAIL", "UNAVAILABLE", "UNKNOWN", "UNKNOWNCALLER",
            "UNKNOWNNUMBER", "UNLISTED", "WITHHELD")  # fmt: skip
#: RFC 3261: an optional display name, and the address in angle brackets; and the name of a header before both.
_NAME_ADDR = re.compile(r'(?:[\w-]+:\s*)?(?:"(?:[^"\\]|\\.)*"|[^"<]*)\s*<+([^<>]*)>.*')
_URI = re.compile(r"(sips?|tel|callto):(?://)?(.*)", re.IGNORECASE)
_LABEL = re.compile(r"(?:tele(?:phone|p?on)?|telp?|fon|phone|mob(?:ile)?|cell|hp|wa|whatsapp|no|nr)\b[.:=\s]*",
                    re.IGNORECASE)  # fmt: skip
#: RFC 3323 and RFC 2606: the hosts of callers who do not say who they are.
_NOBODYS_HOST = re.compile(
    r"(?:.*\.)?invalid\.?|anonymous(?:\..*)?|unknown|unavailable|restricted|withheld", re.IGNORECASE
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IP_ADDRESS = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?::[0-9]+)?")
#: What a spreadsheet makes of a number that it takes for a quantity.
_FLOAT = re.compile(r"([+-]?[0-9]+)\.0+")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+E\+?|E\+)[0-9]+", re.IGNORECASE)
#: A keyed hash, also one without a digit: in hexadecimal, in base32 (whole bytes, or padded), or as `saring export`
#: writes it. A long word, such as NUMBERUNAVAILABLE, is none.
_TOKEN = re.compile(r"(?i:[0-9a-f]{16,})|[A-Z2-7]{16}(?:[A-Z2-7]{8})*|[A-Z2-7]{16,}=+|(?:[A-Z2-7]{4}-){3,}[A-Z2-7]{4}")
#: Whatever a language calls an extension, and what a telephone dials after a pause.
_EXTENSION = re.compile(
    r"(?:[\s;,(-]*(?:#|x|ext\w{0,9})[.:=\s]*"
    r"|\s[\s;,(-]*[^\W\d_]{1,14}[.:=\s]*"
    r"|[^\W\d_a-zA-Z][^\W\d_]*[.:=\s]*"
    r"|(?<=[0-9]{8})[,;pw]+)[0-9]{1,9}\)?$",
    re.IGNORECASE,
)
#: Dialled before a number to show it, or not: *31#, #31#, *67.
_SERVICE_CODE = re.compile(r"^[*#][0-9]{2}#?(?=[+0-9])")
_LETTER, _NOT_DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"[^0-9]")
_QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb "


class CallerText(NamedTuple):
    """What a text shows.

    Parameters
    ----------
    shape : {"number", "pseudonym", "none", "cut"}
        "cut" when a spreadsheet has lost digits of it: 6.28E+12.
    text : str
        The digits of a number, with the plus that it was written with; a pseudonym as it is; else "".
    """

    shape: Literal["number", "pseudonym", "none", "cut"]
    text: str = ""

    @property
    def digits(self) -> str:
        """The digits of a number; "" when it is none."""
        return self.text.removeprefix("+") if self.shape == "number" else ""


NOBODY, CUT = CallerText("none"), CallerText("cut")


def read_text(text: str, pseudonym: str | None = None) -> CallerText:
    """Read what a text shows.

    Parameters
    ----------
    text : str
        As a telephone system, a spreadsheet or a person has it.
    pseudonym : str, optional
        The shape of a centre's own pseudonyms, as a regular expression; then what else is neither a number nor a keyed
        hash is nobody.

    Examples
    --------
    >>> [read_text(text).text for text in ('"Wati" <sip:+6281234@10.0.0.5;user=phone>', '="0812345"', "'0812345 ext 2")]
    ['+6281234', '0812345', '0812345']
    >>> [read_text(text).shape for text in ("a1f9c0", "Private Number", "sip:anonymous@anonymous.invalid", "6.28E+12")]
    ['pseudonym', 'none', 'none', 'cut']
    >>> read_text("tel:812345;phone-context=+62").text, read_text("Wati", "[A-Z][a-z]+").shape
    ('+62812345', 'pseudonym')
    """
    if len(text) > MOST_CHARACTERS:
        return NOBODY
    plain = _unwrap(text)
    if pseudonym is not None and _compiled(pseudonym).fullmatch(plain):
        return CallerText("pseudonym", plain)
    if _SCIENTIFIC.fullmatch(plain):
        return CUT
    if _TOKEN.fullmatch(plain) and not plain.isdecimal():
        return NOBODY if len(set(plain)) == 1 else CallerText("pseudonym", plain)
    if _IP_ADDRESS.fullmatch(plain):
        return NOBODY
    number = _FLOAT.sub(r"\1", plain)
    shorter = _EXTENSION.sub("", number)
    if len(_NOT_DIGIT.sub("", shorter)) >= FEWEST_DIGITS:
        number = shorter
    number = _SERVICE_CODE.sub("", number)
    if _LETTER.search(number):
        return _read_words(plain) if pseudonym is None else NOBODY
    digits = _NOT_DIGIT.sub("", number)
    negative = number.startswith("-") and number[1:] == digits and len(digits) <= FEWEST_DIGITS
    if len(digits) < FEWEST_DIGITS or len(set(digits)) == 1 or digits == "1234567890" or negative:
        return NOBODY
    return CallerText("number", f"+{digits}" if "+" in number.partition(digits[0])[0] else digits)


def _read_words(plain: str) -> CallerText:
    """Read a text that has letters and is no number: a pseudonym is one word with a digit.

    Words name nobody: whoever shows the same ones would be one person.
    """
    letters = "".join(_LETTER.findall(plain)).upper()
    if " " in plain or letters in WITHHELD or not re.search(r"[0-9]", plain):
        return NOBODY
    return CallerText("pseudonym", plain)


def _unwrap(text: str) -> str:
    """Take off the quotes, addresses, labels and formats around what tells who calls."""
    before = None
    while text != before:
        before, text = text, _in_ascii(text)
        if found := _NAME_ADDR.fullmatch(text):
            text = found[1]
        elif found := _URI.fullmatch(text):
            text = _user_of(found[1].lower(), found[2])
        elif "@" in text and not _LETTER.search(user := text.partition("@")[0]):
            text = user
        elif (found := _LABEL.match(text)) and not _LETTER.search(text[found.end() :]):
            text = text[found.end() :]
        text = text.strip(_QUOTES).removeprefix("=")
    return text


def _in_ascii(text: str) -> str:
    """Return a text without invisible characters, with one kind of digit, dash and space, and with escapes undone."""
    if "%" in text:
        text = unquote(text)
    if text.isascii() and text.isprintable():
        return text.strip()
    plain = []
    # A picture says nothing, though some are written out with digits: U+3358 is "0" and a word.
    shown = "".join(one for one in text if unicodedata.category(one) != "So")
    for one in unicodedata.normalize("NFKC", shown):
        category = unicodedata.category(one)
        if category == "Nd":
            plain.append(str(unicodedata.decimal(one)))
        elif category == "Pd" or one == "\u2212":
            plain.append("-")
        elif category in ("Zs", "Zl", "Zp") or one in "\t\r\n":
            plain.append(" ")
        elif category not in ("Cf", "Cc"):
            plain.append(one)
    return "".join(plain).strip()


def _user_of(scheme: str, rest: str) -> str:
    """Return the user of a SIP address, or the number of a tel URI with its context; "" when nobody is to be known."""
    user, at, host = rest.partition("@") if scheme.startswith("sip") else (rest, "", "")
    host = re.split(r"[:;?>,]", host, maxsplit=1)[0]
    host_alone = scheme.startswith("sip") and not at and _LETTER.search(user.partition(";")[0])
    if host_alone or _NOBODYS_HOST.fullmatch(host):
        return ""
    number, *parameters = unquote(user).split(";")
    context = next((one[14:] for one in parameters if one.lower().startswith("phone-context=+")), "")
    number = number.partition(":")[0]  # a password
    return number if number.startswith("+") or not context else f"{context}{number}"


@cache
def _compiled(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern)
