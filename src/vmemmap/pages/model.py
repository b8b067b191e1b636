"""Establishes what the page array needs, each thing once and when it is asked for.

Where something cannot be had the next best is taken and a finding says so; only what nothing can
replace is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vmemmap.absence import Absence
from vmemmap.backing.table import BackingTable
from vmemmap.errors import FactError, FactMissing, ReadError
from vmemmap.established import established
from vmemmap.findings import Finding, Severity
from vmemmap.mmzone.flag_fields import FlagFields, check_fields, find_flag_fields
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.mmzone.nodes import NodeInfo, NodeReader
from vmemmap.mmzone.pgdat_layout import PgdatLayout, read_pgdat_layout
from vmemmap.mmzone.read_sections import read_section_table
from vmemmap.mmzone.section_table import SectionTable, sections_from_blocks
from vmemmap.pages.layout.page_layout import PageLayout, find_page_layout
from vmemmap.pages.struct_pages import StructPages
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.runs import VmemmapRuns

if TYPE_CHECKING:
    # Loaded when they are first asked for: `check` wants the nodes alone, `page` does not count.
    from vmemmap.pages.array import PageArray
    from vmemmap.pages.count.free_lists import FreeBlock
    from vmemmap.pages.count.usage import Usage
    from vmemmap.pages.exclusions import Exclusions

_HUGETLB_UNKNOWN = Finding(
    "hugetlb_unknown",
    Severity.INFO,
    "this kernel's VMCOREINFO does not say what marks huge pages (free_huge_page, "
    "HUGETLB_PAGE_DTOR): they are among the pages of kind other and compound_tail",
)


class PageModel:
    """Everything about the pages of one dump.

    Args:
        mem_section: The kernel's table of sections, and facts about the kernel.
        source: The dump's physical memory.
        runs: Which parts of the vmemmap are backed, and where.
        base: Virtual address of the struct page of pfn 0.
        backing: The list; empty where the kernel keeps none.
        progress: Told how far a scan has come.
    """

    def __init__(
        self,
        mem_section: MemSection,
        source: PhysicalSource,
        runs: VmemmapRuns,
        base: int,
        backing: BackingTable,
        progress: Progress = no_progress,
    ) -> None:
        self._mem_section, self._kernel = mem_section, mem_section.kernel
        self._source, self._runs = source, runs
        self._base, self._backing = base, backing
        self._progress = progress
        self._page_size = self._kernel.page_size.value
        self._findings: list[Finding] = []

    @established
    def layout(self) -> PageLayout:
        """The layout of ``struct page``.

        Raises:
            FactError: VMCOREINFO lacks an offset that every kernel exports.
        """
        kernel = self._kernel
        return find_page_layout(
            kernel.vmcoreinfo,
            kernel.struct_page_size.value,
            kernel.order,
            self._page_size,
            kernel.parsed_release,
            kernel.types,
        )

    @established
    def sections(self) -> SectionTable:
        """Which pages have a struct page.

        Raises:
            FactMissing: Neither mem_section nor the list can be used.
        """
        try:
            return read_section_table(self._mem_section, self._base)
        except FactError as error:
            why = str(error)
        backing = self._backing
        first, end = backing.pfn_start, backing.pfn_end
        if first is None or end is None or not backing.usable.any():
            raise FactMissing(
                f"which pages there are cannot be told, and there is no list to go by: {why}",
                name="mem_section",
            )
        per = self._mem_section.pages_per_section
        return sections_from_blocks(first[backing.usable], end[backing.usable], per, why)

    @established
    def struct_pages(self) -> StructPages:
        """Where the struct pages are."""
        return StructPages(
            self._source,
            self._runs,
            self.sections,
            base=self._base,
            size=self.layout.size,
            page_size=self._page_size,
            order=self.layout.order,
        )

    @established
    def nodes(self) -> tuple[NodeInfo, ...]:
        """What the kernel says of nodes and zones; empty where it cannot be read."""
        try:
            reader, layout = self._node_reader
            name = "node_data" if layout.numa else "contig_page_data"
            online = self._address("node_online_map")
            return reader.nodes(int(self._kernel.symbol(name).value), online)
        except (FactError, ReadError) as error:
            self._note("nodes_unreadable", f"nodes and zones cannot be read: {error}")
            return ()

    @established
    def fields(self) -> tuple[FlagFields | None, str]:
        """Which bits of the flags have node and zone, and the evidence in words."""
        try:
            fields = find_flag_fields(self._node_reader[1])
        except FactError as error:
            return None, str(error)
        if fields is None:
            return None, "the number of nodes is no power of two"
        return check_fields(fields, self.nodes, self._flags_of)

    @established
    def array(self) -> PageArray:
        """The struct pages."""
        from vmemmap.pages.array import PageArray
        from vmemmap.pages.page import PageHomes

        return PageArray(
            self.struct_pages,
            self.layout,
            self.fields[0],
            self._page_size,
            PageHomes(self._runs, self._backing, self._source),
            {
                (zone.node, zone.index): zone.name
                for node in self.nodes
                for zone in node.zones
                if zone.name
            },
            self._progress,
        )

    @established
    def exclusions(self) -> Exclusions:
        """What makedumpfile would decide."""
        from vmemmap.pages.exclusions import Exclusions, page_ranges

        return Exclusions(
            self.layout,
            page_ranges(self._source.ranges(), self._page_size),
            self.array.scanner.blocks,
            self.sections.pages_per_section,
        )

    def usage(self, threads: int = 1) -> Usage:
        """Count all pages; see `Usage`."""
        from vmemmap.pages.count.census import take_census
        from vmemmap.pages.rules import tells_hugetlb

        free_listed = None
        if not self.exclusions.knowledge.reads_free_marks:
            blocks, whole = self.free_blocks
            free_listed = sum(1 << block.order for block in blocks) if whole else None
        fields_detail = self.fields[1]
        notes = () if tells_hugetlb(self.layout) else (_HUGETLB_UNKNOWN,)
        touched = self._source.ranges()
        size = np.uint64(self._page_size)
        original = -(-touched[:, 1].astype(np.int64) // self._page_size) - (
            touched[:, 0] // size
        ).astype(np.int64)
        return take_census(
            self.array,
            self.exclusions,
            self.nodes,
            (*self.sections.findings, *self._findings, *notes),
            fields_detail,
            int(original.sum()),
            free_listed,
            threads,
        )

    def zero_pages(self, level: int) -> int | None:
        """Count pages full of zeros among those that a dump level leaves; see `count_zero_pages`.

        Raises:
            ValueError: The level is not 0 to 31.
        """
        from vmemmap.pages.count.zero_pages import count_zero_pages
        from vmemmap.pages.exclusion_rules import LEVELS

        if level not in LEVELS:
            raise ValueError(f"there is no dump level {level}: expected 0 to 31")
        return count_zero_pages(self._source, self.array, self.exclusions, level)

    @established
    def free_blocks(self) -> tuple[tuple[FreeBlock, ...], bool]:
        """The blocks on the free lists, and whether all lists could be followed."""
        from vmemmap.pages.count.free_lists import FreeLists

        try:
            _, layout = self._node_reader
            lru = self._kernel.vmcoreinfo.offset("page.lru")
        except FactError as error:
            self._note("free_list", f"the free lists cannot be followed: {error}")
            return (), False
        lists = FreeLists(self._kernel.memory, layout, self.struct_pages, lru, self.layout.orders)
        blocks = tuple(lists.blocks(self.nodes))
        self._findings += lists.findings
        return blocks, bool(self.nodes) and not lists.findings

    @established
    def _node_reader(self) -> tuple[NodeReader, PgdatLayout]:
        numa = self._address("node_data") is not None
        layout = read_pgdat_layout(self._kernel.vmcoreinfo, numa, self._kernel.types)
        return NodeReader(self._kernel.memory, layout), layout

    def _address(self, symbol: str) -> int | None:
        try:
            return self._kernel.symbol(symbol).value
        except FactError:
            return None

    def node_of(self, pfn: int) -> int | None:
        """Give the number of a page's NUMA node by its struct page, or None."""
        fields, flags = self.fields[0], self._flags_of(pfn)
        return None if fields is None or flags is None else fields.node(flags)

    def _flags_of(self, pfn: int) -> int | None:
        if self.sections.find(pfn) is None:
            return None
        data = self.struct_pages.read(pfn)
        if isinstance(data, Absence):
            return None
        at = self.layout.flags
        return int.from_bytes(data[at : at + 8], self.layout.order)

    def _note(self, code: str, message: str) -> None:
        self._findings.append(Finding(code, Severity.WARNING, message))
