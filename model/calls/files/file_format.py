"""What the bytes of a log are: Parquet, a workbook or text, packed or not, and the encoding of the text."""

import codecs
import gzip
import io
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from model.errors import LogError

_START, _CHUNK = 4096, 1 << 20
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_SHOWN = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252"}


class FileFormat(NamedTuple):
    """What a file is.

    Parameters
    ----------
    kind : {"parquet", "workbook", "text"}
    name : str
        What people call it.
    open : callable
        Opens it from the start; a text is in UTF-8 then, whatever it was, and unpacked.
    """

    kind: Literal["parquet", "workbook", "text"]
    name: str
    open: Callable[[], BinaryIO]


def recognise(path: Path) -> FileFormat:
    """Say what a file is, by its first bytes; a text may be packed by gzip.

    Raises
    ------
    LogError
        When it is not there, is an old workbook (.xls), or is text in an encoding that cannot be told.
    """
    if not path.is_file():
        raise LogError(f"{path}: there is no such file")
    with path.open("rb") as file:
        start = file.read(_START)
    if not start.startswith(b"\x1f\x8b"):
        return _recognise(path, lambda: path.open("rb"), start)
    try:
        with gzip.open(path) as file:
            data = file.read()
    except (OSError, EOFError) as error:
        raise LogError(f"{path}: cannot be unpacked: {error}") from error
    return _recognise(path, partial(io.BytesIO, data), data[:_START], ", packed by gzip")


def _recognise(path: Path, opened: Callable[[], BinaryIO], start: bytes, packed: str = "") -> FileFormat:
    if start.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return FileFormat("parquet", "Parquet" + packed, opened)
    if start.startswith(b"PK\x03\x04"):
        return FileFormat("workbook", "an Excel workbook" + packed, opened)
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise LogError(f"{path}: is a workbook of old Excel (.xls); save it as .xlsx or as CSV UTF-8")
    encoding = _utf16(start) or _eight_bit(path, opened)
    if encoding != "utf-8":
        with opened() as file:
            try:
                text = file.read().decode(encoding)
            except UnicodeDecodeError as error:
                raise LogError(f"{path}: cannot be read as {_SHOWN[encoding]}: {error.reason}") from error
        opened = partial(io.BytesIO, text.removeprefix("\ufeff").encode())
    return FileFormat("text", f"CSV in {_SHOWN[encoding]}{packed}", opened)


def _utf16(start: bytes) -> str | None:
    """Return which UTF-16 a text is in: by its mark, else by the zero byte of every other one."""
    for mark, encoding in _UTF16.items():
        if start.startswith(mark):
            return encoding
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) <= len(start) // 4:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _eight_bit(path: Path, opened: Callable[[], BinaryIO]) -> str:
    """Return utf-8 where the whole text is, and cp1252 where nothing beyond ASCII is UTF-8 and everything is cp1252."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with opened() as file:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        with opened() as file:
            data = file.read()
    else:
        return "utf-8"
    if data.decode("utf-8", errors="ignore").isascii():
        with suppress(UnicodeDecodeError):
            data.decode("cp1252")
            return "cp1252"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    raise LogError(
        f"{path}: cannot be read: line {line:,} is not UTF-8, nor is the file Windows-1252; save it as UTF-8"
    )
