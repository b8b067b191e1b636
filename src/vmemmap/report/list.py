"""The record of ``vmemmap list``: the backing list, head first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

from vmemmap.report.as_json import LongRecord
from vmemmap.report.members import FindingRecord, HexAddress, finding_records
from vmemmap.report.text import count_text, size_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vmemmap.vmcore import Vmcore

_ROWS_AT_A_TIME = 1 << 16


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
    """Make the record of a dump, a `ListRecord`; its entries are made one by one."""
    return LongRecord(
        "entries",
        entries(core),
        head={"block_size": core.backing.block_size or None},
        tail=lambda: {"findings": finding_records(core.findings)},
    )


def columns(core: Vmcore) -> tuple[str, ...]:
    """Give the columns of the CSV form, one more where entries were rescued."""
    rescued = ("rescued",) if core.backing.rescued.any() else ()
    return ("node", "phys", "virt", "pfn_start", "pfn_end", *rescued)


def entries(core: Vmcore) -> Iterator[EntryRecord]:
    """Yield the entries, head first; what was rescued comes last, marked."""
    from vmemmap.backing.table import RESCUED

    backing = core.backing
    starts, ends = backing.pfn_start, backing.pfn_end
    for first in range(0, len(backing), _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        count = len(backing.node[part])
        for node, phys, virt, start, end, there, how in zip(
            _hexed(backing.node[part]),
            _hexed(backing.phys[part]),
            _hexed(backing.virt[part]),
            [None] * count if starts is None else starts[part].tolist(),
            [None] * count if ends is None else ends[part].tolist(),
            backing.in_region[part].tolist(),
            backing.how[part].tolist(),
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


def _hexed(column: NDArray[np.uint64]) -> Iterator[HexAddress]:
    # A million calls of HexAddress() would be a tenth of a second.
    return cast("Iterator[HexAddress]", map(hex, column.tolist()))


def lines(core: Vmcore) -> Iterator[str]:
    """Give the list as plain lines, one entry each, and a last line that sums it up.

    Plain text and not a rich table: a list can have a million entries.
    """
    yield f"{'#':>7}  {'node':18}  {'virt':18}  {'phys':>16}  {'pfns':>23}\n"
    for number, row in enumerate(entries(core)):
        start, end = row["pfn_start"], row["pfn_end"]
        pfns = f"{start:#x} - {end:#x}" if start is not None else "unknown"
        mark = f"  rescued ({row['rescued']})" if "rescued" in row else ""
        place = f"{number:7}  {row['node']:18}  {row['virt']:18}  {row['phys']:>16}"
        yield f"{place}  {pfns:>23}{mark}\n"
    yield _summary(core) + "\n"


def crash_lines(core: Vmcore) -> Iterator[str]:
    """Give the lines that crash's ``help -m`` prints for the list; it would rescue nothing."""
    listed = (row for row in entries(core) if "rescued" not in row)
    for number, row in enumerate(listed):
        virt, phys = row["virt"][2:], row["phys"][2:]
        yield f"      vmemmap_list[{number}]: virt: {virt}  phys: {phys}\n"


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
