"""Struct pages as CSV or JSON lines, a line a page; what is not known is empty, or null.

Words of memory are texts with 0x, as everywhere: JSON's numbers end at 2**53.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.pages.heads import NO_PFN
from vmemmap.pages.kinds import Kind

_READ_FROM_PAGE = ("flags", "refcount", "mapcount", "mapping", "private")
_IN_HEX = ("flags", "mapping", "private")
_KINDS = [kind.word for kind in Kind]
_REASONS = [why.word for why in Absence]


def unknown_values(
    name: str, column: NDArray[Any], unread: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Tell which values of a column are none: not read, or not to be known.

    Args:
        name: The column, of `SCAN_FIELDS`.
        column: Its values, as a scan gives them.
        unread: The pages of kind unknown; None if the kinds were not asked for.

    Returns:
        A mask, or None where all are values.
    """
    if name in _READ_FROM_PAGE:
        return unread
    if name == "head":
        return np.asarray(column == np.uint64(NO_PFN))
    if name in ("order", "node", "zone"):
        return np.asarray(column < 0)
    return None


def write_lines(
    file: BinaryIO, chunks: Iterable[NDArray[np.void]], names: tuple[str, ...], form: str
) -> int:
    """Write struct pages, a line each.

    Args:
        file: The file to fill, open for writing.
        chunks: Structured arrays of a scan, with these columns and perhaps others.
        names: The columns wanted.
        form: ``csv``, with a heading, or ``jsonl``.

    Returns:
        How many pages were written.

    Raises:
        OSError: The file cannot be written.
    """
    count = 0
    if form == "csv":
        file.write((",".join(names) + "\n").encode())
    for chunk in chunks:
        rows = list(_rows(chunk, names))
        count += len(rows)
        if form == "csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            file.write(text.getvalue().encode())
        else:
            lines = (json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
            file.write("".join(lines).encode())
    return count


def _rows(chunk: NDArray[np.void], names: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    fields = chunk.dtype.names or ()
    unread = chunk["kind"] == Kind.UNKNOWN.value if "kind" in fields else None
    return zip(*(_values(name, chunk[name], unread) for name in names), strict=True)


def _values(
    name: str, column: NDArray[np.generic], unread: NDArray[np.bool_] | None
) -> list[object]:
    values: list[object] = column.tolist()
    if name == "kind":
        return [_KINDS[int(number)] for number in column]
    if name == "why":
        return [_REASONS[int(number)] for number in column]
    if name in _IN_HEX:
        values = [f"{value:#x}" for value in values]
    mask = unknown_values(name, column, unread)
    if mask is None or not mask.any():
        return values
    return [
        None if is_none else value for value, is_none in zip(values, mask.tolist(), strict=True)
    ]
