"""Heads of blocks, free ones and compounds, in a window of struct pages: records, and no rules.

What is made of them, and of what lies behind them, stands in ``blocks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask
from vmemmap.pages.struct_pages import Window

Rows = NDArray[np.intp]
U64 = NDArray[np.uint64]
NO_PFN = (1 << 64) - 1
"""What stands for the head that no tail names."""


@dataclass(frozen=True, slots=True)
class DamagedPage:
    """A struct page that cannot be what it says.

    Attributes:
        pfn: Its page.
        code: A stable word for programs.
        reason: What is wrong with it, in words.
    """

    pfn: int
    code: str
    reason: str

    def __str__(self) -> str:
        return f"pfn {self.pfn}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CompoundSpan:
    """The compound that a page is in the middle of.

    Attributes:
        kind: What its head is; None if the head cannot be read.
        end_pfn: The pfn after its last page.
        may: The kinds that the head may be, where that is undecided; see `Judged.may`.
    """

    kind: Kind | None
    end_pfn: int
    may: int = 0


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads of blocks: their rows in a window, sorted, and their orders."""

    rows: Rows
    orders: U64

    def only(self, which: Mask) -> Heads:
        """Give some of them."""
        return Heads(self.rows[which], self.orders[which])

    def misaligned(self, window: Window) -> Mask:
        """Tell which are no multiple of their block's size."""
        mask = (np.uint64(1) << self.orders) - np.uint64(1)
        return np.asarray(((self.rows + window.first_pfn).astype(np.uint64) & mask) != 0)

    def behind(self, window: Window) -> tuple[Rows, Rows]:
        """Give the rows behind each head: from the one after it to the last, cut at the window."""
        ends = self.rows + (np.uint64(1) << self.orders).astype(np.intp)
        return self.rows + 1, np.minimum(ends, window.count)


def _no_heads() -> Heads:
    return Heads(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.uint64))


@dataclass(slots=True)
class Blocks:
    """The blocks of a window.

    Attributes:
        free: The heads of free blocks.
        compounds: The heads of compounds.
        damaged: How many pages are damaged.
        damage: Some of them.
    """

    free: Heads = field(default_factory=_no_heads)
    compounds: Heads = field(default_factory=_no_heads)
    damaged: int = 0
    damage: list[DamagedPage] = field(default_factory=list)

    def order_at(self, row: int) -> int | None:
        """Give the order of the free block or compound that a row of the window lies in."""
        for heads in (self.free, self.compounds):
            at = int(np.searchsorted(heads.rows, row, side="right")) - 1
            if at >= 0 and row < int(heads.rows[at]) + (1 << int(heads.orders[at])):
                return int(heads.orders[at])
        return None


def named_heads(layout: PageLayout, base: int, words: U64) -> U64:
    """Give the pfn of the head that the words of tails name; `NO_PFN` where that is none.

    Args:
        layout: The kernel's struct page.
        base: Virtual address of the struct page of pfn 0.
        words: ``compound_head`` (bit 0 marks a tail) or, before 4.4, ``first_page`` of each.
    """
    at = words & ~np.uint64(1)
    pfn, rest = np.divmod(at - np.uint64(base), np.uint64(layout.size))
    return np.where((rest == 0) & (at >= np.uint64(base)), pfn, np.uint64(NO_PFN))
