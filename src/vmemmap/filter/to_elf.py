"""A filtered dump as an ELF file: which segments there are, and their bytes.

A segment ends with memory that is left out; as in makedumpfile's files, fewer than 256 pages in a
row stay where they are, so that there are not too many segments. What the input does not have
cannot stay, however little it is. What was cut off is left out again, and counted; other lost pages
read as zeros, since ELF cannot say that they are.

Source: makedumpfile.c, write_elf_pages_cyclic().
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.filter.contents import Contents
from vmemmap.filter.decision import Decision
from vmemmap.intervals import (
    Intervals,
    groups,
    holds,
    intersect,
    join,
    numbers,
    runs_of,
    subtract,
    touched,
)
from vmemmap.linear_map import PAGE_OFFSET
from vmemmap.memory import OpenFile
from vmemmap.pages.exclusion_rules import DumpLevel
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.write.elf_core import Segment
from vmemmap.write.packing import CONTENT, PLAIN, ZERO, PageBatch
from vmemmap.write.page_bits import PageBits

GAP_PAGES_MIN = 256
"""So many pages in a row are left out; fewer are not."""
_LOAD_BYTES = 16 << 20
_LOST_NAMED = 16


class ElfDump:
    """One filtered dump in ELF form; a context manager, which lets go of a temporary file.

    Args:
        source: The dump that is filtered.
        contents: Its pages.
        decision: Which of them stay.
        progress: Told how far it has come.

    Attributes:
        zero: Pages full of zeros that were left out, after `segments`.
        pages: Pages that the file has, after `segments`; short gaps count.
        lost: Pages that could not be read, after `contents`.
    """

    def __init__(
        self,
        source: PhysicalSource,
        contents: Contents,
        decision: Decision,
        progress: Progress = no_progress,
    ) -> None:
        self._source, self._contents, self._decision = source, contents, decision
        self._progress = progress
        self._page_size = contents.page_size
        self._kept = decision.kept
        self.zero = self.pages = self.lost = 0
        self._lost_pfns: list[int] = []
        self._cut_pfns: list[int] = []

    @property
    def lost_pfns(self) -> list[int]:
        """The first pages that are lost, 16 at most."""
        return sorted(self._lost_pfns + self._cut_pfns)[:_LOST_NAMED]

    def __enter__(self) -> ElfDump:
        end = self._kept.pages * self._page_size
        cut = _whole_pages(self._source.cut_off_runs(0, end), self._page_size)
        try:
            if len(cut):
                self._keep(self._without(cut))
            if self._decision.level & DumpLevel.ZERO:
                self._keep(self._without_zero())
        except BaseException:
            self.__exit__()
            raise
        return self

    def _keep(self, parts: Iterator[Intervals]) -> None:
        """Keep only these pages from now on."""
        kept = PageBits.of(self._kept.pages, parts)
        self.__exit__()
        self._kept = kept

    def __exit__(self, *_: object) -> None:
        if self._kept is not self._decision.kept:
            self._kept.close()

    def segments(self) -> list[Segment]:
        """Give the segments, by rising addresses."""
        size = self._page_size
        found: list[Segment] = []
        for start, end in self._source.ranges().astype(np.int64).tolist():
            at, stored_end = start, start
            for run in self._stored(-(-start // size), -(-end // size)):
                first, stop = max(int(run[0]) * size, start), min(int(run[1]) * size, end)
                if first > stored_end:
                    found.append(self._segment(at, first, stored_end))
                    at = first
                stored_end = stop
            found.append(self._segment(at, end, stored_end))
        return found

    def _segment(self, start: int, end: int, stored_end: int) -> Segment:
        self.pages += -(-stored_end // self._page_size) - start // self._page_size
        return Segment(start, PAGE_OFFSET + start, end - start, stored_end - start)

    def _stored(self, start: int, end: int) -> Iterator[NDArray[np.int64]]:
        """Give what of some pages the file is to have, gaps that are too short closed."""
        before: Intervals = np.empty((0, 2), dtype=np.int64)
        for kept in self._kept.intervals(start, end):
            runs = np.concatenate([before, kept])
            gaps = np.column_stack([runs[:-1, 1], runs[1:, 0]])
            gaps = gaps[gaps[:, 1] - gaps[:, 0] < GAP_PAGES_MIN] * self._page_size
            span = int(runs[0, 0]) * self._page_size, int(runs[-1, 1]) * self._page_size
            there = self._source.present_runs(*span)
            closed = gaps[holds(there, gaps[:, 0], gaps[:, 1] - gaps[:, 0])] // self._page_size
            runs = join(np.r_[runs[:, 0], closed[:, 0]], np.r_[runs[:, 1], closed[:, 1]])
            yield from runs[:-1]
            before = runs[-1:]
        yield from before

    def contents(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """Give the bytes of a part of a segment that is stored; see `write_elf`.

        Pages of zeros are not named, so that they become holes.
        """
        for at in range(start, end, _LOAD_BYTES):
            size = min(_LOAD_BYTES, end - at)
            located = self._source.locate(np.array([[at, at, size]], dtype=np.int64))
            for phys, length, offset in located.spans.tolist():
                for first, stop in _data_runs(
                    located.file, offset, offset + length, self._page_size
                ):
                    yield from self._not_zero(phys + first - offset, located.data[first:stop])
            self._note_lost(at, size, located.spans)
            self._source.trim()

    def _not_zero(self, phys: int, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        size = self._page_size
        whole = len(data) // size
        full = np.ones(whole + 1, dtype=np.bool_)  # what is left at the end is no whole page
        full[:whole] = ~self._contents.find_zero(data, np.arange(whole) * size)
        for first, stop in runs_of(full).tolist():
            part = data[first * size : stop * size]
            if part:
                yield phys + first * size, part

    def _note_lost(self, start: int, size: int, spans: NDArray[np.int64]) -> None:
        """Count the pages of which not all could be had."""
        had = join(spans[:, 0], spans[:, 0] + spans[:, 1])
        gone = subtract(np.array([[start, start + size]], dtype=np.int64), had)
        pfns = numbers(touched(gone, self._page_size))
        self.lost += len(pfns)
        self._lost_pfns += pfns[: _LOST_NAMED - len(self._lost_pfns)].tolist()

    def _without(self, cut: Intervals) -> Iterator[Intervals]:
        """Yield the pages that stay and were not cut off."""
        for intervals in self._kept.intervals():
            gone = numbers(intersect(intervals, cut))
            self.lost += len(gone)
            self._cut_pfns += gone[: _LOST_NAMED - len(self._cut_pfns)].tolist()
            yield subtract(intervals, cut)

    def _without_zero(self) -> Iterator[Intervals]:
        """Yield the pages that stay and are not full of zeros; reads all that stay."""
        total, done = self._kept.count(), 0
        for intervals in self._kept.intervals():
            for group in groups(intervals, _LOAD_BYTES // self._page_size):
                pfns, at = numbers(group), 0
                for batch in self._contents.load(group):
                    here = pfns[at : at + len(batch.form)]
                    at += len(here)
                    zero = self._zero_of(batch)
                    self.zero += int(np.count_nonzero(zero))
                    yield join(here[~zero], here[~zero] + 1)
                done += len(pfns)
                self._progress("looking for zero pages", done, total)

    def _zero_of(self, batch: PageBatch) -> NDArray[np.bool_]:
        zero = batch.form == ZERO
        rows = np.flatnonzero((batch.form == CONTENT) | (batch.form == PLAIN))
        zero[rows] = self._contents.find_zero(batch.data, batch.offset[rows])
        return np.asarray(zero)


def _whole_pages(runs: Intervals, page_size: int) -> Intervals:
    """Give the pages that lie in runs of bytes as a whole."""
    pages = np.column_stack([-(-runs[:, 0] // page_size), runs[:, 1] // page_size])
    return pages[pages[:, 0] < pages[:, 1]]


def _data_runs(
    file: OpenFile | None, start: int, end: int, page_size: int
) -> Iterator[tuple[int, int]]:
    """Yield the pages of a file that its holes leave; what is in those is zero, and not read.

    They are whole, counted from *start*, so that the file written is the same however fine the
    holes of the file read are.
    """
    if file is None:
        yield start, end
        return
    at = start
    while (data := file.next_data(at, end)) < end:
        first = start + (data - start) // page_size * page_size
        stop = start - (start - file.data_end(data, end)) // page_size * page_size
        at = min(stop, end)
        yield first, at
