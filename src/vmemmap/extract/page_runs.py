"""Where struct pages lie in physical memory, and what is shown of any stretch of it.

The vmemmap is known by its own addresses; a dump is written by physical ones. Blocks that boot
handed out from the top down::

    virtual    f0..00   f0..10   f0..20        runs by virtual address, as the list gives them
    physical   0x3f00   0x3e00   0x7000        sorted here by the physical one

Struct pages of 56 bytes can lie in two blocks; each part is shown in its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.extract.reduced_pages import PageReducer
from vmemmap.intervals import Intervals, join, runs_of, touched
from vmemmap.pages.struct_pages import StructPages
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.runs import VmemmapRuns

_PAGES_ASKED = 1 << 16


class PageRuns:
    """The struct pages of a dump, by physical address.

    Args:
        struct_pages: Where they are.
        runs: Which parts of the vmemmap are backed, and where.
        reducer: What is shown of them.
        page_size: The kernel's page size in bytes.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        runs: VmemmapRuns,
        reducer: PageReducer,
        page_size: int,
    ) -> None:
        self._struct_pages, self._reducer = struct_pages, reducer
        self._page_size = page_size
        self._rows = _by_phys(list(_mapped(struct_pages, runs, page_size)))
        self._starts = self._rows[:, 1].copy()
        self._ends = self._starts + self._rows[:, 2]

    def stored(self, source: PhysicalSource) -> Intervals:
        """Give the numbers of the pages of memory with struct pages that the dump has."""
        page, found = self._page_size, []
        for first, end in touched(join(self._starts, self._ends), page).tolist():
            for at in range(first, end, _PAGES_ASKED):
                pfns = np.arange(at, min(at + _PAGES_ASKED, end), dtype=np.uint64)
                found.append(runs_of(source.stored_many(pfns * np.uint64(page))) + at)
        every = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
        return join(every[:, 0], every[:, 1])

    def pieces(self, phys: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield what is shown of ``[phys, end)``: a physical address, and the bytes from there.

        In order, without overlap; where no struct pages are, or they cannot be read, nothing.
        """
        first = int(np.searchsorted(self._ends, phys, side="right"))
        stop = int(np.searchsorted(self._starts, end, side="left"))
        for virt, start, size in self._rows[first:stop].tolist():
            low, high = max(start, phys), min(start + size, end)
            yield low, self._shown(virt + low - start, virt + high - start)

    def _shown(self, start: int, end: int) -> bytes:
        """Give what is shown of ``[start, end)``, bytes of the array."""
        size = self._struct_pages.size
        first, last = start // size, -(-end // size)
        window = self._struct_pages.window(first, last - first)
        out = np.zeros((last - first, size), dtype=np.uint8)
        for piece in window.pieces:
            rows = np.frombuffer(piece.data, dtype=np.uint8).reshape(-1, size)
            out[piece.start : piece.end] = self._reducer.reduce(first + piece.start, rows)
        return out.reshape(-1)[start - first * size : end - first * size].tobytes()


def _mapped(
    struct_pages: StructPages, runs: VmemmapRuns, page_size: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the runs of the vmemmap that have struct pages of sections, whole pages of memory.

    Rows of bytes from the struct page of pfn 0 on, physical address and size.
    """
    sections, size, base = struct_pages.sections, struct_pages.size, struct_pages.base
    bounds = np.column_stack([sections.first_pfn, sections.end_pfn]) * size
    for start, end in (touched(bounds, page_size) * page_size).tolist():
        rows = runs.rows(base + start, base + end)
        offset = (rows[:, 0] - np.uint64(base)).astype(np.int64)
        phys, length = rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
        cut = np.clip(start - offset, 0, length)
        over = np.clip(offset + length - end, 0, length - cut)
        yield np.column_stack([offset + cut, phys + cut, length - cut - over])


def _by_phys(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Sort runs by physical address; memory that is mapped twice is the first one's."""
    rows = np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.int64)
    rows = rows[np.argsort(rows[:, 1], kind="stable")]
    reached = np.maximum.accumulate(np.r_[0, (rows[:, 1] + rows[:, 2])[:-1]]) if len(rows) else 0
    cut = np.clip(reached - rows[:, 1], 0, rows[:, 2])
    rows = rows + np.column_stack([cut, cut, -cut])
    return rows[rows[:, 2] > 0]
