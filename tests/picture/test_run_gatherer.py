"""Runs of pages, held against plain arrays: whatever is dropped, every block keeps its sums."""

from __future__ import annotations

import numpy as np
import pytest

from vmemmap.intervals import numbers
from vmemmap.pages.count.kind_runs import Grid
from vmemmap.pages.count.run_gatherer import RunGatherer

PAGES = ((100, 30_000), (65_536, 150_000), (150_001, 150_005))
WINDOW = 32_768


@pytest.mark.parametrize("shift", [7, 12])
@pytest.mark.parametrize("most", [1 << 20, 3000, 10])
def test_runs_are_the_words_that_were_given(most, shift) -> None:
    """Quiet memory, then crowded memory, with holes within blocks and between them."""
    chosen = np.random.default_rng(most + shift)
    ranges = np.array([[0, 32_768 >> shift], [65_536 >> shift, (151_552 >> shift)]])
    grid = Grid(shift, ranges.astype(np.int64))
    gatherer, words = RunGatherer(grid, most), np.zeros(151_552, dtype=np.uint8)
    for first, end in PAGES:
        for start in range(first, end, WINDOW):
            count = min(start + WINDOW, end) - start
            long = 400 if start < 100_000 else 1
            given = np.repeat(chosen.integers(1, 4, count), long)[:count].astype(np.uint8)
            words[start : start + count] = given
            at = np.r_[0, np.flatnonzero(np.diff(given)) + 1]
            gatherer.add(start + at, np.diff(at, append=count), given[at])
    runs = gatherer.gathered()
    blocks = words.reshape(-1, 1 << shift)[numbers(grid.ranges)]
    sums = np.array([np.bincount(block, minlength=16) for block in blocks])
    assert (runs.by_kind() == sums).all()
    assert (np.diff(runs.block) >= 0).all()
    for place in np.flatnonzero(runs.mixed == 0).tolist():
        own = runs.block == place
        assert (np.repeat(runs.word[own], runs.pages[own]) == blocks[place]).all()
    sharp = int(runs.crowd[runs.mixed == 0].sum())
    assert sharp <= most + len(grid) + (1 << shift)
    assert (runs.mixed != 0).any() == (most < 1 << 20)
    for by, left in ((2, 1 << 20), (0, 50), (3, 0)):
        coarse = runs.coarser(by).with_runs(left)
        assert (coarse.by_kind().sum(axis=0)[1:] == sums.sum(axis=0)[1:]).all()
        assert coarse.pages.sum() == len(coarse.grid) << coarse.grid.shift
