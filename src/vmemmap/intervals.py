"""Sets of numbers as sorted half-open intervals, in arrays: cut, joined, and taken from each other.

An array of intervals has shape (n, 2), int64, ascending, without overlap. All work is array work,
so that a list of a million blocks costs no loop. By example::

    join       [0, 4) [6, 8) [4, 5) [7, 9)    ->  [0, 5) [6, 9)
    intersect  [0, 5) [6, 9)  and  [3, 7)     ->  [3, 5) [6, 7)
    subtract   [0, 5) [6, 9)  less [3, 7)     ->  [0, 3) [7, 9)
    touched    [3, 5) [6, 7)  in units of 4   ->  [0, 2)
    groups     [0, 5) [6, 9)  of about 4      ->  [0, 4) [4, 5)  and  [6, 9)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Intervals = NDArray[np.int64]

_LOWEST, _HIGHEST = -(1 << 62), 1 << 62


def join(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Intervals:
    """Give the union of intervals in any order; those that touch become one, empty ones vanish."""
    some = starts < ends
    starts, ends = starts[some], ends[some]
    order = np.argsort(starts, kind="stable")
    starts, far = starts[order], np.maximum.accumulate(ends[order]) if len(order) else ends
    breaks = np.flatnonzero(starts[1:] > far[:-1]) + 1
    first = np.r_[0, breaks] if len(starts) else breaks
    last = np.r_[breaks - 1, len(starts) - 1] if len(starts) else breaks
    return np.column_stack([starts[first], far[last]]).astype(np.int64).reshape(-1, 2)


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """Give what lies in both."""
    if not len(left) or not len(right):
        return np.empty((0, 2), dtype=np.int64)
    low = np.searchsorted(right[:, 1], left[:, 0], side="right")
    high = np.searchsorted(right[:, 0], left[:, 1], side="left")
    counts = np.maximum(high - low, 0)
    row = np.repeat(np.arange(len(left)), counts)
    before = np.cumsum(counts) - counts
    other = np.arange(len(row)) - np.repeat(before, counts) + np.repeat(low, counts)
    start = np.maximum(left[row, 0], right[other, 0])
    end = np.minimum(left[row, 1], right[other, 1])
    return np.column_stack([start, end])


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Give what lies in *left* and not in *right*."""
    starts = np.r_[_LOWEST, right[:, 1]]
    ends = np.r_[right[:, 0], _HIGHEST]
    some = starts < ends
    return intersect(left, np.column_stack([starts[some], ends[some]]))


def touched(intervals: Intervals, unit: int) -> Intervals:
    """Give the numbers of the units, each *unit* long, that the intervals lie in, even in part."""
    return join(intervals[:, 0] // unit, -(-intervals[:, 1] // unit))


def total(intervals: Intervals) -> int:
    """Give how many numbers there are in all."""
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def holds(
    intervals: Intervals, starts: NDArray[np.int64], size: int | NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell for each start whether all of ``[start, start + size)`` lies in one interval."""
    at = np.searchsorted(intervals[:, 0], starts, side="right") - 1
    if not len(intervals):
        return np.zeros(len(starts), dtype=np.bool_)
    clipped = np.maximum(at, 0)
    return np.asarray((at >= 0) & (starts + size <= intervals[clipped, 1]))


def touches(
    intervals: Intervals, starts: NDArray[np.int64], size: int | NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell for each start whether any of ``[start, start + size)`` lies in an interval.

    Args:
        intervals: The intervals.
        starts: Where each range starts.
        size: How long all of them are, or each.
    """
    first = np.searchsorted(intervals[:, 1], starts, side="right")
    last = np.searchsorted(intervals[:, 0], starts + size, side="left")
    return np.asarray(first < last)


def groups(intervals: Intervals, size: int) -> list[Intervals]:
    """Cut intervals into groups with about *size* numbers each, in order."""
    if not len(intervals):
        return []
    pieces = -(-(intervals[:, 1] - intervals[:, 0]) // size)
    row = np.repeat(np.arange(len(intervals)), pieces)
    piece = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = intervals[row, 0] + piece * size
    cut = np.column_stack([start, np.minimum(start + size, intervals[row, 1])])
    full = np.cumsum(cut[:, 1] - cut[:, 0]) // size
    return np.split(cut, np.flatnonzero(np.diff(full)) + 1)


def numbers(intervals: Intervals) -> NDArray[np.int64]:
    """Give every number that is in the intervals, ascending."""
    lengths = intervals[:, 1] - intervals[:, 0]
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(int(lengths.sum())) + np.repeat(intervals[:, 0] - before, lengths))


def runs_of(flags: NDArray[np.bool_]) -> Intervals:
    """Give the rows that are set, as intervals."""
    turns = np.flatnonzero(np.diff(flags, prepend=np.False_, append=np.False_))
    return turns.astype(np.int64).reshape(-1, 2)
