"""Pieces of an address range: overlapping ones made disjoint by priority, and cut at borders."""

from __future__ import annotations

import heapq
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray


def settle_overlaps(table: NDArray[Any]) -> NDArray[Any]:
    """Cut pieces so that each address keeps the piece of the highest priority.

    Args:
        table: Integers; rows start, end (half-open), position in the source, then any more that go
            with a piece. Columns are pieces in falling priority.

    Returns:
        The same rows and type, sorted by start and without overlap; where the front of a piece was
        cut off, its position is moved on by as much. O(n log n).
    """
    starts, ends, sources = table[0].tolist(), table[1].tolist(), table[2].tolist()
    by_start = sorted(range(len(starts)), key=starts.__getitem__)
    borders = sorted({*starts, *ends})
    active: list[int] = []  # pieces that may cover what comes next, the best one first
    out: list[tuple[int, int, int, int]] = []
    waiting = 0
    for begin, end in itertools.pairwise(borders):
        while waiting < len(by_start) and starts[by_start[waiting]] <= begin:
            heapq.heappush(active, by_start[waiting])
            waiting += 1
        while active and ends[active[0]] <= begin:
            heapq.heappop(active)
        if active:
            best = active[0]
            out.append((begin, end, sources[best] + begin - starts[best], best))
    pieces = np.array(out, dtype=np.int64).reshape(-1, 4).T
    return np.concatenate([pieces[:3].astype(table.dtype), table[3:, pieces[3]]])


def cut_at(runs: NDArray[np.int64], borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut stretches of memory so that none crosses a border.

    Args:
        runs: Shape (n, 3): a position that grows with the address, address, length.
        borders: Addresses, sorted.

    Returns:
        The same stretches in the same order, in as many pieces as it takes.
    """
    start, end = runs[:, 1], runs[:, 1] + runs[:, 2]
    low, high = np.searchsorted(borders, start, "right"), np.searchsorted(borders, end, "left")
    cuts = np.maximum(high - low, 0)
    if not cuts.any():
        return runs
    row = np.repeat(np.arange(len(runs)), cuts + 1)
    # The number of each piece in its stretch; from the second on it begins at a border.
    piece = np.arange(len(row)) - np.repeat(np.cumsum(cuts + 1) - (cuts + 1), cuts + 1)
    at = np.where(piece == 0, start[row], borders[np.maximum(low[row] + piece - 1, 0)])
    last = np.r_[row[1:] != row[:-1], True]
    until = np.where(last, end[row], np.r_[at[1:], 0])
    return np.column_stack([runs[row, 0] + at - start[row], at, until - at])
