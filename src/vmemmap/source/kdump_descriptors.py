"""The page descriptors of a kdump-compressed file: where each page lies, and in which form.

A descriptor is found by the rank of its page among the set bits of the second bitmap. What it
points at is not read here.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import Truncated
from vmemmap.formats import kdump as layout
from vmemmap.source.file_view import ByteView
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.page_cache import PageKey


class Descriptors:
    """The descriptors of one file, which stay in it until they are asked for.

    Args:
        file: The file.

    Attributes:
        dtype: How one lies in the file.
    """

    def __init__(self, file: KdumpFile) -> None:
        self._file, self._view = file, file.view
        self._first_pfn, self._end_pfn = file.pfn_range
        self._block_size = file.main.block_size
        self._struct = layout.descriptor_struct(file.main.order)
        self.dtype = layout.descriptor_dtype(file.main.order)

    def of(self, pfn: int, phys: int) -> PageKey:
        """Give file offset, size and flags of a page that the bitmap has.

        Args:
            pfn: The page's number.
            phys: The address in it that an error names.

        Raises:
            Truncated: The file ends before.
        """
        at = self._file.descriptor_at(pfn)
        if not self._view.holds(at, layout.DESCRIPTOR_BYTES):
            raise cut_off(self._view, phys, f"the page's descriptor should be at {at:#x}")
        offset, size, flags, _ = self._struct.unpack(self._view.view(at, layout.DESCRIPTOR_BYTES))
        return offset, size, flags

    def in_a_row(self, first: int, count: int) -> NDArray[np.void]:
        """Give the descriptors of pages in a row, up to the first that is not stored."""
        count = max(min(count, self._end_pfn - first), 0) if first >= self._first_pfn else 0
        if count:
            pfns = np.arange(first, first + count, dtype=np.uint64)
            absent = ~self._file.stored.test_many(pfns)
            count = int(np.argmax(absent)) if absent.any() else count
        at = self._file.descriptor_at(first) if count else 0
        have = self._view.view(at, count * layout.DESCRIPTOR_BYTES)
        if not self._view.holds(at, count * layout.DESCRIPTOR_BYTES):
            have = have[:0]
        return np.frombuffer(have, dtype=self.dtype)

    def before_the_end(self, first: int, count: int) -> NDArray[np.void]:
        """Give *count* descriptors from that of a stored page on, or what the file has of them."""
        have = self._view.view(self._file.descriptor_at(first), count * layout.DESCRIPTOR_BYTES)
        whole = len(have) // layout.DESCRIPTOR_BYTES * layout.DESCRIPTOR_BYTES
        return np.frombuffer(have[:whole], dtype=self.dtype)

    def of_many(self, pfns: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Give the descriptors of some pages, and which of them there are."""
        found = np.zeros(len(pfns), dtype=self.dtype)
        there = np.zeros(len(pfns), dtype=np.bool_)
        if self._view.contiguous and self._take(pfns, found, there):
            return found, there
        edges = np.r_[0, np.flatnonzero(np.diff(pfns) != 1) + 1, len(pfns)]
        if self._view.far and len(pfns):
            at = [self._file.descriptor_at(pfn) for pfn in pfns[edges[:-1]].tolist()]
            sizes = np.diff(edges) * layout.DESCRIPTOR_BYTES
            self._view.prefetch(np.array(at, dtype=np.int64), sizes.astype(np.int64))
        for start, end in pairwise(edges.tolist()):
            while start < end:
                here = self.in_a_row(int(pfns[start]), end - start)
                found[start : start + len(here)] = here
                there[start : start + len(here)] = True
                start += len(here) + 1  # past the one that is not stored
        return found, there

    def _take(
        self, pfns: NDArray[np.int64], found: NDArray[np.void], there: NDArray[np.bool_]
    ) -> bool:
        """Take the descriptors out of a table that is in one piece, if the file has all of it."""
        if self._view.far or not len(pfns):
            return False
        inside = (pfns >= self._first_pfn) & (pfns < self._end_pfn)
        stored = inside & self._file.stored.test_many(pfns.astype(np.uint64))
        wanted = pfns[stored]
        order = np.argsort(wanted, kind="stable")
        numbers = np.empty(len(wanted), dtype=np.int64)
        numbers[order] = self._file.stored.rank_many(wanted[order])
        if len(numbers):
            first, last = int(numbers.min()), int(numbers.max())
            count = last + 1 - first
            at = self._file.descriptors_at + first * layout.DESCRIPTOR_BYTES
            if first < 0 or not self._view.holds(at, count * layout.DESCRIPTOR_BYTES):
                return False  # the file is cut off, and some of them may be there
            table = self._view.view(at, count * layout.DESCRIPTOR_BYTES)
            found[stored] = np.frombuffer(table, dtype=self.dtype)[numbers - first]
        there[stored] = True
        return True

    def point_at_data(self, found: NDArray[np.void]) -> NDArray[np.bool_]:
        """Tell which descriptors name bytes that the file has, where page data may lie."""
        offset, size = found["offset"], found["size"]
        end = offset + size
        good = (offset >= self._file.descriptors_end) & (end <= self._view.size) & (end > offset)
        good &= size <= self._block_size
        if good.any() and not self._view.contiguous:
            rows = np.flatnonzero(good)
            place, length = (found[name][rows].astype(np.int64) for name in ("offset", "size"))
            good[rows] = self._view.holds_many(place, length)
        return np.asarray(good)

    def kept(self, first: int, count: int) -> NDArray[np.bool_] | None:
        """Tell of pages in a row, all in the bitmap, which the file has.

        Returns:
            None if each has to be asked for: the file is cut off in the middle, or has holes.
        """
        found = self.in_a_row(first, count)
        if len(found) < count or self._view.truncated:
            return None
        offset, size = found["offset"], found["size"].astype(np.uint64)
        room = np.uint64(self._view.size)
        return np.asarray(
            (offset != 0) & (size <= room) & (offset <= room - np.minimum(size, room))
        )

    def prefetch(self, found: NDArray[np.void]) -> None:
        """Have what some pages are made of fetched together."""
        offset, size = (found[name].astype(np.int64) for name in ("offset", "size"))
        order = np.argsort(offset, kind="stable")
        self._view.prefetch(offset[order], np.minimum(size, self._block_size)[order])


def cut_off(view: ByteView, phys: int, what: str) -> Truncated:
    """Make the error of a page, or its descriptor, that lies behind the end of the file.

    Args:
        view: The file.
        phys: The address in the page that is to be blamed.
        what: What should be where.
    """
    return Truncated(
        f"physical address {phys:#x} cannot be read: {what}, but {view.end_text}: the "
        "dump is cut off, copy it again",
        phys=phys,
    )
