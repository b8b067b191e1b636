"""The pages of a dump as a writer wants them: as the file has them if that will do, else decoded.

A page that the dump has in part only, since a memory range ends within it, is filled up with zeros
and counted. One that cannot be read is lost, and counted by the writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import ReadError
from vmemmap.intervals import Intervals, numbers
from vmemmap.memory import OpenFile
from vmemmap.pages.zero_filled import zero_pages_at
from vmemmap.source.base import PhysicalSource, StoredForms
from vmemmap.write.compress import FLAG_OF_CODEC
from vmemmap.write.packing import CONTENT, LOST, ZERO, PageBatch

_TRIM_BYTES = 32 << 20
"""How much may be read before it is unmapped; the system may map four times as much around it."""
_ZERO_RATIO = 128
"""No writer known compresses a zero page worse than this."""
_SNAPPY_ZERO_RATIO = 20
"""But for snappy: a copy of 64 bytes takes three."""
_SPARE_BYTES = 64
_HOLE_BYTES = 64 << 10
"""To ask where a file has a hole takes as long as reading so much."""
_HOLES_TRIED = 8 * _HOLE_BYTES
"""What may be asked in vain, of each batch of pages."""


class Contents:
    """The pages of one dump.

    Args:
        source: The dump's physical memory.
        page_size: The kernel's page size in bytes.
        codec: The codec in which they are wanted; pages that are stored so are not decoded.

    Attributes:
        page_size: As given.
        partial: How many pages were filled up.
    """

    def __init__(self, source: PhysicalSource, page_size: int, codec: str) -> None:
        self._source, self.page_size = source, page_size
        self._flag = FLAG_OF_CODEC[codec]
        stored = FLAG_OF_CODEC.get(source.codec or "none")
        self._by_page = source.block_size == page_size and stored == self._flag
        self.partial = 0
        self._since_trim = 0
        self._known_zero: set[bytes] = set()
        ratio = _SNAPPY_ZERO_RATIO if codec == "snappy" else _ZERO_RATIO
        self._zero_bytes_max = page_size // ratio + _SPARE_BYTES

    def load(self, pages: Intervals) -> Iterator[PageBatch]:
        """Give the pages of some intervals of pfns, in order."""
        pfns = numbers(pages)
        forms = self._source.stored_forms(pfns) if self._by_page else None
        if forms is None or forms.status & ~0x8 != self._flag:
            yield from self._decoded(pfns)
        else:
            usable = forms.sound & ((forms.flags == 0) | (forms.flags == self._flag))
            for start, end, whether in _runs(usable):
                if whether:
                    yield self._as_stored(forms, pfns, start, end)
                else:
                    yield from self._decoded(pfns[start:end])
        self._since_trim += len(pfns) * self.page_size
        if self._since_trim >= _TRIM_BYTES:
            self.trim()

    def trim(self) -> None:
        """Let go of what was loaded; pages far apart have more mapped around them than they are."""
        self._since_trim = 0
        self._source.trim()

    def find_zero(self, data: memoryview, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which pages of a buffer are full of zeros."""
        return zero_pages_at(data, offsets, self.page_size)

    def _as_stored(
        self, forms: StoredForms, pfns: NDArray[np.int64], start: int, end: int
    ) -> PageBatch:
        """Give pages as the file has them; zeros in plain pages are left for the packer to find."""
        offset, size, form = (
            column[start:end].copy() for column in (forms.offset, forms.size, forms.flags)
        )
        small = np.flatnonzero((form > 0) & (size <= self._zero_bytes_max))
        for row in small.tolist():
            if self._is_zero(forms.data, int(offset[row]), int(size[row]), int(pfns[start + row])):
                form[row] = ZERO
        return PageBatch(forms.data, offset, size, form, forms.file)

    def _is_zero(self, data: memoryview, offset: int, size: int, pfn: int) -> bool:
        """Tell whether a compressed page is full of zeros; all those look the same in one file."""
        stored = bytes(data[offset : offset + size])
        if stored in self._known_zero:
            return True
        try:
            page = self._source.read(pfn * self.page_size, self.page_size)
        except ReadError:
            return False
        if page.count(0) < len(page):
            return False
        self._known_zero.add(stored)
        return True

    def _decoded(self, pfns: NDArray[np.int64]) -> Iterator[PageBatch]:
        """Give pages as they were in memory."""
        size = self.page_size
        edges = np.r_[0, np.flatnonzero(np.diff(pfns) != 1) + 1, len(pfns)]
        counts = np.diff(edges)
        runs = np.column_stack([edges[:-1], pfns[edges[:-1]], counts]) * size
        located = self._source.locate(runs[counts > 0])
        offset = np.full(len(pfns), -1, dtype=np.int64)
        position, length, at = located.spans.T
        first, end = -(-position // size), (position + length) // size
        whole = first < end
        rows = numbers(np.column_stack([first, end])[whole])
        begin = np.repeat((at + first * size - position)[whole], (end - first)[whole])
        offset[rows] = begin + (rows - np.repeat(first[whole], (end - first)[whole])) * size
        for start, stop, there in _runs(offset >= 0):
            sizes = np.full(stop - start, size)
            if there:
                form = np.full(stop - start, CONTENT)
                if located.file is not None:
                    form[_in_holes(located.file, offset[start:stop], size)] = ZERO
                yield PageBatch(located.data, offset[start:stop], sizes, form, located.file)
            else:
                for pfn in pfns[start:stop].tolist():
                    yield self._assembled(pfn)

    def _assembled(self, pfn: int) -> PageBatch:
        """Put a page together from what the dump has of it."""
        size, phys = self.page_size, pfn * self.page_size
        page = np.zeros(size, dtype=np.uint8)
        there = self._source.present_runs(phys, phys + size)
        is_cut = len(self._source.cut_off_runs(phys, phys + size)) > 0
        form = CONTENT if len(there) and not is_cut else LOST
        for start, end in there.tolist():
            try:
                self._source.read_into(start, page[start - phys : end - phys])
            except ReadError:
                form = LOST
        if form == CONTENT:
            self.partial += int((there[:, 1] - there[:, 0]).sum() < size)
        return PageBatch(
            page.data, np.zeros(1, np.int64), np.full(1, size), np.full(1, form, dtype=np.int64)
        )


def _in_holes(file: OpenFile, offset: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Tell which pages lie in holes of a sparse file, so that nobody has to read their zeros."""
    found = np.zeros(len(offset), dtype=np.bool_)
    if (np.diff(offset) < size).any():
        return found  # not one behind the other, as hardly any dump has them
    row, end, asked = 0, int(offset[-1]) + size, 0
    while row < len(offset):
        if (asked := asked + 1) * _HOLE_BYTES > np.count_nonzero(found) * size + _HOLES_TRIED:
            break
        data = file.next_data(int(offset[row]), end)
        after = int(np.searchsorted(offset, data - size, side="right"))
        found[row:after] = True
        if data >= end:
            break
        row = int(np.searchsorted(offset, file.data_end(data, end) - size, side="right"))
        row = max(row, after + 1)
    return found


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int, bool]]:
    """Yield runs of equal values: first row, the one after the last, the value."""
    edges = np.r_[0, np.flatnonzero(np.diff(flags)) + 1, len(flags)].tolist()
    for start, end in pairwise(edges):
        if start < end:
            yield start, end, bool(flags[start])
