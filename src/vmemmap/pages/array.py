"""The struct page array as a whole: one page of it, or all of them a window at a time.

``core.pages`` is this. Reading is in ``struct_pages``, meaning in ``classify`` and ``spread``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.mmzone.section_table import SectionTable
from vmemmap.pages.blocks import HeadOf, Spread, Spreader
from vmemmap.pages.classify import Classifier, Columns, Marks
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.page import PageInfo, Surroundings, describe
from vmemmap.pages.records import SCAN_FIELDS, ScanField, records
from vmemmap.pages.struct_pages import StructPages, Window
from vmemmap.progress import Progress, no_progress

T = TypeVar("T")

WINDOW_PAGES = 1 << 16
"""Pages looked at together: their columns fit in a core's cache, and a call costs each little."""
_THREADS_MAX = 64
_TRIM_BYTES = 32 << 20
"""How many bytes of struct pages may stay mapped."""
_PIECE_BYTES = 512 << 10
"""What looking at one place of a file may map around it, about."""


@dataclass(slots=True)
class Scanned:
    """A window of struct pages, read and understood. Its arrays are good until the next one.

    Attributes:
        window: Where the struct pages are.
        columns: Their members; ``columns.kind`` is the answer.
        marks: What their bits say.
        spread: Free blocks, compounds and damage.
    """

    window: Window
    columns: Columns
    marks: Marks
    spread: Spread


class PageArray:
    """All struct pages of a dump.

    Args:
        struct_pages: Where they are.
        layout: How one is laid out.
        fields: Which bits of the flags have node and zone; None if that cannot be known.
        page_size: The kernel's page size in bytes.
        surroundings: What else a page's description needs.
        progress: Told how far a scan has come, in pages.

    Attributes:
        layout: As given.
        fields: As given.
        page_size: As given.
        struct_pages: As given.
        surroundings: As given.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        fields: FlagFields | None,
        page_size: int,
        surroundings: Surroundings,
        progress: Progress = no_progress,
    ) -> None:
        self.struct_pages = struct_pages
        self.surroundings = surroundings
        self.layout = layout
        self.fields = fields
        self.page_size = page_size
        self._progress = progress
        self._classifier = Classifier(layout)
        self.spreader = Spreader(layout, struct_pages.base, self._head_of)
        # No free block and no section crosses the border of a window.
        block = 1 << (layout.orders - 1)
        self._unit = max(block, struct_pages.sections.pages_per_section)
        self._window_pages = max(WINDOW_PAGES // self._unit, 1) * self._unit
        self._locals = threading.local()

    @property
    def sections(self) -> SectionTable:
        """Which pages there are."""
        return self.struct_pages.sections

    def __len__(self) -> int:
        """How many pages have a struct page, readable or not."""
        return self.sections.pages

    def __getitem__(self, pfn: int) -> PageInfo:
        """Decode one struct page.

        Args:
            pfn: Page frame number.

        Returns:
            What it says; one that cannot be read, or whose section has no struct pages, has the
            kind ``unknown`` or ``absent`` and a reason.

        Raises:
            IndexError: *pfn* is negative, or beyond any physical address.
        """
        if not 0 <= pfn < 1 << 52:
            raise IndexError(f"pfn {pfn} is out of range: expected 0 to 2**52 - 1")
        first = pfn // self._unit * self._unit
        scanned = self._understand(self.struct_pages.window(first, self._unit))
        kind = Kind(int(scanned.columns.kind[pfn - first]))
        damage = [each.reason for each in scanned.spread.damage if each.pfn == pfn]
        return describe(
            self, pfn, kind, self._order_at(scanned, pfn - first), damage[0] if damage else ""
        )

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
            a `Kind`. Where the kind is UNKNOWN, ``why`` is a `Why`, and the members that would have
            to be read have all bits set: they are no values.

        Raises:
            ValueError: An unknown field.
        """
        unknown = [name for name in fields if name not in SCAN_FIELDS]
        if unknown:
            raise ValueError(f"unknown fields {unknown}; expected some of {list(SCAN_FIELDS)}")
        yield from self.each(lambda done: records(self, done, fields), threads, chunk_pages)

    def each(
        self,
        work: Callable[[Scanned], T],
        threads: int = 1,
        chunk_pages: int | None = None,
        quick: Callable[[Window], T | None] | None = None,
    ) -> Iterator[T]:
        """Run *work* on every window, and yield what it gives, in order.

        Args:
            work: Called with a window that it must not keep.
            threads: As for `scan`.
            chunk_pages: As for `scan`.
            quick: Tried first on the window as it is; what gives None gets *work*.
        """
        count = self._window_pages
        if chunk_pages is not None:
            count = max(chunk_pages // self._unit, 1) * self._unit
        threads = min(threads, _THREADS_MAX)
        total, what = len(self), "reading struct pages"

        def one(first: int) -> tuple[int, int, T]:
            window = self.struct_pages.window(first, count)
            pages = sum(end - start for start, end in window.valid)
            result = quick(window) if quick is not None else None
            touched = max(pages * self.layout.size, len(window.pieces) * _PIECE_BYTES)
            return pages, touched, work(self._understand(window)) if result is None else result

        self.struct_pages.trim()  # what was read of the list and the sections, all over the file
        done = read = 0
        for pages, touched, result in _in_order(one, self.struct_pages.windows(count), threads):
            done += pages
            read += touched
            if read >= _TRIM_BYTES:
                read = 0
                self.struct_pages.trim()
            if done < total:
                self._progress(what, done, total)
            yield result
        self._progress(what, total, total)

    def _understand(self, window: Window) -> Scanned:
        """Say what every page of a window is."""
        columns = self._classifier.load(window, self._columns(window.count))
        usable = self._usable(window)
        if usable is not None and window.offline:
            for start, end in window.offline:  # nobody has initialised these struct pages
                columns.low[start:end] = 0
                columns.mapping[start:end] = 0
                columns.mapcount[start:end] = 0
                columns.tail[start:end] = 0
        marks = self._classifier.marks(columns)
        self._classifier.kinds(marks, columns.kind)
        spread = self.spreader.spread(window, columns, marks, usable)
        kind = columns.kind
        for start, end in window.offline:
            kind[start:end] = Kind.OFFLINE
        for gap in window.missing:
            kind[gap.start : gap.end] = Kind.UNKNOWN
        at = 0
        for start, end in [*window.valid, (window.count, window.count)]:
            kind[at:start] = Kind.ABSENT
            at = end
        return Scanned(window, columns, marks, spread)

    def _order_at(self, scanned: Scanned, row: int) -> int | None:
        """Give the order of the free block or compound that a row of a window lies in."""
        spread = scanned.spread
        for rows, orders in (
            (spread.free_rows, spread.free_orders),
            (spread.head_rows, spread.head_orders),
        ):
            at = int(np.searchsorted(rows, row, side="right")) - 1
            if at >= 0 and row < int(rows[at]) + (1 << int(orders[at])):
                return int(orders[at])
        return None

    def _usable(self, window: Window) -> NDArray[np.bool_] | None:
        """Give the rows whose struct page can be read and counts; None for all of them."""
        if window.complete and not window.offline:
            return None
        usable = np.zeros(window.count, dtype=np.bool_)
        for piece in window.pieces:
            usable[piece.start : piece.end] = True
        for start, end in window.offline:
            usable[start:end] = False
        return usable

    def _columns(self, count: int) -> Columns:
        """Give this thread's room for columns."""
        kept: Columns | None = getattr(self._locals, "columns", None)
        if kept is None or len(kept.low) < count:
            kept = self._locals.columns = Columns.of(count)
        return kept

    def _head_of(self, pfn: int) -> HeadOf | None:
        """Look at a page as the possible head of a compound; see `Spreader`."""
        if self.sections.find(pfn) is None:
            return None
        window = self.struct_pages.window(pfn, 2)
        if window.missing:
            return HeadOf(None, 1 << 64)
        if len(window.pieces) == 0 or not window.complete:
            return None
        # Columns of its own: this is called in the middle of work on another window.
        columns = self._classifier.load(window, Columns.of(2))
        marks = self._classifier.marks(columns)
        self._classifier.kinds(marks, columns.kind)
        if not marks.head[0] or not marks.tail[1]:
            return None
        row = np.zeros(1, dtype=np.intp)
        huge = self.spreader.hugetlb_heads(window, row)
        kind = Kind.HUGETLB if huge is not None and huge[0] else Kind(int(columns.kind[0]))
        if self.layout.compound_order is None:
            return HeadOf(kind, 1 << 64)  # such a kernel does not say where the compound ends
        order = int(self.spreader.compound_orders(window, row, marks.tail)[0])
        if not 1 <= order <= self.layout.max_compound_order:
            return None
        return HeadOf(kind, pfn + (1 << order))


def _in_order(work: Callable[[int], T], firsts: Iterator[int], threads: int) -> Iterator[T]:
    """Run *work* on each, a few ahead of the one that is yielded."""
    if threads <= 1:
        yield from map(work, firsts)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="vmemmap-scan") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for first in firsts:
                waiting.append(pool.submit(work, first))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
