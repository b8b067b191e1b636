"""What of the memory has struct pages, what backs them, and how much of that a list reaches."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.backing.table import BackingTable
from vmemmap.check.checked_dump import CheckedDump
from vmemmap.check.coverage import Coverage, Sections, VmemmapPart, measure
from vmemmap.errors import FactError, ReadError
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, join, total, touched
from vmemmap.mmzone.read_sections import read_section_table
from vmemmap.mmzone.section_table import SectionTable
from vmemmap.translate.runs import NoRuns, TableRuns, VmemmapRuns

_SECTIONS_ASKED = 1 << 12


class Reach:
    """The sections of one dump, read once, and what of them lists reach.

    Args:
        dump: The dump.
        findings: Where what is wrong with mem_section is noted.
    """

    def __init__(self, dump: CheckedDump, findings: list[Finding]) -> None:
        self._dump, self._findings = dump, findings
        self._mapped: NDArray[np.uint64] | None = None
        self._section_table: tuple[SectionTable | None, int] | None = None

    def measure(self, table: BackingTable | None, base: int) -> Coverage | None:
        """Count what a list reaches."""
        sections = self.sections(table, base)
        if sections is None:
            return None
        size = self._dump.kernel.struct_page_size.value
        part = VmemmapPart(sections, base, size, self.backed(table, sections, base, size))
        return measure(
            part, self._dump.source, self._dump.kernel.page_size.value, self._homes(sections)
        )

    def sections(self, table: BackingTable | None, base: int) -> Sections | None:
        """Give the sections that there are: those of mem_section, else those that a list covers."""
        found, per = self._read_sections(base)
        if found is not None:
            pfns = np.column_stack([found.first_pfn, found.end_pfn])
            return Sections(pfns, found.flags, per, "mem_section")
        if table is None or not table.usable.any():
            return None
        if table.pfn_start is None or table.pfn_end is None:
            return None
        rows = np.column_stack([table.pfn_start[table.usable], table.pfn_end[table.usable]])
        numbers = touched(join(*rows.astype(np.int64).T), per)
        return Sections(numbers * per, np.full(len(numbers), 3), per, "vmemmap_list")

    def _read_sections(self, base: int) -> tuple[SectionTable | None, int]:
        """Read mem_section once, and take note of what is wrong with it."""
        if self._section_table is None:
            mem_section, found = self._dump.mem_section, None
            try:
                found = read_section_table(mem_section, base)
                self._findings += found.findings
            except FactError as why:
                message = f"mem_section cannot be used ({why}): what the list lacks cannot be told"
                unreadable = Finding("mem_section_unreadable", Severity.WARNING, message)
                self._findings.append(unreadable)
            self._section_table = found, mem_section.pages_per_section
        return self._section_table

    def backed(
        self, table: BackingTable | None, sections: Sections, base: int, size: int
    ) -> NDArray[np.uint64]:
        """Give what backs the sections' struct pages: rows of virt, phys, size."""
        runs: VmemmapRuns = NoRuns()
        listed = table is not None and bool(table.usable.any())
        if not listed and self._mapped is not None:
            return self._mapped
        if table is not None and listed:
            runs = self._dump.runs_of(table)
        else:
            with suppress(FactError, ReadError):  # on hash, or where it is not known, none has it
                runs = self._dump.vmemmap_tables
        parts = [
            runs.rows(base + start * size, base + end * size)
            for start, end in (sections.joined.tolist() if len(sections.pfns) else [])
        ]
        found = _once(np.concatenate([np.empty((0, 3), dtype=np.uint64), *parts]))
        if not listed:
            self._mapped = found
        return found

    def lost_table(self, virt: int) -> str | None:
        """Tell why no page table can be read for an address of the vmemmap, if that is so."""
        with suppress(FactError, ReadError):
            runs = self._dump.vmemmap_tables
            return runs.why_lost(virt) if isinstance(runs, TableRuns) else None
        return None

    def _homes(self, sections: Sections) -> dict[int, Intervals] | str:
        """Give the pages of each node: by their spans, by struct pages where those overlap.

        Where that cannot be told, why.
        """
        try:
            nodes, why = self._dump.pages.nodes, self._dump.pages.nodes_unreadable
        except (FactError, ReadError) as error:
            return str(error)
        if why is not None:
            return why
        spans = sorted((n.start_pfn, n.start_pfn + n.spanned, n.node) for n in nodes if n.spanned)
        if any(left[1] > right[0] for left, right in pairwise(spans)):
            return self._homes_by_section(sections)
        return {node: np.array([[start, end]], dtype=np.int64) for start, end, node in spans}

    def _homes_by_section(self, sections: Sections) -> dict[int, Intervals] | str:
        """Ask the first struct page of each section, as long as they are not too many."""
        per, pfns = sections.per_section, sections.joined
        if total(pfns) // per > _SECTIONS_ASKED:
            return "the spans of nodes overlap, in too many sections to ask each"
        homes: dict[int, list[int]] = {}
        for start, end in pfns.tolist():
            for pfn in range(start, end, per):
                node = self._dump.pages.node_of(pfn)
                if node is not None:
                    homes.setdefault(node, []).append(pfn)
        if not homes:
            why = self._dump.pages.fields[1]
            return f"the spans of nodes overlap, and no struct page names its node: {why}"
        starts = {node: np.array(found, dtype=np.int64) for node, found in homes.items()}
        return {node: join(found, found + per) for node, found in starts.items()}


def _once(rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give rows of virt, phys and size, by virt, without what rows before them have already.

    Two runs of sections can share a block, or the page that a page table entry maps: it comes with
    both, and with neighbours that it is one mapping with, which are not the same ones each time.
    """
    if not len(rows):
        return rows
    ends = np.maximum.accumulate(rows[:, 0] + rows[:, 2])
    before = np.r_[rows[:1, 0], ends[:-1]]
    had = np.minimum(np.maximum(before, rows[:, 0]) - rows[:, 0], rows[:, 2])
    left = rows + np.column_stack([had, had, np.zeros_like(had)])
    left[:, 2] -= had
    return np.asarray(left[left[:, 2] > 0])
