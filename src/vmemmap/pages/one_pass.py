"""Sound windows of struct pages, by the compiled pass over them (``compiled/one_pass.c``).

The pass knows no kernel: it is told here where the members of a struct page are, and asks, once for
each combination of members that it meets, what such a page is. That is answered by the rules
(``pass_answers.py``), so that they stand in one place. A window in which anything is missing,
damaged or out of the ordinary it leaves uncounted; such windows are gone through page by page
(``scanned.py``). Where it does count it gives the same as that; tests hold the two against each
other. Without the compiled module, on a machine that has no compiler and no wheel, the careful way
counts all windows.

What it makes of eight pages, with kinds by their numbers (1 other, 3 cache, 6 tail, 11 free)::

    pfn          8    9   10   11   12   13   14   15
    combination  0    1    2    2    3    4    4    4     flags, sort of mapping, type, tail
    counted as  11   11    3    3    1    6    6    6     9 by its block, 13 to 15 by their head
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.exclusion_rules import Seen
from vmemmap.pages.exclusions import Exclusions
from vmemmap.pages.heads import NO_PFN
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.layout.unsettled import mask_of
from vmemmap.pages.pass_answers import Answers
from vmemmap.pages.rules import MAPPING_MASK
from vmemmap.pages.struct_pages import StructPages
from vmemmap.source.base import Located

compiled: Any = None
"""The compiled module; None where there is none."""
with suppress(ImportError):
    compiled = import_module("vmemmap._compiled")

WIDE = True
"""Whether struct pages are compared by half of one at once, where the processor can (AVX2)."""
RUN = np.dtype([("first", "=i8"), ("pages", "=i4"), ("zone", "=u2"), ("kind", "=u2")])
"""Pages in a row of one `Kind` and one zone (an index of `OnePass.zones`)."""
_NEEDED = {"head", "tail", "order", "hugetlb"}
"""What has to be established of a layout; a page that anything else leaves open is left to care."""


def applies(layout: PageLayout) -> bool:
    """Tell whether the compiled pass is there, and can read struct pages of this layout."""
    head = layout.head if layout.head is not None else layout.first_page
    return (
        compiled is not None
        and not _NEEDED & set(layout.unsettled)
        and head is not None
        and (layout.head is not None or "tail" in layout.bits)
        and layout.mapcount is not None
        and layout.private is not None
        and layout.compound_order is not None
        and "head" in layout.bits
        and 0 not in layout.bits.values()
    )


@dataclass(frozen=True, slots=True)
class Sound:
    """A window in which nothing is missing or out of the ordinary, with a word for every page.

    Attributes:
        first_pfn: The pfn of row 0.
        stretches: int64, shape (n, 2): first pfn and end pfn of the pages that there are.
        located: Where their struct pages are.
        kind: A `Kind` for each row (uint8).
        order: For each row the order of the block that it heads (int8); -1 for other pages.
        head: For each row the pfn of the head whose tail it is (uint64); `NO_PFN` for other pages.
    """

    first_pfn: int
    stretches: NDArray[np.int64]
    located: Located
    kind: NDArray[np.uint8]
    order: NDArray[np.int8]
    head: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Combination:
    """Pages of which flags, sort of mapping, page type and zone are the same.

    Attributes:
        marks: What each is, a sum of `Mark`.
        seen: What makedumpfile sees in it, a sum of `Seen`.
        zone: The bits of the flags' high half that name node and zone.
        kinds: Pages by kind.
        weights: Pages in the dump's memory; then number and pages of the free blocks, of the
            compounds, and of the compounds whose second page marks them as hugetlb, that they head.
        free_blocks: The free blocks that they head, by order.
    """

    marks: int
    seen: int
    zone: int
    kinds: NDArray[np.int64]
    weights: list[int]
    free_blocks: NDArray[np.int64]


class OnePass:
    """Looks at sound windows of one kernel's struct pages.

    Args:
        struct_pages: Where the struct pages are.
        layout: How one is laid out; `applies` has to hold for it.
        fields: Which bits of the flags have node and zone, or None.
        exclusions: makedumpfile's decisions, or None to leave them out.
        remember: Keep what may be left out, for `excludable`.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        fields: FlagFields | None,
        exclusions: Exclusions | None,
        *,
        remember: bool = False,
    ) -> None:
        self._struct_pages, self._layout, self._exclusions = struct_pages, layout, exclusions
        self._zone_mask = 0 if fields is None else fields.mask >> 32 << 32
        self._answers = Answers(struct_pages, layout, self._zone_mask, exclusions)
        self._pass = self._make(remember)

    def count(self, firsts: Sequence[int], pages: int) -> list[int]:
        """Count windows.

        Args:
            firsts: The first pfns of the windows, sorted.
            pages: How many pages each has.

        Returns:
            The first pfns of those that were not counted, since they need care.
        """
        return self._count(firsts, pages, runs=False)

    def count_runs(self, firsts: Sequence[int], pages: int) -> tuple[list[int], NDArray[np.void]]:
        """Count windows, and give what their pages are.

        Args:
            firsts: As for `count`.
            pages: As for `count`.

        Returns:
            What `count` gives, and runs of all other pages, as `RUN`, in the order of pfns.
        """
        left = self._count(firsts, pages, runs=True)
        return left, np.frombuffer(self._pass.runs(), dtype=RUN)

    def _count(self, firsts: Sequence[int], pages: int, *, runs: bool) -> list[int]:
        status = np.zeros(len(firsts), dtype=np.uint8)
        stretches = self._stretches(firsts, pages)
        if len(stretches):
            found = self._struct_pages.locate(stretches[:, 1:])
            self._pass.go(found.data, found.spans, stretches, status, runs=runs)
        left: list[int] = np.array(firsts, dtype=np.int64)[status == 0].tolist()
        return left

    def look(self, first: int, pages: int) -> Sound | None:
        """Look at every page of a window; None if it needs care."""
        status = np.zeros(1, dtype=np.uint8)
        stretches = self._stretches([first], pages)
        if not len(stretches):
            return None
        found = self._struct_pages.locate(stretches[:, 1:])
        kind = np.zeros(pages, dtype=np.uint8)
        order = np.full(pages, -1, dtype=np.int8)
        head = np.full(pages, NO_PFN, dtype=np.uint64)
        self._pass.go(found.data, found.spans, stretches, status, kind, order, head, first)
        if not status[0]:
            return None
        return Sound(first, np.ascontiguousarray(stretches[:, 1:]), found, kind, order, head)

    def excludable(self) -> NDArray[np.int64]:
        """Give, once, the pages looked at that makedumpfile would leave out at some level.

        Returns:
            Shape (n, 4): first pfn; the pfn after the last if they go as free memory; the same if
            they go as anything else; what is seen in them, a sum of `Seen`.
        """
        return np.frombuffer(self._pass.events(), dtype=np.int64).reshape(-1, 4)

    @property
    def free_blocks(self) -> NDArray[np.int64]:
        """Free blocks counted, by order."""
        found = np.zeros(self._layout.orders, dtype=np.int64)
        for each in self.combinations():
            found += each.free_blocks
        return found

    @property
    def zones(self) -> list[int]:
        """The zones met so far, as `Combination` has them."""
        return list(self._answers.zones)

    @property
    def compounds(self) -> int:
        """Compounds counted."""
        return int(self._pass.heads())

    def combinations(self) -> Iterator[Combination]:
        """Yield what was met, and how many pages of it were counted."""
        answers, rows = self._answers, np.frombuffer(self._pass.counts(), dtype=np.int64)
        rows = rows.reshape(-1, compiled.COUNTS)
        zones, blocks = list(answers.zones), compiled.COUNTS - compiled.ORDERS
        for (answer, zone), row in zip(answers.given, rows, strict=True):
            yield Combination(
                *answer[1:],
                zones[zone],
                row[: len(Kind)],
                row[compiled.KINDS : blocks].tolist(),
                row[blocks : blocks + self._layout.orders],
            )

    def _stretches(self, firsts: Sequence[int], pages: int) -> NDArray[np.int64]:
        """Give the pages of windows that have struct pages: number of the window, pfn, end pfn."""
        rows: list[tuple[int, int, int]] = []
        for number, first in enumerate(firsts):
            runs = list(self._struct_pages.sections.overlapping(first, first + pages))
            if any(run.online is False for run in runs):
                continue  # nobody has initialised their struct pages
            for run in runs:
                low, high = max(run.first_pfn, first), min(run.end_pfn, first + pages)
                rows.append((number, low, high))
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def _make(self, remember: bool) -> Any:
        layout, exclusions = self._layout, self._exclusions
        bits = set(layout.bits.values())
        if exclusions is not None:
            bits |= set(exclusions.knowledge.bits.values())
        # Bit 0 (locked) is of no interest, and so has room for what else marks a tail.
        flag_mask = mask_of(bits) & ~1 | self._zone_mask
        for mark in layout.unsettled.values():
            flag_mask |= mark.bits
        by_word = layout.head is not None
        head = layout.head if layout.head is not None else layout.first_page
        order, dtor = layout.compound_order, layout.compound_dtor
        assert order is not None
        assert head is not None
        assert layout.mapcount is not None
        assert layout.private is not None
        tells_by_dtor = dtor is not None and layout.hugetlb_dtor is not None
        raw = _Raw(layout.order)
        return compiled.Pass(
            size=layout.size,
            swap=layout.order != sys.byteorder,
            places=(layout.flags, layout.mapping, layout.mapcount, head, layout.private),
            masks=(
                raw.word(flag_mask),
                raw.word(MAPPING_MASK),
                raw.word(1),
                0 if by_word else raw.word(1 << layout.bits["tail"]),
                int(by_word),
                raw.half(1 << 31),
            ),
            order=(order.offset, order.width, order.mask),
            dtor=(dtor.offset, dtor.width, dtor.mask) if dtor and tells_by_dtor else (0, 0, 0),
            dtor_value=layout.hugetlb_dtor or 0,
            orders=layout.orders,
            max_order=layout.max_compound_order,
            kinds=(Kind.FREE, Kind.OTHER, Kind.COMPOUND_TAIL, Kind.HUGETLB),
            base=self._struct_pages.base,
            ranges=None if exclusions is None else np.ascontiguousarray(exclusions.ranges),
            end_pfn=0 if exclusions is None else exclusions.end_pfn,
            huge_seen=Seen.USER if exclusions is None or exclusions.knowledge.knows_dtor else 0,
            events=remember,
            wide=WIDE,
            learn=self._answers.learn,
            reach=self._answers.reach,
        )


class _Raw:
    """Numbers as they lie in memory of some byte order, read by this machine."""

    def __init__(self, order: ByteOrder) -> None:
        self._order = order

    def word(self, value: int) -> int:
        return int.from_bytes(value.to_bytes(8, self._order), sys.byteorder)

    def half(self, value: int) -> int:
        return int.from_bytes(value.to_bytes(4, self._order), sys.byteorder)


def copy_members(
    sound: Sound,
    layout: PageLayout,
    out: NDArray[np.void],
    members: Sequence[tuple[int, int, int]],
) -> None:
    """Copy members of struct pages into records, in native byte order.

    Args:
        sound: A window.
        layout: The kernel's struct page.
        out: A record for each page of the window that there is.
        members: For each its offset in a struct page, its width (4 or 8 bytes), and its offset in
            a record.
    """
    compiled.copy(
        sound.located.data,
        sound.located.spans,
        layout.size,
        layout.order != sys.byteorder,
        sound.stretches,
        out.view(np.uint8),
        out.dtype.itemsize,
        np.array(members, dtype=np.int64),
    )
