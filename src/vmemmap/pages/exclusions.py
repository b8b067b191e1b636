"""Which pages makedumpfile would leave out, for every dump level: what goes with what, and counts.

The tests and the decision are in ``exclusion_rules.py``. Here is how many pages go with one, that
what has gone with a page before is not looked at again, and that only the dump's memory counts.

Eight pages at level 16 (free pages go), of which the first two are outside the dump's memory::

    pfn           8      9      10     11     12     13     14     15
    seen          -      -      FREE   -      FREE   -      -      -
    goes with it                2             4
    taken                       [10, 12)      [12, 16)

Source: makedumpfile.c, __exclude_unnecessary_pages() and create_2nd_bitmap() (June 2026).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.blocks import BlockReader
from vmemmap.pages.exclusion_rules import LEVELS, SEEN_VALUES, Class, Knowledge, Seen, decide, see
from vmemmap.pages.heads import Heads
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask
from vmemmap.pages.rules import Mark, judge
from vmemmap.pages.scanned import Scanned

_READ_AT_ONCE = 512
"""Struct pages that makedumpfile reads together; the last of them is never taken for a head."""
_ORDER_MAX = 40


class Taken(NamedTuple):
    """Pages that go: why, the first pfn and the one after the last."""

    why: Class
    start: int
    end: int


@dataclass(slots=True)
class ExclusionCounts:
    """Counts of pages, to be added up over windows.

    Attributes:
        single: Pages that go alone, by what is seen in them (a sum of `Seen`).
        blocks: Pages that go with those after them, likewise: a row has how many go where the page
            is taken for free memory, and how many where it is taken for anything else.
        settled: Counts by level and class of windows in which blocks overlap, which have to be
            gone through level by level.
    """

    single: NDArray[np.int64] = field(default_factory=lambda: np.zeros(SEEN_VALUES, dtype=np.int64))
    blocks: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((SEEN_VALUES, 2), dtype=np.int64)
    )
    settled: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(LEVELS), len(Class)), dtype=np.int64)
    )

    def add(self, other: ExclusionCounts) -> None:
        """Add what was counted in another window."""
        self.single += other.single
        self.blocks += other.blocks
        self.settled += other.settled

    def at_level(self, level: int) -> NDArray[np.int64]:
        """Give the pages of each `Class` that go at a dump level, 0 to 31."""
        out: NDArray[np.int64] = self.settled[level].copy()
        for seen in np.flatnonzero(self.single | self.blocks[:, 0] | self.blocks[:, 1]).tolist():
            why = decide(seen, level)
            if why is not None:
                out[why] += self.single[seen] + self.blocks[seen, 0 if why is Class.FREE else 1]
        return out


@dataclass(slots=True)
class Sight:
    """What makedumpfile sees in the pages of a window.

    Attributes:
        seen: For each page a sum of `Seen`; 0 for tails and pages outside memory.
        rows: Rows of the pages that go together with pages after them.
        free_pages: How many go with each of those where it is taken for free memory.
        other_pages: How many go where it is taken for anything else.
    """

    seen: NDArray[np.uint8]
    rows: NDArray[np.intp]
    free_pages: NDArray[np.int64]
    other_pages: NDArray[np.int64]


class Exclusions:
    """makedumpfile's decisions on one dump.

    Args:
        layout: The kernel's struct page.
        ranges: The memory ranges of the dump in pages: shape (n, 2), first pfn and the one after
            the last, sorted. A page belongs to the range of its first byte.
        blocks: Reads the orders of compounds.
        section_pages: Pages in a section; makedumpfile starts afresh in each.

    Attributes:
        knowledge: What it knows of the kernel.
        ranges: As given.
        end_pfn: The pfn after the last page of the dump's memory.
    """

    def __init__(
        self,
        layout: PageLayout,
        ranges: NDArray[np.int64],
        blocks: BlockReader,
        section_pages: int,
    ) -> None:
        self._layout, self._blocks, self._section_pages = layout, blocks, section_pages
        self.knowledge = Knowledge(layout)
        self.ranges = ranges
        self.end_pfn = int(ranges[-1, 1]) if len(ranges) else 0

    def count(self, scanned: Scanned) -> ExclusionCounts:
        """Count the pages of a window by what makedumpfile sees in them.

        It goes by struct pages of memory that is not online, too.
        """
        if scanned.raw is not None:
            judged = judge(self._layout, scanned.raw)
            scanned = replace(scanned, members=scanned.raw, judged=judged)
        sight = self._look(scanned)
        out = ExclusionCounts()
        if _overlaps(sight):
            for level in LEVELS:
                for why, start, end in self._taken(sight, level, scanned.window.first_pfn):
                    out.settled[level, why] += end - start
            return out
        out.single += np.bincount(sight.seen, minlength=SEEN_VALUES)
        of = sight.seen[sight.rows]
        np.subtract.at(out.single, of, 1)
        np.add.at(out.blocks[:, 0], of, sight.free_pages)
        np.add.at(out.blocks[:, 1], of, sight.other_pages)
        return out

    def taken(self, scanned: Scanned, level: int) -> list[Taken]:
        """Give the pages of a window that go at a level.

        Returns:
            In the order of their first pfns; a range may reach beyond the window, and ranges may
            overlap in a damaged dump.
        """
        first = scanned.window.first_pfn
        rows = self._taken(self._look(scanned), level, first)
        return [Taken(why, first + start, first + end) for why, start, end in rows]

    def _look(self, scanned: Scanned) -> Sight:
        """Look at the pages of a window as makedumpfile does."""
        window = scanned.window
        seen = see(self.knowledge, scanned.members)
        heads = np.flatnonzero(scanned.judged.has(Mark.HEAD))
        heads = heads[(heads + window.first_pfn) % _READ_AT_ONCE != _READ_AT_ONCE - 1]
        if self.knowledge.knows_dtor:
            seen[heads[self._blocks.hugetlb_heads(window, heads)]] |= np.uint8(Seen.USER)
        seen *= self._in_memory(window.first_pfn, window.count).view(np.uint8)
        for gap in window.missing:
            seen[gap.start : gap.end] = 0
        return self._weigh(scanned, seen, heads[seen[heads] != 0])

    def _weigh(self, scanned: Scanned, seen: NDArray[np.uint8], heads: NDArray[np.intp]) -> Sight:
        """Find how many pages go with each; most go alone."""
        window = scanned.window
        compounds = Heads(heads, np.zeros(len(heads), dtype=np.uint64))
        if self._layout.compound_order is not None:
            orders = self._blocks.compound_orders(window, heads, scanned.judged.has(Mark.TAIL))
            orders[orders >= 64] = 0
            compounds = Heads(heads, orders)
            orders[compounds.misaligned(window)] = 0
        free = self._free_heads(scanned, seen)
        several = np.zeros(window.count, dtype=np.bool_)
        for blocks in (compounds, free):
            several[blocks.rows[blocks.orders > 0]] = True
        rows = np.flatnonzero(several)
        most = np.maximum(self.end_pfn - window.first_pfn - rows, 1)
        free_pages, other_pages = (np.ones(len(rows), dtype=np.int64) for _ in range(2))
        for pages, blocks in ((other_pages, compounds), (free_pages, free)):
            some = blocks.only(blocks.orders > 0)
            size = np.int64(1) << np.minimum(some.orders, np.uint64(_ORDER_MAX)).astype(np.int64)
            at = np.searchsorted(rows, some.rows)
            pages[at] = np.minimum(size, most[at])
        return Sight(seen, rows, free_pages, other_pages)

    def _free_heads(self, scanned: Scanned, seen: NDArray[np.uint8]) -> Heads:
        """Give the heads of free blocks; those of an impossible order are marked in *seen*."""
        layout = self._layout
        rows = np.flatnonzero(seen & np.uint8(Seen.FREE | Seen.UNACCEPTED))
        if not len(rows) or layout.private is None:
            return Heads(rows[:0], np.empty(0, dtype=np.uint64))
        orders = scanned.window.gather(layout.private, 8, rows)
        orders[(seen[rows] & np.uint8(Seen.FREE)) == 0] = layout.orders - 1
        bad = orders >= layout.orders
        seen[rows[bad]] |= np.uint8(Seen.BAD_ORDER)
        orders[bad] = 0
        return Heads(rows, orders)

    def _taken(self, sight: Sight, level: int, first_pfn: int) -> list[Taken]:
        """Give what goes as rows of the window, in order."""
        decided = np.full(SEEN_VALUES, -1, dtype=np.int8)
        if self.knowledge.scans_at(level):
            for seen in np.flatnonzero(np.bincount(sight.seen)).tolist():
                why = decide(seen, level)
                decided[seen] = -1 if why is None else why
        classes = decided[sight.seen]
        blocks: list[Taken] = []
        until = section_end = 0
        for row, free_pages, other_pages in zip(
            sight.rows.tolist(), sight.free_pages.tolist(), sight.other_pages.tolist(), strict=True
        ):
            if row >= section_end:
                until = row  # it starts afresh in each section
                left = self._section_pages - (row + first_pfn) % self._section_pages
                section_end = row + left
            if row < until or classes[row] < 0:
                continue
            why = Class(int(classes[row]))
            size = free_pages if why is Class.FREE else other_pages
            if size > 1:
                until = row + size
                blocks.append(Taken(why, row, until))
                classes[row : min(until, section_end)] = -1
        return sorted([*_runs(classes), *blocks], key=lambda taken: taken.start)

    def _in_memory(self, first_pfn: int, count: int) -> Mask:
        """Tell which pages of a window a memory range of the dump has."""
        low = int(np.searchsorted(self.ranges[:, 1], first_pfn, side="right"))
        high = int(np.searchsorted(self.ranges[:, 0], first_pfn + count, side="left"))
        out = np.zeros(count, dtype=np.bool_)
        for start, end in self.ranges[low:high].tolist():
            out[max(start - first_pfn, 0) : max(end - first_pfn, 0)] = True
        return out


def _runs(classes: NDArray[np.int8]) -> list[Taken]:
    """Give the rows that have a class as runs of one class."""
    rows = np.flatnonzero(classes >= 0)
    if not len(rows):
        return []
    kinds = classes[rows]
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(kinds) != 0)) + 1
    starts, ends = np.r_[0, breaks], np.r_[breaks - 1, len(rows) - 1]
    return [
        Taken(Class(why), start, end + 1)
        for why, start, end in zip(
            kinds[starts].tolist(), rows[starts].tolist(), rows[ends].tolist(), strict=True
        )
    ]


def _overlaps(sight: Sight) -> bool:
    """Tell whether another candidate lies where one reaches, in the window."""
    if not len(sight.rows):
        return False
    reach = np.maximum(sight.free_pages, sight.other_pages)
    starts, ends = sight.rows + 1, np.minimum(sight.rows + reach, len(sight.seen))
    if (starts[1:] < ends[:-1]).any():
        return True
    used = np.concatenate([[0], np.cumsum(sight.seen != 0)])
    return bool((used[np.maximum(ends, starts)] > used[starts]).any())


def page_ranges(ranges: NDArray[np.uint64], page_size: int) -> NDArray[np.int64]:
    """Turn memory ranges in bytes into pages whose first byte is in one; sorted."""
    size = np.uint64(page_size)
    first = (ranges[:, 0] + size - np.uint64(1)) // size
    end = (ranges[:, 1] + size - np.uint64(1)) // size
    out = np.stack([first, end], axis=1).astype(np.int64)
    return out[out[:, 0] < out[:, 1]]
