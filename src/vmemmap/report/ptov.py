"""The record of ``vmemmap ptov``: physical addresses to the kernel's virtual ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.report.members import HexAddress, hex_address
from vmemmap.report.palette import paint
from vmemmap.report.text import fitted

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

COLUMNS = ("phys", "virt", "method", "region", "entry", "in_dump", "reason")


class VirtualRecord(TypedDict):
    """One virtual address of a physical one.

    Attributes:
        virt: The virtual address.
        method: What maps it: linear; vmemmap_list for a byte of the array of struct pages; or
            page_table.
        region: The part of the address space that it lies in.
        entry: Index of the entry in the list; null where it is no vmemmap_list.
    """

    virt: HexAddress
    method: str
    region: str
    entry: int | None


class PtovRecord(TypedDict):
    """A physical address, and where the kernel has it.

    Attributes:
        phys: The physical address.
        pfn: The page that it lies in.
        in_dump: Whether the byte there is in the dump.
        absence: Why it is not, as a stable word, as for `vtop`; null where it is.
        reason: The same in words.
        virtual: Its virtual addresses; none where the kernel had no memory.
    """

    phys: HexAddress
    pfn: int
    in_dump: bool
    absence: str | None
    reason: str | None
    virtual: list[VirtualRecord]


def record(core: Vmcore, phys: int) -> PtovRecord:
    """Make the record of one physical address."""
    absence = core.why_absent(phys)
    return {
        "phys": hex_address(phys),
        "pfn": phys // core.kernel.page_size.value,
        "in_dump": absence is None,
        "absence": None if absence is None else str(absence),
        "reason": None if absence is None else absence.explanation,
        "virtual": [
            {
                "virt": hex_address(found.virt),
                "method": found.method,
                "region": found.region,
                "entry": found.entry,
            }
            for found in core.ptov(phys)
        ],
    }


def rows(records: Iterable[PtovRecord]) -> Iterator[dict[str, object]]:
    """Give the rows of the CSV form: one for each virtual address, or one without any."""
    for row in records:
        for found in row["virtual"]:
            yield {**row, **found}
        if not row["virtual"]:
            yield {**row}


def lines(records: Iterable[PtovRecord]) -> Iterator[str]:
    """Give a line for each virtual address, and the reason where the byte is not in the dump."""
    heading = f"{'physical':18}  {'virtual':18}  {'method':12}  {'in dump':7}  where"
    yield paint(heading, "heading") + "\n"
    for row in records:
        stored = "yes" if row["in_dump"] else "no"
        reason = f": {row['reason']}" if row["reason"] else ""
        for found in row["virtual"]:
            start = f"{row['phys']:18}  {found['virt']:18}  {found['method']:12}  {stored:7}"
            entry = f", entry {found['entry']}" if found["entry"] is not None else ""
            yield from fitted(start, f"{found['region']}{entry}{reason}".split(), " ")
        if not row["virtual"]:
            start = f"{row['phys']:18}  {'-':18}  {'-':12}  {stored:7}"
            yield from fitted(start, (row["reason"] or "").split(), " ")
