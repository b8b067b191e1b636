"""A sample of pages that come by in order, without knowing how many there will be.

Every so many of them are taken, twice as many apart whenever it has become too many: so it is the
same every time, and evenly spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals


class Sample:
    """Some of the pages that `add` is given.

    Args:
        most: It has at most twice as many.

    Attributes:
        pages: How many have come by.
        pfns: Those that were taken, ascending: int64.
    """

    def __init__(self, most: int) -> None:
        self.pages = 0
        self.pfns: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._most, self._step = most, 1
        self._rank: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def add(self, intervals: Intervals) -> None:
        """Let pages come by, as intervals of pfns behind those that came before."""
        if not len(intervals):
            return
        ends = self.pages + np.cumsum(intervals[:, 1] - intervals[:, 0])
        while (ends[-1] - self.pages) // self._step > 2 * self._most:
            self._step *= 2
        self._thin()
        first = -(-self.pages // self._step) * self._step
        here = np.arange(first, int(ends[-1]), self._step, dtype=np.int64)
        row = np.searchsorted(ends, here, side="right")
        self.pfns = np.concatenate([self.pfns, intervals[row, 1] - (ends[row] - here)])
        self._rank = np.concatenate([self._rank, here])
        self.pages = int(ends[-1])
        while len(self._rank) > 2 * self._most:
            self._step *= 2
            self._thin()

    def _thin(self) -> None:
        stays = self._rank % self._step == 0
        self.pfns, self._rank = self.pfns[stays], self._rank[stays]
