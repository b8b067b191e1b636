"""Struct pages as a Parquet or Arrow file, for polars, pandas, DuckDB and whoever asks next.

Needs pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.errors import OutputError
from vmemmap.pages.kinds import Kind
from vmemmap.report.page_lines import unknown_values

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_TOGETHER = 1 << 18
"""Rows in a group of the file; readers skip groups by their minima and maxima.

Of more rows the dictionaries do not fit in the processor's cache, nor many in a page of the file,
which then takes longer to write and is larger.
"""
_WORDS = ("kind", "why")
"""Columns of words, whose alphabetical minima and maxima tell nothing and take long to find."""
_GROWING = ("pfn", "head")
"""Columns whose values mostly grow by one or stay: as differences they take a fiftieth."""
_MISSING_EXTRA = (
    "writing Parquet or Arrow needs pyarrow, which is not installed: pip install 'vmemmap[parquet]'"
)


def require_pyarrow() -> None:
    """Say what to install where pyarrow is missing.

    Raises:
        OutputError: It is missing, or does not load, as beside a numpy that is too old for it.
    """
    try:
        import pyarrow.parquet  # noqa: F401 (only to see whether it is there)
    except ModuleNotFoundError:
        raise OutputError(_MISSING_EXTRA) from None
    except ImportError as error:
        raise OutputError(
            f"writing Parquet or Arrow needs pyarrow, which does not load: {error}"
        ) from None


def write_pages(
    file: BinaryIO,
    chunks: Iterable[NDArray[np.void]],
    metadata: dict[str, str],
    *,
    arrow: bool,
    stream: bool = False,
) -> int:
    """Write struct pages, as `PageArray.scan` gives them, to a file.

    Kinds and reasons become words. What could not be read, or cannot be known, is null.

    Args:
        file: The file to fill, open for writing.
        chunks: Structured arrays, all of one type.
        metadata: Facts to keep with the table.
        arrow: Write Arrow's own format, not Parquet.
        stream: Write the form of Arrow that needs no file, so that whoever reads a pipe can begin.

    Returns:
        How many rows were written.

    Raises:
        OutputError: pyarrow is missing, or there are no pages.
        OSError: The file cannot be written.
    """
    require_pyarrow()
    import pyarrow as pa

    rows = 0
    writer: Any = None
    for table in _tables(chunks):
        if writer is None:
            schema = table.schema.with_metadata(metadata)
            if arrow:
                writer = (
                    pa.ipc.new_stream(file, schema) if stream else pa.ipc.new_file(file, schema)
                )
            else:
                writer = _parquet_writer(file, schema)
        writer.write_table(table)
        rows += len(table)
    if writer is None:
        raise OutputError("there are no pages to write")
    writer.close()
    return rows


def write_rows(file: BinaryIO, records: Iterable[object], types: dict[str, str]) -> None:
    """Write records as Parquet, however many there are.

    Args:
        file: The file to fill, open for writing.
        records: Objects with an attribute for each column.
        types: The type of each column, by Arrow's names.

    Raises:
        OutputError: pyarrow is missing.
        OSError: The file cannot be written.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in types.items()])
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        left = iter(records)
        while some := list(islice(left, ROWS_TOGETHER)):
            columns = [[getattr(row, name) for row in some] for name in types]
            writer.write_table(pa.table(columns, schema=schema))


def _parquet_writer(file: BinaryIO, schema: pa.Schema) -> Any:
    """Begin a Parquet file of struct pages, each column encoded as what stands in it wants."""
    import pyarrow.parquet

    growing = [name for name in _GROWING if name in schema.names]
    return pyarrow.parquet.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in growing],
        write_statistics=[name for name in schema.names if name not in _WORDS],
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    )


def _tables(chunks: Iterable[NDArray[np.void]]) -> Iterator[pa.Table]:
    """Put rows together until there are enough for a group of the file.

    Each table is good until the next one is asked for: its memory is used again.
    """
    columns: dict[str, NDArray[Any]] = {}
    rows = whole = 0
    for chunk in chunks:
        assert chunk.dtype.names is not None
        if not columns:
            columns = {
                name: np.empty(ROWS_TOGETHER, chunk.dtype[name]) for name in chunk.dtype.names
            }
        at = 0
        while at < len(chunk):
            count = min(len(chunk) - at, ROWS_TOGETHER - rows)
            for name, column in columns.items():
                column[rows : rows + count] = chunk[name][at : at + count]
            at, rows = at + count, rows + count
            if rows == ROWS_TOGETHER:
                yield _table(columns)
                rows, whole = 0, whole + 1
    if rows or (columns and not whole):
        yield _table({name: column[:rows] for name, column in columns.items()})


def _table(columns: dict[str, NDArray[Any]]) -> pa.Table:
    import pyarrow as pa

    unread = columns["kind"] == Kind.UNKNOWN if "kind" in columns else None
    return pa.table({name: _column(name, column, unread) for name, column in columns.items()})


def _column(name: str, column: NDArray[Any], unread: NDArray[np.bool_] | None) -> Any:
    import pyarrow as pa

    if name in _WORDS:
        words = [kind.word for kind in Kind] if name == "kind" else [why.word for why in Absence]
        return pa.DictionaryArray.from_arrays(pa.array(column.astype(np.int8)), pa.array(words))
    mask = unknown_values(name, column, unread)
    return pa.array(column, mask=mask if mask is not None and mask.any() else None)
