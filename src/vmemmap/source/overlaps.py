"""Overlapping pieces of an address range made into disjoint ones, by priority."""

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
