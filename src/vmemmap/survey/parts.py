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
        if rows:
            name = f"part-{secrets.token_hex(8)}.parquet"
            self._write(self.folder / name, rows)

    def latest(self, columns: Sequence[str] | None = None) -> list[Row]:
        """Give the latest row of each address, by address.

        Args:
            columns: Only these, and the address; None for all.

        Raises:
            UnwritableFile: A part cannot be read, or is none.
        """
        wanted = None if columns is None else [*{"address", "surveyed_at", "members", *columns}]
        found: dict[str, Row] = {}
        for path in self._paths():
            for row in self._read(path, wanted):
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
        """Take out the rows of which there is a later one."""
        latest = {
            row["address"]: row["surveyed_at"] for row in self.latest(columns=("surveyed_at",))
        }
        for path in self._paths():
            rows = self._read(path, None)
            kept = [row for row in rows if latest.get(row["address"]) == row["surveyed_at"]]
            if len(kept) == len(rows):
                continue
            if kept:
                self._write(path, kept)
            else:
                path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _read(self, path: Path, columns: list[str] | None) -> list[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows: list[Row] = pq.read_table(path, columns=columns).to_pylist()
            if any("address" not in row or row["surveyed_at"] is None for row in rows):
                raise KeyError
        except (OSError, pa.ArrowException, KeyError) as error:
            raise UnwritableFile("is no part of a survey, or damaged", path=str(path)) from error
        return rows

    def _write(self, path: Path, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(list(rows), schema=self._schema)
        with new_file(path) as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())


def key_of(dump: SurveyedDump, vmemmap_version: str) -> tuple[str, str, str]:
    """Give what tells whether a dump was asked: its address, its version, and ours."""
    return dump.address, dump.version, vmemmap_version
