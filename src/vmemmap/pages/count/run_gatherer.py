"""Gathers the kinds of pages as runs, window by window, and never more of them than it may."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import intersect
from vmemmap.pages.count.kind_runs import MIXED, Grid, KindRuns, Runs, crowded, merged, summed
from vmemmap.pages.kinds import Kind


class RunGatherer:
    """Takes runs of pages in the order of pfns.

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

    def add(
        self, first: NDArray[np.int64], pages: NDArray[np.int64], word: NDArray[np.uint8]
    ) -> None:
        """Take runs of pages, behind all that were taken before.

        Args:
            first: The first pfn of each.
            pages: How many pages it has, at least one.
            word: Their word.
        """
        end = first + pages
        gaps = np.flatnonzero(first[1:] != end[:-1]) + 1
        for low, high in pairwise([0, *gaps.tolist(), len(first)]):
            if low < high:
                self._skip_to(int(first[low]))
                self._add_row(first[low:high], word[low:high], int(end[high - 1]))
                self._end = int(end[high - 1])

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
                absent = np.full(1, Kind.ABSENT, dtype=np.uint8)
                self._add_row(np.array([first], dtype=np.int64), absent, end)
            self._end = pfn

    def _add_row(self, first: NDArray[np.int64], word: NDArray[np.uint8], end: int) -> None:
        """Take runs that follow each other, in blocks that do: where each begins, and its word."""
        shift = self._grid.shift
        low, high = int(first[0]) >> shift, (end - 1 >> shift) + 1
        at, firsts = np.searchsorted(first, np.arange(low + 1, high) << shift), first
        borders = np.arange(low + 1, high, dtype=np.int64) << shift
        cut = at == len(first)
        cut[~cut] = first[at[~cut]] != borders[~cut]
        if cut.any():
            firsts = np.insert(first, at[cut], borders[cut])
            word = np.insert(word, at[cut], word[at[cut] - 1])
            at += np.cumsum(cut) - cut
        crowd = np.diff(at, prepend=0, append=len(firsts))
        home = int(self._grid.places_of(np.array([low], dtype=np.int64))[0])
        block = np.repeat(np.arange(home, home + len(crowd), dtype=np.int32), crowd)
        self._take(home, crowd, block, word, np.diff(firsts, append=end).astype(np.int32))

    def _take(
        self,
        home: int,
        crowd: NDArray[np.int64],
        block: NDArray[np.int32],
        word: NDArray[np.uint8],
        pages: NDArray[np.int32],
    ) -> None:
        """Take runs, each in one block.

        Args:
            home: The place of the first block.
            crowd: How many runs each block from there on has.
            block: The place of each run's block.
            word: Its word.
            pages: How many pages it has.
        """
        own = slice(home, home + len(crowd))
        self._crowd[own] += crowd
        if self._limit is not None:
            self._mixed[own][self._crowd[own] > self._limit] = MIXED
            if self._mixed[own].all():
                self._keep_sums(*summed(block, word, pages))
                return
            out = self._mixed[block] != 0
            if out.any():
                self._keep_sums(*summed(block[out], word[out], pages[out]))
                block, word, pages = block[~out], word[~out], pages[~out]
        self._runs.append((block, word, pages))
        self._kept += len(block)
        if self._kept > self._most:
            self._make_room()

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
