"""From heads to what they head: compound pages and free blocks, and where they contradict.

A head says how many pages follow it; every struct page of those has to agree. Those that do not are
damaged, and are named; nothing here can loop, since no pointer is ever followed further than once.

Source: Linux mm/page_alloc.c (prep_compound_page, free blocks), include/linux/page-flags.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.classify import Columns, Marks
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.compound_words import Word
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.struct_pages import Window

Rows = NDArray[np.intp]
Heads = tuple[Rows, NDArray[np.uint64]]
"""Rows of heads, and their orders."""
_KEPT_PER_WINDOW = 32
_ORDER_UNKNOWN_MAX = 64


@dataclass(frozen=True, slots=True)
class Damage:
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
        return f"pfn {self.pfn:#x}: {self.reason}"


@dataclass(frozen=True, slots=True)
class HeadOf:
    """The compound that a page is in the middle of.

    Attributes:
        kind: What its head is; None if the head cannot be read.
        end_pfn: The pfn after its last page.
    """

    kind: Kind | None
    end_pfn: int


@dataclass(slots=True)
class Spread:
    """What the heads of a window say.

    Attributes:
        free_rows: Rows of the heads of free blocks.
        free_orders: Their orders.
        head_rows: Rows of the heads of compounds.
        head_orders: Their orders.
        damaged: How many pages are damaged.
        damage: Some of them.
    """

    free_rows: Rows
    free_orders: NDArray[np.uint64]
    head_rows: Rows
    head_orders: NDArray[np.uint64]
    damaged: int = 0
    damage: list[Damage] = field(default_factory=list)


class Spreader:
    """Gives the pages behind a head the head's kind.

    Args:
        layout: The kernel's struct page.
        base: Virtual address of the struct page of pfn 0.
        head_of: Says of a pfn outside the window whether it heads a compound that reaches into it.
    """

    def __init__(
        self, layout: PageLayout, base: int, head_of: Callable[[int], HeadOf | None]
    ) -> None:
        self._layout = layout
        self._base = base
        self.head_of = head_of

    def spread(
        self, window: Window, columns: Columns, marks: Marks, usable: NDArray[np.bool_] | None
    ) -> Spread:
        """Complete ``columns.kind`` of a window.

        Args:
            window: The struct pages.
            columns: Its columns; the kinds by themselves are in them.
            marks: What the bits say.
            usable: Rows whose struct page counts, or None for all.
        """
        kind = columns.kind
        none, no_orders = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.uint64)
        found = Spread(none, no_orders, none, no_orders)
        self._free_blocks(window, kind, usable, found)
        tail = marks.tail if usable is None else marks.tail & usable
        if marks.head.any() or tail.any():
            self._compounds(window, kind, marks, tail, usable, found)
        self._wild_mappings(window, columns, marks, usable, found)
        return found

    def hugetlb_heads(self, window: Window, rows: Rows) -> NDArray[np.bool_] | None:
        """Tell which heads their second page marks as hugetlb; None if the head itself tells."""
        word, value = self._layout.compound_dtor, self._layout.hugetlb_dtor
        if word is None or value is None or not len(rows):
            return None
        return np.asarray(self._second(window, rows, word) == np.uint64(value))

    def compound_orders(
        self, window: Window, rows: Rows, tail: NDArray[np.bool_]
    ) -> NDArray[np.uint64]:
        """Give the orders that heads claim; where no member has it, that of the tails behind."""
        word = self._layout.compound_order
        if word is not None:
            return self._second(window, rows, word)
        ends = np.flatnonzero(np.r_[~tail, True])  # rows that are no tail, and the end
        after = ends[np.searchsorted(ends, rows, side="right")]
        return np.log2((after - rows).astype(np.float64)).astype(np.uint64)

    def _second(self, window: Window, rows: Rows, word: Word) -> NDArray[np.uint64]:
        """Give a number from the struct page after each head; 0 where that cannot be read."""
        out = np.zeros(len(rows), dtype=np.uint64)
        good = np.flatnonzero(window.readable(rows + 1))
        values = window.gather(word.offset, word.width, rows[good] + 1)
        out[good] = values & np.uint64(word.mask)
        return out

    def _free_blocks(
        self,
        window: Window,
        kind: NDArray[np.uint8],
        usable: NDArray[np.bool_] | None,
        found: Spread,
    ) -> None:
        rows = np.flatnonzero(kind == Kind.FREE)
        if not len(rows) or self._layout.private is None:
            return
        orders = window.gather(self._layout.private, 8, rows)
        heads = self._without(
            found, window, kind, (rows, orders), orders >= self._layout.orders, "free_order",
            f"it heads a free block of an order that is not below {self._layout.orders}",
        )  # fmt: skip
        rows, orders = self._without(
            found, window, kind, heads, _misaligned(window, heads), "free_misaligned",
            "it heads a free block, but is no multiple of the block's size",
        )  # fmt: skip
        inner = orders > 0
        starts, ends = _ranges(rows[inner], orders[inner], window.count)
        cover, deep = _cover(starts, ends, window.count)
        if cover is not None:
            if usable is not None:
                cover &= usable
            busy = cover & (kind != Kind.OTHER)
            if deep or busy.any():
                # The pages keep what they say themselves; the block's head is what is wrong.
                bad = _owners(rows[inner], starts, ends, np.flatnonzero(busy))
                self._condemn(
                    found, window, kind, bad, "free_overlap",
                    "it heads a free block, but pages in the block are in use",
                )  # fmt: skip
                keep = ~np.isin(rows, bad)
                rows, orders = rows[keep], orders[keep]
                inner = orders > 0
                cover, _ = _cover(*_ranges(rows[inner], orders[inner], window.count), window.count)
                if cover is not None:
                    cover &= kind == Kind.OTHER
                    if usable is not None:
                        cover &= usable
            if cover is not None:
                np.maximum(kind, cover.view(np.uint8) * np.uint8(Kind.FREE), out=kind)
        found.free_rows, found.free_orders = rows, orders

    def _compounds(
        self,
        window: Window,
        kind: NDArray[np.uint8],
        marks: Marks,
        tail: NDArray[np.bool_],
        usable: NDArray[np.bool_] | None,
        found: Spread,
    ) -> None:
        head = marks.head & (kind != Kind.FREE) & (kind != Kind.DAMAGED)
        rows = np.flatnonzero(head if usable is None else head & usable)
        huge = self.hugetlb_heads(window, rows)
        if huge is not None:
            kind[rows[huge]] = Kind.HUGETLB
        orders = self.compound_orders(window, rows, tail)
        most = self._layout.max_compound_order
        heads = self._without(
            found, window, kind, (rows, orders), (orders < 1) | (orders > most), "compound_order",
            f"it heads a compound of an order that is not between 1 and {most}",
        )  # fmt: skip
        rows, orders = self._without(
            found, window, kind, heads, _misaligned(window, heads), "compound_misaligned",
            "it heads a compound, but is no multiple of the compound's size",
        )  # fmt: skip
        starts, ends = _ranges(rows, orders, window.count)
        cover, _ = _cover(starts, ends, window.count)
        if cover is None:
            cover = np.zeros(window.count, dtype=np.bool_)
        short = cover & ~tail if usable is None else cover & ~tail & usable
        if short.any():
            bad = _owners(rows, starts, ends, np.flatnonzero(short))
            self._condemn(
                found, window, kind, bad, "compound_short",
                "it heads a compound, but a page in it is no tail",
            )  # fmt: skip
            keep = ~np.isin(rows, bad)
            rows, orders = rows[keep], orders[keep]
            starts, ends = _ranges(rows, orders, window.count)
            again, _ = _cover(starts, ends, window.count)
            cover = np.zeros(window.count, dtype=np.bool_) if again is None else again
        found.head_rows, found.head_orders = rows, orders
        self._give_kinds(window, kind, rows, starts, ends, cover & tail, found)
        orphans = np.flatnonzero(tail & ~cover)
        if len(orphans):
            self._orphans(window, kind, orphans, found)

    def _give_kinds(
        self,
        window: Window,
        kind: NDArray[np.uint8],
        rows: Rows,
        starts: Rows,
        ends: Rows,
        members: NDArray[np.bool_],
        found: Spread,
    ) -> None:
        """Give tails the kind of their head, after a look at whether they name that head."""
        at = np.flatnonzero(members)
        if not len(at):
            return
        # Sound compounds do not overlap, so the last head before a tail is the one that covers it.
        owner = np.repeat(
            np.arange(len(rows)), np.searchsorted(at, ends) - np.searchsorted(at, starts)
        )
        own = kind[rows]
        # Of a kernel allocation no more is known than that; but a reserved one is reserved.
        own = np.where(own == Kind.OTHER, np.uint8(Kind.COMPOUND_TAIL), own)
        poisoned = kind[at] == Kind.HWPOISON
        kind[at] = np.where(poisoned, np.uint8(Kind.HWPOISON), own[owner])
        named = self.named_heads(window, at)
        expected = (rows.astype(np.uint64) + np.uint64(window.first_pfn))[owner]
        wrong = at[named != expected]
        self._condemn(
            found, window, kind, wrong, "tail_wrong_head",
            "it lies in a compound, but names another page as its head",
        )  # fmt: skip

    def named_heads(self, window: Window, rows: Rows) -> NDArray[np.uint64]:
        """Give the pfn that each tail names as its head; 2**64 - 1 where that is none."""
        layout = self._layout
        offset = layout.head if layout.head is not None else layout.first_page
        assert offset is not None
        words = window.gather(offset, 8, rows)
        if layout.head is not None:
            words -= np.uint64(1)
        into = words - np.uint64(self._base)
        pfn, rest = np.divmod(into, np.uint64(layout.size))
        return np.where(rest == 0, pfn, np.uint64((1 << 64) - 1))

    def _orphans(self, window: Window, kind: NDArray[np.uint8], rows: Rows, found: Spread) -> None:
        """Settle tails that no head in the window covers: the head may be before it, or lost."""
        named = self.named_heads(window, rows)
        lost = np.zeros(window.count, dtype=np.bool_)
        for gap in window.missing:
            lost[gap.start : gap.end] = True
        inside = (named >= window.first_pfn) & (named < window.first_pfn + window.count)
        settled = np.zeros(len(rows), dtype=np.bool_)
        settled[inside] = lost[(named[inside] - np.uint64(window.first_pfn)).astype(np.intp)]
        outside = np.unique(named[~inside & (named < window.first_pfn)])[:_ORDER_UNKNOWN_MAX]
        for pfn in outside.tolist():
            owner = self.head_of(pfn)
            if owner is None:
                continue
            mine = (named == pfn) & (rows + window.first_pfn < owner.end_pfn)
            settled |= mine
            if owner.kind not in (None, Kind.OTHER):
                kind[rows[mine]] = owner.kind
        self._condemn(
            found, window, kind, rows[~settled], "tail_without_head",
            "it is the tail of a compound, but the page that it names does not head one with it",
        )  # fmt: skip

    def _wild_mappings(
        self,
        window: Window,
        columns: Columns,
        marks: Marks,
        usable: NDArray[np.bool_] | None,
        found: Spread,
    ) -> None:
        """Find pages that can be reclaimed, whose mapping leads to no kernel data."""
        odd = marks.lru & ~marks.tail & ~marks.cache & ~marks.anon & ~marks.slab
        if not odd.any():
            return
        if usable is not None:
            odd &= usable
        rows = np.flatnonzero(odd & (columns.mapping != 0))
        if len(rows):
            values = window.gather(self._layout.mapping, 8, rows)
            top = values >> np.uint64(61)
            self._condemn(
                found, window, columns.kind, rows[top != 6], "wild_mapping",
                "it is on a list for reclaim, but its mapping leads to no kernel data",
            )  # fmt: skip

    def _without(
        self,
        found: Spread,
        window: Window,
        kind: NDArray[np.uint8],
        heads: Heads,
        wrong: NDArray[np.bool_],
        code: str,
        reason: str,
    ) -> Heads:
        """Condemn the heads that are wrong, and give the others."""
        rows, orders = heads
        self._condemn(found, window, kind, rows[wrong], code, reason)
        return rows[~wrong], orders[~wrong]

    def _condemn(
        self,
        found: Spread,
        window: Window,
        kind: NDArray[np.uint8],
        rows: Rows,
        code: str,
        reason: str,
    ) -> None:
        if not len(rows):
            return
        found.damaged += len(rows)
        kind[rows] = Kind.DAMAGED
        room = _KEPT_PER_WINDOW - len(found.damage)
        pfns = (rows[: max(room, 0)] + window.first_pfn).tolist()
        found.damage += [Damage(pfn, code, reason) for pfn in pfns]


def _misaligned(window: Window, heads: Heads) -> NDArray[np.bool_]:
    rows, orders = heads
    mask = (np.uint64(1) << orders) - np.uint64(1)
    return np.asarray(((rows + window.first_pfn).astype(np.uint64) & mask) != 0)


def _ranges(rows: Rows, orders: NDArray[np.uint64], count: int) -> tuple[Rows, Rows]:
    """Give the rows behind each head: from the one after it to the last, cut at the window."""
    ends = rows + (np.uint64(1) << orders).astype(np.intp)
    return rows + 1, np.minimum(ends, count)


def _cover(starts: Rows, ends: Rows, count: int) -> tuple[NDArray[np.bool_] | None, bool]:
    """Mark the rows inside the ranges, and tell whether ranges overlap; None if there are none."""
    some = ends > starts
    if not some.any():
        return None, False
    starts, ends = starts[some], ends[some]
    overlap = bool((starts[1:] <= ends[:-1] - 1).any())
    if overlap:
        deltas = np.bincount(starts, minlength=count + 1)
        deltas -= np.bincount(ends, minlength=count + 1)
        return np.cumsum(deltas)[:count] > 0, True
    # Gap, range, gap, range, ..., gap: cheaper than adding up where they begin and end.
    bounds = np.zeros(2 * len(starts) + 2, dtype=np.intp)
    bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = starts, ends, count
    inside = np.zeros(2 * len(starts) + 1, dtype=np.bool_)
    inside[1::2] = True
    return np.repeat(inside, np.diff(bounds)), False


def _owners(rows: Rows, starts: Rows, ends: Rows, at: Rows) -> Rows:
    """Give the heads whose range holds any of the rows *at* (sorted)."""
    hit = np.searchsorted(at, ends) > np.searchsorted(at, starts)
    return rows[hit]
