"""Measures the struct pages: counted beside makedumpfile, given as columns, written as Parquet.

The limit is one plain pass: a loop of numpy over the same bytes in the order of the file, one word
of each struct page, in a process that has not mapped them yet. So page faults are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import child
from builders.big_list import write_big_list
from builders.busy_machine import BusyMachine, write_busy_machine
from builders.byte_order import Order
from builders.page_content import PageContent
from peer import Makedumpfile
from rows import Row, Side, Spent, Target, measure

PLAIN_PASS = "one plain pass"
_GIB, _TIB = 1 << 30, 1 << 40
_MIB_MOST = 100

# What is imported late belongs to the start of a command, which has rows of its own.
_OPEN = """
import sys
import vmemmap
core = vmemmap.open(sys.argv[1])
core.backing
core.page_model.exclusions
"""
_COUNT = (
    _OPEN
    + """
import vmemmap.pages.count.census
begun = clock()
usage = core.usage()
tell(begun, kinds=usage.kinds, fine=not usage.damaged and not usage.unknown)
"""
)
WITHOUT = "import sys\nsys.modules['vmemmap._compiled'] = None\n"
"""Before a piece of Python: as it runs without the compiled module, which is how it began."""
_SCAN = (
    _OPEN
    + """
from vmemmap.pages.records import SCAN_FIELDS
pages, fields = 0, tuple(sys.argv[2].split(",")) if sys.argv[2] else SCAN_FIELDS
begun = clock()
for chunk in core.pages.scan(fields):
    pages += len(chunk)
tell(begun, pages=pages)
"""
)
_PARQUET = (
    _OPEN
    + """
from vmemmap.pages.records import SCAN_FIELDS
from vmemmap.report.pages import Choice, write
import pyarrow.parquet
begun = clock()
with open(sys.argv[2], "wb") as file:
    write(core, file, SCAN_FIELDS, form="parquet", choice=Choice())
tell(begun)
"""
)
_PARQUET_ALONE = """
import sys
import pyarrow.parquet
with open(sys.argv[1], "rb") as file:
    made = pyarrow.parquet.ParquetFile(file)
    groups = [made.read_row_group(at) for at in range(made.num_row_groups)]
begun = clock()
with open(sys.argv[1] + ".again", "wb") as file:
    writer = pyarrow.parquet.ParquetWriter(file, groups[0].schema, compression="zstd")
    for group in groups:
        writer.write_table(group)
    writer.close()
tell(begun)
"""
_PLAIN = """
import mmap, sys
import numpy as np
start, size = int(sys.argv[2]), int(sys.argv[3])
with open(sys.argv[1], "rb") as file:
    words = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint64)
begun = clock()
often = int(sys.argv[4]) if len(sys.argv) > 4 else 1
for at in [*range(start, start + size, 1 << 20)] * often:
    words[at // 8 : min(at + (1 << 20), start + size) // 8 : 8].sum()
tell(begun)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A machine whose pages are counted, and by how much we ought to be ahead."""

    name: str
    ram_bytes: int
    page_size: int = 65536
    block_size: int = 65536
    byte_order: Order = "little"
    ratio: float = 1.5

    def write(self, path: Path, *, filled: bool = False) -> BusyMachine:
        """Write its dump."""
        return write_busy_machine(
            path,
            self.ram_bytes,
            page_size=self.page_size,
            block_size=self.block_size,
            byte_order=self.byte_order,
            filled=filled,
        )


CASES = (
    Case("16 GiB, 4 KiB pages, 16 MiB blocks", 16 * _GIB, 4096, 1 << 24),
    Case("64 GiB, 16 MiB blocks", 64 * _GIB, block_size=1 << 24),
    Case("64 GiB", 64 * _GIB),
    Case("256 GiB", 256 * _GIB),
    Case("1 TiB", _TIB),
    Case("1 TiB, big-endian", _TIB, byte_order="big"),
    Case("4 TiB", 4 * _TIB, ratio=5),
)
"""With pages and blocks of 64 KiB where nothing else is said."""
_FILLED = (
    Case("4 GiB, 4 KiB pages", 4 * _GIB, 4096, 1 << 24),
    Case("16 GiB, 4 KiB pages", 16 * _GIB, 4096, 1 << 24),
    Case("32 GiB, 64 KiB pages", 32 * _GIB, block_size=1 << 24),
)
"""Machines of which the pages that stay have their contents, too."""
GROWTH = {"1 TiB": 1 << 14, "4 TiB": 1 << 16, "16 TiB": 1 << 18, "64 TiB": 1 << 20}
"""Blocks by size of the machine."""


def bench_scan(folder: Path, peer: Makedumpfile | None) -> list[Row]:
    """Count all pages of machines from 16 GiB to 4 TiB, beside makedumpfile's exclusion step."""
    rows = []
    for case in CASES:
        path = folder / "scanned"
        made = case.write(path)
        told = child.ask(_COUNT, path)
        assert told["fine"], told
        assert made.counts == {kind: told["kinds"][kind] for kind in made.counts}
        # It reads dumps of its own byte order alone.
        theirs = peer if case.byte_order == "little" else None
        rows.append(
            measure(
                f"count all pages, {case.name}",
                "ns a page",
                lambda path=path: child.asked(_COUNT, path),  # type: ignore[misc]
                peer=_exclusion(theirs, path),
                peer_name=f"{peer.name}, its exclusion step" if peer else "",
                limit=_plain(made),
                limit_name=PLAIN_PASS,
                rounds=5 if case.ram_bytes < _TIB else 3,
                factor=1e9 / made.pages,
                target=Target(case.ratio, 1.3, mib=_MIB_MOST),
                before=lambda path=path: child.asked(WITHOUT + _COUNT, path),  # type: ignore[misc]
            )
        )
        path.unlink()
    return rows


def bench_growth(folder: Path) -> list[Row]:
    """Count the pages of machines of up to 64 TiB, whose struct pages are those of 1 TiB, repeated.

    So that a gigabyte of them serves for all, there are no compounds among them. The limit goes
    over that gigabyte as often.
    """
    content, path = folder / "content", folder / "growing"
    blocks = GROWTH["1 TiB"]
    maker = PageContent(compounds=False)
    with content.open("wb") as file:
        for first in range(blocks - 256, -1, -256):  # the last block lies lowest
            made = maker.make(first << 10, 256 << 10)
            file.write(made.reshape(256, -1)[::-1].tobytes())
    rows = []
    for name, count in GROWTH.items():
        write_big_list(path, nodes=count, top_down=True, struct_pages="content", content=content)
        assert child.ask(_COUNT, path)["fine"]
        size, often = content.stat().st_size, count // blocks
        rows.append(
            measure(
                f"count all pages, {name}, growth",
                "ns a page",
                lambda: child.asked(_COUNT, path),
                limit=lambda size=size, often=often: child.asked(_PLAIN, content, 0, size, often),  # type: ignore[misc]
                limit_name=PLAIN_PASS,
                rounds=3 if count < 1 << 18 else 1,
                factor=1e9 / (count << 10),
                target=Target(distance=1.3, mib=_MIB_MOST),
            )
        )
        path.unlink()
    content.unlink()
    return rows


def bench_columns(folder: Path) -> list[Row]:
    """Give the pages of 256 GiB as arrays, and those of 64 GiB as Parquet."""
    path = folder / "columns"
    made = Case("", 256 * _GIB).write(path)
    rows = [
        measure(
            f"`pages.scan()`, {words}, 256 GiB",
            "ns a page",
            lambda fields=fields: child.asked(_SCAN, path, fields),  # type: ignore[misc]
            limit=_plain(made),
            limit_name=PLAIN_PASS,
            rounds=5,
            factor=1e9 / made.pages,
            target=target,
        )
        for words, fields, target in (
            ("pfn and kind", "pfn,kind", Target()),
            ("all columns", "", Target(most=40)),
        )
    ]
    path.unlink()
    try:
        import pyarrow  # noqa: F401 (whether it is there)
    except ImportError:
        return rows
    made = Case("", 64 * _GIB).write(path)
    table = folder / "table.parquet"
    child.ask(_PARQUET, path, table)
    rows.append(
        measure(
            "Parquet of all pages, 64 GiB",
            "ns a page",
            lambda: child.asked(_PARQUET, path, table),
            peer=lambda: child.asked(_PARQUET_ALONE, table),
            peer_name="pyarrow writing the same table",
            rounds=3,
            factor=1e9 / made.pages,
            target=Target(0.7),
        )
    )
    for left in folder.iterdir():
        left.unlink()
    return rows


def bench_whole(folder: Path, peer: Makedumpfile | None) -> list[Row]:
    """Run whole commands: `usage` beside makedumpfile up to the same point, and with zero pages."""
    path = folder / "whole"
    Case("", 64 * _GIB).write(path)
    counted = measure(
        "`usage`, 64 GiB, the whole command",
        "s",
        lambda: child.run(*child.COMMAND, "usage", path),
        peer=(lambda: peer.to_exclusion(path).whole) if peer else None,
        peer_name=f"{peer.name} -d 30 --dry-run, to the end of exclusion" if peer else "",
        rounds=7,
        before=lambda: _without("usage", path),
    )
    path.unlink()
    return [counted, *(_zero_pages(path, case, peer) for case in _FILLED)]


def _zero_pages(path: Path, case: Case, peer: Makedumpfile | None) -> Row:
    """Count the pages full of zeros among those that stay, beside makedumpfile."""
    made = case.write(path, filled=True)
    told = child.ask(_OPEN + "tell(clock(), zero=core.page_model.zero_pages(31))", path)
    assert told["zero"] == made.zero
    stays_mib = made.kept * case.page_size >> 20
    row = measure(
        f"`usage --zero`, {case.name}, {stays_mib:,} MiB of them stay",
        "s",
        lambda: child.run(*child.COMMAND, "usage", "--zero", path),
        peer=(lambda: peer.whole(path, 31)) if peer else None,
        peer_name=f"{peer.name} -d 31 --dry-run" if peer else "",
        rounds=5,
        target=Target(1, mib=_MIB_MOST),
        before=lambda: _without("usage", "--zero", path),
    )
    path.unlink()
    return row


def _without(*arguments: str | Path) -> Spent:
    """Run the command without the compiled module."""
    program, option, code = child.COMMAND
    return child.run(program, option, WITHOUT + code, *arguments)


def _exclusion(peer: Makedumpfile | None, path: Path) -> Side | None:
    return (lambda: peer.to_exclusion(path).exclusion) if peer is not None else None


def _plain(made: BusyMachine) -> Side:
    def once() -> Spent:
        return child.asked(_PLAIN, made.path, *made.struct_pages)

    return once
