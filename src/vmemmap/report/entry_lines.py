"""List entries as lines of text, thousands at a time; see ``list.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from vmemmap.backing.table import RESCUED
from vmemmap.report.number_lines import in_decimal, in_hex, joined, literal, padding

if TYPE_CHECKING:
    from vmemmap.report.members import EntryRecord, HexAddress
    from vmemmap.vmcore import Vmcore

_ROWS_AT_A_TIME = 1 << 13


@dataclass(frozen=True, slots=True)
class Part:
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
        """Yield the entries one by one."""
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

    def lines(self, columns: Columns) -> str:
        """Give the lines for people, of entries that are plain."""
        assert self.pfn_start is not None
        assert self.pfn_end is not None
        count = len(self.node)
        zero_x, gap = literal("0x", count), literal(columns.gap, count)
        number = in_decimal(np.arange(self.first, self.first + count, dtype=np.uint64))
        node, virt, phys = in_hex(self.node), in_hex(self.virt), in_hex(self.phys)
        start = in_decimal(self.pfn_start)
        pfns = [padding(columns.pfn, start), start]
        if columns.dash:
            end = in_decimal(self.pfn_end)
            pfns += [literal(columns.dash, count), padding(columns.pfn, end), end]
        return joined(
            [
                *(padding(columns.number, number), number, gap),
                *(zero_x, node, padding(16, node), gap),
                *(zero_x, virt, padding(16, virt), gap),
                *(padding(columns.phys - 2, phys), zero_x, phys, gap),
                *(*pfns, literal("\n", count)),
            ]
        )

    def crash_lines(self) -> str:
        """Give the lines that crash prints, of entries of the list."""
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


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns for people are, so that a line fits.

    Attributes:
        number: Of the entry's number.
        phys: Of the physical address, with 0x.
        pfn: Of one pfn.
        gap: What stands between columns.
        dash: What stands between the first pfn and the end; empty where there is room for the
            first one only.
    """

    number: int
    phys: int
    pfn: int
    gap: str
    dash: str

    def heading(self) -> str:
        """Give the line above the entries."""
        pfns = f"{'pfns':>{2 * self.pfn + len(self.dash)}}" if self.dash else "first pfn"
        columns = (f"{'#':>{self.number}}", f"{'node':18}", f"{'virt':18}")
        return self.gap.join([*columns, f"{'phys':>{self.phys}}", pfns])

    def line(self, number: int, row: EntryRecord) -> str:
        """Give the line of any entry."""
        start, end = row["pfn_start"], row["pfn_end"]
        pfns = "unknown"
        if start is not None:
            pfns = f"{start:{self.pfn}}" + (f"{self.dash}{end:{self.pfn}}" if self.dash else "")
        columns = (f"{number:{self.number}}", f"{row['node']:18}", f"{row['virt']:18}")
        return self.gap.join([*columns, f"{row['phys']:>{self.phys}}", pfns])


def fitting_columns(core: Vmcore, width: int) -> Columns:
    """Give columns for the list of a dump: the widest of which a line fits, else the narrowest."""
    backing = core.backing
    number = max(len(str(max(len(backing) - 1, 0))), 2)
    phys = max(len(hex(int(backing.phys.max(initial=0)))), 4)
    ends = backing.pfn_end
    pfn = max(len(str(int(ends.max(initial=0)))) if ends is not None else 0, 4)
    for gap, dash in (("  ", " - "), ("  ", "-"), (" ", "-")):
        if number + 18 + 18 + phys + 2 * pfn + len(dash) + 4 * len(gap) <= width:
            return Columns(number, phys, pfn, gap, dash)
    return Columns(number, phys, pfn, " " if width < number + 54 + phys + pfn else "  ", "")


def walk_parts(core: Vmcore) -> Iterator[Part]:
    """Yield the list in parts, head first."""
    backing = core.backing
    starts, ends = backing.pfn_start, backing.pfn_end
    for first in range(0, len(backing), _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        yield Part(
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
