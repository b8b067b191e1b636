"""The census of sound windows, by the compiled pass over struct pages (``_one_pass.c``).

The pass knows no kernel: it is told here where the members of a struct page are, and asks here,
once for each combination of members that it meets, what such a page is. That is answered by the
rules (``rules.py``, ``exclusion_rules.py``), so that they stand in one place. A window in which
anything is missing, damaged or out of the ordinary it leaves uncounted; such windows are gone
through page by page (``scanned.py``). Where it does count it gives the same as that; tests hold the
two against each other. Without the compiled module, on a machine that has no compiler and no wheel,
the careful way counts all windows.

What it makes of eight pages, with kinds by their numbers (1 other, 3 cache, 6 tail, 11 free)::

    pfn          8    9   10   11   12   13   14   15
    combination  0    1    2    2    3    4    4    4     flags, sort of mapping, type, tail
    counted as  11   11    3    3    1    6    6    6     9 by its block, 13 to 15 by their head
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from vmemmap.address import ByteOrder
from vmemmap.mmzone.node_layout import FlagFields
from vmemmap.pages.blocks import BlockReader
from vmemmap.pages.count.tally import Tally, zone_mask
from vmemmap.pages.exclusion_rules import Seen, see
from vmemmap.pages.exclusions import ExclusionCounts, Exclusions
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Members
from vmemmap.pages.rules import MAPPING_MASK, Mark, judge
from vmemmap.pages.struct_pages import StructPages

try:
    from vmemmap import _one_pass as compiled
except ImportError:
    compiled = None  # type: ignore[assignment]

_NOT_KEPT = (-1, 0, 0)
_PFN_END = 1 << 52
_RULES_KEPT = 1024
"""Combinations, zones apart, that a sound dump stays far below; garbage has one for every page."""


def applies(layout: PageLayout) -> bool:
    """Tell whether the compiled pass is there, and can read struct pages of this layout."""
    head = layout.head if layout.head is not None else layout.first_page
    return (
        compiled is not None
        and head is not None
        and (layout.head is not None or "tail" in layout.bits)
        and layout.mapcount is not None
        and layout.private is not None
        and layout.compound_order is not None
        and "head" in layout.bits
        and 0 not in layout.bits.values()
    )


class OnePass:
    """Counts sound windows of one kernel's struct pages.

    Args:
        struct_pages: Where the struct pages are.
        layout: How one is laid out; `applies` has to hold for it.
        fields: Which bits of the flags have node and zone, or None.
        exclusions: makedumpfile's decisions, or None to leave them out.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        fields: FlagFields | None,
        exclusions: Exclusions | None,
    ) -> None:
        self._struct_pages, self._layout, self._exclusions = struct_pages, layout, exclusions
        self._blocks = BlockReader(layout, struct_pages)
        self._zone_mask = zone_mask(fields) << 32
        self._known: dict[tuple[int, int, int], tuple[int, int, int]] = {}
        self._zones: list[int] = []
        self._answers: list[tuple[int, int, int]] = []
        self._pass = self._make()

    def count(self, firsts: Sequence[int], pages: int) -> list[int]:
        """Count windows.

        Args:
            firsts: The first pfns of the windows, sorted.
            pages: How many pages each has.

        Returns:
            The first pfns of those that were not counted, since they need care.
        """
        rows: list[tuple[int, int, int]] = []
        status = np.zeros(len(firsts), dtype=np.uint8)
        for number, first in enumerate(firsts):
            runs = list(self._struct_pages.sections.overlapping(first, first + pages))
            if any(run.online is False for run in runs):
                continue  # nobody has initialised their struct pages
            for run in runs:
                low, high = max(run.first_pfn, first), min(run.end_pfn, first + pages)
                rows.append((number, low, high))
        stretches = np.array(rows, dtype=np.int64).reshape(-1, 3)
        if len(stretches):
            # The runs of sections that touch are one stretch of struct pages.
            found = self._struct_pages.locate(stretches[:, 1:])
            self._pass.go(found.data, found.spans, stretches, status)
        return [
            first for first, counted in zip(firsts, status.tolist(), strict=True) if not counted
        ]

    def tally(self) -> Tally:
        """Give all that was counted."""
        tally = Tally(np.frombuffer(self._pass.free_orders(), dtype=np.int64).copy())
        tally.heads = self._pass.heads()
        counts = np.frombuffer(self._pass.counts(), dtype=np.int64)
        rows = counts.reshape(len(self._answers), compiled.COUNTS)
        for (_, marks, _), zone, row in zip(self._answers, self._zones, rows, strict=True):
            kinds = row[: len(Kind)]
            if not kinds.any():
                continue
            tally.zone(zone)[:] += kinds
            if marks & Mark.TAIL:
                tally.tails += int(kinds.sum())
                tally.slab_tails += int(kinds[Kind.SLAB])
            if marks & Mark.RESERVED:
                tally.reserved += int(kinds.sum())
        if self._exclusions is not None:
            for (_, _, seen), row in zip(self._answers, rows, strict=True):
                _add_exclusions(tally.exclusions, seen, row[compiled.KINDS :].tolist())
        return tally

    def _make(self) -> Any:
        layout, exclusions = self._layout, self._exclusions
        bits = set(layout.bits.values())
        if exclusions is not None:
            bits |= set(exclusions.knowledge.bits.values())
        # Bit 0 (locked) is of no interest, and so has room for what else marks a tail.
        self._flag_mask = sum(1 << bit for bit in bits) & ~1 | self._zone_mask
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
                raw.word(self._flag_mask),
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
            huge_seen=Seen.USER,
            events=False,
            learn=self._learn,
            reach=self._reach,
        )

    def _learn(self, flags: int, mapping: int, mapcount: int) -> tuple[int, int, int]:
        """Say what a page with these members is: kind, marks, and what makedumpfile sees.

        Args:
            flags: The flags that matter; where a word marks tails bit 0 says whether it is one.
            mapping: The bits of the mapping that matter.
            mapcount: ``_mapcount`` where it is a page type, else 0.
        """
        key = (flags & ~self._zone_mask, mapping, mapcount)
        answer = self._known.get(key)
        if answer is None:
            if len(self._known) >= _RULES_KEPT:
                return _NOT_KEPT
            answer = self._known[key] = self._judge(*key)
        self._answers.append(answer)
        self._zones.append((flags & self._zone_mask) >> 32)
        return answer

    def _reach(self, pfn: int) -> tuple[int, int]:
        """Say of the head of a compound what it is, and where the compound ends."""
        found = self._blocks.compound_at(pfn)
        if found is None or found.kind is None:
            return -1, 0
        return found.kind, min(found.end_pfn, _PFN_END)

    def _judge(self, flags: int, mapping: int, mapcount: int) -> tuple[int, int, int]:
        layout = self._layout
        tail = flags & 1 if layout.head is not None else flags >> layout.bits["tail"] & 1
        members = Members(
            np.array([flags], dtype=np.uint64),
            np.array([mapping], dtype=np.uint64),
            np.array([mapcount], dtype=np.uint32),
            np.array([tail], dtype=np.bool_),
        )
        judged = judge(layout, members)
        marks = int(judged.marks[0])
        if self._exclusions is None:
            return int(judged.kind[0]), marks, 0
        knowledge = self._exclusions.knowledge
        if tail and not knowledge.knows_tails:
            marks |= Mark.FAILED_TAIL  # what it makes of a tail depends on what became of the head
        seen = int(see(knowledge, members)[0])
        if seen & Seen.UNACCEPTED:
            return _NOT_KEPT
        return int(judged.kind[0]), marks, seen


class _Raw:
    """Numbers as they lie in memory of some byte order, read by this machine."""

    def __init__(self, order: ByteOrder) -> None:
        self._order = order

    def word(self, value: int) -> int:
        return int.from_bytes(value.to_bytes(8, self._order), sys.byteorder)

    def half(self, value: int) -> int:
        return int.from_bytes(value.to_bytes(4, self._order), sys.byteorder)


def _add_exclusions(out: ExclusionCounts, seen: int, counted: list[int]) -> None:
    """Add the pages of one combination: those seen, and how many of them go with others.

    Args:
        out: What to add to.
        seen: What makedumpfile sees in such a page.
        counted: The pages in memory; then number and pages of the free blocks, of the compounds,
            and of the compounds whose second page marks them as hugetlb, that such pages head.
    """
    pages, *blocks = counted
    out.single[seen] += pages
    for which, as_seen in enumerate((seen, seen, seen | Seen.USER)):
        heads, together = blocks[2 * which : 2 * which + 2]
        free = 0 if which == 0 else 1
        out.single[seen] -= heads
        # One that heads a block of one sort counts alone where it is taken for the other.
        out.blocks[as_seen, free] += together
        out.blocks[as_seen, 1 - free] += heads
