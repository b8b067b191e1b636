"""The record of ``vmemmap list``: the backing list, head first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from vmemmap.report import as_csv
from vmemmap.report.as_json import LongRecord
from vmemmap.report.members import FindingRecord, HexAddress, finding_records
from vmemmap.report.number_lines import in_decimal, in_hex, joined, literal, padding
from vmemmap.report.text import count_text, size_text

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

_ROWS_AT_A_TIME = 1 << 13


class EntryRecord(TypedDict):
    """A list entry: a block of struct pages.

    Attributes:
        node: Virtual address of the struct vmemmap_backing; 0x0 where only the block was found.
        phys: Physical start of the block.
        virt: vmemmap address that the block backs.
        pfn_start: First pfn whose struct page begins in the block; null for a block outside the
            vmemmap.
        pfn_end: The pfn after the last such.
        rescued: Only where the list does not lead to it: how it was found, node_page (its node
            was) or struct_pages (the block alone was).
    """

    node: HexAddress
    phys: HexAddress
    virt: HexAddress
    pfn_start: int | None
    pfn_end: int | None
    rescued: NotRequired[str]


class ListRecord(TypedDict):
    """The backing list.

    Attributes:
        block_size: Bytes in a block; null where the kernel keeps no list.
        entries: The entries, head (newest) first, as far as the list goes; what was rescued last.
        findings: What is wrong with the list.
    """

    block_size: int | None
    entries: list[EntryRecord]
    findings: list[FindingRecord]


def record(core: Vmcore) -> LongRecord:
    """Make the record of a dump, a `ListRecord`; its entries are made as they are written."""
    return LongRecord(
        "entries",
        _json_rows(core),
        head={"block_size": core.backing.block_size or None},
        tail=lambda: {"findings": finding_records(core.findings)},
    )


def columns(core: Vmcore) -> tuple[str, ...]:
    """Give the columns of the CSV form, one more where entries were rescued."""
    rescued = ("rescued",) if core.backing.rescued.any() else ()
    return ("node", "phys", "virt", "pfn_start", "pfn_end", *rescued)


def entries(core: Vmcore) -> Iterator[EntryRecord]:
    """Yield the entries, head first; what was rescued comes last, marked."""
    for part in _parts(core):
        yield from part.records()


def _json_rows(core: Vmcore) -> Iterator[EntryRecord | str]:
    for part in _parts(core):
        if not part.plain:
            yield from part.records()
            continue
        names = ('{"node": "0x', '", "phys": "0x', '", "virt": "0x', '", "pfn_start": ')
        text = part.text(*names, ', "pfn_end": ', "},\n    ")
        yield text.removesuffix(",\n    ")


def csv_lines(core: Vmcore) -> Iterator[str]:
    """Give the entries as CSV, with a heading."""
    names = columns(core)
    yield ",".join(names) + "\n"
    for part in _parts(core):
        if part.plain and len(names) == 5:
            yield part.text("0x", ",0x", ",0x", ",", ",", "\n")
        else:
            yield from as_csv.rows(names, part.records())


def lines(core: Vmcore) -> Iterator[str]:
    """Give the list as plain lines, one entry each, and a last line that sums it up.

    Plain text and not a rich table: a list can have a million entries.
    """
    yield f"{'#':>7}  {'node':18}  {'virt':18}  {'phys':>16}  {'pfns':>23}\n"
    for part in _parts(core):
        if part.plain:
            yield part.lines()
            continue
        for number, row in enumerate(part.records(), part.first):
            start, end = row["pfn_start"], row["pfn_end"]
            pfns = f"{start:#x} - {end:#x}" if start is not None else "unknown"
            mark = f"  rescued ({row['rescued']})" if "rescued" in row else ""
            place = f"{number:7}  {row['node']:18}  {row['virt']:18}  {row['phys']:>16}"
            yield f"{place}  {pfns:>23}{mark}\n"
    yield _summary(core) + "\n"


def crash_lines(core: Vmcore) -> Iterator[str]:
    """Give the lines that crash's ``help -m`` prints for the list; it would rescue nothing."""
    for part in _parts(core):
        yield part.crash_lines()


@dataclass(frozen=True, slots=True)
class _Part:
    """Some entries in a row.

    Attributes:
        first: The number of the first.
        node: Addresses of nodes (uint64).
        phys: Of blocks.
        virt: Of what they back.
        pfn_start: First pfn of each; None if no pfns are known.
        pfn_end: The pfn after the last.
        there: Whether each lies in the vmemmap, so that it has pfns.
        how: How each was found (uint8).
    """

    first: int
    node: NDArray[np.uint64]
    phys: NDArray[np.uint64]
    virt: NDArray[np.uint64]
    pfn_start: NDArray[np.uint64] | None
    pfn_end: NDArray[np.uint64] | None
    there: NDArray[np.bool_]
    how: NDArray[np.uint8]

    @property
    def plain(self) -> bool:
        """All have pfns, and none was rescued."""
        return self.pfn_start is not None and bool(self.there.all()) and not self.how.any()

    def records(self) -> Iterator[EntryRecord]:
        from vmemmap.backing.table import RESCUED

        count = len(self.node)
        for node, phys, virt, start, end, there, how in zip(
            _hexed(self.node),
            _hexed(self.phys),
            _hexed(self.virt),
            [None] * count if self.pfn_start is None else self.pfn_start.tolist(),
            [None] * count if self.pfn_end is None else self.pfn_end.tolist(),
            self.there.tolist(),
            self.how.tolist(),
            strict=True,
        ):
            row: EntryRecord = {
                "node": node,
                "phys": phys,
                "virt": virt,
                "pfn_start": start if there else None,
                "pfn_end": end if there else None,
            }
            if how:
                row["rescued"] = RESCUED[how]
            yield row

    def text(self, *between: str) -> str:
        """Give node, phys, virt in hex, then pfns in decimal, each behind its text."""
        assert self.pfn_start is not None
        assert self.pfn_end is not None
        numbers = [in_hex(self.node), in_hex(self.phys), in_hex(self.virt)]
        numbers += [in_decimal(self.pfn_start), in_decimal(self.pfn_end)]
        parts = [literal(between[0], len(self.node))]
        for number, text in zip(numbers, between[1:], strict=True):
            parts += [number, literal(text, len(self.node))]
        return joined(parts)

    def lines(self) -> str:
        """Give the lines for people, of entries that are plain."""
        assert self.pfn_start is not None
        assert self.pfn_end is not None
        count = len(self.node)
        zero_x, gap = literal("0x", count), literal("  ", count)
        number = in_decimal(np.arange(self.first, self.first + count, dtype=np.uint64))
        node, virt, phys = in_hex(self.node), in_hex(self.virt), in_hex(self.phys)
        pfns = [zero_x, in_hex(self.pfn_start), literal(" - 0x", count), in_hex(self.pfn_end)]
        return joined(
            [
                *(padding(7, number), number, gap),
                *(zero_x, node, padding(16, node), gap),
                *(zero_x, virt, padding(16, virt), gap),
                *(padding(14, phys), zero_x, phys, gap),
                *(padding(23, *pfns), *pfns, literal("\n", count)),
            ]
        )

    def crash_lines(self) -> str:
        listed = self.how == 0
        count = int(np.count_nonzero(listed))
        if not count:
            return ""
        number = in_decimal(np.arange(self.first, self.first + count, dtype=np.uint64))
        return joined(
            [
                *(literal("      vmemmap_list[", count), number, literal("]: virt: ", count)),
                *(in_hex(self.virt[listed]), literal("  phys: ", count)),
                *(in_hex(self.phys[listed]), literal("\n", count)),
            ]
        )


def _parts(core: Vmcore) -> Iterator[_Part]:
    backing = core.backing
    starts, ends = backing.pfn_start, backing.pfn_end
    for first in range(0, len(backing), _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        yield _Part(
            first,
            backing.node[part],
            backing.phys[part],
            backing.virt[part],
            None if starts is None else starts[part],
            None if ends is None else ends[part],
            backing.in_region[part],
            backing.how[part],
        )


def _hexed(column: NDArray[np.uint64]) -> Iterator[HexAddress]:
    # A million calls of HexAddress() would be a tenth of a second.
    return cast("Iterator[HexAddress]", map(hex, column.tolist()))


def _summary(core: Vmcore) -> str:
    backing = core.backing
    if len(backing):
        return (
            f"{count_text(len(backing), 'entry')}, blocks of {size_text(backing.block_size)}, "
            f"{size_text(backing.size_bytes)} of struct pages; "
            f"{count_text(backing.node_pages, 'node page')}, "
            f"{count_text(backing.unused_slots, 'slot')} unused"
        )
    if core.findings:
        return "no entries"
    return "the list is empty: this kernel ran on the radix MMU, where kernels since 6.6 keep none"
