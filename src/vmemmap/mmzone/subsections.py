"""Sections that have struct pages only in parts: device memory comes in pieces of 2 MiB.

VMCOREINFO does not say where a section's subsection_map is. It is in what the word behind
section_mem_map points to, either first or behind an rcu_head; which of the two is told by the
sections that are online, for those are always whole. Where nothing tells, all count as whole.

Section 5 of eight parts, 32 pages of 64 KiB each, of which the first and the last two are there::

    subsection_map   0b1100_0001
    missing parts    1..5, pages [5 * 256 + 32, 5 * 256 + 192), cut out of the section's run

Source: Linux include/linux/mmzone.h (struct mem_section_usage), mm/sparse.c (section_activate).
"""

from __future__ import annotations

import numpy as np

from vmemmap.errors import ReadError
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import join
from vmemmap.mmzone.mem_section import RootArray
from vmemmap.mmzone.section_table import SectionTable

_SUBSECTION_BYTES = 2 << 20
_MAP_PLACES = (0, 16)
"""Where the map can be: first in struct mem_section_usage, or behind the rcu_head that stands there
since Linux commit 5ec8e8ea8b77 ("mm/sparsemem: fix race in accessing memory_section->usage") (in
v6.8, and in stable kernels)."""
_WITNESSES = 64
_ASKED_MAX = 1 << 16


def cut_to_subsections(table: SectionTable, roots: RootArray) -> SectionTable:
    """Leave out the pages that have no struct page, though others in their section have.

    Only sections that came after boot and are not online can be such; kernels before 5.3, which
    have no parts of sections, do not mark what came after boot.

    Args:
        table: The sections.
        roots: mem_section, from which they were read.
    """
    runs = list(table)
    doubtful = [run for run in runs if not run.early and not run.online]
    if not doubtful or not any(run.early for run in runs):
        return table
    maps = _Maps(roots)
    online = [number for run in runs if run.online for number in (run.start, run.end - 1)]
    place = maps.place(online[:_WITNESSES])
    asked = [number for run in doubtful for number in range(run.start, run.end)][:_ASKED_MAX]
    missing: list[tuple[int, int]] = []
    unknown = sum(run.end - run.start for run in doubtful) - len(asked)
    for number in asked:
        parts = None if place is None else maps.missing(number, place)
        unknown += parts is None
        missing += parts or []
    findings = table.findings
    if unknown:
        findings += (
            Finding(
                "subsections_unknown",
                Severity.INFO,
                f"whether {unknown} sections that are not online have all their struct pages "
                "cannot be told: they count as whole",
            ),
        )
    lost = np.array(missing, dtype=np.int64).reshape(-1, 2)
    return table.without(join(lost[:, 0], lost[:, 1]), findings)


class _Maps:
    """Reads subsection maps."""

    def __init__(self, roots: RootArray) -> None:
        self._roots, self._memory, self._layout = roots, roots.memory, roots.layout
        self._parts = (1 << self._layout.section_size_bits.value) // _SUBSECTION_BYTES
        self._pages = self._layout.pages_per_section // max(self._parts, 1)
        self._all = (1 << self._parts) - 1

    def place(self, online: list[int]) -> int | None:
        """Tell by sections that are online where the map is; None if they do not agree."""
        found = [words for number in online if (words := self._usage(number)) is not None]
        for at in _MAP_PLACES:
            values = {words[at // 8] for words in found}
            if values == {self._all}:
                return at
        return None

    def missing(self, number: int, place: int) -> list[tuple[int, int]] | None:
        """Give the pages of a section that have no struct page; None if that cannot be told."""
        words = self._usage(number)
        bits = 0 if words is None else words[place // 8]
        if not bits or bits & ~self._all:
            return None
        first = number * self._layout.pages_per_section
        starts = [first + at * self._pages for at in range(self._parts) if not bits >> at & 1]
        return [(start, start + self._pages) for start in starts]

    def _usage(self, number: int) -> list[int] | None:
        """Read the beginning of a section's struct mem_section_usage, 3 words."""
        at = self._layout.map_offset + 8
        if at + 8 > self._layout.size or not 1 < self._parts <= 64:
            return None
        try:
            entry = self._roots.find_entry(number)
            usage = 0 if entry is None else self._memory.word(entry + at)
            words: list[int] = self._memory.words(usage, 3).tolist()
        except ReadError:
            return None
        return words
