"""Struct pages as a Parquet or Arrow file, for polars, pandas, DuckDB and whoever asks next.

Needs pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.errors import OutputError
from vmemmap.pages.blocks import NO_PFN
from vmemmap.pages.kinds import Kind

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_TOGETHER = 1 << 20
"""Rows in a group of the file; readers skip groups by their minima and maxima."""
_READ_FROM_PAGE = ("flags", "refcount", "mapcount", "mapping", "private")
_MISSING_EXTRA = (
    "writing Parquet needs pyarrow, which is not installed: pip install 'vmemmap[parquet]'"
)


def require_pyarrow() -> None:
    """Say what to install where pyarrow is missing.

    Raises:
        OutputError: It is missing.
    """
    try:
        import pyarrow.parquet  # noqa: F401 (only to see whether it is there)
    except ImportError:
        raise OutputError(_MISSING_EXTRA) from None


def write_pages(
    file: BinaryIO, chunks: Iterable[NDArray[np.void]], metadata: dict[str, str], *, arrow: bool
) -> int:
    """Write struct pages, as `PageArray.scan` gives them, to a file.

    Kinds and reasons become words. What could not be read, or cannot be known, is null.

    Args:
        file: The file to fill, open for writing.
        chunks: Structured arrays, all of one type.
        metadata: Facts to keep with the table.
        arrow: Write Arrow's own format, not Parquet.

    Returns:
        How many rows were written.

    Raises:
        OutputError: pyarrow is missing, or there are no pages.
        OSError: The file cannot be written.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet

    rows = 0
    writer: Any = None
    for group in _groups(chunks):
        table = _table(group)
        if writer is None:
            schema = table.schema.with_metadata(metadata)
            if arrow:
                writer = pa.ipc.new_file(file, schema)
            else:
                writer = pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
        writer.write_table(table.cast(schema))
        rows += len(table)
    if writer is None:
        raise OutputError("there are no pages to write")
    writer.close()
    return rows


def _groups(chunks: Iterable[NDArray[np.void]]) -> Iterable[Sequence[NDArray[np.void]]]:
    """Put chunks together until there are enough rows for a group of the file."""
    group: list[NDArray[np.void]] = []
    rows = 0
    for chunk in chunks:
        group.append(chunk)
        rows += len(chunk)
        if rows >= ROWS_TOGETHER:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _table(group: Sequence[NDArray[np.void]]) -> pa.Table:
    import pyarrow as pa

    names = group[0].dtype.names
    assert names is not None
    columns = {name: np.concatenate([chunk[name] for chunk in group]) for name in names}
    unread = columns["kind"] == Kind.UNKNOWN if "kind" in columns else None
    return pa.table({name: _column(name, column, unread) for name, column in columns.items()})


def _column(name: str, column: NDArray[Any], unread: NDArray[np.bool_] | None) -> Any:
    import pyarrow as pa

    if name in ("kind", "why"):
        words = [kind.word for kind in Kind] if name == "kind" else [why.word for why in Absence]
        return pa.DictionaryArray.from_arrays(pa.array(column.astype(np.int8)), pa.array(words))
    mask = None
    if name in _READ_FROM_PAGE:
        mask = unread
    elif name == "head":
        mask = column == np.uint64(NO_PFN)
    elif name in ("order", "node", "zone"):
        mask = column < 0
    return pa.array(column, mask=mask)
