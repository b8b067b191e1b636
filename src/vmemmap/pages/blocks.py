"""From heads to what they head: compound pages and free blocks, and where they contradict.

A head says how many pages follow it; every struct page of those has to agree. Those that do not are
damaged, and are named; nothing here can loop, since no pointer is ever followed further than once.
The compiled pass (``one_pass.py``) knows the same blocks, but only sound ones; whatever it finds
out of the ordinary comes here.

Eight pages, a free block of order 1 and a compound of order 2, before and after::

    pfn            8       9        10       11     12      13     14     15
    by itself    free   other     cache    cache  other    tail   tail   tail
    says      order 1                            order 2    ->12   ->12   ->12
    kind         free    free     cache    cache  other   compound_tail

Source: Linux mm/page_alloc.c (prep_compound_page, free blocks), include/linux/page-flags.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct, is_among
from vmemmap.pages.heads import (
    NO_PFN,
    U64,
    Blocks,
    CompoundSpan,
    DamagedPage,
    Heads,
    Rows,
    named_heads,
)
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.compound_words import Word
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask, MemberReader, Members
from vmemmap.pages.rules import Judged, Mark, judge, tail_kinds, tells_hugetlb
from vmemmap.pages.struct_pages import StructPages, Window

_KEPT_PER_WINDOW = 32
_HEADS_ASKED_MAX = 64
_ENDLESS = 1 << 64


class BlockReader:
    """Gives the pages behind a head the head's kind.

    Args:
        layout: The kernel's struct page.
        struct_pages: Where they are, for heads outside the window that is looked at.
    """

    def __init__(self, layout: PageLayout, struct_pages: StructPages) -> None:
        self._layout = layout
        self._struct_pages = struct_pages
        self._knows_compounds = not {"head", "tail"} & set(layout.unsettled)

    def complete(
        self, window: Window, members: Members, judged: Judged, usable: Mask | None
    ) -> Blocks:
        """Find the blocks of a window, and complete ``judged.kind`` by them.

        Args:
            window: The struct pages.
            members: Their members.
            judged: What each is by itself.
            usable: Rows whose struct page counts, or None for all.
        """
        if usable is None:
            usable = np.ones(window.count, dtype=np.bool_)
        work = _Completing(window, judged.kind, usable, judged.may)
        self._free_blocks(work)
        head, tail = judged.has(Mark.HEAD) & usable, judged.has(Mark.TAIL) & usable
        if not self._knows_compounds:
            pass  # their tails are undecided
        elif head.any() or tail.any():
            self._compounds(work, head, tail)
        wild = judged.has(Mark.WILD_LRU) & usable & (members.mapping != 0)
        work.condemn(
            np.flatnonzero(wild), "wild_mapping",
            "it is on a list for reclaim, but its mapping leads to no kernel data",
        )  # fmt: skip
        return work.found

    def hugetlb_heads(self, window: Window, rows: Rows) -> Mask:
        """Tell which heads their second page marks as hugetlb, as until 6.8."""
        word, value = self._layout.compound_dtor, self._layout.hugetlb_dtor
        if word is None or value is None:
            return np.zeros(len(rows), dtype=np.bool_)
        return np.asarray(self._second(window, rows, word) == np.uint64(value))

    def compound_orders(self, window: Window, rows: Rows, tail: Mask) -> U64:
        """Give the orders that heads claim; where no member has it, that of the tails behind."""
        word = self._layout.compound_order
        if word is not None:
            return self._second(window, rows, word)
        ends = np.flatnonzero(np.r_[~tail, True])  # rows that are no tail, and the end
        after = ends[np.searchsorted(ends, rows, side="right")]
        return np.log2((after - rows).astype(np.float64)).astype(np.uint64)

    def named_heads(self, window: Window, rows: Rows) -> U64:
        """Give the pfn that each of some tails names as its head; `NO_PFN` where that is none."""
        layout = self._layout
        offset = layout.head if layout.head is not None else layout.first_page
        if offset is None:
            return np.full(len(rows), NO_PFN, dtype=np.uint64)
        return named_heads(layout, self._struct_pages.base, window.gather(offset, 8, rows))

    def compound_at(self, pfn: int) -> CompoundSpan | None:
        """Look at a page anywhere as the head of a compound; None if it heads none."""
        if self._struct_pages.sections.find(pfn) is None:
            return None
        window = self._struct_pages.window(pfn, 2)
        if window.missing:
            return CompoundSpan(None, _ENDLESS)
        if not window.complete:
            return None
        judged = judge(self._layout, MemberReader(self._layout).read(window))
        tail = judged.has(Mark.TAIL)
        if not self._knows_compounds or not judged.has(Mark.HEAD)[0] or not tail[1]:
            return None
        row = np.zeros(1, dtype=np.intp)
        huge = tells_hugetlb(self._layout) and bool(self.hugetlb_heads(window, row)[0])
        kind = Kind.HUGETLB if huge else Kind(int(judged.kind[0]))
        may = 0 if judged.may is None else tail_kinds(int(judged.may[0]))
        if self._layout.compound_order is None:
            return CompoundSpan(
                kind, _ENDLESS, may
            )  # such a kernel does not say where the compound ends
        order = int(self.compound_orders(window, row, tail)[0])
        if not 1 <= order <= self._layout.max_compound_order:
            return None
        return CompoundSpan(kind, pfn + (1 << order), may)

    def _second(self, window: Window, rows: Rows, word: Word) -> U64:
        """Give a number from the struct page after each head; 0 where that cannot be read."""
        out = np.zeros(len(rows), dtype=np.uint64)
        good = np.flatnonzero(window.readable(rows + 1))
        values = window.gather(word.offset, word.width, rows[good] + 1)
        out[good] = values & np.uint64(word.mask)
        return out

    def _free_blocks(self, work: _Completing) -> None:
        window, kind = work.window, work.kind
        rows = np.flatnonzero(kind == Kind.FREE)
        if not len(rows) or self._layout.private is None:
            return
        heads = Heads(rows, window.gather(self._layout.private, 8, rows))
        heads = work.without(
            heads, heads.orders >= self._layout.orders, "free_order",
            f"it heads a free block of an order that is not below {self._layout.orders}",
        )  # fmt: skip
        heads = work.without(
            heads, heads.misaligned(window), "free_misaligned",
            "it heads a free block, but is no multiple of the block's size",
        )  # fmt: skip
        several = heads.only(heads.orders > 0)
        cover, deep = _cover(*several.behind(window), window.count)
        # What a page behind a head may be does not matter: the block's order says that it is free.
        idle = (kind == Kind.OTHER) | (kind == Kind.UNDECIDED)
        busy = cover & work.usable & ~idle
        if deep or busy.any():
            # The pages keep what they say themselves; the block's head is what is wrong.
            bad = _owners(several, window, np.flatnonzero(busy))
            work.condemn(
                bad, "free_overlap", "it heads a free block, but pages in the block are in use"
            )
            heads = heads.only(~is_among(heads.rows, bad))
            cover, _ = _cover(*heads.only(heads.orders > 0).behind(window), window.count)
        kind[cover & work.usable & idle] = Kind.FREE
        work.found.free = heads

    def _compounds(self, work: _Completing, head: Mask, tail: Mask) -> None:
        window, kind, most = work.window, work.kind, self._layout.max_compound_order
        rows = np.flatnonzero(head & (kind != Kind.FREE) & (kind != Kind.DAMAGED))
        if tells_hugetlb(self._layout):
            kind[rows[self.hugetlb_heads(window, rows)]] = Kind.HUGETLB
        heads = Heads(rows, self.compound_orders(window, rows, tail))
        heads = work.without(
            heads, (heads.orders < 1) | (heads.orders > most), "compound_order",
            f"it heads a compound of an order that is not between 1 and {most}",
        )  # fmt: skip
        heads = work.without(
            heads, heads.misaligned(window), "compound_misaligned",
            "it heads a compound, but is no multiple of the compound's size",
        )  # fmt: skip
        cover, _ = _cover(*heads.behind(window), window.count)
        short = cover & ~tail & work.usable
        if short.any():
            bad = _owners(heads, window, np.flatnonzero(short))
            work.condemn(bad, "compound_short", "it heads a compound, but a page in it is no tail")
            heads = heads.only(~is_among(heads.rows, bad))
            cover, _ = _cover(*heads.behind(window), window.count)
        work.found.compounds = heads
        self._give_kinds(work, heads, np.flatnonzero(cover & tail))
        self._orphans(work, np.flatnonzero(tail & ~cover))

    def _give_kinds(self, work: _Completing, heads: Heads, tails: Rows) -> None:
        """Give tails the kind of their head, after a look at whether they name that head."""
        if not len(tails):
            return
        kind = work.kind
        starts, ends = heads.behind(work.window)
        # Sound compounds do not overlap, so the last head before a tail is the one that covers it.
        owner = np.repeat(
            np.arange(len(heads.rows)),
            np.searchsorted(tails, ends) - np.searchsorted(tails, starts),
        )
        own = kind[heads.rows]
        # Of a kernel allocation no more is known than that; but a reserved one is reserved.
        own = np.where(own == Kind.OTHER, np.uint8(Kind.COMPOUND_TAIL), own)
        poisoned = kind[tails] == Kind.HWPOISON
        kind[tails] = np.where(poisoned, np.uint8(Kind.HWPOISON), own[owner])
        if work.may is not None:
            work.may[tails] = tail_kinds(work.may[heads.rows])[owner]
        expected = (heads.rows.astype(np.uint64) + np.uint64(work.window.first_pfn))[owner]
        work.condemn(
            tails[self.named_heads(work.window, tails) != expected], "tail_wrong_head",
            "it lies in a compound, but names another page as its head",
        )  # fmt: skip

    def _orphans(self, work: _Completing, rows: Rows) -> None:
        """Settle tails that no head in the window covers: the head may be before it, or lost."""
        if not len(rows):
            return
        window = work.window
        named = self.named_heads(window, rows)
        lost = np.zeros(window.count, dtype=np.bool_)
        for gap in window.missing:
            lost[gap.start : gap.end] = True
        inside = (named >= window.first_pfn) & (named < window.first_pfn + window.count)
        settled = np.zeros(len(rows), dtype=np.bool_)
        settled[inside] = lost[(named[inside] - np.uint64(window.first_pfn)).astype(np.intp)]
        before = distinct(named[~inside & (named < window.first_pfn)])[:_HEADS_ASKED_MAX]
        for pfn in before.tolist():
            owner = self.compound_at(pfn)
            if owner is None:
                continue
            mine = (named == pfn) & (rows + window.first_pfn < owner.end_pfn)
            settled |= mine
            if owner.kind not in (None, Kind.OTHER):
                work.kind[rows[mine]] = owner.kind
                if work.may is not None:
                    work.may[rows[mine]] = owner.may
        work.condemn(
            rows[~settled], "tail_without_head",
            "it is the tail of a compound, but the page that it names does not head one with it",
        )  # fmt: skip


@dataclass(slots=True)
class _Completing:
    """One window under way: kinds that are being completed, and what was found so far."""

    window: Window
    kind: NDArray[np.uint8]
    usable: Mask
    may: NDArray[np.uint32] | None = None
    found: Blocks = field(default_factory=Blocks)

    def condemn(self, rows: Rows, code: str, reason: str) -> None:
        """Call struct pages damaged, and keep some of them to be named."""
        if not len(rows):
            return
        self.found.damaged += len(rows)
        self.kind[rows] = Kind.DAMAGED
        room = max(_KEPT_PER_WINDOW - len(self.found.damage), 0)
        pfns = (rows[:room] + self.window.first_pfn).tolist()
        self.found.damage += [DamagedPage(pfn, code, reason) for pfn in pfns]

    def without(self, heads: Heads, wrong: Mask, code: str, reason: str) -> Heads:
        """Condemn the heads that are wrong, and give the others."""
        self.condemn(heads.rows[wrong], code, reason)
        return heads.only(~wrong)


def _cover(starts: Rows, ends: Rows, count: int) -> tuple[Mask, bool]:
    """Mark the rows of a window that lie inside ranges, and tell whether ranges overlap."""
    some = ends > starts
    starts, ends = starts[some], ends[some]
    deltas = np.bincount(starts, minlength=count + 1)
    deltas -= np.bincount(ends, minlength=count + 1)
    return np.cumsum(deltas)[:count] > 0, bool((starts[1:] < ends[:-1]).any())


def _owners(heads: Heads, window: Window, at: Rows) -> Rows:
    """Give the heads behind which any of the rows *at* (sorted) lies."""
    starts, ends = heads.behind(window)
    return heads.rows[np.searchsorted(at, ends) > np.searchsorted(at, starts)]
