"""Pages filled with zeros, which makedumpfile leaves out at odd dump levels: found by reading them.

Only pages that stay at the level otherwise are looked at, as makedumpfile does. That reads nearly
all of the dump.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import ReadError
from vmemmap.pages.array import PageArray
from vmemmap.pages.exclusions import Exclusions
from vmemmap.source.base import PhysicalSource

_PAGES_AT_ONCE = 256


def count_zero_pages(
    source: PhysicalSource,
    pages: PageArray,
    exclusions: Exclusions,
    ranges: NDArray[np.int64],
    level: int,
) -> int | None:
    """Count the pages full of zeros among those that a dump level leaves otherwise.

    Args:
        source: The dump's physical memory.
        pages: The struct pages.
        exclusions: What makedumpfile would decide.
        ranges: The dump's memory ranges in pages, shape (n, 2), sorted.
        level: A dump level, 0 to 31.

    Returns:
        How many; None if some that stay are not in the dump, so that it cannot be known.
    """
    zero = 0
    taken = _taken(pages, exclusions, level)
    gone: list[tuple[int, int]] = []
    ahead = next(taken, None)
    for start, end in ranges.tolist():
        at = start
        while at < end:
            stop = min(at + _PAGES_AT_ONCE, end)
            while ahead is not None and ahead[0] < stop:
                gone.append(ahead)
                ahead = next(taken, None)
            gone = [each for each in gone if each[1] > at]
            keep = np.ones(stop - at, dtype=np.bool_)
            for first, last in gone:
                keep[max(first - at, 0) : max(last - at, 0)] = False
            found = _zero_among(source, at, keep, pages.page_size)
            if found is None:
                return None
            zero += found
            at = stop
    return zero


def _taken(pages: PageArray, exclusions: Exclusions, level: int) -> Iterator[tuple[int, int]]:
    """Yield the pages that a level leaves out: first pfn and the one after the last."""
    for window in pages.each(lambda scanned: exclusions.taken(scanned, level), threads=1):
        for taken in window:
            yield taken.start, taken.end


def _zero_among(
    source: PhysicalSource, first_pfn: int, keep: NDArray[np.bool_], page_size: int
) -> int | None:
    """Count the zero pages among those to keep, from *first_pfn* on; None if one is unreadable."""
    zero = 0
    rows = np.flatnonzero(keep)
    for group in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        if not len(group):
            continue
        address = (first_pfn + int(group[0])) * page_size
        try:
            data = source.view(address, len(group) * page_size)
        except ReadError:
            return None
        words = np.frombuffer(data, dtype=np.uint64).reshape(len(group), -1)
        # Most pages that are not zero show it in their first words.
        maybe = words[~words[:, :64].any(axis=1)]
        zero += int(np.count_nonzero(~maybe.any(axis=1)))
    return zero
