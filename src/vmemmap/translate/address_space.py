"""Virtual to physical for one kernel: finds the region, then asks the way that the region needs.

It takes the list as a plain table and never looks at where that comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import NoSuchRegion, NotBacked, ReadError, TranslateError
from vmemmap.facts.linear_map import PAGE_OFFSET
from vmemmap.translate.lookup import NOT_MAPPED, BlockTable
from vmemmap.translate.radix import RadixTree
from vmemmap.translate.regions import Layout, Method

RadixOrWhy = Callable[[int], RadixTree]
"""Gives the kernel's radix tree, or raises UnsupportedMmu for the address that asked."""


@dataclass(frozen=True, slots=True)
class Resolved:
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


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """One kernel's address space.

    Attributes:
        layout: Its regions.
        blocks: The vmemmap's blocks; empty where the kernel keeps no list.
        block_size: Bytes in one block.
        page_size: The kernel's page size in bytes.
        radix: Gives the page tables, when an address needs them.
        doubt: Gives what speaks against an address having no block, in words, or nothing.
    """

    layout: Layout
    blocks: BlockTable
    block_size: int
    page_size: int
    radix: RadixOrWhy
    doubt: Callable[[int], str] = lambda _: ""

    def translate(self, virt: int) -> Resolved:
        """Translate one address; see ``Vmcore.vtop`` for what it raises."""
        region = self.layout.find(virt)
        if region is None:
            raise NoSuchRegion(self._no_region(virt), virt=virt)
        if region.method is Method.LINEAR:
            return Resolved(virt - PAGE_OFFSET, "linear", region.name, None)
        if region.method is Method.VMEMMAP and len(self.blocks):
            hit = self.blocks.find(virt)
            if hit is None:
                raise self._not_backed(virt)
            return Resolved(hit.phys, "vmemmap_list", region.name, hit.row)
        return Resolved(self.radix(virt).translate(virt), "page_table", region.name, None)

    def translate_many(self, virt: NDArray[np.uint64]) -> BulkTranslation:
        """Translate many addresses; see ``Vmcore.vtop_many``."""
        phys = self.blocks.translate_many(virt)
        mask = phys != NOT_MAPPED
        if mask.all():
            return BulkTranslation(phys, mask)
        for region in self.layout.regions:
            inside = ~mask & (virt >= np.uint64(region.start)) & (virt < np.uint64(region.end))
            if region.method is Method.LINEAR:
                phys[inside] = virt[inside] - np.uint64(PAGE_OFFSET)
                mask |= inside
            elif region.method is Method.PAGE_TABLE or not len(self.blocks):
                self._walk_pages(virt, phys, mask, inside)
        return BulkTranslation(phys, mask)

    def contiguous(self, virt: int) -> int:
        """Give how many bytes from *virt* on surely lie side by side in physical memory."""
        region = self.layout.find(virt)
        if region is None:
            return 1
        if region.method is Method.LINEAR:
            return region.end - virt
        in_list = region.method is Method.VMEMMAP and len(self.blocks)
        unit = self.block_size if in_list else self.page_size
        return unit - virt % unit

    def _walk_pages(
        self,
        virt: NDArray[np.uint64],
        phys: NDArray[np.uint64],
        mask: NDArray[np.bool_],
        inside: NDArray[np.bool_],
    ) -> None:
        """Walk the page tables once for each page among the addresses selected by *inside*."""
        rows = np.flatnonzero(inside)
        page = np.uint64(self.page_size)
        pages, which = np.unique(virt[rows] // page, return_inverse=True)
        found = np.full(len(pages), NOT_MAPPED, dtype=np.uint64)
        for i, number in enumerate(pages.tolist()):
            address = number * self.page_size
            try:
                found[i] = self.radix(address).translate(address)
            except (TranslateError, ReadError):
                continue  # masked out, which is how the bulk form says that there is none
        good = found[which] != NOT_MAPPED
        hits = rows[good]
        phys[hits] = found[which[good]] + virt[hits] % page
        mask[hits] = True

    def _no_region(self, virt: int) -> str:
        if virt < 0x8000_0000_0000_0000:
            return f"{virt:#x} is no kernel address: user memory is not translated"
        where = f"in no region of this kernel's address space (layout {self.layout.name})"
        return f"{virt:#x} lies {where}"

    def _not_backed(self, virt: int) -> NotBacked:
        below, above = self.blocks.neighbours(virt)
        near = [
            f"nearest {word} {start:#x} +{self.block_size >> 10} KiB"
            for word, start in (("below", below), ("above", above))
            if start is not None
        ]
        return NotBacked(
            f"cannot translate {virt:#x}: no vmemmap_list entry covers it ({'; '.join(near)})"
            + self.doubt(virt),
            virt=virt,
            below=below,
            above=above,
        )
