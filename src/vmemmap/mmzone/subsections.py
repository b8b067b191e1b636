"""Sections that have struct pages only in parts: device memory comes in pieces of 2 MiB.

VMCOREINFO does not say where a section's subsection_map is. It is in what the word behind
section_mem_map points to, either first or behind an rcu_head; which of the two is told by the
sections that are online, for those are always whole. Where nothing tells, all count as whole.

Source: Linux include/linux/mmzone.h (struct mem_section_usage), mm/sparse.c (section_activate).
"""

from __future__ import annotations

import numpy as np

from vmemmap.address import numpy_prefix
from vmemmap.errors import ReadError
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import join
from vmemmap.linear_map import linear_phys
from vmemmap.mmzone.section_layout import SectionLayout
from vmemmap.mmzone.sections import SectionTable
from vmemmap.source.base import PhysicalSource

_SUBSECTION_BYTES = 2 << 20
_MAP_PLACES = (0, 16)
"""Where the map can be: first in struct mem_section_usage, or behind the rcu_head that stands there
since Linux commit 5ec8e8ea8b77 ("mm/sparsemem: fix race in accessing memory_section->usage") (in
v6.8, and in stable kernels)."""
_WITNESSES = 64
_ASKED_MAX = 1 << 16


def cut_to_subsections(
    table: SectionTable, source: PhysicalSource, layout: SectionLayout, page_size: int
) -> SectionTable:
    """Leave out the pages that have no struct page, though others in their section have.

    Only sections that came after boot and are not online can be such; kernels before 5.3, which
    have no parts of sections, do not mark what came after boot.

    Args:
        table: The sections.
        source: The dump's physical memory.
        layout: How mem_section is cut.
        page_size: The kernel's page size in bytes.
    """
    runs = list(table)
    doubtful = [run for run in runs if not run.early and not run.online]
    if not doubtful or not any(run.early for run in runs):
        return table
    maps = _Maps(source, layout, table.roots, page_size)
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

    def __init__(
        self, source: PhysicalSource, layout: SectionLayout, roots: int, page_size: int
    ) -> None:
        self._source, self._layout, self._roots = source, layout, roots
        self._pages = _SUBSECTION_BYTES // page_size
        self._parts = layout.pages_per_section // self._pages
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
        layout = self._layout
        root, slot = divmod(number, layout.per_root)
        at = layout.map_offset + 8
        if at + 8 > layout.size or not 1 < self._parts <= 64:
            return None
        try:
            roots = self._word(self._roots + 8 * root)
            usage = linear_phys(self._word(roots + slot * layout.size + at))
            data = b"" if usage is None else self._source.read(usage, 24)
        except ReadError:
            return None
        return np.frombuffer(data, numpy_prefix(layout.order) + "u8").tolist() or None

    def _word(self, virt: int) -> int:
        phys = linear_phys(virt)
        return 0 if phys is None else int.from_bytes(self._source.read(phys, 8), self._layout.order)
