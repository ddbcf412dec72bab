"""Writes calls, corrections or scores to a file, part by part; the file appears whole or not at all."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from model.calls.spreadsheet_formulas import escape_formulas


class LogWriter:
    """A Parquet file or, by the name's ending, a CSV, that is written beside its place and renamed in the end.

    Nobody but its owner can read it. In a CSV no text is a formula (`model.calls.spreadsheet_formulas`). What stands at
    `path` is replaced when all is written, and stays when an error ends the writing.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> with LogWriter(path) as log:
    ...     log.write(pd.DataFrame({"call_id": ["a"]}))
    ...     log.write(pd.DataFrame({"call_id": ["b"]}))
    >>> path.read_text().split()
    ['call_id', 'a', 'b']
    """

    def __init__(self, path: Path) -> None:
        self.path, self._part = path, path.with_name(path.name + ".part")
        self._parquet: pa.parquet.ParquetWriter | None = None
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._parquet is not None:
                self._parquet.close()
            if error is None and self._begun:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)

    def write(self, rows: pd.DataFrame) -> None:
        """Add rows; every part has the columns and types of the first."""
        if not self._begun:  # for its owner alone
            self._part.unlink(missing_ok=True)
            os.close(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if self.path.suffix.lower() == ".csv":
            # RFC 4180's line end also has the writer quote a value that holds either half of it.
            escape_formulas(rows).to_csv(
                self._part,
                mode="a",
                header=not self._begun,
                index=False,
                date_format="%Y-%m-%dT%H:%M:%S.%f%z",
                lineterminator="\r\n",
            )
        else:
            table = pa.RecordBatchReader.from_stream(rows).read_all()
            if self._parquet is None:
                self._parquet = pa.parquet.ParquetWriter(self._part, table.schema)
            self._parquet.write_table(table)
        self._begun = True
