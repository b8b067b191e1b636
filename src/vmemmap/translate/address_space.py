"""Virtual to physical for one kernel: finds the region, then asks the way that the region needs.

It takes the list as a plain table and never looks at where that comes from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.errors import FactError, NoSuchRegion, NotBacked, ReadError, TranslateError
from vmemmap.linear_map import linear_phys, linear_phys_many
from vmemmap.shown import ShortTable
from vmemmap.translate.lookup import NOT_MAPPED, BlockTable
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.translate.regions import AddressLayout, Method
from vmemmap.translate.runs import merge

TablesOrWhy = Callable[[int], PageTable]
"""Gives the kernel's page tables, or raises what speaks against it for the address that asked."""

_RUN_PAGES = 1 << 12
_TABLES_MAX = 1 << 16
_DENSE_PAGES_ALWAYS = 1 << 20
_DENSE_PAGES_PER_ADDRESS = 8


class Resolved(NamedTuple):
    """A physical address, the way it was found, and the table's row if it was the table."""

    phys: int
    method: str
    region: str
    row: int | None


class BulkTranslation(NamedTuple):
    """Many addresses translated; unpacks as ``phys, mask``.

    Attributes:
        phys: Physical addresses (bytes), uint64 in native byte order, same length as asked; where
            *mask* is False the value is 2**64 - 1.
        mask: Whether the address has a translation.
    """

    phys: NDArray[np.uint64]
    mask: NDArray[np.bool_]

    def __repr__(self) -> str:
        """Give how many there are, and the first and the last."""
        missing = len(self.mask) - int(self.mask.sum())
        title = f"BulkTranslation: {len(self.phys)} addresses, {missing} without a translation"
        return ShortTable(title, ("#", "phys"), len(self.phys), self._shown_row).as_text()

    def _shown_row(self, at: int) -> tuple[str, str]:
        return str(at), f"0x{self.phys[at]:x}" if self.mask[at] else "-"


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """One kernel's address space.

    Attributes:
        layout: Its regions.
        blocks: The vmemmap's blocks; empty where the kernel keeps no list.
        block_size: Bytes in one block.
        page_size: The kernel's page size in bytes.
        tables: Gives the page tables, when an address needs them.
        doubt: Gives what speaks against an address having no block, in words, or nothing.
        list_error: Why the list cannot be had, where the vmemmap needs it.
    """

    layout: AddressLayout
    blocks: BlockTable
    block_size: int
    page_size: int
    tables: TablesOrWhy
    doubt: Callable[[int], str] = lambda _: ""
    list_error: FactError | None = None

    def translate(self, virt: int) -> Resolved:
        """Translate one address; see ``Vmcore.vtop`` for what it raises."""
        region = self.layout.find(virt)
        if region is None:
            raise NoSuchRegion(self._no_region(virt), virt=virt)
        method = region.method
        if method is Method.VMEMMAP:
            hit = self.blocks.find(virt)
            if hit is not None:
                return Resolved(hit.phys, "vmemmap_list", region.name, hit.row)
            if len(self.blocks):
                raise self._not_backed(virt)
            if self.list_error is not None:
                raise self.list_error.with_traceback(None)
        elif method is Method.LINEAR:
            phys = linear_phys(virt)
            assert phys is not None
            return Resolved(phys, "linear", region.name, None)
        return Resolved(self.tables(virt).translate(virt), "page_table", region.name, None)

    def translate_many(self, virt: NDArray[np.uint64]) -> BulkTranslation:
        """Translate many addresses; see ``Vmcore.vtop_many``."""
        phys = self.blocks.translate_many(virt)
        mask = phys != NOT_MAPPED
        if mask.all():
            return BulkTranslation(phys, mask)
        for region in self.layout.regions:
            inside = ~mask & (virt >= np.uint64(region.start)) & (virt < np.uint64(region.end))
            if not inside.any():
                continue
            if region.method is Method.LINEAR:
                phys[inside], _ = linear_phys_many(virt[inside])
                mask |= inside
            elif region.method is Method.PAGE_TABLE or not len(self.blocks):
                if region.method is Method.VMEMMAP and self.list_error is not None:
                    raise self.list_error.with_traceback(None)
                phys[inside] = self._walk_pages(virt[inside])
                mask = phys != NOT_MAPPED
        return BulkTranslation(phys, mask)

    def paged_runs(self) -> Iterator[tuple[str, NDArray[np.uint64]]]:
        """Give what the page tables map, region by region; of damaged ones 65,536 tables each.

        Yields:
            The region's name, and rows of virtual address, physical address and size (bytes).
        """
        for region in self.layout.regions:
            in_list = region.method is Method.VMEMMAP and len(self.blocks)
            if region.method is Method.LINEAR or in_list:
                continue
            with suppress(FactError, TranslateError, ReadError):
                tables = self.tables(region.start)
                yield region.name, merge(tables.mapped(region.start, region.end, _TABLES_MAX))

    def runs(self, virt: int, size: int) -> Iterator[tuple[int, int]]:
        """Give the physical pieces of ``[virt, virt + size)``, in order.

        Yields:
            Physical address and length of each (bytes); neighbours that touch may come apart.

        Raises:
            VmemmapError: As for `translate`, at the first address that has no translation; what
                lies before it has been given.
        """
        while size > 0:
            region = self.layout.find(virt)
            paged = region is not None and region.method is Method.PAGE_TABLE
            if region is None or not paged or size <= self._contiguous(virt):
                length = min(size, self._contiguous(virt))
                yield self.translate(virt).phys, length
                virt, size = virt + length, size - length
                continue
            length = min(size, region.end - virt, _RUN_PAGES * self.page_size)
            for phys, part in self._paged_runs(virt, length):
                yield phys, part
                virt, size = virt + part, size - part

    def _paged_runs(self, virt: int, size: int) -> Iterator[tuple[int, int]]:
        """Give the pieces of a range that the page tables map, up to and with the first hole."""
        page = self.page_size
        first = virt & -page
        starts = np.arange((virt + size - first + page - 1) // page, dtype=np.uint64)
        starts = np.uint64(first) + starts * np.uint64(page)
        phys = self._walk_pages(starts)
        ends = np.flatnonzero(np.diff(phys) != np.uint64(page)) + 1
        borders = [0, *ends.tolist(), len(starts)]
        for low, high in itertools.pairwise(borders):
            begin = max(virt, first + low * page)
            if phys[low] == NOT_MAPPED:
                self.translate(begin)  # says why there is none
                raise AssertionError("translated one by one and not in bulk")
            length = min(virt + size, first + high * page) - begin
            yield int(phys[low]) + begin - (first + low * page), length

    def _contiguous(self, virt: int) -> int:
        """Give how many bytes from *virt* on surely lie side by side in physical memory."""
        region = self.layout.find(virt)
        if region is None:
            return 1
        if region.method is Method.LINEAR:
            return region.end - virt
        in_list = region.method is Method.VMEMMAP and len(self.blocks)
        unit = self.block_size if in_list else self.page_size
        return unit - virt % unit

    def _walk_pages(self, virt: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Walk the page tables once for each page among the addresses; NOT_MAPPED where none."""
        if not len(virt):
            return virt
        try:
            tables = self.tables(int(virt[0]))
        except TranslateError:
            return np.full(len(virt), NOT_MAPPED, dtype=np.uint64)
        pages = distinct_pages(virt, self.page_size)
        phys = tables.translate_pages(pages)
        known = phys != NOT_MAPPED
        return BlockTable(pages[known], phys[known], self.page_size).translate_many(virt)

    def _no_region(self, virt: int) -> str:
        if virt < 0x8000_0000_0000_0000:
            return f"{virt:#x} is no kernel address: user memory is not translated"
        below = [region for region in self.layout.regions if region.end <= virt]
        above = [region for region in self.layout.regions if region.start > virt]
        sides = [f"{below[-1].name} ends at {below[-1].end:#x}"] if below else []
        sides += [f"{above[0].name} begins at {above[0].start:#x}"] if above else []
        return (
            f"{virt:#x} lies in no region of this kernel's address space (layout "
            f"{self.layout.name}): {' and '.join(sides)}"
        )

    def _not_backed(self, virt: int) -> NotBacked:
        below, above = self.blocks.neighbours(virt)
        near = [
            f"nearest {side} {start:#x} +{self.block_size >> 10} KiB"
            for side, start in (("below", below), ("above", above))
            if start is not None
        ]
        return NotBacked(
            f"cannot translate {virt:#x}: no vmemmap_list entry covers it ({'; '.join(near)})"
            + self.doubt(virt),
            virt=virt,
            below=below,
            above=above,
        )


def distinct_pages(virt: NDArray[np.uint64], page_size: int) -> NDArray[np.uint64]:
    """Give the pages that addresses lie in, each once and sorted, by their first address.

    Args:
        virt: Addresses (bytes), uint64, at least one, any order.
        page_size: Bytes in a page; a power of two.

    Returns:
        uint64. O(n) where the addresses lie near one another, else O(n log n).
    """
    shift = np.uint64(page_size.bit_length() - 1)
    numbers = virt >> shift
    lowest = numbers.min()
    span = int(numbers.max() - lowest) + 1
    if span > max(_DENSE_PAGES_ALWAYS, _DENSE_PAGES_PER_ADDRESS * len(virt)):
        return distinct(numbers) << shift
    asked = np.zeros(span, dtype=np.bool_)
    asked[(numbers - lowest).view(np.int64)] = True
    pages: NDArray[np.uint64] = (np.flatnonzero(asked).astype(np.uint64) + lowest) << shift
    return pages
