"""What a page is, said to the compiled pass: once for each combination of members that it meets.

The answer is that of the rules (``rules.py``, ``exclusion_rules.py``); nothing is decided here.
"""

from __future__ import annotations

import numpy as np

from vmemmap.pages.blocks import BlockReader
from vmemmap.pages.exclusion_rules import Seen, see
from vmemmap.pages.exclusions import Exclusions
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Members
from vmemmap.pages.rules import Mark, judge
from vmemmap.pages.struct_pages import StructPages

_NOT_KEPT = (-1, 0, 0)
_PFN_END = 1 << 52
_RULES_KEPT = 1024
"""Combinations, zones apart, that a sound dump stays far below; garbage has one for every page."""


class Answers:
    """What the pass has asked of, and what it was told; apart, so that it refers to no pass.

    Args:
        struct_pages: Where the struct pages are.
        layout: How one is laid out.
        zone_mask: The bits of the flags that name node and zone.
        exclusions: makedumpfile's decisions, or None.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        zone_mask: int,
        exclusions: Exclusions | None,
    ) -> None:
        self._layout, self._zone_mask, self._exclusions = layout, zone_mask, exclusions
        self._blocks = BlockReader(layout, struct_pages)
        self._known: dict[tuple[int, int, int], tuple[int, int, int]] = {}
        self.given: list[tuple[tuple[int, int, int], int]] = []
        self.zones: dict[int, int] = {}

    def learn(self, flags: int, mapping: int, mapcount: int) -> tuple[int, int, int, int]:
        """Say what a page with these members is: kind, marks, what makedumpfile sees, and zone.

        Args:
            flags: The flags that matter; where a word marks tails bit 0 says whether it is one.
            mapping: The bits of the mapping that matter.
            mapcount: ``_mapcount`` where it is a page type, else 0.
        """
        key = (flags & ~self._zone_mask, mapping, mapcount)
        answer = self._known.get(key)
        if answer is None:
            if len(self._known) >= _RULES_KEPT:
                return *_NOT_KEPT, 0
            answer = self._known[key] = self._judge(*key)
        if answer == _NOT_KEPT:
            return *answer, 0
        zone = self.zones.setdefault((flags & self._zone_mask) >> 32, len(self.zones))
        self.given.append((answer, zone))
        return *answer, zone

    def reach(self, pfn: int) -> tuple[int, int]:
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
        doubt = judged.may_be_reserved
        if judged.kind[0] == Kind.UNDECIDED or (doubt is not None and doubt[0]):
            return _NOT_KEPT
        if self._exclusions is None:
            return int(judged.kind[0]), marks, 0
        knowledge = self._exclusions.knowledge
        if tail and not knowledge.knows_tails:
            marks |= Mark.FAILED_TAIL  # what it makes of a tail depends on what became of the head
        seen = int(see(knowledge, members)[0])
        if seen & Seen.UNACCEPTED:
            return _NOT_KEPT
        return int(judged.kind[0]), marks, seen
