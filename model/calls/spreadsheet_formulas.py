"""Cells of a CSV that a spreadsheet would take for formulas: an apostrophe in front makes them text, and is read off.

A field that a caller, an intake system or an operator filled could otherwise run in the spreadsheet of whoever opens
an export. What is a plain number, such as +6281234567890, is left as it is.
"""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

#: Of RE2 as of Python: no looking ahead.
_FORMULA = "'*(?:[=@\t\r\n\uff1d\uff0b\uff0d\uff20]|[+-](?s:.*[^0-9.].*)?$)"


def escape_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before each text that would be a formula; the rows themselves stay as they are.

    Examples
    --------
    >>> rows = pd.DataFrame({"x_note": ["=1+1", "-", "fire", "+6281234567890", "'@a", None]})
    >>> escape_formulas(rows)["x_note"].tolist()[:5]
    ["'=1+1", "'-", 'fire', '+6281234567890', "''@a"]
    """
    rows = rows.copy()
    for name in rows.select_dtypes(["object", "string"]):
        formula = rows[name].str.match(_FORMULA).eq(True)
        if formula.any():
            rows[name] = rows[name].where(~formula, "'" + rows[name].astype("str"))
    return rows


def unescape_formulas(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Take the apostrophe off again.

    Examples
    --------
    >>> unescape_formulas(pa.chunked_array([["'=1+1", "''@a", "'tis", "'+6281234567890", None]])).to_pylist()
    ['=1+1', "'@a", "'tis", "'+6281234567890", None]
    """
    if not pc.any(pc.starts_with(texts, "'")).as_py():
        return texts
    return pc.replace_substring_regex(texts, f"^'({_FORMULA})", r"\1")
