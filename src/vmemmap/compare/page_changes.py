"""What became of every page: the kinds of two censuses, paired page by page.

A word of the pairs is the kind before and, above it, the kind after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.pages.count.kind_runs import KIND_MASK, UNTOLD, KindRuns, merged
from vmemmap.pages.kinds import Kind

AFTER_SHIFT = 4


@dataclass(frozen=True, slots=True)
class PageChanges:
    """Pages by their kind before and after.

    Attributes:
        pairs: All pages; a block in which either had more runs than are kept is untold.
        counts: Pages by kind before (row) and kind after (column), int64.
        untold: Pages in untold blocks, which are not among them.
    """

    pairs: KindRuns
    counts: NDArray[np.int64]
    untold: int

    @property
    def changed(self) -> int:
        """How many pages are of another kind than before, those that came and went included."""
        return int(self.counts.sum() - np.trace(self.counts))

    def transitions(self) -> list[tuple[Kind, Kind, int]]:
        """Give what became what, and how many pages, the most first."""
        rows, columns = np.nonzero(self.counts)
        found = [
            (Kind(row), Kind(column), int(self.counts[row, column]))
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if row != column
        ]
        return sorted(found, key=lambda each: -each[2])


def pair(before: KindRuns, after: KindRuns) -> PageChanges:
    """Pair the kinds of two censuses; both have to be in the same blocks."""
    grid = before.grid
    untold = (before.mixed != 0) | (after.mixed != 0)
    size = 1 << grid.shift
    starts, kinds = [], []
    for runs in (before, after):
        told = ~untold[runs.block]
        block, pages = runs.block[told].astype(np.int64), runs.pages[told]
        # Pages before a run, in its block: within told blocks each sums up to the block's size.
        turn = np.cumsum(np.r_[True, block[1:] != block[:-1]]) - 1 if len(block) else block
        starts.append(block * size + np.cumsum(pages) - pages - turn * size)
        kinds.append(runs.word[told] & KIND_MASK)
    start = distinct(np.concatenate(starts))
    word = np.zeros(len(start), dtype=np.uint8)
    for shift, own, kind in zip((0, AFTER_SHIFT), starts, kinds, strict=True):
        word |= kind[np.searchsorted(own, start, side="right") - 1] << np.uint8(shift)
    block = (start // size).astype(np.int32)
    end = np.r_[start[1:], 0]
    last = np.diff(block, append=-1) != 0
    end[last] = (block[last].astype(np.int64) + 1) * size
    block, word, pages = merged(block, word, (end - start).astype(np.int32))
    counts = np.bincount(word, weights=pages, minlength=256).astype(np.int64)
    lost = np.flatnonzero(untold).astype(np.int32)
    order = np.argsort(np.r_[block, lost], kind="stable")
    pairs = KindRuns(
        grid,
        np.r_[block, lost][order],
        np.r_[word, np.zeros(len(lost), dtype=np.uint8)][order],
        np.r_[pages, np.full(len(lost), size, dtype=np.int32)][order],
        np.where(untold, np.uint8(UNTOLD), np.uint8(0)),
    )
    by_after = counts.reshape(16, 16)
    return PageChanges(pairs, by_after.T.copy(), len(lost) * size)
