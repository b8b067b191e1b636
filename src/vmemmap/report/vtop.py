"""The record of ``vmemmap vtop``: virtual addresses to physical ones, and by which way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NotRequired, TypedDict, final

from vmemmap.errors import FactError, ReadError, TranslateError
from vmemmap.report.members import HexAddress, hex_address
from vmemmap.report.text import fitted, plain

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

COLUMNS = (
    "virt", "phys", "method", "in_dump", "region", "entry", "block_virt", "error", "reason",
    "absence", "symbol", "rescued",
)  # fmt: skip


@final
class TranslatedRecord(TypedDict):
    """An address that has a physical one.

    Attributes:
        virt: The virtual address.
        phys: Its physical address.
        method: How that was found: vmemmap_list, linear or page_table.
        in_dump: Whether the byte there is in the dump.
        region: The part of the address space that it lies in.
        absence: Only where the byte is not in the dump: why, as a stable word: excluded, lost,
            hot_added, reserved, on_device, no_memory or not_in_dump.
        reason: The same in words.
        entry: Only by vmemmap_list: the index of the entry in the list.
        block_virt: vmemmap address that this entry's block backs.
        rescued: Only where the list does not lead to the entry: how it was found.
        symbol: The kernel's symbol there, with the offset, where it is known.
    """

    virt: HexAddress
    phys: HexAddress
    method: str
    in_dump: bool
    region: str
    absence: NotRequired[str]
    reason: NotRequired[str]
    entry: NotRequired[int]
    block_virt: NotRequired[HexAddress]
    rescued: NotRequired[str]
    symbol: NotRequired[str]


@final
class UntranslatedRecord(TypedDict):
    """An address that has none, or whose translation cannot be read.

    Attributes:
        virt: The virtual address.
        error: A stable word: not_backed, not_present, no_region, unsupported_mmu; unreadable where
            a page table is not in the dump, fact_missing where the dump lacks what it takes.
        reason: The same in words.
        absence: Only for unreadable: why the page table is not in the dump.
        symbol: The kernel's symbol there, with the offset, where it is known.
    """

    virt: HexAddress
    error: str
    reason: str
    absence: NotRequired[str]
    symbol: NotRequired[str]


FACT_MISSING = "fact_missing"
"""The error of every address where the dump lacks what its translation takes."""
VtopRecord = TranslatedRecord | UntranslatedRecord
"""What is known of one address."""


def record(core: Vmcore, virt: int, symbol: str | None = None) -> VtopRecord:
    """Make the record of one address.

    Args:
        core: The dump.
        virt: Kernel virtual address.
        symbol: Its name, where the user gave that; else it is looked up.
    """
    found = _translate(core, virt)
    symbol = symbol or _symbol_at(core, virt)
    if symbol is not None:
        found["symbol"] = symbol
    return found


def _translate(core: Vmcore, virt: int) -> VtopRecord:

    name = hex_address(virt)
    try:
        hit = core.vtop(virt)
    except TranslateError as error:
        return {"virt": name, "error": error.code, "reason": str(error)}
    except ReadError as error:
        lost: UntranslatedRecord = {"virt": name, "error": "unreadable", "reason": str(error)}
        why = core.why_absent(error.phys)
        if why is not None:
            lost["absence"] = str(why)
        return lost
    except FactError as error:
        return {"virt": name, "error": FACT_MISSING, "reason": str(error)}
    row: TranslatedRecord = {
        "virt": name,
        "phys": hex_address(hit.phys),
        "method": hit.method,
        "in_dump": hit.in_dump,
        "region": hit.region,
    }
    if hit.absence is not None:
        row["absence"] = str(hit.absence)
        row["reason"] = hit.absence.explanation
    if hit.entry is not None:
        entry = core.backing[hit.entry]
        row["entry"] = hit.entry
        row["block_virt"] = hex_address(entry.virt)
        if entry.rescued is not None:
            row["rescued"] = entry.rescued
    return row


def _symbol_at(core: Vmcore, virt: int) -> str | None:
    """Name an address if it is one of the kernel's image and the dump has the names."""
    try:
        hit = core.symbolize(virt)
    except FactError:
        return None  # the name was not asked for, and the translation stands without it
    return str(hit) if hit is not None else None


def asked_the_list(row: VtopRecord) -> bool:
    """Tell whether an answer stands on the list, whose findings then concern it."""
    if "error" in row:
        return row["error"] == "not_backed"
    return row["method"] == "vmemmap_list"


def rows(records: list[VtopRecord]) -> list[VtopRecord]:
    """Give the rows of the CSV form."""
    return records


def lines(rows: Iterable[VtopRecord]) -> Iterator[str]:
    """Give translations as plain lines, what does not fit behind an address below it."""
    yield f"{'virtual':18}  {'physical':18}  {'method':15}  {'in dump':7}  where\n"
    for row in rows:
        start, where = _untranslated(row) if "error" in row else _translated(row)
        yield from fitted(start, where.split(" "), " ")


def _translated(row: TranslatedRecord) -> tuple[str, str]:
    where = row["region"] + _named(row)
    if "entry" in row:
        how = f", rescued: {row['rescued']}" if "rescued" in row else ""
        where += f", entry {row['entry']} (block {row['block_virt']}{how})"
    if "reason" in row:
        where += f": {row['reason']}"
    stored = "yes" if row["in_dump"] else "no"
    return f"{row['virt']:18}  {row['phys']:18}  {row['method']:15}  {stored:7}", where


def _untranslated(row: UntranslatedRecord) -> tuple[str, str]:
    # The line begins with the address already.
    where = row["reason"].removeprefix(f"cannot translate {row['virt']}: ") + _named(row)
    return f"{row['virt']:18}  {'-':18}  {row['error']:15}  {'-':7}", where


def _named(row: VtopRecord) -> str:
    return f" ({plain(row['symbol'])})" if row.get("symbol") else ""
