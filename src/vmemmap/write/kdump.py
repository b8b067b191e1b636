"""Writes a kdump-compressed file front to back, its pages compressed by several threads.

::

    headers | notes | bitmap 1: memory | bitmap 2: pages in the file | descriptors | page data

Which pages stay is known before (`PageBits`), so that descriptors and data each have their place
and nothing is held but what is being worked on. Pages of zeros share one copy, as makedumpfile and
QEMU write them. A page that does not get smaller is stored as it is. What cannot be read has a
descriptor of zeros, which readers know as lost.

The same pages give the same bytes, whatever the number of threads.

Source: makedumpfile.c, write_kdump_pages_and_bitmap_cyclic(), write_kdump_pages_cyclic().
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.formats import kdump
from vmemmap.intervals import Intervals, groups
from vmemmap.progress import Progress, no_progress
from vmemmap.threads import in_order, in_turn
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.output import Bytes, Output
from vmemmap.write.packing import FindZero, Packed, Packer, PageBatch
from vmemmap.write.page_bits import PageBits, bitmap_of

LOAD_BYTES = 16 << 20
"""How much is asked for together."""
TASK_BYTES = 2 << 20
"""How much one thread compresses before it asks for more."""
_DESCRIPTORS_AT_ONCE = 4096
_LOST_NAMED = 16


Load = Callable[[Intervals], Iterator[PageBatch]]
"""Gives all pages of some intervals of pfns, in order; asked by one thread."""


@dataclass(slots=True)
class Written:
    """What a kdump-compressed file came to have.

    Attributes:
        pages: Pages with a descriptor.
        zero: Those of them that are full of zeros and share one copy.
        lost: Those that could not be read.
        copied: Those that were compressed already and copied as they were.
        compressed: Those that were compressed.
        file_bytes: Size of the file.
        lost_pfns: The first pfns that were lost, at most 16.
    """

    pages: int = 0
    zero: int = 0
    lost: int = 0
    copied: int = 0
    compressed: int = 0
    file_bytes: int = 0
    lost_pfns: list[int] = field(default_factory=list)


def write_kdump(
    out: Output,
    header: KdumpHeader,
    ram: Intervals,
    kept: PageBits,
    load: Load,
    find_zero: FindZero,
    *,
    threads: int = 1,
    member: tuple[int, int] | None = None,
    progress: Progress = no_progress,
) -> Written:
    """Write a kdump-compressed file, or one member of a split one.

    Args:
        out: Where it goes.
        header: What it says of itself.
        ram: Pfns of all memory, kept or not: sorted, without overlap.
        kept: The pages that are to be in it, all of them in *ram*.
        load: Gives the pages.
        find_zero: Tells which are full of zeros.
        threads: How many threads compress.
        member: The pfns whose pages this member of a split dump has; None if it is not split.
        progress: Told "writing", the bytes of memory done and those in all.

    Raises:
        OutputTooLarge, UnwritableFile, OSError: What *out* raises.
        CodecUnavailable: The library is not installed.
    """
    start, end = member or (0, header.max_mapnr)
    packer = Packer(header.codec, header.page_size, find_zero)
    out.put(0, header.pack_main())
    out.put(header.page_size, header.pack_sub(member))
    bitmaps = ((0, bitmap_of(ram, header.max_mapnr)), (header.map_bytes, kept.pieces()))
    for place, pieces in bitmaps:
        for at, piece in pieces:
            out.put(header.first_map_at + place + at, piece)
    writer = _PageWriter(out, header, kept.count(start, end))
    batches = _batches(kept, start, end, load, header.page_size)
    total = writer.total * header.page_size

    def put(packed: Packed) -> None:
        writer.put(packed)
        packer.release(packed)

    name = "vmemmap-compress"
    put_all = (
        map(put, in_order(packer.pack, batches, threads, name))
        if out.may_wait
        else in_turn(packer.pack, put, batches, threads, name)
    )
    for _ in put_all:
        if writer.written.pages < writer.total:
            progress("writing", writer.written.pages * header.page_size, total)
    writer.end()
    if writer.written.lost:
        out.put(0, replace(header, incomplete=True).pack_main())
    progress("writing", total, total)
    before = kept.rank(start)
    writer.written.lost_pfns = [kept.select(before + rank) for rank in writer.lost_ranks]
    return writer.written


def _batches(
    kept: PageBits, start: int, end: int, load: Load, page_size: int
) -> Iterator[PageBatch]:
    """Give all pages that are kept, so many at a time as one thread should work on."""
    for intervals in kept.intervals(start, end):
        for group in groups(intervals, LOAD_BYTES // page_size):
            for batch in load(group):
                ends = np.cumsum(batch.size)
                steps = np.arange(TASK_BYTES, int(batch.size.sum()), TASK_BYTES)
                cuts = np.searchsorted(ends, steps, "right")
                for first, stop in pairwise([0, *cuts.tolist(), len(ends)]):
                    yield batch.part(first, stop)


class _PageWriter:
    """Puts packed pages and their descriptors where they belong."""

    def __init__(self, out: Output, header: KdumpHeader, total: int) -> None:
        self._out, self._header = out, header
        self.total = total
        self.written = Written()
        self._table_at = header.descriptors_at
        self._data_at = header.data_at(total)
        self._zero_at = -1  # nowhere yet
        self._table = np.zeros(_DESCRIPTORS_AT_ONCE, kdump.descriptor_dtype(header.order))
        self._filled = 0
        self.lost_ranks: list[int] = []

    def put(self, packed: Packed) -> None:
        """Write the next pages."""
        size, zero, lost, written = packed.size, packed.zero, packed.lost, self.written
        zeros, losses = int(np.count_nonzero(zero)), int(np.count_nonzero(lost))
        offset = self._data_at + np.cumsum(size) - size
        end = int(size.sum())
        before = 0
        left = self.total - written.pages
        self._out.expect(self._data_at, left * self._header.page_size)
        if zeros and self._zero_at < 0:
            # In front of the first that is one, however many pages came together.
            first = int(np.argmax(zero))
            self._zero_at = int(offset[first])
            before = self._zero_at - self._data_at
            offset[first:] += self._header.page_size
            self._put_part(packed, 0, before)
            self._put_data(bytes(self._header.page_size))
        self._put_part(packed, before, end)
        if zeros:
            offset[zero] = self._zero_at
            size[zero] = self._header.page_size
        if losses:
            offset[lost] = 0
            if len(self.lost_ranks) < _LOST_NAMED:
                self.lost_ranks += (np.flatnonzero(lost) + written.pages).tolist()
                del self.lost_ranks[_LOST_NAMED:]
        self._describe(offset, size, packed.flags)
        written.pages += len(size)
        written.zero += zeros
        written.lost += losses
        written.copied += packed.copied
        written.compressed += packed.compressed

    def end(self) -> None:
        """Write what is left of the descriptors, and make sure that the bitmaps are whole."""
        self._flush()
        if not self.total:
            self._out.put(self._header.descriptors_at - 1, b"\0")
        self._out.expect(self._data_at, 0)
        self.written.file_bytes = self._data_at
        assert self.written.pages == self.total, (self.written.pages, self.total)

    def _put_part(self, packed: Packed, start: int, end: int) -> None:
        """Write the bytes ``[start, end)`` of what was packed, from memory or out of their file."""
        if packed.runs is None or packed.file is None:
            if start < end:
                self._put_data(memoryview(packed.data)[start:end])
            return
        at = 0
        for offset, length in packed.runs.tolist():
            first, last = max(start - at, 0), min(end - at, length)
            if first < last:
                self._out.copy(self._data_at, packed.file, offset + first, last - first)
                self._data_at += last - first
            at += length

    def _put_data(self, data: Bytes) -> None:
        self._out.put(self._data_at, data)
        self._data_at += len(data)

    def _describe(
        self, offset: NDArray[np.int64], size: NDArray[np.int64], flags: NDArray[np.int64]
    ) -> None:
        done = 0
        while done < len(offset):
            count = min(len(offset) - done, len(self._table) - self._filled)
            rows = self._table[self._filled : self._filled + count]
            some = slice(done, done + count)
            rows["offset"], rows["size"], rows["flags"] = offset[some], size[some], flags[some]
            self._filled += count
            done += count
            if self._filled == len(self._table):
                self._flush()

    def _flush(self) -> None:
        data = self._table[: self._filled].tobytes()
        self._out.put(self._table_at, data)
        self._table_at += len(data)
        self._filled = 0
