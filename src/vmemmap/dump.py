"""How the layers are joined for one opened dump: each is asked for what the next one needs.

`Wiring` has the dump, its facts, the list and the page tables. What users ask is in ``vmcore.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import U64_MAX, Run
from vmemmap.backing.list_eras import (
    list_empty_mmu_unknown,
    list_empty_on_hash,
    may_duplicate,
)
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import EMPTY_WALK, Walk, walk_list
from vmemmap.errors import FactError, FactMissing, NotBacked
from vmemmap.established import established
from vmemmap.facts.assumptions import Assumptions
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.fact import AnyFact, Fact, Facts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.kernel_types import CompletedVmcoreinfo, KernelTypes
from vmemmap.facts.mmu import HASH, RADIX
from vmemmap.facts.obtain import obtain_vmcoreinfo
from vmemmap.facts.symbols.kallsyms import read_kallsyms
from vmemmap.facts.symbols.table import SymbolTable
from vmemmap.facts.types.types import Types
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.findings import Finding, Severity
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.address_space import AddressSpace
from vmemmap.translate.evidence import LayoutEvidence
from vmemmap.translate.explained import ExplainedMemory
from vmemmap.translate.lookup import BlockTable
from vmemmap.translate.page_tables.choice import TableEvidence, settle_format
from vmemmap.translate.page_tables.table_format import Format
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.translate.regions import AddressLayout
from vmemmap.translate.runs import BlockRuns, NoRuns, TableRuns, VmemmapRuns
from vmemmap.translate.vmalloc_areas import KnownAreas, find_known_areas

if TYPE_CHECKING:
    # The pages layer is loaded when it is first asked for: info, list and vtop do without.
    pass


class Wiring:
    """An opened dump: what `vmemmap.vmcore.Vmcore` stands on.

    Everything is established when it is first asked for, and once. Not safe for use by several
    threads at the same time.

    Args:
        source: The dump's physical memory; closed with this object.
        vmcoreinfo: VMCOREINFO given by the user, instead of the dump's own.
        symbols: Symbols given by the user.
        progress: Told how far long work has come.
        assume: What the caller knows better than the dump.
        rescue: Use what can be found of a damaged list.

    Attributes:
        source: As given.
    """

    def __init__(
        self,
        source: PhysicalSource,
        vmcoreinfo: bytes | None = None,
        symbols: SymbolFile | None = None,
        progress: Progress = no_progress,
        assume: Assumptions | None = None,
        *,
        rescue: bool = False,
    ) -> None:
        self.source = source
        self._rescue = rescue
        self._given_vmcoreinfo = vmcoreinfo
        self._symbols = symbols
        self._progress = progress
        self._assume = assume or Assumptions()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the dump.

        Reads and translations afterwards raise ValueError; arrays already handed out stay valid.
        """
        self._closed = True
        self.source.close()
        if self._symbols is not None:
            self._symbols.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("the dump is closed")

    @established
    def kernel(self) -> KernelFacts:
        """Facts about the kernel, one property each, every one with its origin.

        Raises:
            FactMissing: The dump carries no VMCOREINFO.
            FactConflict: The user's vmlinux is of another kernel.
        """
        exported = Vmcoreinfo(self._vmcoreinfo[0])
        if self._symbols is not None:
            self._symbols.check_kernel(exported)
        types = KernelTypes(exported, self._symbols, self._own_types)
        return KernelFacts(
            CompletedVmcoreinfo(self._vmcoreinfo[0], types),
            self.source,
            self.source.machine,
            self.source.container_byte_order,
            self._symbols,
            self._assume,
            types,
        )

    @established
    def list_facts(self) -> BackingFacts:
        """Facts about the list and its blocks; errors as for `kernel`."""
        return BackingFacts(self.kernel)

    def _own_types(self) -> Types:
        """Read the types that the kernel carries in itself."""
        from vmemmap.facts.types.in_dump import read_own_types

        return read_own_types(self._own_symbols, self.kernel.memory)

    @established
    def _own_symbols(self) -> SymbolTable:
        """The symbols that the kernel carries in itself."""
        return read_kallsyms(self.kernel.vmcoreinfo, self.kernel.memory)

    @established
    def _vmcoreinfo(self) -> tuple[bytes, Fact[str]]:
        return obtain_vmcoreinfo(self.source, self._given_vmcoreinfo, self._symbols, self._progress)

    @property
    def vmcoreinfo_text(self) -> bytes:
        """The kernel's VMCOREINFO as it stands: the user's, the dump's, or found in its memory.

        Raises:
            FactMissing: There is none.
        """
        return self._vmcoreinfo[0]

    @established
    def facts(self) -> Facts:
        """Every fact that can be established, by name; what cannot be is in ``facts.missing``.

        Raises:
            UnsupportedDump: It is of an embedded (Book3E) kernel.
        """
        facts = Facts()
        steps: dict[str, Callable[[], AnyFact]] = {
            "vmcoreinfo": lambda: self._vmcoreinfo[1],
            "release": lambda: self.kernel.release,
            "machine": lambda: self.kernel.machine,
            "memory_byte_order": lambda: self.kernel.memory_byte_order,
            "page_size": lambda: self.kernel.page_size,
            "mmu": lambda: self.mmu,
            "layout": lambda: self._evidence.layout_fact,
            "vmemmap_base": lambda: self.vmemmap_base,
            "page_table": lambda: self.page_table,
            "struct_page_size": lambda: self.kernel.struct_page_size,
            "vmemmap_list": lambda: self.list_facts.vmemmap_list,
            "list_head": lambda: self.list_facts.list_head,
            "node_size": lambda: self.list_facts.node_size,
        }
        block_steps: dict[str, Callable[[], AnyFact]] = {
            "mmu_vmemmap_psize": lambda: self.list_facts.psize_index,
            "block_size": lambda: self.list_facts.block_size,
        }
        for name, establish in (steps | block_steps).items():
            try:
                # Without a list there are no blocks, and what the kernel says of them is nothing.
                if name not in block_steps or not self._evidence.keeps_no_list:
                    facts.add(establish())
            except FactError as error:
                facts.missing[name] = error
        for fact in self.typed_facts:
            facts.add(fact)
        return facts

    @property
    def typed_facts(self) -> tuple[AnyFact, ...]:
        """What the kernel's types gave so far, and the vmlinux of the user's that may give it."""
        try:
            types = self.kernel.types
        except FactError:
            return ()
        vmlinux = () if self._symbols is None else (self._symbols.fact,)
        return (*vmlinux, *types.used.values())

    @property
    def mmu(self) -> Fact[str]:
        """``hash`` or ``radix``, with the evidence.

        Raises:
            FactError: Nothing in the dump decides.
        """
        return self._evidence.mmu

    @property
    def page_table(self) -> Fact[str]:
        """Name of the format of the kernel's page tables, and how it was chosen."""
        return self._page_table[1]

    @property
    def layout(self) -> AddressLayout:
        """How this kernel divides its address space.

        Raises:
            FactError: Nothing in the dump decides, or two things in it disagree.
            UnsupportedDump: It is the layout of an embedded (Book3E) kernel.
        """
        return self._evidence.layout

    @property
    def vmemmap_base(self) -> Fact[int]:
        """Virtual address of the struct page of pfn 0, whether or not it is backed."""
        return self._evidence.vmemmap_base

    @established
    def backing(self) -> BackingTable:
        """vmemmap_list, head (newest) first, as numpy columns; damage is in its ``findings``.

        Raises:
            FactError: VMCOREINFO lacks what the walk needs, or the head cannot be read.
        """
        walked = self._listed
        if not self._rescue or self._region is None or not self._keeps_list:
            return walked
        from vmemmap.backing.rescue import rescue_list

        try:
            found = rescue_list(
                self.kernel,
                self.source,
                walked,
                self._walk,
                int(self.vmemmap_base.value),
                self._region,
                self._block_size,
            )
        except FactError:  # what is not known enough to find anything
            return walked
        return self._table(found.walk, found.how, found.distrusted)

    @established
    def _listed(self) -> BackingTable:
        """The list itself, without anything rescued."""
        return self._table(self._walk)

    def _table(
        self,
        walk: Walk,
        how: NDArray[np.uint8] | None = None,
        distrusted: NDArray[np.bool_] | None = None,
    ) -> BackingTable:
        try:
            struct_page_size = int(self.kernel.struct_page_size.value)
        except FactError:
            struct_page_size = None  # the list stands without it; only pfns cannot be given
        return BackingTable(
            walk,
            block_size=0 if self._evidence.keeps_no_list else self._block_size,
            region=self._region,
            struct_page_size=struct_page_size,
            node_size=self.list_facts.node_layout.size,
            page_size=self._page_size,
            duplicates_legal=may_duplicate(self.kernel.parsed_release),
            how=how,
            distrusted=distrusted,
        )

    @established
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the list, by itself and against what else the dump says."""
        found = self.backing.findings
        if self._walk.findings or len(self._walk.node):
            return found
        try:
            on_hash = self.mmu.value == HASH
            return (list_empty_on_hash(self.mmu.detail), *found) if on_hash else found
        except FactError as error:
            return (list_empty_mmu_unknown(str(error)), *found)

    @established
    def _vmemmap_runs(self) -> VmemmapRuns:
        return self._block_runs(self.backing) if len(self._usable_rows) else self._vmemmap_tables

    def _runs_of(self, table: BackingTable) -> VmemmapRuns:
        return self._vmemmap_runs if table is self.backing else self._block_runs(table)

    @staticmethod
    def _block_runs(table: BackingTable) -> BlockRuns:
        rows = np.flatnonzero(table.usable)
        return BlockRuns(table.virt[rows], table.phys[rows], table.block_size)

    @property
    def _vmemmap_tables(self) -> VmemmapRuns:
        try:
            return TableRuns(self._tables_for(int(self.vmemmap_base.value)), self._page_size)
        except NotBacked:
            return NoRuns()

    def _entry_of(self, virt: int) -> int | None:
        """Give the list entry that backs a vmemmap address."""
        hit = self._space.blocks.find(virt) if len(self._usable_rows) else None
        return None if hit is None else int(self._usable_rows[hit.row])

    @property
    def _page_size(self) -> int:
        return int(self.kernel.page_size.value)

    @established
    def _block_size(self) -> int:
        try:
            return int(self.list_facts.block_size.value)
        except FactError:
            size = self._inferred_block_size() if self._rescue else None
            if size is None:
                raise
            return size

    def _inferred_block_size(self) -> int | None:
        """Take the block size from the list's addresses, or from nodes found in the dump."""
        from vmemmap.backing.rescue_nodes import guess_block_size, infer_block_size

        if len(self._walk.node):
            return infer_block_size(self._walk.phys, self._walk.virt)
        if self._region is None:
            return None
        layout = self.list_facts.node_layout
        return guess_block_size(self.source, layout, self._page_size, self._region)

    @property
    def _region(self) -> Run | None:
        """Where the vmemmap lies, or None if no layout could be chosen."""
        try:
            region = self.layout.vmemmap
        except FactError:
            return None
        return Run(region.start, region.end)

    @property
    def _keeps_list(self) -> bool:
        """The kernel has a list, or should have one."""
        try:
            return len(self._walk.node) > 0 or self.mmu.value == HASH
        except FactError:
            return True

    @established
    def _walk(self) -> Walk:
        if self._evidence.keeps_no_list:
            return EMPTY_WALK
        facts = self.list_facts
        try:
            head = facts.list_head.value
        except FactMissing as error:
            if not self._rescue or error.name != "vmemmap_list":
                raise
            unreadable = Finding("list_head_unreadable", Severity.ERROR, str(error))
            return replace(EMPTY_WALK, findings=(unreadable,))
        try:
            block_size = facts.block_size.value
        except FactError:
            if not self._rescue:
                raise
            block_size = self._page_size  # to judge doubtful nodes by; better is not known yet
        return walk_list(
            self._memory,
            head,
            facts.node_layout,
            page_size=self._page_size,
            block_size=block_size,
        )

    @established
    def _evidence(self) -> LayoutEvidence:
        return LayoutEvidence(
            self.kernel,
            self.list_facts,
            lambda: self._walk.virt,
            self.source.path,
            self._assume,
            lambda: self._areas,
            self._sections_map_base if self._rescue else None,
        )

    @established
    def _usable_rows(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.backing.usable)

    @established
    def _space(self) -> AddressSpace:
        layout, page_size = self.layout, self._page_size
        list_error: FactError | None = None
        try:
            backing, rows = self.backing, self._usable_rows
            virt, phys, block_size = backing.virt[rows], backing.phys[rows], backing.block_size
        except FactError as error:
            # vmalloc and I/O do without the list, and on radix the vmemmap does too.
            virt, phys, block_size = EMPTY_WALK.virt, EMPTY_WALK.phys, 0
            list_error = None if self.mmu.value == RADIX else error
        return AddressSpace(
            layout=layout,
            blocks=BlockTable(virt, phys, block_size or page_size),
            block_size=block_size,
            page_size=page_size,
            tables=self._tables_for,
            doubt=self._doubt,
            list_error=list_error,
        )

    def _doubt(self, virt: int) -> str:
        """Say what speaks against "no entry covers it", or give an empty text."""
        backing = self.backing
        rows = np.flatnonzero(
            ~backing.usable & (np.uint64(virt) - backing.virt < np.uint64(backing.block_size))
        )
        if len(rows):
            return f"; entry {int(rows[0])} claims it, but is damaged and not used"
        damage = [finding for finding in backing.findings if finding.severity is Severity.ERROR]
        if damage:
            return f"; the list is damaged ({damage[0].code}), so the block's entry may be lost"
        return ""

    def _tables_for(self, virt: int) -> PageTable:
        if virt in self._only_in_list:
            raise NotBacked(
                f"cannot translate {virt:#x}: vmemmap_list is empty, and on the hash MMU it is the "
                "only record of the vmemmap",
                virt=virt,
                below=None,
                above=None,
            )
        return self._tables

    @established
    def _only_in_list(self) -> Run:
        """The addresses that no page table maps: the vmemmap of the hash MMU."""
        region = self.layout.vmemmap
        return Run(0, 0) if self.mmu.value == RADIX else Run(region.start, region.end)

    @established
    def _tables(self) -> PageTable:
        return PageTable(
            self._memory,
            self.kernel.root_table_phys,
            self._page_table[0],
            self.kernel.order,
            moves=self.source.moves,
        )

    @established
    def _page_table(self) -> tuple[Format, Fact[str]]:
        """The format of the kernel's page tables, and the fact ``page_table``."""
        return settle_format(
            self._assume.given("page_table"),
            mmu=self.mmu.value,
            page_size=self._page_size,
            release=self.kernel.parsed_release,
            evidence=lambda: TableEvidence(
                memory=self.source,
                root=self.kernel.root_table_phys,
                order=self.kernel.order,
                layout=self.layout,
                ram=self._ram,
                areas=self._areas,
            ),
        )

    @established
    def _areas(self) -> KnownAreas:
        return find_known_areas(self.kernel.vmcoreinfo, self.kernel.memory)

    @property
    def _ram(self) -> NDArray[np.uint64]:
        """The ranges of memory: those of the dump, and what the list covers beyond them."""
        ranges, end = self.source.ranges(), self._covered_end()
        try:
            pages, usable = self.backing.pfn_end, self._usable_rows
        except FactError:
            return ranges
        known = int(pages[usable].max(initial=0)) * self._page_size if pages is not None else 0
        more = np.array([(end, min(max(end, known), U64_MAX))], dtype=np.uint64)
        return np.concatenate([ranges, more])

    def _covered_end(self) -> int:
        return int(self.source.ranges()[-1:, 1].max(initial=0))

    @established
    def _sections(self) -> MemSection:
        return MemSection(self.kernel)

    def _sections_map_base(self) -> int:
        return self._sections.map_base()

    @established
    def _memory(self) -> ExplainedMemory:
        return ExplainedMemory(self.source, lambda: self._sections, self._covered_end)
