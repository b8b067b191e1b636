"""The kinds of all pages as runs, in blocks: exact where runs are few, sums where they are many.

Most of a machine's memory is of one kind for long stretches, so that runs of pages are a small and
exact picture of it down to single pages. Blocks, all of one power of two of pages, bound what a
crowded stretch costs: a block with too many runs keeps one sum for each of its words, in no order,
and is *mixed*. By example, two blocks of four pages, and what becomes of them in five runs::

    pfn     8      9      10     11       12     13     14     15
    word    free   free   free   cache    slab   free   slab   (hole)
    run     free 3 --------------cache 1  slab 1 free 1 slab 1 absent 1
    in five     free 3, cache 1                  mixed: absent 1, slab 2, free 1

A word is any number of 8 bits: here a kind, with what else is told of a page above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals, numbers, total, touched
from vmemmap.pages.kinds import Kind

BLOCKS_MAX = 1 << 17
"""About how many blocks a machine has at most."""
RANGES_MAX = 2048
"""How many stretches of blocks there are at most; what lies between near ones counts as absent."""
_SHIFT_MIN = 6
_FEW_SUMS = 1 << 16
KIND_MASK = 0xF
"""The part of a word that is the kind."""
MIXED, UNTOLD = 1, 2
Runs = tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]
"""Block, word and pages of runs, as `KindRuns` has them."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The blocks that memory is counted in.

    Attributes:
        shift: log2 of the pages in a block.
        ranges: The blocks that there are, as intervals of block numbers: pfn >> shift.
    """

    shift: int
    ranges: Intervals

    @classmethod
    def over(cls, pages: Intervals) -> Grid:
        """Give blocks for some pages, as small as the bounds allow."""
        shift = max((total(pages) // BLOCKS_MAX - 1).bit_length(), _SHIFT_MIN)
        grid = cls(shift, touched(pages, 1 << shift))
        while total(grid.ranges) > 2 * BLOCKS_MAX or len(grid.ranges) > RANGES_MAX:
            grid = grid.coarser(1)
        return grid

    def coarser(self, by: int) -> Grid:
        """Give blocks 2**by times as large."""
        return Grid(self.shift + by, touched(self.ranges, 1 << by))

    def __len__(self) -> int:
        return total(self.ranges)

    @property
    def pages(self) -> Intervals:
        """The pfns of all blocks."""
        return self.ranges << self.shift

    def places(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the places of blocks, counted without the holes, by pfns that lie in them."""
        return self.places_of(pfns >> self.shift)

    def places_of(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the places of blocks by their numbers."""
        lengths = self.ranges[:, 1] - self.ranges[:, 0]
        before = np.cumsum(lengths) - lengths
        row = np.searchsorted(self.ranges[:, 0], blocks, side="right") - 1
        return np.asarray(before[row] + blocks - self.ranges[row, 0])


@dataclass(frozen=True, slots=True)
class KindRuns:
    """All pages as runs.

    Attributes:
        grid: The blocks.
        block: For each run the place of its block, ascending (int32).
        word: Its word (uint8).
        pages: How many pages it has (int32); in each block they sum up to its size.
        mixed: For each block 1 where its runs are sums in no order, `UNTOLD` where its one run says
            nothing, else 0 (uint8).
    """

    grid: Grid
    block: NDArray[np.int32]
    word: NDArray[np.uint8]
    pages: NDArray[np.int32]
    mixed: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.block)

    @property
    def crowd(self) -> NDArray[np.int64]:
        """How many runs each block has."""
        return np.bincount(self.block, minlength=len(self.grid))

    def with_runs(self, most: int) -> KindRuns:
        """Give the same with about so many runs: the most crowded blocks become mixed."""
        crowd = np.where(self.mixed == 0, self.crowd, 0)
        full = crowded(crowd, most - int(self.crowd[self.mixed != 0].sum()))
        if not full.any():
            return self
        out = full[self.block]
        return _of(
            self.grid,
            (self.block[~out], self.word[~out], self.pages[~out]),
            summed(self.block[out], self.word[out], self.pages[out]),
            np.where(full, np.uint8(MIXED), self.mixed),
        )

    def coarser(self, by: int) -> KindRuns:
        """Give the same in blocks 2**by times as large; itself where *by* is not above 0.

        A block with a mixed one in it is mixed, one with an untold one in it is untold, and the
        pages of blocks that there are not are absent.
        """
        if by <= 0:
            return self
        grid, small = self.grid.coarser(by), numbers(self.grid.ranges)
        mixed = np.zeros(len(grid), dtype=np.uint8)
        np.maximum.at(mixed, grid.places_of(small >> by), self.mixed)
        lacking = np.setdiff1d(numbers(grid.ranges << by), small, assume_unique=True)
        number = np.r_[small[self.block], lacking]
        order = np.argsort(number, kind="stable")
        block = grid.places_of(number[order] >> by).astype(np.int32)
        word = np.r_[self.word, np.full(len(lacking), Kind.ABSENT, dtype=np.uint8)][order]
        gone = np.full(len(lacking), 1 << self.grid.shift, dtype=np.int32)
        pages = np.r_[self.pages, gone][order]
        word[mixed[block] == UNTOLD] = Kind.ABSENT
        sums = mixed[block] != 0
        return _of(
            grid,
            merged(block[~sums], word[~sums], pages[~sums]),
            summed(block[sums], word[sums], pages[sums]),
            mixed,
        )

    def by_kind(self, *, above: int = 0) -> NDArray[np.int64]:
        """Count the pages of each kind in each block.

        Args:
            above: How many bits of the word lie below the kind.

        Returns:
            Shape (blocks, kinds).
        """
        kind = (self.word >> above) & KIND_MASK
        at = self.block.astype(np.int64) * len(Kind) + kind
        counts = np.bincount(at, weights=self.pages, minlength=len(self.grid) * len(Kind))
        return counts.astype(np.int64).reshape(-1, len(Kind))


def _of(grid: Grid, some: Runs, others: Runs, mixed: NDArray[np.uint8]) -> KindRuns:
    """Put runs of different blocks in order."""
    order = np.argsort(np.r_[some[0], others[0]], kind="stable")
    block, word, pages = (np.r_[a, b][order] for a, b in zip(some, others, strict=True))
    return KindRuns(grid, block, word, pages, mixed)


def crowded(crowd: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Choose the most crowded blocks, so that those which are left have at most so many runs."""
    order = np.argsort(crowd, kind="stable")
    out = np.zeros(len(crowd), dtype=np.bool_)
    out[order[np.searchsorted(np.cumsum(crowd[order]), most, side="right") :]] = True
    return out & (crowd > 1)


def summed(block: NDArray[np.int32], word: NDArray[np.uint8], pages: NDArray[np.int32]) -> Runs:
    """Give one sum for each word of each block."""
    if not len(block):
        return block, word, pages
    low, high = int(block.min()), int(block.max())
    if (high - low) << 8 < max(4 * len(block), _FEW_SUMS):
        sums = np.bincount((block - low).astype(np.int64) << 8 | word, weights=pages)
        keys = np.flatnonzero(sums)
        sums = sums[keys]
    else:
        keys, turn = np.unique((block - low).astype(np.int64) << 8 | word, return_inverse=True)
        sums = np.bincount(turn, weights=pages, minlength=len(keys))
    return (keys >> 8).astype(np.int32) + low, (keys & 0xFF).astype(np.uint8), sums.astype("i4")


def merged(block: NDArray[np.int32], word: NDArray[np.uint8], pages: NDArray[np.int32]) -> Runs:
    """Give runs with those that follow each other in a block and are alike made one."""
    if not len(block):
        return block, word, pages
    firsts = np.flatnonzero(np.r_[True, (block[1:] != block[:-1]) | (word[1:] != word[:-1])])
    return block[firsts], word[firsts], np.add.reduceat(pages, firsts).astype(np.int32)
