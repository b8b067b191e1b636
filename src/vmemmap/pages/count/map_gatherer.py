"""What a map of the memory needs, gathered while a census counts it, in one pass over all pages.

A word for each page: its kind, and above it whether the dump has the page (`Stored`). Beside that
runs of pages of one zone, runs without a readable struct page, and free blocks by zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.intervals import Intervals, join
from vmemmap.pages.array import PageArray
from vmemmap.pages.count.kind_runs import Grid, KindRuns
from vmemmap.pages.count.run_gatherer import RunGatherer
from vmemmap.pages.kinds import Kind
from vmemmap.pages.scanned import Scanned
from vmemmap.pages.struct_pages import Window

RUNS_KEPT = 1 << 19
"""How many runs of pages are kept: several times what a page of 1 MB can hold."""
FEW_RUNS = 2048
"""How many runs of pages of one zone, or without a readable struct page, are kept."""
STATE_SHIFT = 4


class Stored(IntEnum):
    """Whether a dump has a page, as the upper half of a word tells."""

    UNCOVERED = 0
    LEFT_OUT = 1
    STORED = 2


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


class MapGatherer:
    """Looks on while all pages are counted; see `Onlooker`.

    Args:
        pages: The array that is counted.
        grid: The blocks to gather in; None for those of this array alone.
        covered: The pages that the dump's memory ranges cover, as intervals of pfns; None to
            leave out of the words whether the dump has a page.
        stored: Those of them that are in its file.
        most: How many runs are kept.

    Attributes:
        pages: The pages that have a struct page, as intervals of pfns.
        free_blocks: Free blocks by node and zone (None where pages do not tell theirs): for each
            order how many.
        unread: Runs of pages whose struct page cannot be read; None where there are too many.
        zones: Runs of pages of one zone; None where pages do not tell, or there are too many.
    """

    def __init__(
        self,
        pages: PageArray,
        grid: Grid | None = None,
        covered: Intervals | None = None,
        stored: Intervals | None = None,
        most: int = RUNS_KEPT,
    ) -> None:
        self._fields = pages.fields
        self.pages = pages_of(pages)
        self._states = [each for each in (covered, stored) if each is not None]
        self._gatherer = RunGatherer(grid or Grid.over(self.pages), most)
        self._orders = pages.layout.orders
        self.free_blocks: dict[tuple[int, int] | None, NDArray[np.int64]] = {}
        self.unread: list[UnreadRun] | None = []
        self.zones: list[ZoneRun] | None = None if self._fields is None else []

    def runs(self) -> KindRuns:
        """Give the words of all pages, once they are counted."""
        return self._gatherer.gathered()

    def saw_runs(self, runs: NDArray[np.void], zones: list[int]) -> None:
        """Take note of pages; see `Onlooker`."""
        if not len(runs):
            return
        first, pages = np.ascontiguousarray(runs["first"]), runs["pages"].astype(np.int64)
        zone = np.ascontiguousarray(runs["zone"])
        self._add_runs(first, pages, runs["kind"].astype(np.uint8))
        if self.zones is None:
            return
        turns = (zone[1:] != zone[:-1]) | (first[1:] != first[:-1] + pages[:-1])
        at = np.r_[0, np.flatnonzero(turns)[:FEW_RUNS] + 1]
        last = np.r_[at[1:] - 1, len(runs) - 1]
        for begin, end, number in zip(
            first[at].tolist(), (first + pages)[last].tolist(), zone[at].tolist(), strict=True
        ):
            self._add_zone(begin, end, zones[number])

    def saw_free(self, zone: int, blocks: NDArray[np.int64]) -> None:
        """Take note of free blocks; see `Onlooker`."""
        if blocks.any():
            self._add_blocks_of(zone, blocks)

    def saw(self, scanned: Scanned) -> None:
        """Take note of a window; see `Onlooker`."""
        window, kind = scanned.window, scanned.judged.kind
        half = (scanned.members.flags >> np.uint64(32)).astype(np.uint32)
        readable = np.ones(window.count, dtype=np.bool_)
        for gap in window.missing:
            readable[gap.start : gap.end] = False
        for start, end in window.valid:
            self._add_pages(window.first_pfn + start, kind[start:end])
            turns = np.flatnonzero(np.diff(readable[start:end])) + 1
            for low, high in _pieces(turns, end - start):
                if readable[start + low]:
                    first = window.first_pfn + start + low
                    self._add_zones(first, half[start + low : start + high])
        self._add_unread(window)
        free = scanned.blocks.free
        self._add_blocks(free.orders, half[free.rows])

    def missed(self, window: Window) -> None:
        """Take note of a window; see `Onlooker`."""
        kind = np.full(window.count, Kind.UNKNOWN, dtype=np.uint8)
        for start, end in window.valid:
            self._add_pages(window.first_pfn + start, kind[start:end])
        self._add_unread(window)

    def _add_pages(self, first: int, kind: NDArray[np.uint8]) -> None:
        """Take the kinds of pages in a row."""
        at = np.r_[0, np.flatnonzero(kind[1:] != kind[:-1]) + 1]
        self._add_runs(first + at, np.diff(at, append=len(kind)), kind[at])

    def _add_runs(
        self, first: NDArray[np.int64], pages: NDArray[np.int64], kind: NDArray[np.uint8]
    ) -> None:
        """Take the kinds of runs of pages."""
        for each in self._states:
            first, pages, kind = marked(each, first, pages, kind)
        self._gatherer.add(first, pages, kind)

    def _add_zones(self, first: int, half: NDArray[np.uint32]) -> None:
        if self._fields is None:
            return
        key = half & np.uint32(self._fields.mask >> 32)
        turns = np.flatnonzero(key[1:] != key[:-1]) + 1
        for low, high in _pieces(turns[: FEW_RUNS + 1], len(key)):
            self._add_zone(first + low, first + high, int(key[low]))

    def _add_zone(self, first: int, end: int, key: int) -> None:
        """Take pages in a row whose flags have these bits for node and zone."""
        fields, zones = self._fields, self.zones
        if fields is None or zones is None:
            return
        node, zone = fields.node(key << 32), fields.zone(key << 32)
        last = zones[-1] if zones else None
        if last is not None and (last.end_pfn, last.node, last.zone) == (first, node, zone):
            zones[-1] = ZoneRun(last.first_pfn, end, node, zone)
        else:
            zones.append(ZoneRun(first, end, node, zone))
        if len(zones) > FEW_RUNS:
            self.zones = None

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
            if len(self.unread) > FEW_RUNS:
                self.unread = None

    def _add_blocks(self, orders: NDArray[np.integer], half: NDArray[np.uint32]) -> None:
        """Count the heads of free blocks by the zone that each names."""
        if not len(orders):
            return
        keys = half & np.uint32(0 if self._fields is None else self._fields.mask >> 32)
        same = bool((keys == keys[0]).all())
        for key in [int(keys[0])] if same else np.unique(keys).tolist():
            mine = (orders if same else orders[keys == key]).astype(np.int64)
            self._add_blocks_of(key, np.bincount(mine, minlength=self._orders))

    def _add_blocks_of(self, key: int, blocks: NDArray[np.int64]) -> None:
        """Take the numbers of free blocks whose flags have these bits for node and zone."""
        fields = self._fields
        place = None if fields is None else (fields.node(key << 32), fields.zone(key << 32))
        self.free_blocks[place] = self.free_blocks.get(place, 0) + blocks


def pages_of(pages: PageArray) -> Intervals:
    """Give the pages that have a struct page, as intervals of pfns."""
    return join(pages.sections.first_pfn, pages.sections.end_pfn)


def marked(
    intervals: Intervals,
    first: NDArray[np.int64],
    pages: NDArray[np.int64],
    word: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Add a mark to the words of pages that lie in intervals, which parts runs at their ends."""
    end = first + pages
    low = int(np.searchsorted(intervals[:, 1], first[0], side="right"))
    high = int(np.searchsorted(intervals[:, 0], end[-1], side="left"))
    near = intervals[low:high]
    cuts = near[(near > first[0]) & (near < end[-1])]
    if len(cuts):
        run = np.searchsorted(first, cuts, side="right") - 1
        within = (cuts > first[run]) & (cuts < end[run])
        cuts, run = cuts[within], run[within]
        first, word = np.insert(first, run + 1, cuts), np.insert(word, run + 1, word[run])
        end = np.insert(end, run, cuts)
    row = np.searchsorted(near[:, 0], first, side="right") - 1
    if len(near):
        inside = (row >= 0) & (first < near[row, 1])
        word = word + (inside.astype(np.uint8) << np.uint8(STATE_SHIFT))
    return first, end - first, word


def _pieces(turns: NDArray[np.intp], count: int) -> list[tuple[int, int]]:
    """Give the pieces of so many rows between the rows where something changes."""
    return list(pairwise([0, *turns.tolist(), count]))
