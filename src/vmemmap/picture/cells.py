"""The memory in cells: of each cell, a power of two of pages, how many pages are of which kind.

A census shows its windows to `CellGatherer` as it counts them, so that the struct pages are read
once for both. Small machines are kept page by page. By example, six pages and cells of four::

    pfn     8      9      10     11     12     13
    kind    free   free   cache  slab   slab   slab
    cell    2 ------------------------  3 ----------      free 2, cache 1, slab 1; slab 2, absent 2
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.intervals import Intervals, join, numbers, touched
from vmemmap.pages.array import PageArray
from vmemmap.pages.kinds import Kind
from vmemmap.pages.one_pass import Sound, copy_members
from vmemmap.pages.scanned import Scanned
from vmemmap.pages.struct_pages import Window

SINGLE_PAGES_MAX = 1 << 22
"""Machines of up to so many pages are kept page by page at first."""
CELLS_MAX = 1 << 17
"""How many cells larger ones have at most."""
_FEW_CELLS = 1 << 14
RUNS_MAX = 2048
"""How many runs of pages of one zone, or without a readable struct page, are kept."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Pages counted by cell and kind.

    Attributes:
        shift: log2 of the pages in a cell.
        ranges: The cells that there are, as intervals of cell numbers: pfn >> shift.
        counts: int32, shape (cells, kinds): pages of each `Kind`; the row's sum is the cell's size.
    """

    shift: int
    ranges: Intervals
    counts: NDArray[np.int32]

    def coarser(self, by: int) -> Cells:
        """Give the same in cells 2**by times as large; itself where *by* is not above 0."""
        if by <= 0:
            return self
        ranges = touched(self.ranges, 1 << by)
        firsts = np.flatnonzero(np.diff(numbers(self.ranges) >> by, prepend=-1))
        counts = np.add.reduceat(self.counts, firsts, axis=0)
        return _filled(Cells(self.shift + by, ranges, counts))


@dataclass(frozen=True, slots=True)
class ZoneRun:
    """Pages in a row whose flags name one node and zone: ``[first_pfn, end_pfn)``."""

    first_pfn: int
    end_pfn: int
    node: int
    zone: int


@dataclass(frozen=True, slots=True)
class UnreadRun:
    """Pages in a row whose struct pages cannot be read for one reason."""

    first_pfn: int
    end_pfn: int
    why: Absence


class CellGatherer:
    """Looks on while all pages are counted, and keeps what a map of them needs.

    Args:
        pages: The array that is counted.

    Attributes:
        free_blocks: Free blocks by node and zone (None where pages do not tell theirs): for each
            order how many.
        unread: Runs of pages whose struct page cannot be read; None where there are too many.
        zones: Runs of pages of one zone; None where pages do not tell, or there are too many.
        kinds: The kind of each page in the order of pfns (uint8), of small machines; else None.
    """

    def __init__(self, pages: PageArray) -> None:
        sections = pages.sections
        self._layout, self._fields = pages.layout, pages.fields
        self.pages: Intervals = join(sections.first_pfn, sections.end_pfn)
        total = len(pages)
        self._single = total <= SINGLE_PAGES_MAX
        self._section_shift = sections.pages_per_section.bit_length() - 1
        self.kinds = np.zeros(total, dtype=np.uint8) if self._single else None
        self._starts = np.cumsum(self.pages[:, 1] - self.pages[:, 0])
        self._starts -= self.pages[:, 1] - self.pages[:, 0]
        self._cells = None if self._single else _empty_cells(self.pages)
        self._orders = pages.layout.orders
        self.free_blocks: dict[tuple[int, int] | None, NDArray[np.int64]] = {}
        self.unread: list[UnreadRun] | None = []
        self.zones: list[ZoneRun] | None = None if self._fields is None else []

    def saw_sound(self, window: Sound) -> None:
        """Take note of a window; see `Onlooker`."""
        lengths = window.stretches[:, 1] - window.stretches[:, 0]
        flags = np.empty(int(lengths.sum()), dtype=[("flags", "u8")])
        if self._fields is not None:
            copy_members(window, self._layout, flags, [(self._layout.flags, 8, 0)])
        at = 0
        for (first, end), length in zip(window.stretches.tolist(), lengths.tolist(), strict=True):
            self._add(first, window.kind[first - window.first_pfn : end - window.first_pfn])
            self._add_zones(first, flags["flags"][at : at + length])
            at += length
        heads = np.flatnonzero((window.order >= 0) & (window.kind == Kind.FREE))
        rows = numbers(window.stretches - window.first_pfn)
        own = flags["flags"][np.searchsorted(rows, heads)]
        self._add_blocks(window.order[heads].astype(np.int64), own)

    def saw(self, scanned: Scanned) -> None:
        """Take note of a window; see `Onlooker`."""
        window, kind = scanned.window, scanned.judged.kind
        flags = scanned.members.flags
        readable = np.ones(window.count, dtype=np.bool_)
        for gap in window.missing:
            readable[gap.start : gap.end] = False
        for start, end in window.valid:
            self._add(window.first_pfn + start, kind[start:end])
            turns = np.flatnonzero(np.diff(readable[start:end])) + 1
            for low, high in _pieces(turns, end - start):
                if readable[start + low]:
                    first = window.first_pfn + start + low
                    self._add_zones(first, flags[start + low : start + high])
        self._add_unread(window)
        free = scanned.blocks.free
        self._add_blocks(free.orders.astype(np.int64), flags[free.rows])

    def missed(self, window: Window) -> None:
        """Take note of a window; see `Onlooker`."""
        kind = np.full(window.count, Kind.UNKNOWN, dtype=np.uint8)
        for start, end in window.valid:
            self._add(window.first_pfn + start, kind[start:end])
        self._add_unread(window)

    def cells(self, shift: int) -> Cells:
        """Give the pages in cells of 2**shift pages, or in the smallest that were kept."""
        if self.kinds is not None:
            return _cells_of(self.kinds, self.pages, shift)
        assert self._cells is not None
        return _filled(self._cells).coarser(shift - self._cells.shift)

    def cells_of_ranges(self) -> Cells:
        """Give the pages in cells as large as what memory comes in, a section, allows at most.

        So memory ranges begin and end at cells, and there are few cells where there are many pages.
        """
        few = (int((self.pages[:, 1] - self.pages[:, 0]).sum()) // _FEW_CELLS).bit_length()
        least = 0 if self._cells is None else self._cells.shift
        return self.cells(max(min(few, self._section_shift), least))

    def _add(self, first: int, kind: NDArray[np.uint8]) -> None:
        """Take the kinds of pages in a row, all of one range."""
        if self.kinds is not None:
            row = int(np.searchsorted(self.pages[:, 0], first, side="right")) - 1
            at = int(self._starts[row]) + first - int(self.pages[row, 0])
            self.kinds[at : at + len(kind)] = kind
            return
        cells = self._cells
        assert cells is not None
        start, size = first >> cells.shift, 1 << cells.shift
        row = int(np.searchsorted(cells.ranges[:, 0], start, side="right")) - 1
        before = int((cells.ranges[:row, 1] - cells.ranges[:row, 0]).sum())
        at = before + start - int(cells.ranges[row, 0])
        edges = np.arange(-(first % size), len(kind), size).clip(0)
        for each in np.unique(kind).tolist():
            mine = np.add.reduceat(kind == each, edges, dtype=np.int32)
            cells.counts[at : at + len(edges), each] += mine

    def _add_zones(self, first: int, flags: NDArray[np.uint64]) -> None:
        fields, zones = self._fields, self.zones
        if fields is None or zones is None or not len(flags):
            return
        key = flags & np.uint64(fields.mask)
        for low, high in _pieces(np.flatnonzero(np.diff(key)) + 1, len(key)):
            value = int(key[low])
            node, zone = fields.node(value), fields.zone(value)
            last = zones[-1] if zones else None
            if (
                last is not None
                and last.end_pfn == first + low
                and (last.node, last.zone)
                == (
                    node,
                    zone,
                )
            ):
                zones[-1] = ZoneRun(last.first_pfn, first + high, node, zone)
            else:
                zones.append(ZoneRun(first + low, first + high, node, zone))
            if len(zones) > RUNS_MAX:
                self.zones = None
                return

    def _add_unread(self, window: Window) -> None:
        for gap in window.missing:
            if self.unread is None:
                return
            first, end = window.first_pfn + gap.start, window.first_pfn + gap.end
            last = self.unread[-1] if self.unread else None
            if last is not None and last.end_pfn == first and last.why == gap.why:
                self.unread[-1] = UnreadRun(last.first_pfn, end, gap.why)
            else:
                self.unread.append(UnreadRun(first, end, gap.why))
            if len(self.unread) > RUNS_MAX:
                self.unread = None

    def _add_blocks(self, orders: NDArray[np.int64], flags: NDArray[np.uint64]) -> None:
        """Count the heads of free blocks by the zone that each names."""
        if not len(orders):
            return
        fields = self._fields
        keys = (
            np.zeros(len(orders), np.uint64) if fields is None else flags & np.uint64(fields.mask)
        )
        for value in np.unique(keys).tolist():
            place = None if fields is None else (fields.node(value), fields.zone(value))
            counted = np.bincount(orders[keys == value], minlength=self._orders).astype(np.int64)
            self.free_blocks[place] = self.free_blocks.get(place, 0) + counted


def _pieces(turns: NDArray[np.intp], count: int) -> list[tuple[int, int]]:
    """Give the pieces of so many rows between the rows where something changes."""
    bounds = [0, *turns.tolist(), count]
    return list(pairwise(bounds))


def _cells_of(kinds: NDArray[np.uint8], pages: Intervals, shift: int) -> Cells:
    """Count pages of which each has its kind, in the order of pfns."""
    number = numbers(pages) >> shift
    at = np.cumsum(np.diff(number, prepend=number[:1]) != 0)
    at *= len(Kind)
    at += kinds
    ranges = touched(pages, 1 << shift)
    rows = int((ranges[:, 1] - ranges[:, 0]).sum())
    counts = np.bincount(at, minlength=rows * len(Kind)).astype(np.int32)
    return _filled(Cells(shift, ranges, counts.reshape(rows, len(Kind))))


def _filled(cells: Cells) -> Cells:
    """Count what is missing to whole cells as absent."""
    missing = (1 << cells.shift) - cells.counts.sum(axis=1)
    cells.counts[:, Kind.ABSENT] += missing.astype(np.int32)
    return cells


def _empty_cells(pages: Intervals) -> Cells:
    total = int((pages[:, 1] - pages[:, 0]).sum())
    shift = max((total // CELLS_MAX - 1).bit_length(), 0)
    ranges = touched(pages, 1 << shift)
    while (count := int((ranges[:, 1] - ranges[:, 0]).sum())) > 2 * CELLS_MAX:
        shift += 1
        ranges = touched(pages, 1 << shift)
    return Cells(shift, ranges, np.zeros((count, len(Kind)), dtype=np.int32))
