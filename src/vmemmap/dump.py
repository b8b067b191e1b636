"""The layers of one opened dump, joined: each is asked for what the next one needs.

`Dump` has the facts, the list, the address space and the pages; what users ask is in ``vmcore.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import U64_MAX, Phys, Run, Virt
from vmemmap.backing.list_eras import (
    list_empty_mmu_unknown,
    list_empty_on_hash,
    may_duplicate,
)
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import EMPTY_WALK, Walk, walk_list
from vmemmap.errors import FactError, FactMissing, NotBacked, ReadError, TranslateError
from vmemmap.established import established
from vmemmap.facts.assumptions import Assumptions
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.fact import AnyFact, Fact, Facts, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.kernel_types import CompletedVmcoreinfo, KernelTypes
from vmemmap.facts.mmu import HASH, RADIX
from vmemmap.facts.obtain import Obtained, obtain_vmcoreinfo
from vmemmap.facts.symbols.descriptors import DESCRIPTOR_SUFFIX, code_in_memory
from vmemmap.facts.symbols.table import Symbol, SymbolHit, SymbolTable, resolve_symbol
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.findings import Finding, Severity
from vmemmap.formats.extract_note import ExtractNote, find_extract_note
from vmemmap.linear_map import LINEAR_SPAN, PAGE_OFFSET, linear_phys, linear_virt
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
from vmemmap.translate.regions import CERTAIN_LINEAR, AddressLayout
from vmemmap.translate.result import Translation, translation
from vmemmap.translate.runs import BlockRuns, NoRuns, TableRuns, VmemmapRuns

if TYPE_CHECKING:
    # These are loaded when they are first asked for: info, list and vtop do without the pages.
    from vmemmap.backing.rescue_search import Effort
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.facts.types.types import Types
    from vmemmap.facts.vmlinux import SymbolFile
    from vmemmap.filter.filtering import DumpFilter
    from vmemmap.kernel_log.record import KernelLog
    from vmemmap.pages.model import PageModel
    from vmemmap.pages.page import PageInfo
    from vmemmap.translate.vmalloc_areas import KnownAreas


_CERTAIN_END = CERTAIN_LINEAR.end
_MAY_BE_DEVICE = (Absence.HOT_ADDED, Absence.RESERVED)
"""What memory that the dump's headers do not know may be said to be before devices are marked."""


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
        for name in ("space", "filter"):
            vars(self).pop(name, None)

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
    def symbols(self) -> SymbolTable:
        """The kernel's symbols: of the user's vmlinux, else those that it carries in itself."""
        if self.vmlinux is not None and self.vmlinux.has_symbols:
            self.kernel.check_vmlinux(self.vmlinux)
            return self.vmlinux.table
        return self.own_symbols

    def symbol(self, name: str) -> Symbol:
        """Give the symbol of a name; a function's is its code."""
        found = resolve_symbol(name, self.kernel.vmcoreinfo, lambda: self.symbols)
        code = self._code_of(found)
        return Symbol(name, code, 0) if code else found

    def symbol_at(self, virt: int) -> SymbolHit | None:
        """Give the symbol to which an address in the kernel's image belongs."""
        hit = self.symbols.at(virt)
        if hit is None or not self._code_of(hit.symbol):
            return hit
        name = hit.name + DESCRIPTOR_SUFFIX
        return SymbolHit(Symbol(name, hit.symbol.address, hit.size), hit.offset)

    def _code_of(self, symbol: Symbol) -> int:
        if self.vmlinux is None or not self.vmlinux.lacks_descriptors:
            return 0
        return code_in_memory(symbol, self.symbols, self.kernel.memory)

    @established
    def own_symbols(self) -> SymbolTable:
        """The symbols that the kernel carries in itself."""
        from vmemmap.facts.symbols.kallsyms import read_kallsyms

        return read_kallsyms(self.kernel.vmcoreinfo, self.kernel.memory)

    def _own_types(self) -> Types:
        from vmemmap.facts.types.in_dump import read_own_types

        return read_own_types(self.own_symbols, self.kernel.memory)

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
            "page_table": lambda: self.page_table_format[1],
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
    def _ram(self) -> NDArray[np.uint64]:
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
    def walk(self) -> Walk:
        """What a walk of the list met."""
        if self.evidence.keeps_no_list:
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
            self.memory, head, facts.node_layout, page_size=self._page_size, block_size=block_size
        )

    @property
    def list_virts(self) -> NDArray[np.uint64]:
        """The virt_addr of every entry that the walk met."""
        return self.walk.virt

    @property
    def list_unread(self) -> str:
        """Why no list entry can be read, in words; empty where some can, or the list is empty."""
        if len(self.walk.node):
            return ""
        return next((f.message for f in self.walk.findings if f.severity is Severity.ERROR), "")

    @established
    def listed(self) -> BackingTable:
        """The list itself, without anything rescued."""
        return self._table(self.walk)

    @established
    def backing(self) -> BackingTable:
        """The list, and what was rescued of it, where that was asked for."""
        if not self._rescue:
            return self.listed
        from vmemmap.backing.rescue import rescue_list

        try:
            if not self._keeps_list:
                return self._not_rescued("on radix the kernel keeps no list", Severity.INFO)
            region = self.evidence.layout.vmemmap
            found = rescue_list(
                *(self.mem_section, self.source, self.listed, self.walk),
                *(self.evidence.vmemmap_base.value, Run(region.start, region.end)),
                *(self._block_size, self._search_effort),
            )
        except FactError as error:  # what is not known enough to find anything
            return self._not_rescued(str(error), Severity.WARNING)
        return self._table(found.walk, found.how, found.distrusted)

    def _not_rescued(self, why: str, severity: Severity) -> BackingTable:
        """Give the list as it is, with a finding that says why nothing was looked for."""
        finding = Finding("rescue_not_run", severity, f"nothing was looked for to rescue: {why}")
        return self._table(replace(self.walk, findings=(*self.walk.findings, finding)))

    def count_rescued(self, layout: AddressLayout) -> int:
        """Count the blocks that a search finds if the kernel has this layout, and no list."""
        from vmemmap.backing.rescue import rescue_list
        from vmemmap.backing.rescue_nodes import guess_block_size

        region = Run(layout.vmemmap.start, layout.vmemmap.end)
        node, page_size = self.list_facts.node_layout, self._page_size
        try:
            block_size = self.list_facts.block_size.value
        except FactError:
            block_size = guess_block_size(self.source, node, page_size, region) or 0
        if not block_size:
            return 0
        table = BackingTable(
            EMPTY_WALK,
            block_size=block_size,
            region=region,
            struct_page_size=self.kernel.struct_page_size.value,
            node_size=node.size,
            page_size=page_size,
            duplicates_legal=False,
        )
        found = rescue_list(
            *(self.mem_section, self.source, table, EMPTY_WALK),
            *(region.start, region, block_size, self._search_effort),
        )
        return len(found.walk.node)

    @property
    def _search_effort(self) -> Effort:
        from vmemmap.backing.rescue_search import DEFAULT_EFFORT

        return DEFAULT_EFFORT.times(self._effort)

    def _table(
        self,
        walk: Walk,
        how: NDArray[np.uint8] | None = None,
        distrusted: NDArray[np.bool_] | None = None,
    ) -> BackingTable:
        try:
            struct_page_size = self.kernel.struct_page_size.value
        except FactError:
            struct_page_size = None  # the list stands without it; only pfns cannot be given
        return BackingTable(
            walk,
            block_size=0 if self.evidence.keeps_no_list else self._block_size,
            region=self.region,
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
        if self.walk.findings or len(self.walk.node):
            return found
        try:
            mmu = self.evidence.mmu
            return (list_empty_on_hash(mmu.detail), *found) if mmu.value == HASH else found
        except FactError as error:
            return (list_empty_mmu_unknown(str(error)), *found)

    @established
    def _block_size(self) -> int:
        try:
            return self.list_facts.block_size.value
        except FactError:
            size = self._inferred_block_size() if self._rescue else None
            if size is None:
                raise
            return size

    def _inferred_block_size(self) -> int | None:
        """Take the block size from the list's addresses, or from nodes found in the dump."""
        from vmemmap.backing.rescue_nodes import guess_block_size, infer_block_size

        if len(self.walk.node):
            return infer_block_size(self.walk.phys, self.walk.virt)
        if self.region is None:
            return None
        layout = self.list_facts.node_layout
        return guess_block_size(self.source, layout, self._page_size, self.region)

    @property
    def region(self) -> Run | None:
        """Where the vmemmap lies, or None if no layout could be chosen."""
        try:
            region = self.evidence.layout.vmemmap
        except FactError:
            return None
        return Run(region.start, region.end)

    @property
    def _keeps_list(self) -> bool:
        """The kernel has a list, or should have one."""
        try:
            return len(self.walk.node) > 0 or self.evidence.mmu.value == HASH
        except FactError:
            return True

    # From virtual to physical addresses.

    @established
    def space(self) -> AddressSpace:
        """The kernel's address space."""
        layout, page_size = self.evidence.layout, self._page_size
        list_error: FactError | None = None
        try:
            blocks, block_size = self.backing.blocks, self.backing.block_size
        except FactError as error:
            # vmalloc and I/O do without the list, and on radix the vmemmap does too.
            blocks, block_size = BlockTable(EMPTY_WALK.virt, EMPTY_WALK.phys, page_size), 0
            list_error = None if self.evidence.mmu.value == RADIX else error
        return AddressSpace(
            layout=layout,
            blocks=blocks,
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

    def translate(self, virt: int) -> Translation:
        """Translate one kernel virtual address, 0 to 2**64 - 1; errors as for `Vmcore.vtop`."""
        if PAGE_OFFSET <= virt < _CERTAIN_END:  # needs no list and no layout
            phys, method, region, entry = virt - PAGE_OFFSET, "linear", CERTAIN_LINEAR.name, None
        else:
            phys, method, region, entry = self.space.translate(virt)
        if self.source.is_stored(phys):
            return translation(virt, phys, method, region, entry, None)
        absence = self.memory.explain(phys)
        if absence in _MAY_BE_DEVICE and self._is_struct_page_on_device(virt, phys, entry):
            absence = Absence.ON_DEVICE
        return translation(virt, phys, method, region, entry, absence)

    def _is_struct_page_on_device(self, virt: int, phys: int, entry: int | None) -> bool:
        """Tell whether an address is one of the vmemmap, and what is there lies on a device."""
        if entry is None and (self.region is None or virt not in self.region):
            return False
        try:
            return self.pages.struct_pages.is_on_device(phys)
        except (FactError, ReadError):
            return False

    def virtual(self, phys: int) -> tuple[Translation, ...]:
        """Give the addresses of a physical one, below 2**60; see `Vmcore.ptov`."""
        absence = self.why_absent(phys)
        found = []
        if absence is not Absence.NO_MEMORY and self._is_linear(phys):
            virt, region = Virt(linear_virt(phys)), CERTAIN_LINEAR.name
            found.append(
                Translation(virt, Phys(phys), "linear", region, None, absence is None, absence)
            )
        backing = self.backing
        size = np.uint64(backing.block_size)
        inside = backing.usable & (np.uint64(phys) - backing.phys < size)
        for entry in np.flatnonzero(inside).tolist():
            virt = Virt(int(backing.virt[entry]) + phys - int(backing.phys[entry]))
            found.append(
                Translation(
                    *(virt, Phys(phys), "vmemmap_list", self.evidence.layout.vmemmap.name),
                    *(entry, absence is None, absence),
                )
            )
        return tuple(found)

    def _is_linear(self, phys: int) -> bool:
        """Tell whether this kernel's linear map reaches as far as a physical address."""
        if phys >= LINEAR_SPAN:
            return False
        virt = linear_virt(phys)
        if virt in CERTAIN_LINEAR:
            return True
        try:
            return self.space.translate(virt).method == "linear"
        except (TranslateError, ReadError):
            return False

    def why_absent(self, phys: int) -> Absence | None:
        """Say why the byte at a physical address is not in the dump; None where it is."""
        return None if self.source.is_stored(phys) else self.memory.explain(phys)

    def read(self, virt: int, size: int) -> bytes:
        """Read bytes at a kernel virtual address; errors as for `Vmcore.read`."""
        out: list[bytes] = []
        if virt in CERTAIN_LINEAR:
            length = min(size, CERTAIN_LINEAR.end - virt)
            out.append(self.memory.read(_linear(virt), length))
            virt, size = virt + length, size - length
        if size > 0:
            out += [self.memory.read(phys, length) for phys, length in self.space.runs(virt, size)]
        return b"".join(out)

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
        try:
            return TableRuns(self._tables_for(self.evidence.vmemmap_base.value), self._page_size)
        except NotBacked:
            return NoRuns()

    def _tables_for(self, virt: int) -> PageTable:
        if virt in self._only_in_list:
            what = self.list_unread or "vmemmap_list is empty"
            raise NotBacked(
                f"cannot translate {virt:#x}: {what}; on the hash MMU the list is the only record "
                "of the vmemmap",
                virt=virt,
                below=None,
                above=None,
            )
        return self._kernel_tables

    @established
    def _only_in_list(self) -> Run:
        """The addresses that no page table maps: the vmemmap of the hash MMU."""
        region = self.evidence.layout.vmemmap
        on_radix = self.evidence.mmu.value == RADIX
        return Run(0, 0) if on_radix else Run(region.start, region.end)

    @established
    def _kernel_tables(self) -> PageTable:
        return self.tables_at(self.kernel.root_table_phys)

    def tables_at(self, root_phys: int) -> PageTable:
        """Give the page tables whose root is at a physical address."""
        table_format, fact = self.page_table_format
        doubts = {Origin.ASSUMED: "which is assumed", Origin.USER: "which was given"}
        return PageTable(
            self.memory,
            root_phys,
            table_format,
            self.kernel.order,
            moves=self.source.moves,
            doubt=doubts.get(fact.origin, ""),
        )

    @established
    def page_table_format(self) -> tuple[Format, Fact[str]]:
        """The format of the kernel's page tables, and the fact ``page_table``."""
        return settle_format(
            self._assume.given("page_table"),
            mmu=self.evidence.mmu.value,
            page_size=self._page_size,
            release=self.kernel.parsed_release,
            evidence=lambda: TableEvidence(
                memory=self.source,
                root=self.kernel.root_table_phys,
                order=self.kernel.order,
                layout=self.evidence.layout,
                ram=self._ram,
                areas=self.areas,
            ),
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
            self._progress,
        )

    @established
    def filter(self) -> DumpFilter:
        """What makes smaller dumps of it."""
        from vmemmap.filter.filtering import DumpFilter

        return DumpFilter(self, self._progress)

    def page_of(self, address: int) -> PageInfo:
        """Decode the struct page of the page that holds an address; see `Vmcore.page_of`."""
        pages, page_size = self.pages.array, self._page_size
        if 0 <= address < 1 << 60:
            return pages[address // page_size]
        base = self.evidence.vmemmap_base.value
        if address in self.evidence.layout.vmemmap and address >= base:
            return pages[(address - base) // self.kernel.struct_page_size.value]
        return pages[self.translate(address).phys // page_size]

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


def _linear(virt: int) -> int:
    """Give the physical address of an address that is certainly in the linear map."""
    phys = linear_phys(virt)
    assert phys is not None
    return phys
