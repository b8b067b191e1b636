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
from vmemmap.pages.one_pass import Sound, copy_members
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
        self._layout, self._fields = pages.layout, pages.fields
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

    def saw_sound(self, window: Sound) -> None:
        """Take note of a window; see `Onlooker`."""
        lengths = window.stretches[:, 1] - window.stretches[:, 0]
        before = np.cumsum(lengths) - lengths
        halves = np.zeros(int(lengths.sum()), dtype=[("half", "u4")])
        if self._fields is not None:
            high = self._layout.flags + (0 if self._layout.order == "big" else 4)
            copy_members(window, self._layout, halves, [(high, 4, 0)])
        half = halves["half"]
        rows = (window.stretches - window.first_pfn).tolist()
        for (low, high), at in zip(rows, before.tolist(), strict=True):
            self._add(window.first_pfn + low, window.kind[low:high])
            self._add_zones(window.first_pfn + low, half[at : at + high - low])
        heads = np.flatnonzero((window.order >= 0) & (window.kind == Kind.FREE))
        starts = window.stretches[:, 0] - window.first_pfn
        row = np.searchsorted(starts, heads, side="right") - 1 if len(starts) > 1 else 0
        self._add_blocks(window.order[heads], half[before[row] + heads - starts[row]])

    def saw(self, scanned: Scanned) -> None:
        """Take note of a window; see `Onlooker`."""
        window, kind = scanned.window, scanned.judged.kind
        half = (scanned.members.flags >> np.uint64(32)).astype(np.uint32)
        readable = np.ones(window.count, dtype=np.bool_)
        for gap in window.missing:
            readable[gap.start : gap.end] = False
        for start, end in window.valid:
            self._add(window.first_pfn + start, kind[start:end])
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
            self._add(window.first_pfn + start, kind[start:end])
        self._add_unread(window)

    def _add(self, first: int, kind: NDArray[np.uint8]) -> None:
        """Take the kinds of pages in a row."""
        words = kind
        for each in self._states:
            words = words + (inside(each, first, len(kind)) << np.uint8(STATE_SHIFT))
        self._gatherer.add(first, words)

    def _add_zones(self, first: int, half: NDArray[np.uint32]) -> None:
        fields, zones = self._fields, self.zones
        if fields is None or zones is None or not len(half):
            return
        key = half & np.uint32(fields.mask >> 32)
        turns = np.flatnonzero(key[1:] != key[:-1]) + 1
        for low, high in _pieces(turns[: FEW_RUNS + 1], len(key)):
            value = int(key[low]) << 32
            run = ZoneRun(first + low, first + high, fields.node(value), fields.zone(value))
            last = zones[-1] if zones else None
            place = None if last is None else (last.end_pfn, last.node, last.zone)
            if last is not None and place == (run.first_pfn, run.node, run.zone):
                zones[-1] = ZoneRun(last.first_pfn, run.end_pfn, run.node, run.zone)
            else:
                zones.append(run)
            if len(zones) > FEW_RUNS:
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
            if len(self.unread) > FEW_RUNS:
                self.unread = None

    def _add_blocks(self, orders: NDArray[np.integer], half: NDArray[np.uint32]) -> None:
        """Count the heads of free blocks by the zone that each names."""
        if not len(orders):
            return
        fields = self._fields
        mask = np.uint32(0 if fields is None else fields.mask >> 32)
        keys = half & mask
        same = bool((keys == keys[0]).all())
        for key in [int(keys[0])] if same else np.unique(keys).tolist():
            value = key << 32
            place = None if fields is None else (fields.node(value), fields.zone(value))
            mine = (orders if same else orders[keys == key]).astype(np.int64)
            counted = np.bincount(mine, minlength=self._orders).astype(np.int64)
            self.free_blocks[place] = self.free_blocks.get(place, 0) + counted


def pages_of(pages: PageArray) -> Intervals:
    """Give the pages that have a struct page, as intervals of pfns."""
    return join(pages.sections.first_pfn, pages.sections.end_pfn)


def inside(intervals: Intervals, first: int, count: int) -> NDArray[np.uint8]:
    """Tell of numbers in a row which lie in intervals: 1 or 0 for each."""
    low = int(np.searchsorted(intervals[:, 1], first, side="right"))
    high = int(np.searchsorted(intervals[:, 0], first + count, side="left"))
    near = (intervals[low:high] - first).clip(0, count)
    if not len(near) or near[0, 1] - near[0, 0] == count:
        return np.full(1, len(near), dtype=np.uint8)
    turns = np.zeros(count + 1, dtype=np.int8)
    turns[near[:, 0]] += 1
    turns[near[:, 1]] -= 1
    return np.cumsum(turns[:-1], dtype=np.int8).view(np.uint8)


def _pieces(turns: NDArray[np.intp], count: int) -> list[tuple[int, int]]:
    """Give the pieces of so many rows between the rows where something changes."""
    return list(pairwise([0, *turns.tolist(), count]))
