"""One opened dump, as users meet it: what can be asked, answered by the layers.

It has no logic of its own; ``dump.py`` joins the layers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import U64_MAX, Phys, Virt
from vmemmap.dump import Wiring
from vmemmap.established import established
from vmemmap.facts.assumptions import check_assumptions
from vmemmap.facts.obtain import read_vmcoreinfo_file
from vmemmap.facts.symbols.table import (
    Symbol,
    SymbolHit,
    SymbolTable,
    may_be_in_image,
    resolve_symbol,
)
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.kernel_log.read import read_log
from vmemmap.kernel_log.record import KernelLog
from vmemmap.linear_map import linear_phys
from vmemmap.progress import Progress, no_progress
from vmemmap.source.detect import open_source
from vmemmap.translate.address_space import BulkTranslation
from vmemmap.translate.assumable import ASSUMABLE
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.translate.regions import (
    CERTAIN_LINEAR,
)
from vmemmap.translate.result import Translation

if TYPE_CHECKING:
    # The pages layer is loaded when it is first asked for: info, list and vtop do without.
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.pages.array import PageArray
    from vmemmap.pages.count.usage import Usage
    from vmemmap.pages.model import PageModel
    from vmemmap.pages.page import PageInfo


def open_vmcore(
    *paths: str | os.PathLike[str],
    vmcoreinfo: str | os.PathLike[str] | None = None,
    vmlinux: str | os.PathLike[str] | None = None,
    progress: Progress = no_progress,
    assume: Mapping[str, str] | None = None,
    rescue: bool = False,
) -> Vmcore:
    """Open a dump of a PowerPC64 Linux kernel.

    Args:
        paths: An ELF vmcore (kexec, fadump, makedumpfile -E) or a kdump-compressed file (zlib, lzo,
            snappy, zstd or raw pages), flattened or not; or all members of a split dump. A pipe, or
            ``-`` for the standard input, is copied to an unnamed temporary file first.
        vmcoreinfo: A file with the VMCOREINFO text, used instead of the dump's own.
        vmlinux: The kernel: its symbols, for kernels that do not export the list (before 3.13) or
            their symbols (before 6.0), and dumps without VMCOREINFO; and its types (BTF or debug
            information), for whatever VMCOREINFO lacks.
        progress: Told how far long work has come: what it is, how much is done, how much there is.
        assume: Facts that the caller knows better than the dump, by name: memory_byte_order, mmu,
            layout, page_table. They go before whatever the dump says.
        rescue: Where the list is damaged, look for what it lost in the rest of the dump, and use
            what is found; ``core.backing.rescued`` tells which entries those are.

    Returns:
        The opened dump, a context manager. Only headers have been read.

    Raises:
        ValueError: *assume* has a name or value that cannot be; the message lists those that can.
        DumpError: It cannot be opened, is no dump, is damaged, or is of a kind not handled.
    """
    assumptions = check_assumptions(assume or {}, ASSUMABLE)
    text = read_vmcoreinfo_file(vmcoreinfo) if vmcoreinfo is not None else None
    symbols = SymbolFile(vmlinux) if vmlinux is not None else None
    source = open_source(*paths, progress=progress)
    return Vmcore(source, text, symbols, progress, assumptions, rescue=rescue)


class Vmcore(Wiring):
    """An opened dump.

    Everything is established when it is first asked for, and once. Not safe for use by several
    threads at the same time. It is a context manager: leaving it closes the dump.
    """

    @established
    def symbols(self) -> SymbolTable:
        """The kernel's symbols, without those of modules.

        From the vmlinux that the user named, else from the kernel's own tables in the dump.

        Raises:
            FactMissing: VMCOREINFO does not say where the tables are, or they are not in the dump.
            FactInvalid: The tables are damaged.
            FactConflict: The vmlinux is of another kernel.
        """
        self._require_open()
        if self._symbols is not None and self._symbols.has_symbols:
            self.kernel.check_vmlinux(self._symbols)
            return self._symbols.table
        return self._own_symbols

    def symbol(self, name: str) -> Symbol:
        """Give the kernel's symbol of this name.

        Raises:
            UnknownSymbol: There is none; carries similar names.
            FactConflict: There are several; ``symbols.find_all`` has them.
            FactError: There is no symbol table, as for `symbols`.
        """
        return resolve_symbol(name, self.kernel.vmcoreinfo, lambda: self.symbols)

    def symbolize(self, virt: int) -> SymbolHit | None:
        """Name a kernel virtual address: its symbol and the offset in it.

        Returns:
            None for an address outside the kernel's image: modules and data have no names here.

        Raises:
            FactError: There is no symbol table, as for `symbols`.
        """
        virt = index(virt)
        return self.symbols.at(virt) if may_be_in_image(virt, self.kernel.vmcoreinfo) else None

    def dmesg(self) -> KernelLog:
        """Give the kernel's log, oldest record first; it is read when it is iterated.

        What is damaged in it is in its ``findings`` afterwards.

        Raises:
            FactMissing: VMCOREINFO does not say where the log is.
        """
        self._require_open()
        return read_log(self.kernel.vmcoreinfo, self.kernel.memory)

    def vtop(self, virt: int) -> Translation:
        """Translate one kernel virtual address. O(log n) in list entries.

        Args:
            virt: Kernel virtual address (bytes), 0 to 2**64 - 1.

        Returns:
            Its physical address, how that was found, and whether the byte is in the dump.

        Raises:
            NotBacked: Inside the vmemmap, but no list entry covers it; names the neighbours.
            NotPresent: A page table entry maps nothing there.
            NoSuchRegion: In no region of this kernel's address space.
            UnsupportedMmu: A page table entry leads to a hugepd, which maps user memory only.
            FactError: VMCOREINFO lacks what the translation needs.
            ReadError: A page table is not in the dump.
        """
        self._require_open()
        virt = index(virt)  # a numpy integer would overflow below
        if not 0 <= virt <= U64_MAX:
            raise ValueError(f"expected an address of 64 bits, found {virt:#x}")
        certain = linear_phys(virt) if virt in CERTAIN_LINEAR else None
        if certain is not None:  # needs no list and no layout
            phys, method, region, row = certain, "linear", CERTAIN_LINEAR.name, None
        else:
            hit = self._space.translate(virt)
            phys, method, region, row = hit.phys, hit.method, hit.region, hit.row
        entry = int(self._usable_rows[row]) if row is not None else None
        absence = self.why_absent(phys)
        return Translation(Virt(virt), Phys(phys), method, region, entry, absence is None, absence)

    def vtop_many(self, addresses: NDArray[np.uint64]) -> BulkTranslation:
        """Translate kernel virtual addresses in bulk.

        Args:
            addresses: Kernel virtual addresses (bytes), uint64, one dimension, any order.

        Returns:
            ``(phys, mask)``: uint64 physical addresses, and which of them are valid. What needs
            page tables (vmalloc, I/O, a vmemmap without a list) costs a walk of them for each page
            and not for each address.

        Raises:
            ValueError: *addresses* is not one-dimensional uint64.
            FactError: VMCOREINFO lacks what the translation needs.
        """
        self._require_open()
        virt = np.asarray(addresses)
        if virt.dtype.newbyteorder("=") != np.uint64 or virt.ndim != 1:
            raise ValueError(
                f"expected a one-dimensional uint64 array, found {virt.dtype} of shape {virt.shape}"
            )
        return self._space.translate_many(np.ascontiguousarray(virt, dtype=np.uint64))

    def read(self, virt: int, size: int) -> bytes:
        """Read *size* bytes at a kernel virtual address, across blocks where it must.

        Raises:
            TranslateError: As for `vtop`, at the first address that has no translation.
            ReadError: The bytes are not in the dump; says which and why.
        """
        self._require_open()
        virt, size = index(virt), index(size)
        if size < 0:
            raise ValueError(f"cannot read {size} bytes")
        if not 0 <= virt <= U64_MAX:
            raise ValueError(f"expected an address of 64 bits, found {virt:#x}")
        out: list[bytes] = []
        certain = linear_phys(virt) if virt in CERTAIN_LINEAR else None
        if certain is not None:  # needs no list and no layout
            length = min(size, CERTAIN_LINEAR.end - virt)
            out.append(self._memory.read(certain, length))
            virt, size = virt + length, size - length
        if size > 0:
            for phys, length in self._space.runs(virt, size):
                out.append(self._memory.read(phys, length))
        return b"".join(out)

    def page_table_at(self, pgd: int) -> PageTable:
        """Give the page tables of a process, which translate its user addresses.

        Args:
            pgd: Where the root table is, as ``mm->pgd`` has it: a linear-map address (bytes).

        Raises:
            ValueError: *pgd* is no linear-map address.
            FactError: Nothing in the dump tells the format of the tables.
        """
        self._require_open()
        root = linear_phys(index(pgd))
        if root is None:
            raise ValueError(f"expected a root table in the linear map, found {pgd:#x}")
        moves = self.source.moves
        return PageTable(self._memory, root, self._page_table[0], self.kernel.order, moves=moves)

    def read_phys(self, phys: int, size: int) -> bytes:
        """Read *size* bytes at a physical address; nothing is ever filled in.

        Raises:
            NotInDump, HotAdded, PageExcluded, PageLost, Truncated, CorruptPage: The first byte that
                cannot be had, and why.
        """
        self._require_open()
        phys, size = index(phys), index(size)
        if size < 0 or not 0 <= phys <= U64_MAX:
            raise ValueError(f"cannot read {size} bytes at {phys:#x}")
        return self._memory.read(phys, size)

    def why_absent(self, phys: int) -> Absence | None:
        """Say why the byte at a physical address is not in the dump; None where it is."""
        self._require_open()
        return None if self.source.is_stored(phys) else self._memory.explain(phys)

    @property
    def pages(self) -> PageArray:
        """The struct pages: ``core.pages[pfn]``, ``core.pages.scan()``.

        Raises:
            FactError: VMCOREINFO lacks what is needed to find or to understand them.
        """
        self._require_open()
        return self.page_model.array

    def page_of(self, address: int) -> PageInfo:
        """Decode the struct page of the page that holds an address.

        Args:
            address: A physical address (below 2**60), a kernel virtual address that `vtop` can
                translate, or an address inside the vmemmap: that of a struct page itself.

        Raises:
            TranslateError: A virtual address without translation.
            FactError: As for `pages`.
        """
        address = index(address)
        if 0 <= address < 1 << 60:
            return self.pages[address // self._page_size]
        base, size = int(self.vmemmap_base.value), int(self.kernel.struct_page_size.value)
        if address in self.layout.vmemmap and address >= base:
            return self.pages[(address - base) // size]
        return self.pages[self.vtop(address).phys // self._page_size]

    def usage(self, threads: int = 1) -> Usage:
        """Count all pages by kind, node and zone, and as makedumpfile would for each dump level.

        Args:
            threads: How many to use; see `PageArray.scan`.

        Raises:
            FactError: As for `pages`.
        """
        self._require_open()
        return self.page_model.usage(threads)

    @established
    def checked(self) -> CheckReport:
        """What `check` gives; established once."""
        from vmemmap.check.whole_dump import Parts, check_dump  # which no other command needs

        return check_dump(
            Parts(
                kernel=self.kernel,
                source=self.source,
                listed=lambda: self._listed,
                backing=lambda: self.backing,
                list_findings=lambda: self.findings,
                complete=lambda: self._walk.complete,
                base=lambda: int(self.vmemmap_base.value),
                map_base=self._sections_map_base,
                runs=self._runs_of,
                tables=lambda: self._vmemmap_tables,
                nodes=lambda: self.page_model.nodes,
                node_of=lambda pfn: self.page_model.node_of(pfn),
                region=lambda: self._region,
            )
        )

    def check(self) -> CheckReport:
        """Check whether the list holds together, and what of the memory it reaches.

        Raises:
            FactError: The dump does not say so much as where the list is.
        """
        self._require_open()
        return self.checked

    @established
    def page_model(self) -> PageModel:
        """What `pages` and `usage` stand on: sections, nodes and zones, the struct page's layout.

        Raises:
            FactError: Where the vmemmap is cannot be told.
        """
        from vmemmap.pages.model import PageModel

        return PageModel(
            self.kernel,
            self.source,
            self._vmemmap_runs,
            int(self.vmemmap_base.value),
            self.backing,
            self._progress,
        )
