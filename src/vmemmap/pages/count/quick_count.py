"""The census of a window without a word for every page: runs of struct pages that say the same.

Neighbours mostly agree in all that matters, so it is enough to understand the first of each run.
A window in which anything is missing, damaged or out of the ordinary is not counted here: it gets
None, and is gone through page by page (``classify``, ``spread``). Where this does count it gives
the same as that; tests hold the two against each other.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.blocks import HeadOf, Spreader
from vmemmap.pages.count.sorts import (
    FAILED_TAIL,
    FREE,
    HEAD,
    RESERVED,
    TAG_MASK,
    TAIL,
    UNMAPPED_LRU,
    Sorts,
)
from vmemmap.pages.count.tally import Tally
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.makedumpfile import Exclusions, MakedumpfileView
from vmemmap.pages.raw_words import raw32, raw64
from vmemmap.pages.struct_pages import Window

U64 = NDArray[np.uint64]
Rows = NDArray[np.intp]


@dataclass(slots=True)
class _Room:
    """Columns and what is computed from them, used again for every window of a thread."""

    flags: U64
    head: U64
    mapping: U64
    mapcount: NDArray[np.uint32]
    said: U64
    tags: U64
    half: NDArray[np.uint32]
    turn: NDArray[np.bool_]
    other: NDArray[np.bool_]

    @classmethod
    def of(cls, count: int) -> _Room:
        def words() -> U64:
            return np.zeros(count, dtype=np.uint64)

        def marks() -> NDArray[np.bool_]:
            return np.zeros(count, dtype=np.bool_)

        halves = [np.zeros(count, dtype=np.uint32) for _ in range(2)]
        return cls(
            words(), words(), words(), halves[0], words(), words(), halves[1], marks(), marks()
        )


@dataclass(slots=True)
class _Runs:
    """Runs of struct pages that say the same.

    Attributes:
        start: The first row of each.
        size: How many rows.
        sort: The number of what they say, in the table of `Sorts`.
        kind: The `Kind` of each page by itself.
        marks: What else matters, a sum of bits.
    """

    start: Rows
    size: Rows
    sort: NDArray[np.int16]
    kind: NDArray[np.uint8]
    marks: NDArray[np.uint8]


class QuickCounter:
    """Counts sound windows of one kernel's struct pages.

    Args:
        layout: Its struct page.
        fields: Which bits of the flags have node and zone, or None.
        base: Virtual address of the struct page of pfn 0.
        spreader: Reads second struct pages, and looks up heads outside the window.
        view: What makedumpfile would decide, or None to leave that out.
    """

    def __init__(
        self,
        layout: PageLayout,
        fields: FlagFields | None,
        base: int,
        spreader: Spreader,
        view: MakedumpfileView | None,
    ) -> None:
        self._layout, self._spreader, self._view, self._base = layout, spreader, view, base
        self._sorts = Sorts(layout, fields, view)
        self._raw_flags = raw64(self._sorts.flag_mask, layout.order)
        self._raw_one = raw64(1, layout.order)
        self._raw_tags = raw64(TAG_MASK, layout.order)
        self._raw_sign = raw32(1 << 31, layout.order)
        self._word = np.dtype(f"{numpy_prefix(layout.order)}u8")
        self._locals = threading.local()
        self.applies = (
            layout.head is not None
            and layout.mapcount is not None
            and layout.private is not None
            and layout.compound_order is not None
            and "head" in layout.bits
            and 0 not in layout.bits.values()
        )

    def count(self, window: Window) -> Tally | None:
        """Count a window, or give None if it has to be looked at page by page."""
        if not window.pieces:
            tally = Tally(np.zeros(self._layout.orders, dtype=np.int64))
            for gap in window.missing:
                tally.why[gap.why] += gap.end - gap.start
            return tally
        if not self.applies or not window.complete or window.offline:
            return None
        room = self._load(window)
        runs = self._runs(room, window)
        if runs is None or self._is_wild(room, runs):
            return None
        free = self._free(window, runs)
        compounds = self._compounds(window, room, runs)
        if free is None or compounds is None:
            return None
        sorts = self._sorts
        tally = Tally(free.blocks(self._layout.orders))
        pages = np.bincount(runs.sort, weights=runs.size, minlength=len(sorts)).astype(np.int64)
        for sort in np.flatnonzero(pages).tolist():
            _zone(tally, sorts.zone[sort])[sorts.kind[sort]] += pages[sort]
            if sorts.marks[sort] & RESERVED:
                tally.reserved += int(pages[sort])
        free.add_to(tally, sorts.zone)
        compounds.add_to(tally, sorts.zone)
        if self._view is None:
            return tally
        seen = self._exclusions(self._view, window, runs, pages, free, compounds)
        if seen is None:
            return None
        tally.exclusions = seen
        return tally

    def _load(self, window: Window) -> _Room:
        room: _Room | None = getattr(self._locals, "room", None)
        if room is None or len(room.flags) != window.count:
            room = self._locals.room = _Room.of(window.count)
        layout = self._layout
        assert layout.head is not None
        assert layout.mapcount is not None
        window.columns(
            (
                (layout.flags, room.flags),
                (layout.head, room.head),
                (layout.mapping, room.mapping),
                (layout.mapcount, room.mapcount),
            )
        )
        return room

    def _runs(self, room: _Room, window: Window) -> _Runs | None:
        """Find where neighbours differ in anything that matters, and what the runs between say."""
        said, tags, turn, other = room.said, room.tags, room.turn[1:], room.other[1:]
        # Bit 0 of the flags (locked) does not matter, and so has room for the tail's.
        np.bitwise_and(room.head, self._raw_one, out=said)
        np.bitwise_and(room.flags, self._raw_flags, out=tags)
        np.bitwise_or(said, tags, out=said)
        np.bitwise_and(room.mapping, self._raw_tags, out=tags)
        # How often a page is mapped does not matter, only what type it is: below 0, like -1.
        np.bitwise_and(room.mapcount, self._raw_sign, out=room.half)
        np.not_equal(room.half, np.uint32(0), out=room.other)
        np.multiply(room.mapcount, room.other, out=room.mapcount)
        np.not_equal(said[1:], said[:-1], out=turn)
        np.not_equal(tags[1:], tags[:-1], out=other)
        np.bitwise_or(turn, other, out=turn)
        np.not_equal(room.mapcount[1:], room.mapcount[:-1], out=other)
        np.bitwise_or(turn, other, out=turn)
        room.turn[0] = True
        cuts = self._view.cuts(window.first_pfn, window.count) if self._view else None
        if cuts is not None:
            room.turn[cuts] = True
        start = np.flatnonzero(room.turn)
        size = np.empty_like(start)
        np.subtract(start[1:], start[:-1], out=size[:-1])
        size[-1] = window.count - start[-1]
        sort = self._sorts.find(said[start], tags[start], room.mapcount[start])
        if sort is None:
            return None
        return _Runs(start, size, sort, self._sorts.kind[sort], self._sorts.marks[sort])

    def _free(self, window: Window, runs: _Runs) -> _Free | None:
        """Give the free blocks; None if one is not sound."""
        which = np.flatnonzero(runs.marks & FREE)
        rows, run = _expand(runs.start[which], runs.size[which], which)
        if not len(rows):
            return _Free(rows, rows, rows, runs.sort[rows])
        assert self._layout.private is not None
        orders = window.gather(self._layout.private, 8, rows)
        if (orders >= self._layout.orders).any():
            return None
        size = np.int64(1) << orders.view(np.int64)
        if ((rows + window.first_pfn) & (size - 1)).any():
            return None
        # What is behind a head has to be one run of nothing in particular, as long as the block.
        some = np.flatnonzero(size > 1)
        behind = run[some] + 1
        if len(some) and behind[-1] == len(runs.start):
            return None
        sound = (runs.start[behind] == rows[some] + 1) & (runs.kind[behind] == Kind.OTHER)
        if not (sound & (runs.size[behind] >= size[some] - 1)).all():
            return None
        return _Free(rows, orders.view(np.int64), size, runs.sort[run])

    def _compounds(self, window: Window, room: _Room, runs: _Runs) -> _Compounds | None:
        """Give the compounds; None if heads and tails do not fit."""
        tail = (runs.marks & TAIL) != 0
        plain = np.flatnonzero(~tail)
        at = np.flatnonzero(runs.marks[plain] & HEAD)
        if len(plain) == len(tail) and not len(at):
            return _Compounds(plain[:0], plain[:0], plain[:0], runs.sort[:0], runs.kind[:0])
        if (runs.marks & FAILED_TAIL).any():
            return None  # a page of a compound has failed by itself
        which = plain[at]
        rows = runs.start[which]
        ends = np.append(runs.start[plain], window.count)  # where tails end
        size = ends[at + 1] - rows
        if (runs.size[which] != 1).any() or (size < 2).any():
            return None
        orders = self._spreader.compound_orders(window, rows, tail)
        if ((orders < 1) | (orders > self._layout.max_compound_order)).any():
            return None
        claimed = np.int64(1) << orders.view(np.int64)
        if ((rows + window.first_pfn) & (claimed - 1)).any():
            return None
        if (size != np.minimum(claimed, window.count - rows)).any():
            return None
        kind = runs.kind[which]
        huge = self._spreader.hugetlb_heads(window, rows)
        if huge is not None:
            kind[huge] = Kind.HUGETLB
        before = None
        if tail[0]:
            before = self._reaches_in(window, int(ends[0]))
            if before is None:
                return None
        tails = int(runs.size[tail].sum())
        if tails != int(size.sum()) - len(size) + (before[1] if before else 0):
            return None
        if not self._name_their_heads(window, room, rows):
            return None
        found = _Compounds(rows, size, claimed, runs.sort[which], kind)
        found.heads_as = runs.kind[which]
        found.hugetlb, found.tails, found.before = huge, tails, before
        found.first_sort = int(runs.sort[0])
        return found

    def _reaches_in(self, window: Window, end: int) -> tuple[Kind, int] | None:
        """Settle the tails at a window's start: their kind, and that their head covers them."""
        row = np.zeros(1, dtype=np.intp)
        head: HeadOf | None = None
        named = int(self._spreader.named_heads(window, row)[0])
        if named < window.first_pfn:
            head = self._spreader.head_of(named)
        if head is None or head.kind is None or window.first_pfn + end > head.end_pfn:
            return None
        if end < window.count and window.first_pfn + end != head.end_pfn:
            return None
        return (Kind.COMPOUND_TAIL if head.kind is Kind.OTHER else head.kind), end

    def _name_their_heads(self, window: Window, room: _Room, rows: Rows) -> bool:
        """Tell whether all tails name the head that they follow.

        The first behind each head has to name it, and all others the same as the one before.
        """
        tail, other = room.turn, room.other
        np.bitwise_and(room.head, self._raw_one, out=room.tags)
        np.not_equal(room.tags, np.uint64(0), out=tail)
        np.not_equal(room.head[1:], room.head[:-1], out=other[1:])
        np.bitwise_and(other[1:], tail[1:], out=other[1:])
        np.bitwise_and(other[1:], tail[:-1], out=other[1:])
        if other[1:].any():
            return False
        first = self._base + window.first_pfn * self._layout.size + 1
        expected = rows.astype(np.uint64) * np.uint64(self._layout.size) + np.uint64(first)
        return bool((room.head[rows + 1].view(self._word) == expected).all())

    def _is_wild(self, room: _Room, runs: _Runs) -> bool:
        """Tell whether pages for reclaim have a mapping that leads to no kernel data."""
        which = np.flatnonzero(runs.marks & UNMAPPED_LRU)
        if not len(which):
            return False
        rows, _ = _expand(runs.start[which], runs.size[which], which)
        return bool(room.mapping[rows].any())

    def _exclusions(
        self,
        view: MakedumpfileView,
        window: Window,
        runs: _Runs,
        pages: NDArray[np.int64],
        free: _Free,
        compounds: _Compounds,
    ) -> Exclusions | None:
        """Count what makedumpfile sees; None if blocks overlap others that would go."""
        bits = self._sorts.seen
        inside = view.in_memory(window.first_pfn, runs.start, window.count)
        out = Exclusions()
        if inside is False:
            return out
        if inside is not True:
            mine = np.flatnonzero(inside)
            pages = np.bincount(runs.sort[mine], weights=runs.size[mine], minlength=len(pages))
            pages = pages.astype(np.int64)
        np.add.at(out.light, bits[: len(pages)], pages)
        for which, block in ((0, free), (1, compounds)):
            of, size = bits[block.sort], block.claimed
            if isinstance(block, _Compounds) and block.hugetlb is not None:
                # Their second struct page makes them user pages; so far that was not known.
                at = np.flatnonzero(block.hugetlb)
                np.subtract.at(out.light, of[at], 1)
                of = of.copy()
                of[at] |= np.uint8(view.USER_BIT)
                np.add.at(out.light, of[at], 1)
            if inside is not True:
                there = _rows_inside(runs, inside, block.rows)
                if isinstance(block, _Compounds) and block.hugetlb is not None and not there.all():
                    return None
                of, size = of[there], size[there]
                rows = block.rows[there]
            else:
                rows = block.rows
            size = np.minimum(size, np.maximum(view.end_pfn - window.first_pfn - rows, 1))
            view.weigh_blocks(out, of, size, which)
        # Inside sound free blocks nothing goes by itself; tails do where VMCOREINFO has no word for
        # them, and then what goes depends on their heads.
        return None if compounds.tails and not view.knows_tails else out


@dataclass(slots=True)
class _Free:
    """Free blocks: row of the head, order, pages, and the head's sort."""

    rows: Rows
    orders: NDArray[np.int64]
    claimed: NDArray[np.int64]
    sort: NDArray[np.int16]

    def blocks(self, orders: int) -> NDArray[np.int64]:
        return np.bincount(self.orders, minlength=orders).astype(np.int64)

    def add_to(self, tally: Tally, zone: list[int]) -> None:
        """Count the pages behind the heads as free, which by themselves are nothing."""
        behind = np.bincount(self.sort, weights=self.claimed - 1) if len(self.rows) else ()
        for sort, pages in enumerate(behind):
            if pages:
                counts = _zone(tally, zone[sort])
                counts[Kind.FREE] += int(pages)
                counts[Kind.OTHER] -= int(pages)


@dataclass(slots=True)
class _Compounds:
    """Compounds: row of the head, pages in the window, pages in all, the head's sort and kind."""

    rows: Rows
    size: Rows
    claimed: NDArray[np.int64]
    sort: NDArray[np.int16]
    kind: NDArray[np.uint8]
    heads_as: NDArray[np.uint8] | None = None
    hugetlb: NDArray[np.bool_] | None = None
    tails: int = 0
    before: tuple[Kind, int] | None = None
    first_sort: int = 0

    def add_to(self, tally: Tally, zone: list[int]) -> None:
        """Give the tails the kind of their head; by themselves they are compound_tail."""
        if not self.tails:
            return
        tally.heads, tally.tails = len(self.rows), self.tails
        groups = self.sort.astype(np.intp) * len(Kind) + self.kind
        sums = np.bincount(groups, weights=self.size - 1)
        for group in np.flatnonzero(sums).tolist():
            sort, kind = divmod(group, len(Kind))
            self._move(tally, zone[sort], kind, int(sums[group]))
        if self.before is not None:
            self._move(tally, zone[self.first_sort], self.before[0], self.before[1])
        if self.hugetlb is not None and self.heads_as is not None:
            for row in np.flatnonzero(self.hugetlb).tolist():
                counts = _zone(tally, zone[int(self.sort[row])])
                counts[self.heads_as[row]] -= 1
                counts[Kind.HUGETLB] += 1

    @staticmethod
    def _move(tally: Tally, zone: int, kind: int, pages: int) -> None:
        if kind == Kind.SLAB:
            tally.slab_tails += pages
        if kind == Kind.OTHER:
            return
        counts = _zone(tally, zone)
        counts[Kind.COMPOUND_TAIL] -= pages
        counts[kind] += pages


def _zone(tally: Tally, key: int) -> NDArray[np.int64]:
    """Give the counts of a zone, which may be the first of them."""
    if key not in tally.zones:
        tally.zones[key] = np.zeros(len(Kind), dtype=np.int64)
    return tally.zones[key]


def _rows_inside(runs: _Runs, inside: NDArray[np.bool_] | bool, rows: Rows) -> NDArray[np.bool_]:
    """Tell which rows lie in runs that are inside a memory range."""
    run = np.searchsorted(runs.start, rows, side="right") - 1
    return np.asarray(inside)[run]


def _expand(starts: Rows, sizes: Rows, which: Rows) -> tuple[Rows, Rows]:
    """Give all rows of some runs, and the number of the run that each is in."""
    if not len(starts) or int(sizes.max()) == 1:
        return starts, which
    run = np.repeat(which, sizes)
    before = np.cumsum(sizes) - sizes
    rows = np.arange(len(run)) + np.repeat(starts - before, sizes)
    return rows, run
