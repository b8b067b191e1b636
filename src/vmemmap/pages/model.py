"""Establishes what the page array needs, each thing once and when it is asked for.

Where something cannot be had the next best is taken and a finding says so; only what nothing can
replace is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vmemmap.absence import Absence
from vmemmap.backing.table import BackingTable
from vmemmap.errors import FactError, FactMissing, ReadError
from vmemmap.established import established
from vmemmap.facts.fact import Fact
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, intersect, join, total
from vmemmap.linear_map import linear_phys
from vmemmap.mmzone.device_zone import find_device_zone
from vmemmap.mmzone.flag_fields import FlagFields, check_fields, find_flag_fields
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.mmzone.nodes import NodeInfo, NodeReader
from vmemmap.mmzone.pgdat_layout import PgdatLayout, read_pgdat_layout
from vmemmap.mmzone.read_sections import read_section_table
from vmemmap.mmzone.section_table import SectionTable, sections_from_blocks
from vmemmap.pages.layout.page_layout import PageLayout, find_page_layout
from vmemmap.pages.layout.page_reader import PageReader
from vmemmap.pages.layout.places import read_orders
from vmemmap.pages.layout.witnesses import KnownPages, NoKnownPages
from vmemmap.pages.struct_pages import StructPages
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.runs import VmemmapRuns

if TYPE_CHECKING:
    # Loaded when they are first asked for: `check` wants the nodes alone, `page` does not count.
    from vmemmap.pages.array import PageArray
    from vmemmap.pages.count.census import Onlooker
    from vmemmap.pages.count.free_lists import FreeBlock, FreeLists
    from vmemmap.pages.count.usage import Usage
    from vmemmap.pages.exclusions import Exclusions


class PageModel:
    """Everything about the pages of one dump.

    Args:
        mem_section: The kernel's table of sections, and facts about the kernel.
        source: The dump's physical memory.
        runs: Which parts of the vmemmap are backed, and where.
        base: Virtual address of the struct page of pfn 0.
        backing: The list; empty where the kernel keeps none.
        elsewhere: Names the blocks whose struct pages say that they are those of other memory.
        progress: Told how far a scan has come.

    Attributes:
        runs: As given.
    """

    def __init__(
        self,
        mem_section: MemSection,
        source: PhysicalSource,
        runs: VmemmapRuns,
        base: int,
        backing: BackingTable,
        elsewhere: Callable[[], Sequence[Finding]] = tuple,
        progress: Progress = no_progress,
    ) -> None:
        self._mem_section, self._kernel = mem_section, mem_section.kernel
        self._source, self.runs = source, runs
        self._base, self._backing, self._elsewhere = base, backing, elsewhere
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
            self._known_pages(),
            self._symbol,
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
            self.runs,
            self.sections,
            base=self._base,
            size=self._kernel.struct_page_size.value,
            page_size=self._page_size,
            order=self._kernel.order,
        )

    @established
    def nodes(self) -> tuple[NodeInfo, ...]:
        """What the kernel says of nodes and zones; empty where it cannot be read."""
        try:
            found = self._read_nodes()
        except (FactError, ReadError) as error:
            why = str(error)
        else:
            if found:
                return found
            why = "no online node has its own description"
        self._note("nodes_unreadable", f"nodes and zones cannot be read: {why}")
        return ()

    @property
    def nodes_unreadable(self) -> str | None:
        """Why there are no nodes, in words; None where there are."""
        if self.nodes:
            return None
        return next((f.message for f in self._findings if f.code == "nodes_unreadable"), None)

    def _read_nodes(self) -> tuple[NodeInfo, ...]:
        """Read them; FactError or ReadError where they cannot be had."""
        reader, layout = self._node_reader
        name = "node_data" if layout.numa else "contig_page_data"
        online = self._address("node_online_map")
        return reader.nodes(int(self._kernel.symbol(name).value), online)

    @established
    def fields(self) -> tuple[FlagFields | None, str]:
        """Which bits of the flags have node and zone, and the evidence in words."""
        try:
            fields = find_flag_fields(self._node_reader[1])
        except FactError as error:
            return None, str(error)
        if fields is None:
            return None, "the number of nodes is no power of two"

        def flags_of(pfn: int) -> int | None:
            section = self.sections.find(pfn)
            if section is not None and section.online is False:
                return None  # since 4.17 nobody has initialised it
            flags = self._flags_of(pfn)
            # They lie far apart, and for each up to 2 MiB of the file around it are mapped.
            self.struct_pages.trim()
            return flags

        return check_fields(fields, self.nodes, flags_of)

    @property
    def _device_zone(self) -> int | None:
        """Index of the zone of device memory; None if there is none, or nothing tells."""
        try:
            zone = find_device_zone(self._kernel.types, self._node_reader[1], self.nodes)
        except FactError:
            return None
        return None if zone is None else zone.value

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
            PageHomes(self.runs, self._backing, self._source),
            {
                (zone.node, zone.index): zone.name
                for node in self.nodes
                for zone in node.zones
                if zone.name
            },
            self._progress,
            self._device_zone,
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

    def usage(self, threads: int = 1, onlooker: Onlooker | None = None) -> Usage:
        """Count all pages; see `Usage` and `count_all`."""
        from vmemmap.pages.count.census import take_census
        from vmemmap.pages.rules import tells_hugetlb
        from vmemmap.pages.undecided import hugetlb_unknown

        free_listed = None
        if not self.exclusions.knowledge.reads_free_marks:
            free_listed = self._free_in_dump()
        fields_detail = self.fields[1]
        notes = () if tells_hugetlb(self.layout) else (hugetlb_unknown(self.layout),)
        touched = self._source.ranges()
        size = np.uint64(self._page_size)
        original = -(-touched[:, 1].astype(np.int64) // self._page_size) - (
            touched[:, 0] // size
        ).astype(np.int64)
        return take_census(
            self.array,
            self.exclusions,
            self.nodes,
            (*self._elsewhere(), *self.sections.findings, *self._findings, *notes),
            fields_detail,
            int(original.sum()),
            free_listed,
            threads,
            onlooker,
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
        try:
            lists = self._free_lists
        except FactError as error:
            self._note("free_list", f"the free lists cannot be followed: {error}")
            return (), False
        blocks = tuple(lists.blocks())
        self._findings += lists.findings
        return blocks, bool(self.nodes) and not lists.findings

    @property
    def free_listed(self) -> Intervals | None:
        """The pages on the free lists, as intervals of pfns; None where they do not tell."""
        blocks, whole = self.free_blocks
        if not whole:
            return None
        first = np.array([block.pfn for block in blocks], dtype=np.int64)
        return join(first, first + np.array([1 << block.order for block in blocks], np.int64))

    def _free_in_dump(self) -> int | None:
        """Count those of `free_listed` that the dump has; None where they do not tell.

        The lists know of memory that was added after the dump's headers were made, too, and
        makedumpfile leaves out only what is there.
        """
        from vmemmap.pages.exclusions import page_ranges

        listed = self.free_listed
        if listed is None:
            return None
        return total(intersect(listed, page_ranges(self._source.ranges(), self._page_size)))

    @property
    def pgdat_layout(self) -> PgdatLayout:
        """Where things are in a node's and a zone's structures.

        Raises:
            FactError: VMCOREINFO lacks what is needed.
        """
        return self._node_reader[1]

    @established
    def _free_lists(self) -> FreeLists:
        """The free lists; a FactError where the kernel does not say how they can be followed."""
        from vmemmap.pages.count.free_lists import FreeLists

        kernel, layout = self._kernel, self._node_reader[1]
        read = PageReader(kernel.vmcoreinfo, kernel.struct_page_size.value, kernel.types)
        orders = read_orders(read, self._page_size)
        lru = kernel.vmcoreinfo.offset("page.lru")
        return FreeLists(kernel.memory, layout, self.nodes, self.struct_pages, lru, orders)

    def _known_pages(self) -> KnownPages:
        """Pages of which it is known what they are before the layout is."""
        from vmemmap.pages.known_pages import PagesToWitness

        try:
            image = [self._kernel.root_table_phys // self._page_size]
            start = linear_phys(self._kernel.symbol("_stext").value)
            assert start is not None
            image.insert(0, start // self._page_size)
        except FactError:
            image = []
        try:
            return PagesToWitness(self.struct_pages, image, self._lists_if_any)
        except FactError:
            return NoKnownPages()

    def _lists_if_any(self) -> FreeLists | None:
        try:
            return self._free_lists
        except FactError:
            return None

    def _symbol(self, name: str) -> Fact[int] | None:
        try:
            return self._kernel.symbol(name)
        except FactMissing:
            return None

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
        """Give the number of a page's NUMA node by its struct page, or None.

        It is None, too, where the node has no such zone: nobody has initialised the struct page.
        """
        fields, flags = self.fields[0], self._flags_of(pfn)
        if fields is None or flags is None:
            return None
        named = fields.node(flags), fields.zone(flags)
        there = any(named == (each.node, zone.index) for each in self.nodes for zone in each.zones)
        return named[0] if there else None

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
