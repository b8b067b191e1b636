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

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vmemmap.formats import kdump
from vmemmap.intervals import Intervals, groups
from vmemmap.progress import Progress, no_progress
from vmemmap.threads import in_order
from vmemmap.write.compress import FLAG_OF_CODEC, Compressor, compressor
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.output import Bytes, Output
from vmemmap.write.page_bits import PageBits

CONTENT, LOST, ZERO = -1, -2, -3
"""What a page of a batch is, where it is not in a form of the file: its own bytes, to be
compressed; not to be had; full of zeros."""
LOAD_BYTES = 16 << 20
"""How much is asked for together."""
TASK_BYTES = 1 << 20
"""How much one thread compresses before it asks for more."""
_DESCRIPTORS_AT_ONCE = 4096
_LOST_NAMED = 16


@dataclass(frozen=True, slots=True)
class PageBatch:
    """Some pages, one after the other, as whoever has them gives them to the writer.

    By example, three pages of 64 KiB of which the second was compressed already, and the last
    cannot be read::

        offset    0x1000    0x7f20         0
        size     0x10000      4711         0
        form     CONTENT        32      LOST

    Attributes:
        data: The buffer in which they are.
        offset: Where each begins in it: int64, shape (n,), bytes.
        size: How many bytes it has there, likewise.
        form: `CONTENT`, `LOST`, `ZERO`, or the flags with which it is stored as it is.
    """

    data: memoryview
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    form: NDArray[np.int64]

    def part(self, start: int, end: int) -> PageBatch:
        """Give some of the pages."""
        some = slice(start, end)
        return PageBatch(self.data, self.offset[some], self.size[some], self.form[some])


Load = Callable[[Intervals], Iterator[PageBatch]]
"""Gives all pages of some intervals of pfns, in order; asked by one thread."""
FindZero = Callable[[memoryview, NDArray[np.int64]], NDArray[np.bool_]]
"""(a buffer, the offsets of pages in it) to which are full of zeros; several threads ask it."""


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


@dataclass(frozen=True, slots=True)
class _Packed:
    """A batch as it goes to the file: its bytes, and size, flags and form of each page."""

    data: Bytes
    size: NDArray[np.int64]
    flags: NDArray[np.int64]
    form: NDArray[np.int64]
    compressed: int


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
    packer = _Packer(header, find_zero)
    packer.check()
    out.put(0, header.pack_main())
    out.put(header.page_size, header.pack_sub(member))
    with PageBits(header.max_mapnr) as memory:
        memory.add(ram)
        for place, bits in ((0, memory.finish()), (header.map_bytes, kept)):
            for at, piece in bits.pieces():
                out.put(header.first_map_at + place + at, piece)
    writer = _PageWriter(out, header, kept.count(start, end))
    batches = _batches(kept, start, end, load, header.page_size)
    total = writer.total * header.page_size
    for packed in in_order(packer.pack, batches, threads, "vmemmap-compress"):
        writer.put(packed)
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
    at_once = TASK_BYTES // page_size
    for intervals in kept.intervals(start, end):
        for group in groups(intervals, LOAD_BYTES // page_size):
            for batch in load(group):
                if not (batch.form == CONTENT).any():
                    yield batch  # nothing is left to do
                    continue
                for first in range(0, len(batch.form), at_once):
                    yield batch.part(first, first + at_once)


class _Packer:
    """Brings pages into the form in which they are stored; several threads use one."""

    def __init__(self, header: KdumpHeader, find_zero: FindZero) -> None:
        self._codec, self._page_size = header.codec, header.page_size
        self._flag = FLAG_OF_CODEC[header.codec]
        self._find_zero = find_zero
        self._own = threading.local()

    def check(self) -> None:
        """Make sure that pages can be compressed, before anything is written."""
        if self._flag:
            self._compressor()

    def _compressor(self) -> Compressor:
        made: Compressor | None = getattr(self._own, "compressor", None)
        if made is None:
            made = self._own.compressor = compressor(self._codec, self._page_size)
        return made

    def pack(self, batch: PageBatch) -> _Packed:
        """Compress what is to be compressed, and put all together as the file has it."""
        offset, size, form = batch.offset.copy(), batch.size.copy(), batch.form.copy()
        rows = np.flatnonzero(form == CONTENT)
        zero = self._find_zero(batch.data, offset[rows])
        form[rows[zero]] = ZERO
        rows = rows[~zero]
        packed: Bytes = b""
        is_packed = np.zeros(len(form), dtype=np.bool_)
        if len(rows) and self._flag:
            packed, size[rows] = self._compressor()(batch.data, offset[rows])
            offset[rows] = np.cumsum(size[rows]) - size[rows]
            is_packed[rows] = True
        size[form < CONTENT] = 0
        flags = np.maximum(form, 0)
        smaller = is_packed & (size < self._page_size)
        flags[smaller] = self._flag
        parts = _parts(batch.data, memoryview(packed), offset, size, is_packed)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return _Packed(data, size, flags, form, int(np.count_nonzero(smaller)))


def _parts(
    data: memoryview,
    packed: memoryview,
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    is_packed: NDArray[np.bool_],
) -> list[memoryview]:
    """Give the bytes of pages in order, from two buffers; what lies together is one piece."""
    rows = np.flatnonzero(size)
    if not len(rows):
        return []
    start, end, which = offset[rows], (offset + size)[rows], is_packed[rows]
    first = np.flatnonzero(np.r_[True, (which[1:] != which[:-1]) | (start[1:] != end[:-1])])
    last = np.r_[first[1:], len(rows)] - 1
    pieces = zip(which[first].tolist(), start[first].tolist(), end[last].tolist(), strict=True)
    return [(packed if own else data)[at:stop] for own, at, stop in pieces]


class _PageWriter:
    """Puts packed pages and their descriptors where they belong."""

    def __init__(self, out: Output, header: KdumpHeader, total: int) -> None:
        self._out, self._header = out, header
        self.total = total
        self.written = Written()
        self._table_at = header.descriptors_at
        self._data_at = header.data_at(total)
        self._zero_at: int | None = None
        self._table = np.zeros(_DESCRIPTORS_AT_ONCE, kdump.descriptor_dtype(header.order))
        self._filled = 0
        self.lost_ranks: list[int] = []

    def put(self, packed: _Packed) -> None:
        """Write the next pages."""
        form, written = packed.form, self.written
        zero, lost = form == ZERO, form == LOST
        if self._zero_at is None and zero.any():
            self._zero_at = self._data_at
            self._put_data(bytes(self._header.page_size))
        size, flags = packed.size, packed.flags
        offset = self._data_at + np.cumsum(size) - size
        if len(packed.data):
            self._put_data(packed.data)
        if self._zero_at is not None:
            offset[zero] = self._zero_at
        offset[lost] = 0
        self._describe(offset, np.where(zero, self._header.page_size, size), flags)
        if lost.any() and len(self.lost_ranks) < _LOST_NAMED:
            self.lost_ranks += (np.flatnonzero(lost) + written.pages).tolist()
            del self.lost_ranks[_LOST_NAMED:]
        written.pages += len(form)
        written.zero += int(np.count_nonzero(zero))
        written.lost += int(np.count_nonzero(lost))
        written.copied += int(np.count_nonzero(form >= 0))
        written.compressed += packed.compressed

    def end(self) -> None:
        """Write what is left of the descriptors, and make sure that the bitmaps are whole."""
        self._flush()
        if not self.total:
            self._out.put(self._header.descriptors_at - 1, b"\0")
        self.written.file_bytes = self._data_at
        assert self.written.pages == self.total, (self.written.pages, self.total)

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
