"""Which pages makedumpfile would leave out, for every dump level, decided as makedumpfile does.

It goes by VMCOREINFO alone and by numbers of its own where that is silent, so its view of a page
may differ from ours; this module follows it, not us. Pages filled with zeros (level 1) are decided
by their content, not here.

Source: makedumpfile.c, __exclude_unnecessary_pages() and create_2nd_bitmap() (June 2026).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.blocks import Spreader
from vmemmap.pages.classify import Mask
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.raw_words import low_byte, raw32

if TYPE_CHECKING:
    from vmemmap.pages.array import Scanned

LEVELS = range(32)
ZERO, CACHE_LEVEL, CACHE_PRIVATE_LEVEL, USER_LEVEL, FREE_LEVEL = 1, 2, 4, 8, 16

_FREE, _UNACCEPTED, _CACHE, _PRIVATE, _USER, _HWPOISON, _OFFLINE, _BAD_FREE = (
    1 << n for n in range(8)
)
_FALLBACK = {"lru": 5, "slab": 7, "private": 11, "swapcache": 15}
_READ_AT_ONCE = 512
"""Struct pages that makedumpfile reads together; the last of them is never taken for a head."""


class Class(IntEnum):
    """Why makedumpfile leaves a page out, in the order in which it reports them."""

    CACHE = 0
    CACHE_PRIVATE = 1
    USER = 2
    FREE = 3
    HWPOISON = 4
    OFFLINE = 5

    @property
    def word(self) -> str:
        """The class as programs see it."""
        return self.name.lower()


@dataclass(slots=True)
class Exclusions:
    """Counts of pages, to be added up over windows.

    Attributes:
        light: Pages that go alone, by what they are (a sum of bits).
        heavy: Pages that go with those after them, likewise: rows of what they are, and how many
            go where they are taken for free memory, and for anything else.
        settled: Counts by level and class of windows in which blocks overlap, which have to be
            gone through level by level.
    """

    light: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    heavy: NDArray[np.int64] = field(default_factory=lambda: np.zeros((256, 2), dtype=np.int64))
    settled: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(LEVELS), len(Class)), dtype=np.int64)
    )

    def add(self, other: Exclusions) -> None:
        """Add what was counted in another window."""
        self.light += other.light
        self.heavy += other.heavy
        self.settled += other.settled

    def at_level(self, level: int) -> NDArray[np.int64]:
        """Give the pages of each `Class` that go at a dump level, 0 to 31."""
        out: NDArray[np.int64] = self.settled[level].copy()
        for bits in np.flatnonzero(self.light | self.heavy[:, 0] | self.heavy[:, 1]).tolist():
            found = _decide(bits, level)
            if found is not None:
                which = 0 if found is Class.FREE else 1
                out[found] += self.light[bits] + self.heavy[bits, which]
        return out


def _decide(bits: int, level: int) -> Class | None:
    """Say why a page with these properties goes at a level, or None if it stays."""
    if level & FREE_LEVEL and bits & (_FREE | _UNACCEPTED | _BAD_FREE):
        return None if bits & _BAD_FREE else Class.FREE
    if level & CACHE_LEVEL and bits & _CACHE:
        return Class.CACHE
    if level & CACHE_PRIVATE_LEVEL and bits & (_CACHE | _PRIVATE):
        return Class.CACHE if bits & _CACHE else Class.CACHE_PRIVATE
    if level & USER_LEVEL and bits & _USER:
        return Class.USER
    if bits & _HWPOISON:
        return Class.HWPOISON
    return Class.OFFLINE if bits & _OFFLINE else None


@dataclass(slots=True)
class Properties:
    """What makedumpfile sees in the pages of a window.

    Attributes:
        bits: For each page the sum of its properties; 0 for tails and pages outside memory.
        rows: Rows of the pages that go together with pages after them.
        free_pages: How many go with each of those where it is taken for free memory.
        pages: How many go where it is taken for anything else.
    """

    bits: NDArray[np.uint8]
    rows: NDArray[np.intp]
    free_pages: NDArray[np.int64]
    pages: NDArray[np.int64]


class MakedumpfileView:
    """makedumpfile's decisions on one dump.

    Args:
        layout: The kernel's struct page.
        ranges: The memory ranges of the dump in pages: shape (n, 2), first pfn and the one after
            the last, sorted. A page belongs to the range of its first byte.
        spreader: Reads the orders of compounds.
        section_pages: Pages in a section; makedumpfile starts afresh in each.
    """

    USER_BIT = _USER
    """The property of a page that goes as user data."""

    def __init__(
        self,
        layout: PageLayout,
        ranges: NDArray[np.int64],
        spreader: Spreader,
        section_pages: int,
    ) -> None:
        self._layout, self._ranges, self._spreader = layout, ranges, spreader
        self._section_pages = section_pages
        self.end_pfn = int(ranges[-1, 1]) if len(ranges) else 0
        exported, order = layout.exported, layout.order
        bits = {
            name: layout.bits[name] if f"PG_{name}" in exported else number
            for name, number in _FALLBACK.items()
        }
        if "PG_swapbacked" in exported:
            bits["swapbacked"] = layout.bits["swapbacked"]
        elif bits["swapcache"] < bits["private"]:
            bits["swapbacked"] = bits["private"] + 6
        self.bits = bits
        """The flag bits that it goes by, by name."""
        self._bit = {name: raw32(1 << number, order) for name, number in bits.items()}
        both = 1 << bits["swapcache"] | (1 << bits["swapbacked"] if "swapbacked" in bits else 0)
        self._swap = raw32(both, order)
        self._byte = low_byte(order)
        self.reads_free_marks = "page.private" in exported and (
            {"buddy", "page._mapcount"} <= exported or "PG_buddy" in exported
        )
        """Whether struct pages say which are free; else makedumpfile follows the free lists."""
        self.knows_tails = "compound_head" in exported
        """Whether it can tell a tail; where not, it comes to those whose head stays."""

    def scans_at(self, level: int) -> bool:
        """Tell whether struct pages are looked at for a level at all."""
        if level & (CACHE_LEVEL | CACHE_PRIVATE_LEVEL | USER_LEVEL):
            return True
        if "PG_hwpoison" in self._layout.exported:
            return True
        return bool(level & FREE_LEVEL) and self.reads_free_marks

    def properties(self, scanned: Scanned) -> Properties:
        """Look at the pages of a window as makedumpfile does."""
        window, columns, marks = scanned.window, scanned.columns, scanned.marks
        layout, low = self._layout, columns.low
        considered = self._in_memory(window.first_pfn, window.count)
        if "compound_head" in layout.exported:
            considered = ~marks.tail if considered is None else considered & ~marks.tail
        slab = (low & self._bit["slab"]) != 0
        if layout.slab is not None:
            slab |= marks.slab
        anon_byte = columns.mapping.view(np.uint8)[self._byte :: 8] & np.uint8(1)
        anon = anon_byte.view(np.bool_) & ~slab
        cache = (low & self._swap) == self._swap
        cache |= (low & self._bit["lru"]) != 0
        cache &= ~anon
        private = (low & self._bit["private"]) != 0
        bits = _scaled(cache & ~private, _CACHE)
        bits |= _scaled(cache & private, _PRIVATE)
        bits |= _scaled(anon, _USER)
        if self.reads_free_marks:
            bits |= _scaled(marks.free & ~slab, _FREE)
        if layout.unaccepted is not None:
            bits |= _scaled(columns.mapcount == raw32(layout.unaccepted, layout.order), _UNACCEPTED)
        if marks.hugetlb is not None:
            # Only a head is asked whether it is one; its place among those read does not matter,
            # since a head that is aligned is never the last of them.
            bits |= _scaled(marks.hugetlb & marks.head, _USER)
        if marks.hwpoison is not None and "PG_hwpoison" in layout.exported:
            bits |= _scaled(marks.hwpoison, _HWPOISON)
        if marks.offline is not None:
            bits |= _scaled(marks.offline & ~slab, _OFFLINE)
        heads = np.flatnonzero(marks.head)
        heads = heads[(heads + window.first_pfn) % _READ_AT_ONCE != _READ_AT_ONCE - 1]
        huge = self._spreader.hugetlb_heads(window, heads)
        if huge is not None:
            bits[heads[huge]] |= _USER
        if considered is not None:
            bits *= considered.view(np.uint8)
        for gap in window.missing:
            bits[gap.start : gap.end] = 0
        return self._weigh(scanned, bits, heads)

    def _weigh(
        self, scanned: Scanned, bits: NDArray[np.uint8], heads: NDArray[np.intp]
    ) -> Properties:
        """Find how many pages go with each; most go alone."""
        window, layout = scanned.window, self._layout
        heads = heads[bits[heads] != 0]
        if layout.compound_order is None:
            orders = np.zeros(len(heads), dtype=np.uint64)
        else:
            orders = self._spreader.compound_orders(window, heads, scanned.marks.tail)
            pfns = (heads + window.first_pfn).astype(np.uint64)
            too_big = orders >= 64
            orders[too_big] = 0
            orders[(pfns & ((np.uint64(1) << orders) - np.uint64(1))) != 0] = 0
        free = np.flatnonzero(bits & np.uint8(_FREE | _UNACCEPTED))
        if len(free) and layout.private is not None:
            free_orders = window.gather(layout.private, 8, free)
            unaccepted = (bits[free] & np.uint8(_FREE)) == 0
            free_orders[unaccepted] = layout.orders - 1
            bad = free_orders >= layout.orders
            bits[free[bad]] |= np.uint8(_BAD_FREE)
            free_orders[bad] = 0
        else:
            free, free_orders = free[:0], np.empty(0, dtype=np.uint64)
        several = np.zeros(window.count, dtype=np.bool_)
        several[heads[orders > 0]] = several[free[free_orders > 0]] = True
        rows = np.flatnonzero(several)
        most = np.maximum(self.end_pfn - window.first_pfn - rows, 1)
        pages, free_pages = (np.ones(len(rows), dtype=np.int64) for _ in range(2))
        for into, of, by in ((pages, heads, orders), (free_pages, free, free_orders)):
            some = by > 0
            size = np.int64(1) << np.minimum(by[some], np.uint64(40)).astype(np.int64)
            at = np.searchsorted(rows, of[some])
            into[at] = np.minimum(size, most[at])
        return Properties(bits, rows, free_pages, pages)

    def count(self, scanned: Scanned) -> Exclusions:
        """Count the pages of a window by what makedumpfile sees in them."""
        seen = self.properties(scanned)
        out = Exclusions()
        if len(seen.rows) and self._overlaps(seen):
            for level in LEVELS:
                for found, start, end in self._taken(seen, level, scanned.window.first_pfn):
                    out.settled[level, found] += end - start
            return out
        _histogram(seen.bits, out.light)
        of = seen.bits[seen.rows]
        np.subtract.at(out.light, of, 1)
        np.add.at(out.heavy[:, 0], of, seen.free_pages)
        np.add.at(out.heavy[:, 1], of, seen.pages)
        return out

    def cuts(self, first_pfn: int, count: int) -> NDArray[np.intp] | None:
        """Give the rows of a window where a memory range of the dump begins or ends."""
        starts, ends = self._ranges_of(first_pfn, count)
        if len(starts) == 1 and starts[0] <= first_pfn and ends[0] >= first_pfn + count:
            return None
        rows = np.concatenate([starts, ends]) - first_pfn
        return rows[(rows > 0) & (rows < count)].astype(np.intp)

    def bits_of(
        self,
        flags: NDArray[np.uint64],
        mapping: NDArray[np.uint64],
        mapcount: NDArray[np.uint32],
        tail: Mask,
    ) -> NDArray[np.uint8]:
        """Give the sum of properties for some struct pages by their members, in native byte order.

        What only a second struct page tells (hugetlb, until 6.8) is not among them.
        """
        layout, bit = self._layout, {name: np.uint64(1 << n) for name, n in self.bits.items()}
        slab = (flags & bit["slab"]) != 0
        if layout.slab is not None:
            slab |= mapcount == np.uint32(layout.slab)
        anon = ((mapping & np.uint64(1)) != 0) & ~slab
        both = bit["swapcache"] | bit.get("swapbacked", np.uint64(0))
        cache = (((flags & bit["lru"]) != 0) | ((flags & both) == both)) & ~anon
        private = (flags & bit["private"]) != 0
        bits = _scaled(cache & ~private, _CACHE) | _scaled(cache & private, _PRIVATE)
        bits |= _scaled(anon, _USER)
        if self.reads_free_marks:
            if layout.buddy is not None:
                free = mapcount == np.uint32(layout.buddy)
            else:
                free = (flags & np.uint64(1 << layout.bits["buddy"])) != 0
            bits |= _scaled(free & ~slab, _FREE)
        if layout.unaccepted is not None:
            bits |= _scaled(mapcount == np.uint32(layout.unaccepted), _UNACCEPTED)
        if layout.offline is not None:
            bits |= _scaled((mapcount == np.uint32(layout.offline)) & ~slab, _OFFLINE)
        if "PG_hwpoison" in layout.exported:
            hwpoison = np.uint64(1 << layout.bits["hwpoison"])
            bits |= _scaled((flags & hwpoison) != 0, _HWPOISON)
        if layout.hugetlb is not None and "head" in layout.bits:
            head = (flags & np.uint64(1 << layout.bits["head"])) != 0
            bits |= _scaled(head & ~tail & (mapcount == np.uint32(layout.hugetlb)), _USER)
        if "compound_head" in layout.exported:
            bits *= (~tail).view(np.uint8)
        return bits

    def weigh_blocks(
        self,
        out: Exclusions,
        bits: NDArray[np.uint8],
        sizes: NDArray[np.int64],
        which: int,
    ) -> None:
        """Count pages that go with those behind them, which were counted alone so far.

        Args:
            out: Where they were counted.
            bits: The properties of each.
            sizes: How many pages go with each, itself counted.
            which: 0 where that is so when it is taken for free memory, 1 for anything else.
        """
        goes = (bits != 0) & (sizes > 1)
        bits, sizes = bits[goes], sizes[goes]
        if not len(bits):
            return
        ones = np.bincount(bits, minlength=256)
        out.light -= ones
        # One that heads a block of one sort counts alone where it is taken for the other.
        out.heavy[:, which] += np.bincount(bits, weights=sizes, minlength=256).astype(np.int64)
        out.heavy[:, 1 - which] += ones

    def in_memory(
        self, first_pfn: int, start: NDArray[np.intp], count: int
    ) -> NDArray[np.bool_] | bool:
        """Tell which runs of pages lie in a memory range; they have to be cut by `cuts`.

        Args:
            first_pfn: The pfn of row 0.
            start: First row of each run.
            count: How many rows there are.

        Returns:
            One value for each run, or one for all.
        """
        starts, ends = self._ranges_of(first_pfn, count)
        if len(starts) == 1 and starts[0] <= first_pfn and ends[0] >= first_pfn + count:
            return True
        if not len(starts):
            return False
        pfns = start + first_pfn
        at = np.maximum(np.searchsorted(starts, pfns, side="right") - 1, 0)
        return np.asarray((pfns >= starts[at]) & (pfns < ends[at]))

    def excluded(self, scanned: Scanned, level: int) -> list[tuple[Class, int, int]]:
        """Give the pages of a window that go at a level.

        Returns:
            Class, first pfn and the pfn after the last, in order; a range may reach beyond the
            window, and ranges may overlap in a damaged dump.
        """
        first = scanned.window.first_pfn
        seen = self.properties(scanned)
        return [(c, first + a, first + b) for c, a, b in self._taken(seen, level, first)]

    def _taken(self, seen: Properties, level: int, first_pfn: int) -> list[tuple[Class, int, int]]:
        """Give class, first row and the row after the last of what goes, in order."""
        decided = np.full(256, -1, dtype=np.int8)
        for bits in range(256):
            found = _decide(bits, level)
            decided[bits] = -1 if found is None else found
        classes = decided[seen.bits]
        if not self.scans_at(level):
            classes[:] = -1
        heavy: list[tuple[Class, int, int]] = []
        until = section_end = 0
        for row, free_pages, pages in zip(
            seen.rows.tolist(), seen.free_pages.tolist(), seen.pages.tolist(), strict=True
        ):
            if row >= section_end:
                until = row  # it starts afresh in each section
                left = self._section_pages - (row + first_pfn) % self._section_pages
                section_end = row + left
            if row < until or classes[row] < 0:
                continue
            taken_as = Class(int(classes[row]))
            size = free_pages if taken_as is Class.FREE else pages
            if size > 1:
                until = row + size
                heavy.append((taken_as, row, until))
                classes[row : min(until, section_end)] = -1
        rows = np.flatnonzero(classes >= 0)
        kinds = classes[rows]
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(kinds) != 0)) + 1
        starts = np.r_[0, breaks][: len(rows)]
        ends = np.r_[breaks - 1, len(rows) - 1][: len(rows)]
        light = [
            (Class(kind), start, end + 1)
            for kind, start, end in zip(
                kinds[starts].tolist(), rows[starts].tolist(), rows[ends].tolist(), strict=True
            )
        ]
        return sorted(light + heavy, key=lambda row: row[1])

    def _overlaps(self, seen: Properties) -> bool:
        """Tell whether another candidate lies where one reaches in its section."""
        reach = np.maximum(seen.free_pages, seen.pages)
        ends = np.minimum(seen.rows + reach, len(seen.bits))
        used = seen.bits != 0
        bounds = np.stack([seen.rows + 1, ends], axis=1)
        if (bounds[1:, 0] <= bounds[:-1, 1] - 1).any():
            return True
        some = bounds[:, 0] < bounds[:, 1]
        flat = bounds[some].ravel()
        if not len(flat):
            return False
        if flat[-1] == len(used):
            used = np.append(used, False)
        return bool(np.logical_or.reduceat(used, flat)[::2].any())

    def _in_memory(self, first_pfn: int, count: int) -> Mask | None:
        """Give which pages of a window a memory range of the dump has; None for all of them."""
        starts, ends = self._ranges_of(first_pfn, count)
        if len(starts) == 1 and starts[0] <= first_pfn and ends[0] >= first_pfn + count:
            return None
        out = np.zeros(count, dtype=np.bool_)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            out[max(start - first_pfn, 0) : max(end - first_pfn, 0)] = True
        return out

    def _ranges_of(self, first_pfn: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        low = int(np.searchsorted(self._ranges[:, 1], first_pfn, side="right"))
        high = int(np.searchsorted(self._ranges[:, 0], first_pfn + count, side="left"))
        return self._ranges[low:high, 0], self._ranges[low:high, 1]


def page_ranges(ranges: NDArray[np.uint64], page_size: int) -> NDArray[np.int64]:
    """Turn memory ranges in bytes into pages whose first byte is in one; sorted."""
    size = np.uint64(page_size)
    first = (ranges[:, 0] + size - np.uint64(1)) // size
    end = (ranges[:, 1] + size - np.uint64(1)) // size
    out = np.stack([first, end], axis=1).astype(np.int64)
    return out[out[:, 0] < out[:, 1]]


def _scaled(mask: Mask, bit: int) -> NDArray[np.uint8]:
    return mask.view(np.uint8) * np.uint8(bit)


def _histogram(bits: NDArray[np.uint8], out: NDArray[np.int64]) -> None:
    """Count the values, most of which are one of very few."""
    left = len(bits)
    for value in (0, _CACHE, _FREE, _USER, _PRIVATE):
        out[value] = np.count_nonzero(bits == value)
        left -= int(out[value])
        if not left:
            return
    out[:] = np.bincount(bits, minlength=256)
