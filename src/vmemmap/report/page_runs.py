"""Runs of pages as a file: a line of JSON each, or Parquet where its name says so."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


def is_parquet(path: str) -> bool:
    """Tell whether a file of this name is to be Parquet."""
    return Path(path).suffix.lower() == ".parquet"


def write_page_runs(
    file: BinaryIO, runs: Iterable[object], types: dict[str, str], *, parquet: bool
) -> None:
    """Write runs, however many there are.

    Args:
        file: The file to fill, open for writing.
        runs: Objects with an attribute for each column, of Python's plain types or None.
        types: The type of each column, by Arrow's names.
        parquet: Write Parquet.

    Raises:
        OutputError: pyarrow is missing, for Parquet.
        OSError: The file cannot be written.
    """
    if parquet:
        from vmemmap.report.as_arrow import write_rows

        write_rows(file, runs, types)
        return
    for run in runs:
        line = json.dumps({name: getattr(run, name) for name in types})
        file.write(f"{line}\n".encode())
