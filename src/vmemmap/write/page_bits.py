"""A set of pages as a kdump file has it, a bit a page, in a file: machines may have 2**34 pages.

The set is made once, by rising pfns, and then read in pieces, as bits or as intervals of pfns.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import UnwritableFile
from vmemmap.intervals import Intervals, intersect, runs_of, touched

CHUNK_PAGES = 1 << 21
"""Pages whose bits are made and read together."""


class PageBits:
    """Pages below some number, in an unnamed temporary file; bit p is pfn p, lowest bit first.

    It is a context manager, which lets go of the file.

    Args:
        pages: The pfn after the last one that can be in it.

    Attributes:
        pages: As given.

    Raises:
        UnwritableFile: The temporary file cannot be made (TMPDIR says where).
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        chunks = -(-pages // CHUNK_PAGES)
        self._counts = np.zeros(chunks, dtype=np.int64)
        self._open = np.zeros(0, dtype=np.uint8)  # the bits of the chunk that is being made
        self._chunk = -1
        try:
            self._file = tempfile.TemporaryFile(prefix="vmemmap-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _no_room(error) from error

    @classmethod
    def of(cls, pages: int, parts: Iterable[Intervals]) -> PageBits:
        """Make a whole set of what is to be added; nothing of it is left where that fails.

        Args:
            pages: As for the class.
            parts: Intervals of pfns, as for `add`.
        """
        made = cls(pages)
        try:
            for part in parts:
                made.add(part)
        except BaseException:
            made.close()
            raise
        return made.finish()

    def add(self, intervals: Intervals) -> None:
        """Add pages; none of them lies in a chunk before one that was added to already.

        Args:
            intervals: Pfns, ascending, without overlap, all below `pages`.
        """
        if not len(intervals):
            return
        first, last = int(intervals[0, 0]), int(intervals[-1, 1]) - 1
        for chunk in range(first // CHUNK_PAGES, last // CHUNK_PAGES + 1):
            start = chunk * CHUNK_PAGES
            end = min(start + CHUNK_PAGES, self.pages)
            here = intersect(intervals, np.array([[start, end]], dtype=np.int64)) - start
            if len(here):
                self._go_to(chunk)
                byte = int(here[0, 0]) // 8
                bits = _bits(here - 8 * byte, int(here[-1, 1]) - 8 * byte)
                self._open[byte : byte + len(bits)] |= bits

    def finish(self) -> PageBits:
        """Write what is left; nothing can be added any more. Gives the set itself."""
        self._go_to(-1)
        return self

    def count(self, start: int = 0, end: int | None = None) -> int:
        """Count the pages in ``[start, end)``."""
        return self.rank(self.pages if end is None else end) - self.rank(start)

    def rank(self, pfn: int) -> int:
        """Count the pages below *pfn*."""
        chunk, into = divmod(min(pfn, self.pages), CHUNK_PAGES)
        below = int(self._counts[:chunk].sum())
        if not into:
            return below
        bits = np.unpackbits(self._read(chunk), bitorder="little")
        return below + int(np.count_nonzero(bits[:into]))

    def select(self, rank: int) -> int:
        """Give the pfn of the page below which *rank* others are; `pages` if there is none."""
        until = np.cumsum(self._counts)
        chunk = int(np.searchsorted(until, rank, side="right"))
        if chunk == len(until):
            return self.pages
        within = rank - int(until[chunk] - self._counts[chunk])
        bits = np.unpackbits(self._read(chunk), bitorder="little")
        return chunk * CHUNK_PAGES + int(np.flatnonzero(bits)[within])

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield the bits that are not all clear: where they begin (bytes) and their bytes."""
        for chunk in np.flatnonzero(self._counts).tolist():
            yield chunk * (CHUNK_PAGES // 8), self._read(chunk).tobytes()

    def intervals(self, start: int = 0, end: int | None = None) -> Iterator[Intervals]:
        """Yield the pages in ``[start, end)`` as intervals of pfns, many at a time, ascending."""
        wanted = np.array([[start, self.pages if end is None else end]], dtype=np.int64)
        for chunk in np.flatnonzero(self._counts).tolist():
            first = chunk * CHUNK_PAGES
            if first >= wanted[0, 1] or first + CHUNK_PAGES <= start:
                continue
            bits = np.unpackbits(self._read(chunk), bitorder="little")
            here = intersect(runs_of(bits.view(np.bool_)) + first, wanted)
            if len(here):
                yield here

    def __enter__(self) -> PageBits:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the temporary file."""
        self._file.close()

    def _go_to(self, chunk: int) -> None:
        """Write the chunk that is being made, and begin another; -1 for none."""
        if chunk == self._chunk:
            return
        if self._chunk >= 0:
            self._counts[self._chunk] = int(np.count_nonzero(np.unpackbits(self._open)))
            try:
                self._file.seek(self._chunk * (CHUNK_PAGES // 8))
                left = self._open.data
                while left:
                    left = left[self._file.write(left) or 0 :]
            except OSError as error:
                raise _no_room(error) from error
        self._chunk = chunk
        pages = min(CHUNK_PAGES, self.pages - chunk * CHUNK_PAGES) if chunk >= 0 else 0
        self._open = np.zeros((pages + 7) // 8, dtype=np.uint8)

    def _read(self, chunk: int) -> NDArray[np.uint8]:
        pages = min(CHUNK_PAGES, self.pages - chunk * CHUNK_PAGES)
        size, at = (pages + 7) // 8, chunk * (CHUNK_PAGES // 8)
        data = os.pread(self._file.fileno(), size, at)
        return np.frombuffer(data.ljust(size, b"\0"), dtype=np.uint8)


def bitmap_of(intervals: Intervals, pages: int) -> Iterator[tuple[int, bytes]]:
    """Yield the bits of a few intervals as `PageBits.pieces` does, without a temporary file.

    Args:
        intervals: Pfns, ascending, without overlap, all below *pages*.
        pages: The pfn after the last one that can be in it.
    """
    chunks = touched(intervals, CHUNK_PAGES)
    for chunk in (number for first, end in chunks.tolist() for number in range(first, end)):
        start = chunk * CHUNK_PAGES
        end = min(start + CHUNK_PAGES, pages)
        here = intersect(intervals, np.array([[start, end]], dtype=np.int64)) - start
        yield start // 8, _bits(here, end - start).tobytes()


def _bits(intervals: Intervals, count: int) -> NDArray[np.uint8]:
    """Give the bits of intervals of numbers below *count*."""
    if len(intervals) == 1 and tuple(intervals[0]) == (0, count):
        bits = np.full((count + 7) // 8, 0xFF, dtype=np.uint8)
        if count % 8:
            bits[-1] = (1 << count % 8) - 1
        return bits
    turns = np.zeros(count + 1, dtype=np.int8)
    turns[intervals[:, 0]] += 1
    turns[intervals[:, 1]] -= 1
    return np.packbits(np.cumsum(turns[:-1], dtype=np.int8).view(np.uint8), bitorder="little")


def _no_room(error: OSError) -> UnwritableFile:
    return UnwritableFile(
        f"which pages stay is noted in a temporary file, and that failed: {error.strerror} "
        "(set TMPDIR to a folder with more room)",
        path=tempfile.gettempdir(),
    )
