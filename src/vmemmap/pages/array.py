"""The struct page array as a whole: one page of it, or all of them a window at a time.

``core.pages`` is this. Reading is in ``struct_pages``, meaning in ``rules`` and ``blocks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import index
from typing import SupportsIndex, TypeVar

import numpy as np
from numpy.typing import NDArray

from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.mmzone.section_table import SectionTable
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.one_pass import OnePass, applies
from vmemmap.pages.page import PageDescriber, PageHomes, PageInfo
from vmemmap.pages.records import SCAN_FIELDS, RecordMaker, ScanField
from vmemmap.pages.scanned import Scanned, Scanner
from vmemmap.pages.struct_pages import StructPages
from vmemmap.pages.undecided import page_undecided
from vmemmap.progress import Progress, no_progress
from vmemmap.threads import in_order
from vmemmap.units import count_text, size_text

T = TypeVar("T")

WINDOW_PAGES = 1 << 16
"""Pages looked at together: their columns fit in a core's cache, and a call costs each little."""
_THREADS_MAX = 64
_WHAT = "reading struct pages"
_TRIM_BYTES = 32 << 20
"""How many bytes of struct pages may stay mapped."""
_PIECE_BYTES = 512 << 10
"""What looking at one place of a file may map around it, about."""


class PageArray:
    """All struct pages of a dump.

    Args:
        struct_pages: Where they are.
        layout: How one is laid out.
        fields: Which bits of the flags have node and zone; None if that cannot be known.
        page_size: The kernel's page size in bytes.
        homes: Where struct pages lie in memory, in the list and in the file.
        zone_names: Node and zone index to the zone's name.
        progress: Told how far a scan has come, in pages.
        device_zone: Index of the zone of device memory; None if there is none, or it is not known.

    Attributes:
        layout: As given.
        fields: As given.
        page_size: As given.
        struct_pages: As given.
        scanner: Understands windows.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        fields: FlagFields | None,
        page_size: int,
        homes: PageHomes,
        zone_names: Mapping[tuple[int, int], str],
        progress: Progress = no_progress,
        device_zone: int | None = None,
    ) -> None:
        self.struct_pages = struct_pages
        self.layout = layout
        self.fields = fields
        self.page_size = page_size
        self.scanner = Scanner(struct_pages, layout, fields, device_zone)
        self._describer = PageDescriber(struct_pages, layout, fields, page_size, homes, zone_names)
        self._records = RecordMaker(layout, fields, self.scanner.blocks)
        self._progress = progress
        # No free block and no section crosses the border of a window.
        block = 1 << (layout.orders - 1)
        self._unit = max(block, struct_pages.sections.pages_per_section)
        self.window_pages = max(WINDOW_PAGES // self._unit, 1) * self._unit

    @property
    def sections(self) -> SectionTable:
        """Which pages there are."""
        return self.struct_pages.sections

    def __repr__(self) -> str:
        size = size_text(len(self) * self.page_size)
        return (
            f"<PageArray: {count_text(len(self), 'page')} of {size_text(self.page_size)}, {size}>"
        )

    def __len__(self) -> int:
        """How many pages have a struct page, readable or not."""
        return self.sections.pages

    def __contains__(self, pfn: object) -> bool:
        """Tell whether a page has a struct page, readable or not."""
        return isinstance(pfn, SupportsIndex) and self.sections.find(index(pfn)) is not None

    def __iter__(self) -> Iterator[PageInfo]:
        """Decode every page that has a struct page, in the order of pfns; `scan` is far faster."""
        for first in self.struct_pages.windows(self._unit):
            scanned = self.scanner.scan(first, self._unit)
            for start, end in scanned.window.valid:
                for row in range(start, end):
                    yield self._describe(scanned, row)

    def __getitem__(self, pfn: int) -> PageInfo:
        """Decode one struct page.

        Args:
            pfn: Page frame number.

        Returns:
            What it says; one that cannot be read, or whose section has no struct pages, has the
            kind ``unknown`` or ``absent`` and a reason.

        Raises:
            IndexError: *pfn* is negative, or beyond any physical address.
            TypeError: It is no number: there is no slice of pages, see `scan`.
        """
        if isinstance(pfn, slice):
            raise TypeError(
                "pages are asked for by one pfn, and not by a slice: scan() gives many at once"
            )
        try:
            pfn = index(pfn)
        except TypeError:
            raise TypeError(f"expected a pfn as an integer, found {pfn!r}") from None
        if not 0 <= pfn < 1 << 52:
            raise IndexError(f"pfn {pfn} is out of range: expected 0 to 2**52 - 1")
        first = pfn // self._unit * self._unit
        return self._describe(self.scanner.scan(first, self._unit), pfn - first)

    def _describe(self, scanned: Scanned, row: int) -> PageInfo:
        """Decode the struct page in a row of a window."""
        pfn = scanned.window.first_pfn + row
        kind = Kind(int(scanned.judged.kind[row]))
        reasons = [each.reason for each in scanned.blocks.damage if each.pfn == pfn]
        if kind is Kind.UNDECIDED and scanned.judged.may is not None:
            reasons.append(page_undecided(self.layout, int(scanned.judged.may[row])))
        order = scanned.blocks.order_at(row)
        return self._describer.describe(pfn, kind, order, reasons[0] if reasons else "")

    def scan(
        self,
        fields: tuple[ScanField, ...] = SCAN_FIELDS,
        *,
        threads: int = 1,
        chunk_pages: int | None = None,
    ) -> Iterator[NDArray[np.void]]:
        """Go through all struct pages in the order of pfns.

        Args:
            fields: The members wanted, of ``SCAN_FIELDS``; fewer cost less.
            threads: How many to use. One is the default: the work is bound by memory and by Python,
                and on two processors a second thread cost more than it gave (docs/speed.md). Pages
                of compressed dumps are decoded on all processors either way.
            chunk_pages: About how many pages to look at together.

        Yields:
            Structured arrays in native byte order, one row for each page of a section. ``kind`` is
            a `Kind`. Where the kind is UNKNOWN, ``why`` is an `Absence`, and the members that would
            have to be read have all bits set: they are no values.

        Raises:
            ValueError: An unknown field.
        """
        unknown = [name for name in fields if name not in SCAN_FIELDS]
        if unknown:
            raise ValueError(f"unknown fields {unknown}; expected some of {list(SCAN_FIELDS)}")
        if threads > 1 or not applies(self.layout):
            yield from self.each(
                lambda done: self._records.make(done, fields), threads, chunk_pages
            )
            return
        quick = OnePass(self.struct_pages, self.layout, self.fields, None)
        count = self._chunk(chunk_pages)
        for (first,) in self.batches(1, count):
            sound = quick.look(first, count)
            if sound is not None:
                yield self._records.make_sound(sound, fields)
            else:
                yield self._records.make(self.scanner.scan(first, count), fields)

    def _chunk(self, wanted: int | None) -> int:
        """Give how many pages to look at together, if about so many are wanted."""
        if wanted is None:
            return self.window_pages
        return max(wanted // self._unit, 1) * self._unit

    def each(
        self,
        work: Callable[[Scanned], T],
        threads: int = 1,
        chunk_pages: int | None = None,
    ) -> Iterator[T]:
        """Run *work* on every window, and yield what it gives, in order.

        Args:
            work: Called with a window that it must not keep.
            threads: As for `scan`.
            chunk_pages: As for `scan`.
        """
        count = self._chunk(chunk_pages)
        threads = min(threads, _THREADS_MAX)

        def one(first: int) -> tuple[int, int, T]:
            window = self.struct_pages.window(first, count)
            pages = sum(end - start for start, end in window.valid)
            touched = max(pages * self.layout.size, len(window.pieces) * _PIECE_BYTES)
            return pages, touched, work(self.scanner.understand(window))

        course = _Course(self.struct_pages, self._progress)
        firsts = self.struct_pages.windows(count)
        for pages, touched, result in in_order(one, firsts, threads, "vmemmap-scan"):
            course.went(pages, touched)
            yield result
        course.ended()

    def batches(self, windows: int, window_pages: int) -> Iterator[list[int]]:
        """Give the first pfns of all windows, so many at a time.

        Progress is told and memory let go of as they are asked for.

        Args:
            windows: How many at a time.
            window_pages: Pages in a window.
        """
        course = _Course(self.struct_pages, self._progress)
        firsts = self.struct_pages.windows(window_pages)
        while batch := list(islice(firsts, windows)):
            yield batch
            first, end = batch[0], batch[-1] + window_pages
            pages = sum(
                min(run.end_pfn, end) - max(run.first_pfn, first)
                for run in self.sections.overlapping(first, end)
            )
            course.went(pages, pages * self.layout.size)
        course.ended()


class _Course:
    """How far a scan has come: told to whoever waits, and memory let go of on the way."""

    def __init__(self, struct_pages: StructPages, progress: Progress) -> None:
        self._struct_pages, self._progress = struct_pages, progress
        self._total = struct_pages.sections.pages
        self._done = self._mapped = 0
        struct_pages.trim()  # what was read of the list and the sections, all over the file

    def went(self, pages: int, touched: int) -> None:
        """Take note of so many pages, for which so many bytes were touched."""
        self._done += pages
        self._mapped += touched
        if self._mapped >= _TRIM_BYTES:
            self._mapped = 0
            self._struct_pages.trim()
        if self._done < self._total:
            self._progress(_WHAT, self._done, self._total)

    def ended(self) -> None:
        """Tell that all is done."""
        self._progress(_WHAT, self._total, self._total)
