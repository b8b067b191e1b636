"""The layers of one opened dump, joined: each is asked for what the next one needs.

`Dump` has the facts, the list, the address space and the pages; what users ask is in ``vmcore.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import U64_MAX, Run
from vmemmap.addresses import Addresses
from vmemmap.backing.known_list import KnownList
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import Walk
from vmemmap.errors import FactError, FactMissing
from vmemmap.established import established
from vmemmap.facts.assumptions import Assumptions
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.fact import AnyFact, Facts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.kernel_symbols import KernelSymbols
from vmemmap.facts.kernel_types import CompletedVmcoreinfo, KernelTypes
from vmemmap.facts.obtain import Obtained, obtain_vmcoreinfo
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.findings import Finding, Severity
from vmemmap.formats.extract_note import ExtractNote, find_extract_note
from vmemmap.intervals import Intervals
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.evidence import LayoutEvidence
from vmemmap.translate.explained import ExplainedMemory
from vmemmap.translate.kernel_tables import KernelTables
from vmemmap.translate.regions import AddressLayout
from vmemmap.translate.runs import BlockRuns, VmemmapRuns

if TYPE_CHECKING:
    # These are loaded when they are first asked for: info, list and vtop do without the pages.
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.facts.types.types import Types
    from vmemmap.facts.vmlinux import SymbolFile
    from vmemmap.filter.filtering import DumpFilter
    from vmemmap.kernel_log.record import KernelLog
    from vmemmap.pages.model import PageModel
    from vmemmap.translate.vmalloc_areas import KnownAreas


class Dump:
    """One opened dump, layer by layer, from the facts to the pages.

    Everything is established when it is first asked for, and once; what cannot be is a FactError,
    every time. Not safe for use by several threads at the same time.

    Args:
        source: The dump's physical memory; closed with this object.
        given_vmcoreinfo: VMCOREINFO given by the user, instead of the dump's own.
        vmlinux: Symbols and types given by the user.
        progress: Told how far long work has come.
        assume: What the caller knows better than the dump.
        rescue: Use what can be found of a damaged list.
        effort: How far to look for it, as a multiple of what is usual.

    Attributes:
        source: As given.
        vmlinux: As given.
        addresses: What addresses mean: translated, both ways, and read.
    """

    def __init__(
        self,
        source: PhysicalSource,
        given_vmcoreinfo: bytes | None = None,
        vmlinux: SymbolFile | None = None,
        progress: Progress = no_progress,
        assume: Assumptions | None = None,
        *,
        rescue: bool = False,
        effort: int = 1,
    ) -> None:
        self.source = source
        self.vmlinux = vmlinux
        self._given_vmcoreinfo = given_vmcoreinfo
        self._progress = progress
        self._assume = assume or Assumptions()
        self._rescue, self._effort = rescue, effort
        self.addresses = Addresses(self)

    def reopened(self, source: PhysicalSource) -> Dump:
        """Ask another file as this one is asked; it is the caller's to close.

        Args:
            source: A dump of the same kernel.
        """
        return Dump(
            source,
            vmlinux=self.vmlinux,
            assume=self._assume,
            rescue=self._rescue,
            effort=self._effort,
        )

    def close(self) -> None:
        """Release the files."""
        self.source.close()
        if self.vmlinux is not None:
            self.vmlinux.close()
        # What leads back here goes, so that all that was read goes with the dump's last user, and
        # not only when garbage is collected.
        if "kernel" in vars(self):
            self.kernel.types.close()
        if "memory" in vars(self):
            self.memory.close()
        if "evidence" in vars(self):
            self.evidence.close()
        if "tables" in vars(self):
            self.tables.close()
        self.addresses.close()
        vars(self).pop("filter", None)

    @established
    def extract_note(self) -> ExtractNote | None:
        """What the dump says of itself if it is an extract, else None."""
        return find_extract_note(self.source.notes)

    # What the kernel says of itself.

    @established
    def vmcoreinfo(self) -> Obtained:
        """The text of VMCOREINFO, and where it comes from."""
        which = self._assume.given("kernel")
        return obtain_vmcoreinfo(
            *(self.source, self._given_vmcoreinfo, self.vmlinux, self._progress),
            1 if which is None else int(which.value),
        )

    @established
    def kernel(self) -> KernelFacts:
        """Facts about the kernel."""
        text = self.vmcoreinfo.text
        exported = Vmcoreinfo(text)
        if self.vmlinux is not None:
            self.vmlinux.check_kernel(exported)
            self.vmlinux.follow(exported)
        types = KernelTypes(exported, self.vmlinux, self._own_types)
        return KernelFacts(
            CompletedVmcoreinfo(text, types),
            self.source,
            self.source.machine,
            self.source.container_byte_order,
            self.vmlinux,
            self._assume,
            types,
        )

    @established
    def list_facts(self) -> BackingFacts:
        """Facts about the list and its blocks."""
        return BackingFacts(self.kernel)

    @established
    def symbols(self) -> KernelSymbols:
        """The kernel's symbols: of the user's vmlinux, else those that it carries in itself."""
        return KernelSymbols(self.kernel, self.vmlinux)

    def _own_types(self) -> Types:
        from vmemmap.facts.types.in_dump import read_own_types

        return read_own_types(self.symbols.own, self.kernel.memory)

    @property
    def typed_facts(self) -> tuple[AnyFact, ...]:
        """What the kernel's types gave so far, and the vmlinux of the user's that may give it."""
        try:
            types = self.kernel.types
        except FactError:
            return ()
        vmlinux = () if self.vmlinux is None else (self.vmlinux.fact,)
        return (*vmlinux, *types.used.values())

    @established
    def facts(self) -> Facts:
        """Every fact that can be established; what cannot be is in ``facts.missing``."""
        of_all: dict[str, Callable[[], AnyFact]] = {
            "vmcoreinfo": lambda: self.vmcoreinfo.fact,
            "release": lambda: self.kernel.release,
            "machine": lambda: self.kernel.machine,
            "memory_byte_order": lambda: self.kernel.memory_byte_order,
            "page_size": lambda: self.kernel.page_size,
            "mmu": lambda: self.evidence.mmu,
            "layout": lambda: self.evidence.layout_fact,
            "vmemmap_base": lambda: self.evidence.vmemmap_base,
            "page_table": lambda: self.tables.format[1],
            "struct_page_size": lambda: self.kernel.struct_page_size,
            "vmemmap_list": lambda: self.list_facts.vmemmap_list,
            "list_head": lambda: self.list_facts.list_head,
            "node_size": lambda: self.list_facts.node_size,
        }
        of_blocks: dict[str, Callable[[], AnyFact]] = {
            "mmu_vmemmap_psize": lambda: self.list_facts.psize_index,
            "block_size": lambda: self.list_facts.block_size,
        }
        of_vmemmap = {"vmemmap_base", "vmemmap_list", "list_head", "node_size"}
        try:
            without = of_vmemmap | of_blocks.keys() if self.kernel.no_vmemmap else set[str]()
        except FactError:
            without = set()
        facts = Facts()
        for name, establish in (of_all | of_blocks).items():
            if name in without:
                continue
            try:
                # Without a list there are no blocks, and what the kernel says of them is nothing.
                if name not in of_blocks or not self.evidence.keeps_no_list:
                    facts.add(establish())
            except FactError as error:
                facts.missing[name] = error
        for fact in self.typed_facts:
            facts.add(fact)
        return facts

    @established
    def system(self) -> Facts:
        """What was running, and how it ended, from what is at hand."""
        from vmemmap.system import SystemFacts

        is_extract = self.extract_note is not None
        return SystemFacts(
            self.source, lambda: self.kernel, self.log, is_extract=is_extract
        ).establish()

    def log(self) -> KernelLog:
        """Give the kernel's log; errors as for `Vmcore.dmesg`."""
        from vmemmap.kernel_log.read import read_log

        note = self.extract_note
        if note is not None and "dmesg" not in note.classes:
            raise FactMissing(
                "this extract has nothing of the kernel's log (vmemmap extract --with dmesg puts "
                "it in)",
                name="log",
            )
        return read_log(self.kernel.vmcoreinfo, self.kernel.memory)

    @established
    def evidence(self) -> LayoutEvidence:
        """Which MMU, which address layout, and why."""
        return LayoutEvidence(
            self.kernel, self.list_facts, self, self.source.path, self._assume, rescue=self._rescue
        )

    @established
    def areas(self) -> KnownAreas:
        """Addresses that the kernel itself says it has mapped."""
        from vmemmap.translate.vmalloc_areas import find_known_areas

        return find_known_areas(self.kernel.vmcoreinfo, self.kernel.memory)

    # Which memory there is, and why some of it is not in the dump.

    @established
    def mem_section(self) -> MemSection:
        """The kernel's table of sections."""
        return MemSection(self.kernel)

    @established
    def memory(self) -> ExplainedMemory:
        """Physical memory, with errors that say why bytes are not there."""
        return ExplainedMemory(self.source, self)

    @property
    def ram(self) -> NDArray[np.uint64]:
        """The ranges of memory: those of the dump, and what the list covers beyond them.

        Of a far dump whose ranges are much to fetch it is all up to the end of the last: memory so
        large has its devices above it.
        """
        ranges, end = self.source.cheap_ranges(), self.memory.covered_end
        if ranges is None:
            ranges = np.array([(0, end)], dtype=np.uint64)
        try:
            pages, usable = self.backing.pfn_end, self.backing.usable
        except FactError:
            return ranges
        known = int(pages[usable].max(initial=0)) * self._page_size if pages is not None else 0
        more = np.array([(end, min(max(end, known), U64_MAX))], dtype=np.uint64)
        return np.concatenate([ranges, more])

    # The list.

    @established
    def known_list(self) -> KnownList:
        """The list, and what asks about it alone."""
        return KnownList(
            *(self.kernel, self.list_facts, self.evidence),
            *(self.mem_section, self.source, self.memory),
            rescue=self._rescue,
            effort=self._effort,
        )

    @established
    def walk(self) -> Walk:
        """What a walk of the list met."""
        return self.known_list.walk

    @property
    def list_virts(self) -> NDArray[np.uint64]:
        """The virt_addr of every entry that the walk met."""
        return self.walk.virt

    @property
    def list_unread(self) -> str:
        """Why no list entry can be read, in words; empty where some can, or the list is empty."""
        return self.known_list.unread

    @established
    def listed(self) -> BackingTable:
        """The list itself, without anything rescued."""
        return self.known_list.listed

    @established
    def backing(self) -> BackingTable:
        """The list, and what was rescued of it, where that was asked for."""
        return self.known_list.backing

    @property
    def misplaced(self) -> NDArray[np.uint64]:
        """For each entry of `listed` the place that its block names, if that is another, else 0."""
        return self.known_list.misplaced

    def elsewhere(self) -> tuple[Finding, ...]:
        """Name the entries whose block says that it belongs to another place, as far as asked."""
        return self.known_list.elsewhere()

    @property
    def doubtful_pfns(self) -> Intervals:
        """The pages that entries of the list describe whose block is not theirs, or may not be."""
        return self.known_list.doubtful_pfns

    def count_rescued(self, layout: AddressLayout) -> int:
        """Count the blocks that a search finds if the kernel has this layout, and no list."""
        return self.known_list.count_rescued(layout)

    @established
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the list, by itself and against what else the dump says."""
        return self.known_list.findings

    @property
    def region(self) -> Run | None:
        """Where the vmemmap lies, or None if no layout could be chosen."""
        try:
            return self.evidence.region
        except FactError:
            return None

    # From virtual to physical addresses.

    def why_absent(self, phys: int) -> Absence | None:
        """Say why the byte at a physical address is not in the dump; None where it is."""
        return None if self.source.is_stored(phys) else self.memory.explain(phys)

    @established
    def vmemmap_runs(self) -> VmemmapRuns:
        """Which parts of the vmemmap are backed, and where: by the list, else by page tables."""
        return _block_runs(self.backing) if self.backing.usable.any() else self.vmemmap_tables

    def runs_of(self, table: BackingTable) -> VmemmapRuns:
        """Give what a list's entries map."""
        return self.vmemmap_runs if table is self.backing else _block_runs(table)

    @property
    def vmemmap_tables(self) -> VmemmapRuns:
        """What the page tables map of the vmemmap."""
        return self.tables.vmemmap

    @established
    def tables(self) -> KernelTables:
        """The kernel's page tables."""
        given = self._assume.given("page_table")
        return KernelTables(
            self.kernel, self.evidence, self.source, self.memory, clues=self, given=given
        )

    # The pages.

    @established
    def pages(self) -> PageModel:
        """Sections, nodes and zones, the layout of struct page, and what stands on them."""
        from vmemmap.pages.model import PageModel

        return PageModel(
            self.mem_section,
            self.source,
            self.vmemmap_runs,
            self.evidence.vmemmap_base.value,
            self.backing,
            self.known_list.elsewhere,
            self._progress,
        )

    @established
    def filter(self) -> DumpFilter:
        """What makes smaller dumps of it."""
        from vmemmap.filter.filtering import DumpFilter

        return DumpFilter(self, self._progress)

    @established
    def check_report(self) -> CheckReport:
        """Whether the list holds together, and what of the memory it reaches."""
        from vmemmap.check.whole_dump import check_dump  # which no other command needs

        return check_dump(self)

    @property
    def is_sound(self) -> bool:
        """Whether the list is without damage, by all that can be held against it."""
        return not any(f.severity is Severity.ERROR for f in self.check_report.findings)

    @property
    def _page_size(self) -> int:
        return self.kernel.page_size.value


def _block_runs(table: BackingTable) -> BlockRuns:
    virt, phys, usable = table.virt, table.phys, table.usable
    if not usable.all():
        virt, phys = virt[usable], phys[usable]
    return BlockRuns(virt, phys, table.block_size)
