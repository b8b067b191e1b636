"""The rows of a survey as Parquet files in a folder: ``part-*.parquet``.

A part appears under its name when it is whole, and never changes. Of an address that was asked
several times the latest row counts, and none of a member that was asked with the others of its dump
since; older ones are taken out when a survey begins and ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vmemmap.errors import OutputError, UnwritableFile
from vmemmap.survey.answers import Row
from vmemmap.survey.dumps import SurveyedDump
from vmemmap.write.new_file import new_file

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("address", "version", "vmemmap", "error_code", "error", "format", "release", "machine")
_MORE_TEXTS = ("memory_byte_order", "mmu", "layout")
_NUMBERS = (
    *("dump_level", "ram_bytes", "stored_bytes", "page_size", "struct_page_size", "entries"),
    *("block_size", "vmemmap_bytes", "errors", "cautions", "pages", "requests", "fetched_bytes"),
)


def schema() -> pa.Schema:
    """Give the columns of a part.

    Raises:
        OutputError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
    except ImportError:
        why = "a survey needs pyarrow, which is not installed: pip install 'vmemmap[survey]'"
        raise OutputError(why) from None
    finding = pa.struct([(name, pa.string()) for name in ("code", "severity", "message")])
    kind = pa.struct([("kind", pa.string()), ("pages", pa.int64()), ("bytes", pa.int64())])
    return pa.schema(
        [
            *((name, pa.string()) for name in (*_TEXTS, *_MORE_TEXTS)),
            *((name, pa.int64()) for name in _NUMBERS),
            ("surveyed_at", pa.timestamp("us", tz="UTC")),
            ("seconds", pa.float64()),
            ("incomplete", pa.bool_()),
            ("members", pa.list_(pa.string())),
            ("asked", pa.list_(pa.string())),
            ("warnings", pa.list_(pa.string())),
            ("findings", pa.list_(finding)),
            ("kinds", pa.list_(kind)),
        ]
    )


class Parts:
    """The folder of a survey.

    Args:
        folder: Where the parts are, or are to be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._schema = schema()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for one survey, and make it.

        Raises:
            UnwritableFile: It cannot be made, or another survey writes there.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            why = f"cannot be written: {error.strerror}"
            raise UnwritableFile(why, path=str(self.folder)) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                why = "another survey is writing there"
                raise UnwritableFile(why, path=str(self.folder)) from None
            yield

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows as a part."""
        import pyarrow as pa

        if rows:
            name = f"part-{secrets.token_hex(8)}.parquet"
            self._write(self.folder / name, pa.Table.from_pylist(list(rows), schema=self._schema))

    def latest(self, columns: Sequence[str] | None = None) -> list[Row]:
        """Give the latest row of each address, by address.

        Args:
            columns: Only these, and the address; None for all.

        Raises:
            UnwritableFile: A part cannot be read, or is none.
        """
        wanted = None if columns is None else {"address", "surveyed_at", "members", *columns}
        found: dict[str, Row] = {}
        for path in self._paths():
            for row in self._table(path, wanted)[0].to_pylist():
                before = found.get(row["address"])
                if before is None or before["surveyed_at"] <= row["surveyed_at"]:
                    found[row["address"]] = row
        for row in list(found.values()):
            for member in row["members"] or ():
                alone = found.get(member, row)
                if alone is not row and alone["surveyed_at"] <= row["surveyed_at"]:
                    del found[member]
        return [found[address] for address in sorted(found)]

    def tidy(self) -> None:
        """Take out the rows of which there is a later one; whoever does it holds the folder.

        What a survey that was killed has not finished writing goes, too, and parts that lack a
        column, made by an older version, get it: all parts are to be read as one table.
        """
        for unfinished in self.folder.glob(".part-*.part"):
            unfinished.unlink(missing_ok=True)
        latest = {
            row["address"]: row["surveyed_at"] for row in self.latest(columns=("surveyed_at",))
        }
        for path in self._paths():
            table, is_new = self._table(path, None)
            rows = table.select(["address", "surveyed_at"]).to_pylist()
            kept = [latest.get(row["address"]) == row["surveyed_at"] for row in rows]
            if not any(kept):
                path.unlink()
            elif not all(kept) or not is_new:
                self._write(path, table.filter(kept))

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _table(self, path: Path, columns: set[str] | None) -> tuple[pa.Table, bool]:
        """Read a part.

        Args:
            path: The part.
            columns: Only these of ours; None for all that it has, and null for what it has not.

        Returns:
            The part, whose columns of ours are of our types, and whether it has all of them.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                table = file.read([name for name in names if columns is None or name in columns])
            for field in self._schema:
                if columns is not None and field.name not in columns:
                    continue
                if field.name not in names:
                    nulls = pa.nulls(len(table), field.type)
                    table = table.append_column(field, nulls)
                elif table.schema.field(field.name).type != field.type:
                    at = table.schema.get_field_index(field.name)
                    table = table.set_column(at, field, table[field.name].cast(field.type))
            if any(table[name].null_count for name in ("address", "surveyed_at")):
                raise KeyError
        except (OSError, pa.ArrowException, KeyError) as error:
            why = "is no part of a survey, or damaged: remove it, and what it had is asked again"
            raise UnwritableFile(why, path=str(path)) from error
        return table, {field.name for field in self._schema} <= set(names)

    def _write(self, path: Path, table: pa.Table) -> None:
        import pyarrow.parquet as pq

        with new_file(path) as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())


def key_of(dump: SurveyedDump, vmemmap_version: str) -> tuple[str, str, str]:
    """Give what tells whether a dump was asked: its address, its version, and ours."""
    return dump.address, dump.version, vmemmap_version
