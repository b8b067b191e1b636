"""Which pages a dump level leaves out and which it keeps, as runs, from the first page to the last.

The decision is makedumpfile's (``exclusion_rules.py``); sound windows are decided by the compiled
pass, the others page by page. Pages of the dump's memory that have no struct page are kept.

Source: makedumpfile.c, create_2nd_bitmap().
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals, intersect, join, subtract
from vmemmap.pages.array import PageArray
from vmemmap.pages.exclusion_rules import SEEN_VALUES, Class, decide
from vmemmap.pages.exclusions import Exclusions
from vmemmap.pages.one_pass import OnePass, applies

_BATCH_BYTES = 16 << 20
"""Struct pages that are decided on together."""
_NO_ROWS = np.empty((0, 3), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Decided:
    """A stretch of memory, every page of it decided on.

    Attributes:
        kept: Pages of the dump's memory that stay, as intervals of pfns.
        gone: Pages that go: int64, shape (n, 3), first pfn, the one after the last, and their
            `Class`; sorted. In a damaged dump they may overlap, or reach beyond the stretch.
        unread: Pages whose struct page cannot be read, likewise, with the `Absence`; they stay.
    """

    kept: Intervals
    gone: NDArray[np.int64]
    unread: NDArray[np.int64]


def decided(pages: PageArray, exclusions: Exclusions, level: int) -> Iterator[Decided]:
    """Decide on every page of a dump.

    Args:
        pages: The struct pages.
        exclusions: What makedumpfile would decide.
        level: A dump level, 0 to 31; what goes for its content (1) is not decided here.

    Yields:
        Stretches in the order of pfns; together they hold all of the dump's memory.
    """
    count = pages.window_pages
    windows = max(_BATCH_BYTES // (count * pages.layout.size), 1)
    decide_batch = _Batches(pages, exclusions, level)
    at, reach = 0, np.empty((0, 2), dtype=np.int64)
    for firsts in pages.batches(windows, count):
        gone, unread = decide_batch.gone(firsts)
        end = firsts[-1] + count
        # What goes with a page may reach into the next stretch.
        taken = join(np.r_[reach[:, 0], gone[:, 0]], np.r_[reach[:, 1], gone[:, 1]])
        here = intersect(exclusions.ranges, np.array([[at, end]], dtype=np.int64))
        yield Decided(subtract(here, taken), gone, unread)
        at, reach = end, taken[taken[:, 1] > end]
    rest = intersect(exclusions.ranges, np.array([[at, exclusions.end_pfn]], dtype=np.int64))
    if at < exclusions.end_pfn and len(rest):
        yield Decided(subtract(rest, reach), _NO_ROWS, _NO_ROWS)


class _Batches:
    """Decides on windows, a batch at a time."""

    def __init__(self, pages: PageArray, exclusions: Exclusions, level: int) -> None:
        self._pages, self._exclusions, self._level = pages, exclusions, level
        scans = exclusions.knowledge.scans_at(level)
        answers = [decide(seen, level) if scans else None for seen in range(SEEN_VALUES)]
        self._class = np.array([-1 if a is None else a for a in answers], dtype=np.int64)
        self._quick = None
        if applies(pages.layout):
            self._quick = OnePass(
                pages.struct_pages, pages.layout, pages.fields, exclusions, remember=True
            )

    def gone(self, firsts: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give what goes of some windows, and what cannot be read of them; see `Decided`."""
        count, found, unread = self._pages.window_pages, [], [_NO_ROWS]
        if self._quick is not None:
            firsts = self._quick.count(firsts, count)
            rows = self._quick.excludable()
            why = self._class[rows[:, 3]]
            end = np.where(why == Class.FREE, rows[:, 1], rows[:, 2])
            found.append(np.column_stack([rows[:, 0], end, why])[why >= 0])
        for first in firsts:
            scanned = self._pages.scanner.scan(first, count)
            missing = [(first + m.start, first + m.end, m.why) for m in scanned.window.missing]
            unread.append(np.array(missing, dtype=np.int64).reshape(-1, 3))
            taken = self._exclusions.taken(scanned, self._level)
            rows = np.array([(t.start, t.end, t.why) for t in taken], dtype=np.int64)
            found.append(rows.reshape(-1, 3))
        together = np.concatenate([_NO_ROWS, *found])
        return together[np.argsort(together[:, 0], kind="stable")], np.concatenate(unread)
