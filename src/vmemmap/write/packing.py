"""Brings pages into the form in which a kdump-compressed file has them, many in one call.

Where the compiled module is, one call of it reads pages from their file, finds those of zeros,
compresses LZO and snappy and puts all one behind the other, and holds up no other thread. The other
codecs, and all of them without the module, are left to libraries: see ``compress.py``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.formats import kdump
from vmemmap.memory import OpenFile
from vmemmap.write.compress import FLAG_OF_CODEC, Compressor, compressor, copies_alone
from vmemmap.write.output import Bytes

CONTENT, LOST, ZERO = -1, -2, -3
"""What a page of a batch is, where it is not in a form of the file: its own bytes, to be
compressed; not to be had; full of zeros."""
PLAIN = 0
"""The form of a page that is stored as it is in memory."""
_COMPILED_FLAGS = (kdump.FLAG_LZO, kdump.FLAG_SNAPPY)
_COMPILED_PAGE_MAX = 1 << 18
_SORT = -1
"""The codec by which the compiled module tells noise from what a library is to compress."""
_PAGE_MULTIPLE = 64
_LONG_RUN_BYTES = 128 << 10
"""From about so much in one piece on the system copies from file to file in less time; pieces of
20 KiB take it twice as long as reading and writing them."""

FindZero = Callable[[memoryview, NDArray[np.int64]], NDArray[np.bool_]]
"""(a buffer, the offsets of pages in it) to which are full of zeros; several threads ask it."""


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
        file: The file of which *data* is all the bytes, if it is one; reading is faster there.
    """

    data: memoryview
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    form: NDArray[np.int64]
    file: OpenFile | None = None

    def part(self, start: int, end: int) -> PageBatch:
        """Give some of the pages."""
        some = slice(start, end)
        return PageBatch(self.data, self.offset[some], self.size[some], self.form[some], self.file)


@dataclass(frozen=True, slots=True)
class Packed:
    """Pages as they go to the file.

    Attributes:
        data: Their bytes, one behind the other; valid until `Packer.release`.
        size: How many each has there: int64, shape (n,); 0 for those of zeros and lost ones.
        flags: How each is compressed, likewise.
        zero: Which are full of zeros: bool, shape (n,).
        lost: Which cannot be had, likewise.
        copied: How many were compressed already, or known not to get smaller.
        compressed: How many were compressed.
        room: What `Packer.release` takes back.
        runs: int64, shape (m, 2): where their bytes are in *file*, and how many, instead of *data*.
        file: The file that has them.
    """

    data: Bytes
    size: NDArray[np.int64]
    flags: NDArray[np.int64]
    zero: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    copied: int
    compressed: int
    room: bytearray | None = None
    runs: NDArray[np.int64] | None = None
    file: OpenFile | None = None


class Packer:
    """Packs the pages of one file; several threads use one.

    Args:
        codec: How they are compressed: one of `CODECS`.
        page_size: Size of a page (bytes).
        find_zero: Tells which are full of zeros, where the compiled module does not.

    Raises:
        CodecUnavailable: The library is not installed.
    """

    def __init__(self, codec: str, page_size: int, find_zero: FindZero) -> None:
        self._codec, self._page_size = codec, page_size
        self._flag = FLAG_OF_CODEC[codec]
        self._find_zero = find_zero
        self._pack = _compiled_pack(page_size)
        self._by_library = bool(self._flag) and not (self._pack and self._flag in _COMPILED_FLAGS)
        self._sorts = bool(self._pack) and copies_alone(codec, page_size)
        self._own = threading.local()
        self._rooms: deque[bytearray] = deque()
        if self._by_library:
            self._compressor()

    def pack(self, batch: PageBatch) -> Packed:
        """Compress what is to be compressed, and put all together as the file has it.

        Raises:
            UnreadableFile: The file of the batch cannot be read.
        """
        form, size = batch.form.copy(), batch.size.copy()
        room: bytearray | None = None
        if (runs := self._long_runs(batch, size, form)) is not None:
            return self._packed(batch, b"", size, form, runs=runs)
        if self._pack is None:
            data, offset = batch.data, batch.offset
            maybe = np.flatnonzero((form == CONTENT) | (form == PLAIN))
            form[maybe[self._find_zero(data, offset[maybe])]] = ZERO
            size[form < CONTENT] = 0
        else:
            room = self._room(int(size.sum()))
            used = self._gather(batch, size, form, room)
            data, offset = memoryview(room)[:used], np.cumsum(size) - size
        out: Bytes = data
        tried = form == CONTENT if self._sorts else (form > ZERO) & (form <= PLAIN)
        left = np.flatnonzero((batch.form == CONTENT) & tried)
        if self._pack is None or (self._by_library and len(left)):
            form[left] = PLAIN
            out = self._compressed(data, offset, size, form, left)
        return self._packed(batch, out, size, form, room=room)

    def _packed(
        self,
        batch: PageBatch,
        data: Bytes,
        size: NDArray[np.int64],
        form: NDArray[np.int64],
        *,
        room: bytearray | None = None,
        runs: NDArray[np.int64] | None = None,
    ) -> Packed:
        copied = int(np.count_nonzero((batch.form >= PLAIN) & (form >= PLAIN)))
        made = int(np.count_nonzero((batch.form == CONTENT) & (form > PLAIN)))
        flags, zero, lost = np.maximum(form, PLAIN), form == ZERO, form == LOST
        return Packed(data, size, flags, zero, lost, copied, made, room, runs, batch.file)

    def _long_runs(
        self, batch: PageBatch, size: NDArray[np.int64], form: NDArray[np.int64]
    ) -> NDArray[np.int64] | None:
        """Give where the bytes are in the file, if they stay as they are and lie well together.

        Sizes and forms are set as `pack` does; they are not if there is nothing to give.
        """
        if batch.file is None or (self._flag and (form == CONTENT).any()):
            return None
        ends = batch.offset + size
        breaks = int(np.count_nonzero(batch.offset[1:] != ends[:-1])) + 1
        if int(size.sum()) < breaks * _LONG_RUN_BYTES:
            return None
        maybe = np.flatnonzero((form == CONTENT) | (form == PLAIN))
        once = distinct(batch.offset[maybe])
        zero = self._find_zero(batch.data, once)
        form[maybe[zero[np.searchsorted(once, batch.offset[maybe])]]] = ZERO
        size[form < CONTENT] = 0
        form[form == CONTENT] = PLAIN
        has = size > 0
        start, end = batch.offset[has], ends[has]
        first, last = _side_by_side(start, end)
        return np.column_stack([start[first], end[last] - start[first]])

    def release(self, packed: Packed) -> None:
        """Take back the room of pages that have been written."""
        if packed.room is not None:
            self._rooms.append(packed.room)

    def _room(self, size: int) -> bytearray:
        """Give room for so many bytes and what trying to compress takes, used before if possible.

        Fresh memory costs as much again as what is done in it.
        """
        needed = size + self._page_size // 4 + 256
        try:
            room = self._rooms.popleft()
        except IndexError:
            return bytearray(needed)
        return room if len(room) >= needed else bytearray(needed)

    def _gather(
        self, batch: PageBatch, size: NDArray[np.int64], form: NDArray[np.int64], room: bytearray
    ) -> int:
        """Put pages into *room*, those of zeros left out; give how many bytes they take."""
        assert self._pack is not None
        source = batch.data if batch.file is None else batch.file.fd
        codec = _SORT if self._sorts else 0 if self._by_library else self._flag
        offset = np.ascontiguousarray(batch.offset, dtype=np.int64)
        try:
            return int(self._pack(source, offset, size, form, self._page_size, codec, room))
        except (OSError, EOFError) as error:
            assert batch.file is not None
            why = error if isinstance(error, OSError) else None
            raise batch.file.unreadable(why) from error

    def _compressed(
        self,
        data: memoryview,
        offset: NDArray[np.int64],
        size: NDArray[np.int64],
        form: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> Bytes:
        """Compress some of the pages in a buffer by a library, and give all in order."""
        packed: Bytes = b""
        is_packed = np.zeros(len(form), dtype=np.bool_)
        if len(rows) and self._flag:
            packed, size[rows] = self._compressor()(data, offset[rows])
            offset = offset.copy()
            offset[rows] = np.cumsum(size[rows]) - size[rows]
            is_packed[rows] = True
            form[rows[size[rows] < self._page_size]] = self._flag
        parts = _parts(data, memoryview(packed), offset, size, is_packed)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _compressor(self) -> Compressor:
        made: Compressor | None = getattr(self._own, "compressor", None)
        if made is None:
            made = self._own.compressor = compressor(self._codec, self._page_size)
        return made


def _compiled_pack(page_size: int) -> Callable[..., Any] | None:
    """Give the compiled call, where there is one, and it takes pages of this size."""
    if page_size % _PAGE_MULTIPLE or page_size > _COMPILED_PAGE_MAX:
        return None
    try:
        from vmemmap._compiled import pack_pages
    except ImportError:
        return None
    return pack_pages


def _side_by_side(
    start: NDArray[np.int64], end: NDArray[np.int64], which: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the first and the last row of each run of pages that lie one behind the other.

    Args:
        start: Where each page begins.
        end: Where it ends.
        which: In which of two buffers it is, if there are two.
    """
    apart = np.ones(len(start), dtype=np.bool_)
    apart[1:] = start[1:] != end[:-1]
    if which is not None:
        apart[1:] |= which[1:] != which[:-1]
    first = np.flatnonzero(apart)
    return first, np.append(first[1:], len(start))[: len(first)] - 1


def _parts(
    data: memoryview,
    packed: memoryview,
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    is_packed: NDArray[np.bool_],
) -> list[memoryview]:
    """Give the bytes of pages in order, from two buffers; what lies together is one piece."""
    rows = np.flatnonzero(size)
    start, end, which = offset[rows], (offset + size)[rows], is_packed[rows]
    first, last = _side_by_side(start, end, which)
    pieces = zip(which[first].tolist(), start[first].tolist(), end[last].tolist(), strict=True)
    return [(packed if own else data)[at:stop] for own, at, stop in pieces]
