"""Sets of whole numbers as sorted, disjoint, half-open ranges; what both allocators count in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt


class Extents:
    """A set of numbers as ``[start, end)`` ranges; neighbours are joined at once."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._starts)

    @property
    def total(self) -> int:
        """How many numbers are in the set."""
        return sum(self._ends) - sum(self._starts)

    def add(self, start: int, end: int) -> None:
        """Put ``[start, end)`` in; what is in already stays."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Take ``[start, end)`` out, as far as it is in."""
        if start >= end:
            return
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        kept = [(self._starts[first], start), (end, self._ends[last - 1])]
        kept = [part for part in kept if part[0] < part[1]]
        self._starts[first:last] = [part[0] for part in kept]
        self._ends[first:last] = [part[1] for part in kept]

    def covers(self, start: int, end: int) -> bool:
        """Tell whether all of ``[start, end)`` is in; of nothing, all is."""
        index = bisect_right(self._starts, start) - 1
        return start >= end or (index >= 0 and end <= self._ends[index])

    def touches(self, start: int, end: int) -> bool:
        """Tell whether any of ``[start, end)`` is in; of nothing, none is."""
        return start < end and bisect_right(self._ends, start) < bisect_left(self._starts, end)

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of the set that lie in ``[start, end)``, ascending; none is empty."""
        if start >= end:
            return
        for index in range(bisect_right(self._ends, start), bisect_left(self._starts, end)):
            yield max(start, self._starts[index]), min(end, self._ends[index])

    def from_top(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges, the highest first; the set must not change meanwhile."""
        return zip(reversed(self._starts), reversed(self._ends), strict=True)

    def as_array(self) -> npt.NDArray[np.int64]:
        """Give the ranges as an array of shape (n, 2), ascending."""
        return np.column_stack([self._starts, self._ends]).astype(np.int64).reshape(-1, 2)
