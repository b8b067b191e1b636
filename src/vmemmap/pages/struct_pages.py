"""The bytes of struct pages: found through the vmemmap, a window at a time, without copying them.

A window is a stretch of pfns. Its struct pages are views of the dump where the dump has them in one
piece; where they cannot be had, the window says which and why. What they mean is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import ReadError
from vmemmap.intervals import join
from vmemmap.mmzone.section_table import SectionTable
from vmemmap.source.base import Located, PhysicalSource
from vmemmap.translate.runs import VmemmapRuns

ROWS_IN_CACHE = 8192


@dataclass(frozen=True, slots=True)
class Piece:
    """Struct pages in a row: rows ``[start, end)`` of the window, in one piece of memory."""

    start: int
    end: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Missing:
    """Struct pages in a row that cannot be had: rows ``[start, end)`` of the window, and why."""

    start: int
    end: int
    why: Absence


@dataclass(slots=True)
class Window:
    """A stretch of pfns and what there is of their struct pages.

    Attributes:
        first_pfn: The pfn of row 0.
        count: How many rows.
        size: Bytes in a struct page.
        order: The memory's byte order.
        valid: Rows ``[start, end)`` that belong to a section, in order.
        offline: Those of them whose section is not online.
        device: Those of these that are marked as device memory.
        pieces: What can be read, in order.
        missing: What cannot, in order.
    """

    first_pfn: int
    count: int
    size: int
    order: ByteOrder
    valid: list[tuple[int, int]] = field(default_factory=list)
    offline: list[tuple[int, int]] = field(default_factory=list)
    device: list[tuple[int, int]] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every row can be read."""
        return sum(piece.end - piece.start for piece in self.pieces) == self.count

    def readable(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell for each of some rows, which may lie behind the end, whether it can be read."""
        inside = rows < self.count
        if self.complete:
            return inside
        there = np.zeros(self.count + 1, dtype=np.bool_)
        for piece in self.pieces:
            there[piece.start : piece.end] = True
        return there[np.where(inside, rows, self.count)]

    def columns(
        self,
        members: Sequence[tuple[int, NDArray[np.generic]]],
        first: int = 0,
        end: int | None = None,
    ) -> None:
        """Put several members of struct pages into columns, their bytes as they are.

        Args:
            members: Offset (bytes) and column of each: one element a row, unsigned, as wide as the
                member. Rows that cannot be read are left alone.
            first: The first row wanted.
            end: The row after the last one wanted; None for all.
        """
        stride, end = (self.size,), self.count if end is None else end
        for piece in self.pieces:
            start, data = piece.start, piece.data
            # So little at a time that it is still in the cache for the next member.
            for at in range(max(start, first), min(piece.end, end), ROWS_IN_CACHE):
                stop = min(at + ROWS_IN_CACHE, piece.end, end)
                into, rows = (at - start) * self.size, stop - at
                for offset, out in members:
                    out[at:stop] = np.ndarray(rows, out.dtype, data, into + offset, stride)

    def gather(self, offset: int, width: int, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
        """Give a member of some struct pages as numbers.

        Args:
            offset: Offset of the member (bytes).
            width: Its size: 1, 2, 4 or 8 bytes.
            rows: Rows of the window, sorted; each has to be readable.

        Returns:
            uint64 in native byte order.
        """
        dtype = np.dtype(f"{numpy_prefix(self.order)}u{width}")
        out = np.empty(len(rows), dtype=np.uint64)
        if len(self.pieces) > 1:
            ends = np.array([piece.end for piece in self.pieces])
            bounds = np.searchsorted(rows, ends)
        else:
            bounds = np.array([len(rows)])
        at = 0
        for piece, end in zip(self.pieces, bounds.tolist(), strict=False):
            if end > at:
                count = piece.end - piece.start
                member = np.ndarray(count, dtype, piece.data, offset, (self.size,))
                out[at:end] = member[rows[at:end] - piece.start]
                at = end
        return out


class StructPages:
    """Where struct pages are, and their bytes.

    Args:
        source: The dump's physical memory.
        runs: Which parts of the vmemmap are backed, and where.
        sections: Which pages have a struct page.
        base: Virtual address of the struct page of pfn 0.
        size: Bytes in a struct page.
        page_size: The kernel's page size in bytes.
        order: The memory's byte order.
    """

    def __init__(
        self,
        source: PhysicalSource,
        runs: VmemmapRuns,
        sections: SectionTable,
        *,
        base: int,
        size: int,
        page_size: int,
        order: ByteOrder,
    ) -> None:
        self._source = source
        self._runs = runs
        self.sections = sections
        self.base = base
        self.size = size
        self.order = order
        self._page_size = page_size
        self._unit = min(page_size, source.block_size or page_size)
        self._in_file = source.gives_file

    def windows(self, count: int) -> Iterator[int]:
        """Yield the first pfn of every window of *count* pages that has a page, in order."""
        at = -1
        for first, end in zip(
            self.sections.first_pfn.tolist(), self.sections.end_pfn.tolist(), strict=True
        ):
            for start in range(first // count * count, end, count):
                if start > at:
                    at = start
                    yield at

    def window(self, first_pfn: int, count: int) -> Window:
        """Find the struct pages of *count* pages from *first_pfn* on."""
        window = Window(first_pfn, count, self.size, self.order)
        for run in self.sections.overlapping(first_pfn, first_pfn + count):
            start = max(run.first_pfn, first_pfn) - first_pfn
            end = min(run.end_pfn, first_pfn + count) - first_pfn
            window.valid.append((start, end))
            if run.online is False:
                window.offline.append((start, end))
                if run.marked_device:
                    window.device.append((start, end))
            self._fill(window, start, end)
        return window

    def locate(self, stretches: NDArray[np.int64]) -> Located:
        """Find the bytes of many struct pages at once.

        Args:
            stretches: int64, shape (n, 2): first pfn and the one after the last of each, sorted.

        Returns:
            Where they are; positions are bytes from the struct page of pfn 0 on.
        """
        # In a file neighbours are found together; what has to be read fails for each by itself.
        if len(stretches) > 1 and self._in_file:
            stretches = join(stretches[:, 0], stretches[:, 1])
        found = [np.empty((0, 3), dtype=np.int64)]
        found += [self.places(first, end) for first, end in (stretches * self.size).tolist()]
        return self._source.locate(np.concatenate(found))

    def places(self, first: int, end: int) -> NDArray[np.int64]:
        """Tell where a part of the array lies in physical memory.

        Args:
            first: Where it begins, in bytes from the struct page of pfn 0 on.
            end: Where it ends, likewise.

        Returns:
            int64, shape (n, 3): position in the array, physical address, length (bytes).
        """
        rows = self._runs.rows(self.base + first, self.base + end)
        # Cut to the stretch; what lies before it is cut off of the physical address too.
        position = (rows[:, 0] - np.uint64(self.base)).astype(np.int64)
        before = np.maximum(first - position, 0)
        behind = np.maximum(position + rows[:, 2].astype(np.int64) - end, 0)
        phys, size = rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
        cut = np.column_stack([position, phys, size])
        cut += np.column_stack([before, before, -before - behind])
        return cut[cut[:, 2] > 0]

    def trim(self) -> None:
        """Let go of memory that holds what was read."""
        self._source.trim()

    def read(self, pfn: int) -> bytes | Absence:
        """Give the bytes of one struct page, or why they cannot be had; its section may be any."""
        window = Window(pfn, 1, self.size, self.order)
        self._fill(window, 0, 1)
        return window.missing[0].why if window.missing else bytes(window.pieces[0].data)

    def _fill(self, window: Window, start: int, end: int) -> None:
        """Add rows ``[start, end)`` to the window's pieces and missing rows."""
        base = self.base + window.first_pfn * self.size  # the address of row 0
        row = start  # the next one to be told of
        rest = b""  # the beginning of its struct page, at the end of a run
        for at, data, length, why in self._spans(base + start * self.size, base + end * self.size):
            into = at - base
            if into > row * self.size and data is not None:
                # It begins before this run: with 56 bytes one can lie in two.
                need = min((row + 1) * self.size - into, length)
                if rest and len(rest) + need == self.size:
                    joined = memoryview(rest + bytes(data[:need]))
                    window.pieces.append(Piece(row, row + 1, joined))
                    row += 1
                    into, data, length = into + need, data[need:], length - need
                elif rest and need == length:  # and does not end in it either: the file does
                    rest += bytes(data)
                    continue
                rest = b""
            stop = (into + length) // self.size
            if data is None:
                stop = min(-(-(into + length) // self.size), end)
                if stop > row:
                    window.missing.append(Missing(row, stop, why))
                row, rest = max(row, stop), b""
                continue
            first = max(row, -(-into // self.size))
            if first > row:
                window.missing.append(Missing(row, first, Absence.NO_ENTRY))
                row = first
            if stop > row:
                skip = row * self.size - into
                view = data[skip : skip + (stop - row) * self.size]
                window.pieces.append(Piece(row, stop, view))
                row = stop
            if row < end:
                rest = bytes(data[row * self.size - into :])
        if row < end:
            window.missing.append(Missing(row, end, Absence.NO_ENTRY))

    def _spans(self, start: int, end: int) -> Iterator[tuple[int, memoryview | None, int, Absence]]:
        """Yield all of ``[start, end)`` in order: address, bytes or None, length, why None."""
        at = start
        for virt, phys, size in self._runs.clip(start, end):
            if virt > at:
                yield at, None, virt - at, Absence.NO_ENTRY
            try:
                yield virt, self._source.view(phys, size), size, Absence.READ
            except ReadError:
                yield from self._parts(virt, phys, size)
            at = virt + size
        if at < end:
            yield at, None, end - at, Absence.NO_ENTRY

    def _why(self, error: ReadError) -> Absence:
        """Give the reason for which a struct page cannot be read."""
        if error.code is not Absence.NOT_IN_DUMP:
            return error.code
        return Absence.ON_DEVICE if self.is_on_device(error.phys) else error.code

    def is_on_device(self, phys: int) -> bool:
        """Tell whether a struct page that the dump lacks lies on the device that it describes."""
        home = self.sections.find(phys // self._page_size)
        # A struct page in memory that is not in use: nobody but a device has an altmap there that
        # is not in the dump.
        return home is not None and home.aside

    def _parts(
        self, virt: int, phys: int, size: int
    ) -> Iterator[tuple[int, memoryview | None, int, Absence]]:
        """Yield a run that cannot be read as a whole, page of the dump by page."""
        unit = self._unit
        edges = np.arange(phys // unit * unit, phys + size, unit, dtype=np.uint64)
        edges[0] = phys
        there = self._source.present_many(edges)
        ends = np.append(edges[1:], np.uint64(phys + size))
        bounds = np.r_[0, np.flatnonzero(np.diff(there)) + 1, len(edges)]
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            low, high = int(edges[first]), int(ends[last - 1])
            if there[first]:
                try:
                    view = self._source.view(low, high - low)
                    yield virt + low - phys, view, high - low, Absence.READ
                    continue
                except ReadError:
                    pass
            for a, b in zip(edges[first:last].tolist(), ends[first:last].tolist(), strict=True):
                try:
                    yield virt + a - phys, self._source.view(a, b - a), b - a, Absence.READ
                except ReadError as error:
                    why, end = self._why(error), min(max(error.phys, a), b)
                    if why is Absence.TRUNCATED and end > a:  # the file ends in the middle of it
                        yield virt + a - phys, self._source.view(a, end - a), end - a, Absence.READ
                        a = end
                    yield virt + a - phys, None, b - a, why
