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
    if not some.all():
        starts, ends = starts[some], ends[some]
    if not len(starts):
        return np.empty((0, 2), dtype=np.int64)
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    far = np.maximum.accumulate(ends)
    breaks = np.flatnonzero(starts[1:] > far[:-1])
    out = np.empty((len(breaks) + 1, 2), dtype=np.int64)
    out[0, 0], out[1:, 0] = starts[0], starts[breaks + 1]
    out[:-1, 1], out[-1, 1] = far[breaks], far[-1]
    return out


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """Give what lies in both."""
    if not len(left) or not len(right):
        return np.empty((0, 2), dtype=np.int64)
    if len(right) == 1:
        return _within(left, *right[0].tolist())
    if len(left) == 1:
        return _within(right, *left[0].tolist())
    low = np.searchsorted(right[:, 1], left[:, 0], side="right")
    high = np.searchsorted(right[:, 0], left[:, 1], side="left")
    counts = np.maximum(high - low, 0)
    row = np.repeat(np.arange(len(left)), counts)
    before = np.cumsum(counts) - counts
    other = np.arange(len(row)) - np.repeat(before, counts) + np.repeat(low, counts)
    start = np.maximum(left[row, 0], right[other, 0])
    end = np.minimum(left[row, 1], right[other, 1])
    return np.column_stack([start, end])


def _within(intervals: Intervals, start: int, end: int) -> Intervals:
    """Give what lies in ``[start, end)``."""
    first = int(np.searchsorted(intervals[:, 1], start, side="right"))
    last = int(np.searchsorted(intervals[:, 0], end, side="left"))
    out = intervals[first:last].copy()
    if len(out):
        out[0, 0], out[-1, 1] = max(int(out[0, 0]), start), min(int(out[-1, 1]), end)
    return out


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Give what lies in *left* and not in *right*."""
    between = np.empty((len(right) + 1, 2), dtype=np.int64)
    between[0, 0], between[1:, 0] = _LOWEST, right[:, 1]
    between[:-1, 1], between[-1, 1] = right[:, 0], _HIGHEST
    return intersect(left, between[between[:, 0] < between[:, 1]])


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
