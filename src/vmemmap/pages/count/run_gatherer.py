"""Gathers the kinds of pages as runs, window by window, and never more of them than it may."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import intersect
from vmemmap.pages.count.kind_runs import MIXED, Grid, KindRuns, Runs, crowded, merged, summed
from vmemmap.pages.kinds import Kind

_LARGE_SHIFT = 10
"""log2 of the pages in a block from which on crowded blocks are summed one by one."""


class RunGatherer:
    """Takes words of pages in the order of pfns.

    Where there are too many runs the most crowded blocks are kept as sums, and from then on every
    block that is as crowded.

    Args:
        grid: The blocks; all pages lie in them. Pages of theirs that are not told of are absent.
        most: How many runs may be kept, about.
    """

    def __init__(self, grid: Grid, most: int) -> None:
        self._grid, self._most = grid, most
        self._runs: list[Runs] = []
        self._sums: list[Runs] = []
        self._kept = self._summed = 0
        self._crowd = np.zeros(len(grid), dtype=np.int64)
        self._mixed = np.zeros(len(grid), dtype=np.uint8)
        self._limit: int | None = None
        self._end = int(grid.ranges[0, 0]) << grid.shift if len(grid) else 0

    def add(self, first_pfn: int, words: NDArray[np.uint8]) -> None:
        """Take the words of pages in a row."""
        if not len(words):
            return
        self._skip_to(first_pfn)
        turns = words[1:] != words[:-1]
        borders = self._borders(first_pfn, len(words))
        if self._limit is not None and self._sum_crowded(first_pfn, words, turns, borders):
            self._end = first_pfn + len(words)
            return
        turns[borders - 1] = True
        at = np.flatnonzero(turns)
        at += 1
        at = np.r_[0, at]
        self._take(first_pfn, at, words[at], len(words))
        self._end = first_pfn + len(words)

    def gathered(self) -> KindRuns:
        """Give all that was gathered; nothing more can be added then."""
        if len(self._grid):
            self._skip_to(int(self._grid.pages[-1, 1]))
        block, word, pages = _together(self._runs)
        self._runs = []
        out = self._mixed[block] != 0
        runs = merged(block[~out], word[~out], pages[~out])
        sums = summed(*_together([*self._sums, (block[out], word[out], pages[out])]))
        block, word, pages = _together([runs, sums])
        order = np.argsort(block, kind="stable")
        return KindRuns(self._grid, block[order], word[order], pages[order], self._mixed)

    def _skip_to(self, pfn: int) -> None:
        """Count the pages of blocks that were not told of as absent."""
        if pfn > self._end:
            gap = np.array([[self._end, pfn]], dtype=np.int64)
            for first, end in intersect(self._grid.pages, gap).tolist():
                at = np.r_[0, self._borders(first, end - first)]
                self._take(first, at, np.full(len(at), Kind.ABSENT, dtype=np.uint8), end - first)
            self._end = pfn

    def _borders(self, first_pfn: int, count: int) -> NDArray[np.int64]:
        """Give where blocks begin among pages in a row, but for the first page."""
        size = 1 << self._grid.shift
        return np.arange(size - first_pfn % size, count, size)

    def _take(
        self, first_pfn: int, at: NDArray[np.int64], word: NDArray[np.uint8], count: int
    ) -> None:
        """Take runs of pages in a row, each in one block: where it begins, and its word."""
        pages = np.diff(at, append=count).astype(np.int32)
        shift = self._grid.shift
        home = int(self._grid.places_of(np.array([first_pfn >> shift], dtype=np.int64))[0])
        block = ((first_pfn + at >> shift) + (home - (first_pfn >> shift))).astype(np.int32)
        low = int(block[0])
        crowd = np.bincount(block - low)
        self._crowd[low : low + len(crowd)] += crowd
        if self._limit is not None:
            own = slice(low, low + len(crowd))
            self._mixed[own][self._crowd[own] > self._limit] = MIXED
            out = self._mixed[block] != 0
            if out.any():
                self._keep_sums(*summed(block[out], word[out], pages[out]))
                block, word, pages = block[~out], word[~out], pages[~out]
        self._runs.append((block, word, pages))
        self._kept += len(block)
        if self._kept > self._most:
            self._make_room()

    def _sum_crowded(
        self,
        first_pfn: int,
        words: NDArray[np.uint8],
        turns: NDArray[np.bool_],
        borders: NDArray[np.int64],
    ) -> bool:
        """Take pages in a row by their words alone, if all of their blocks are crowded."""
        assert self._limit is not None
        if self._grid.shift < _LARGE_SHIFT or not len(turns):
            return False
        firsts = np.r_[0, borders]
        crowd = np.add.reduceat(turns, np.minimum(firsts, len(turns) - 1), dtype=np.int64)
        if crowd.min() <= self._limit:
            return False
        home = int(self._grid.places_of(np.array([first_pfn >> self._grid.shift]))[0])
        for turn, (low, high) in enumerate(pairwise([*firsts.tolist(), len(words)])):
            counts = np.bincount(words[low:high])
            there = np.flatnonzero(counts)
            block = np.full(len(there), home + turn, dtype=np.int32)
            self._keep_sums(block, there.astype(np.uint8), counts[there].astype(np.int32))
        own = slice(home, home + len(firsts))
        self._mixed[own] = MIXED
        self._crowd[own] += crowd
        return True

    def _make_room(self) -> None:
        """Keep but half of the runs: those of the blocks that have the fewest."""
        alive = np.where(self._mixed == 0, self._crowd, 0)
        full = crowded(alive, self._most // 2)
        self._limit = int(alive[full].min(initial=self._most))
        self._mixed[full] = MIXED
        block, word, pages = _together(self._runs)
        out = self._mixed[block] != 0
        self._keep_sums(*summed(block[out], word[out], pages[out]))
        self._runs = [(block[~out], word[~out], pages[~out])]
        self._kept = len(self._runs[0][0])

    def _keep_sums(
        self, block: NDArray[np.int32], word: NDArray[np.uint8], pages: NDArray[np.int32]
    ) -> None:
        self._sums.append((block, word, pages))
        self._summed += len(self._sums[-1][0])
        if self._summed > 2 * self._most + len(self._sums[0][0]):
            self._sums = [summed(*_together(self._sums))]
            self._summed = len(self._sums[0][0])


def _together(runs: list[Runs]) -> Runs:
    """Join columns."""
    if not runs:
        none = np.empty(0, dtype=np.int32)
        return none, none.astype(np.uint8), none
    block, word, pages = (np.concatenate(column) for column in zip(*runs, strict=True))
    return block, word, pages
