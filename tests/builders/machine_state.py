"""A synthetic ppc64 machine, crashed: its physical memory, its VMCOREINFO and the known answers.

This is what a test holds: the answers, the ways to do damage, and the two ways out into a dump
file. Does not lay anything out; ``build_machine`` in ``machine.py`` does.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .byte_order import Order, prefix, u64
from .content import address_words
from .elf_core import Segment, build_elf
from .kdump import LOST, UTSNAME_FIELDS, PageContent, build_kdump
from .kernel_data import PAGE_OFFSET
from .kernel_era import VMALLOC_BASES, Layout, Mmu
from .node_list import NODE_BYTES, Block, Entry, FreedNode
from .notes import Notes, build_note, kernel_notes
from .page_tables import PageTables
from .physical import SparseMemory
from .vmcoreinfo import vmcoreinfo_text

AREA_NODE_BYTES = 64
_LINEAR_MASK = 0x0FFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine at the moment of the crash.

    Addresses given to its methods may be physical (below 2^60), in the linear map, or inside a
    vmemmap block.

    Attributes:
        byte_order: Memory byte order of the kernel.
        page_size: Base page size in bytes.
        block_shift: log2 of the vmemmap block size.
        mmu: ``"hash"`` or ``"radix"``.
        layout: Name of the kernel address layout.
        release: OSRELEASE.
        utsname: The six utsname fields by name.
        struct_page_size: SIZE(page) in bytes.
        vmemmap_base: First address of the vmemmap.
        ram_end: End of RAM in bytes (sections with struct pages), half-open.
        sections: Numbers of the 16 MiB sections that mem_section has as present.
        memory: Physical memory; may be changed.
        vmcoreinfo: KEY -> value, in order; may be changed. See ``sync_vmcoreinfo``.
        symbols: Kernel virtual addresses by symbol, also of symbols VMCOREINFO does not have.
        entries: The list, head first: the known answer. Empty under radix from 6.6 on.
        freed: Nodes on the free list, most recently freed last.
        blocks: Every backing block in use, ascending by virtual address.
        node_pages: Virtual addresses of the node pages, in the order they were taken.
        vmcoreinfo_data: Physical address of the page that starts with the text.
        vmcoreinfo_note: Physical address of the page that starts with the complete note.
        tables: Writer of the page tables under swapper_pg_dir.
    """

    byte_order: Order
    page_size: int
    block_shift: int
    mmu: Mmu
    layout: Layout
    release: str
    utsname: Mapping[str, str]
    struct_page_size: int
    vmemmap_base: int
    ram_end: int
    sections: tuple[int, ...]
    memory: SparseMemory
    vmcoreinfo: dict[str, str]
    symbols: Mapping[str, int]
    entries: tuple[Entry, ...]
    freed: tuple[FreedNode, ...]
    blocks: tuple[Block, ...]
    node_pages: tuple[int, ...]
    vmcoreinfo_data: int
    vmcoreinfo_note: int
    tables: PageTables

    @property
    def pages(self) -> dict[int, bytes | bytearray]:
        """PFN (in base pages) -> page bytes."""
        return self.memory.pages

    @property
    def block_size(self) -> int:
        """Bytes of a vmemmap block."""
        return 1 << self.block_shift

    # Known answers

    def phys_of(self, address: int) -> int:
        """Physical address of *address*, from the layout of the machine and not from memory."""
        if address < VMALLOC_BASES[self.layout]:
            return address & _LINEAR_MASK
        for block in self.blocks:
            if block.virt <= address < block.virt + self.block_size:
                return block.phys + address - block.virt
        raise ValueError(f"neither linear nor in a vmemmap block: {address:#x}")

    def page_virt(self, pfn: int) -> int:
        """Virtual address of the struct page of *pfn*."""
        return self.vmemmap_base + pfn * self.struct_page_size

    def content(self, virt: int, size: int) -> bytes:
        """What the *size* bytes at vmemmap address *virt* hold, by formula."""
        return address_words(virt, size, self.byte_order)

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes that are physically contiguous; ``KeyError`` if not in memory."""
        return self.memory.read(self.phys_of(address), size)

    # Changes

    def store(self, virt: int, size: int) -> None:
        """Give the pages under ``[virt, virt + size)`` of the vmemmap their content.

        Only the border pages of blocks over 64 KiB are there from the start.
        """
        first = virt & ~(self.page_size - 1)
        for page in range(first, virt + size, self.page_size):
            self.memory.write(self.phys_of(page), self.content(page, self.page_size))

    def poke(self, address: int, data: bytes) -> None:
        """Write *data* at *address*."""
        self.memory.write(self.phys_of(address), data)

    def poke_u64(self, address: int, value: int) -> None:
        """Write a 64-bit value in memory byte order at *address*."""
        self.poke(address, u64(value, self.byte_order))

    def poke_u32(self, address: int, value: int) -> None:
        """Write a 32-bit value in memory byte order at *address*."""
        self.poke(address, struct.pack(prefix(self.byte_order) + "I", value))

    def poke_node(
        self,
        index: int,
        *,
        link: int | None = None,
        phys: int | None = None,
        virt: int | None = None,
    ) -> None:
        """Change fields of list entry *index* (0 is the head); ``None`` leaves a field alone."""
        for offset, value in ((0, link), (8, phys), (16, virt)):
            if value is not None:
                self.poke_u64(self.entries[index].node + offset, value)

    def zero_node(self, index: int) -> None:
        """Clear the 24 bytes of list entry *index*."""
        self.poke(self.entries[index].node, bytes(NODE_BYTES))

    def drop(self, address: int, size: int = 1) -> None:
        """Leave the pages out of the dump as if no RAM were there."""
        self.memory.drop(self.phys_of(address), size)

    def exclude(self, address: int, size: int = 1) -> None:
        """Leave the pages out as filtered RAM (kdump: bitmap 1 only; ELF: memsz only)."""
        self.memory.exclude(self.phys_of(address), size)

    def lose(self, address: int, size: int = 1) -> None:
        """List the pages without data, as an incomplete kdump does; no effect on ELF."""
        self.memory.lose(self.phys_of(address), size)

    def map_page(self, virt: int, phys: int) -> None:
        """Map one base page in the kernel page table, for example in vmalloc space."""
        self.tables.map(virt, phys, self.page_size.bit_length() - 1)

    def list_areas(self, starts: Sequence[int]) -> None:
        """Write the kernel's list of vmalloc areas, where it exports one: vmlist up to 3.9, then
        vmap_area_list up to 6.8."""
        nodes = [self.symbols["area_nodes"] + AREA_NODE_BYTES * i for i in range(len(starts))]
        if "SYMBOL(vmlist)" in self.vmcoreinfo:
            self.poke_u64(self.symbols["vmlist"], nodes[0] if nodes else 0)
            for node, start, link in zip(nodes, starts, [*nodes, 0][1:], strict=True):
                self.poke_u64(node, link)
                self.poke_u64(node + 8, start)
        elif "SYMBOL(vmap_area_list)" in self.vmcoreinfo:
            head = self.symbols["vmap_area_list"]
            ring = [head, *(node + 40 for node in nodes)]
            for at, link in enumerate(ring):
                self.poke_u64(link, ring[(at + 1) % len(ring)])
                self.poke_u64(link + 8, ring[at - 1])
            for node, start in zip(nodes, starts, strict=True):
                self.poke_u64(node, start)

    def sync_vmcoreinfo(self) -> None:
        """Write the two in-memory copies of the text anew, after ``vmcoreinfo`` was changed.

        As in a kernel with a safe copy, CRASHTIME is in the note page only.
        """
        crashed = vmcoreinfo_text(self.vmcoreinfo)
        boot = vmcoreinfo_text({k: v for k, v in self.vmcoreinfo.items() if k != "CRASHTIME"})
        note = build_note(b"VMCOREINFO", crashed, 0, self.byte_order)
        for phys, data in ((self.vmcoreinfo_data, boot), (self.vmcoreinfo_note, note)):
            self.memory.write(phys, data.ljust(self.page_size, b"\0"))

    def clear_vmcoreinfo(self) -> None:
        """Clear the two in-memory copies of the text, so that none can be found."""
        for phys in (self.vmcoreinfo_data, self.vmcoreinfo_note):
            self.memory.write(phys, bytes(self.page_size))

    # Ways out

    def notes(
        self, order: Order | None = None, *, with_vmcoreinfo: bool = True, cpus: int = 1
    ) -> Notes:
        """Return the dump's notes in container byte order *order* (default: memory order)."""
        text = vmcoreinfo_text(self.vmcoreinfo) if with_vmcoreinfo else None
        order = order or self.byte_order
        return kernel_notes(order, vmcoreinfo=text, cpus=cpus, memory_order=self.byte_order)

    def segments(self) -> list[Segment]:
        """Return PT_LOADs, ascending: runs of stored pages, each with the excluded ones behind."""
        found: list[Segment] = []
        for run in self.memory.ram_runs():
            start, stored = run.start, run.start
            for pfn in run:
                excluded = pfn in self.memory.excluded
                if not excluded and stored != pfn:
                    found.append(self._segment(start, stored, pfn))
                    start = pfn
                stored = stored if excluded else pfn + 1
            found.append(self._segment(start, stored, run.stop))
        return found

    def _segment(self, start: int, stored: int, end: int) -> Segment:
        data = b"".join(self.pages[pfn] for pfn in range(start, stored))
        paddr = start * self.page_size
        return Segment(paddr, data, (end - start) * self.page_size, vaddr=PAGE_OFFSET + paddr)

    def elf(
        self,
        *,
        order: Order | None = None,
        with_vmcoreinfo: bool = True,
        cpus: int = 1,
        notes: Notes | bytes | None = None,
        segments: Sequence[Segment] | None = None,
        **options: Any,
    ) -> bytes:
        """Return an ELF vmcore.

        Args:
            order: Container byte order; default is the memory's.
            with_vmcoreinfo: Whether the notes have VMCOREINFO.
            cpus: Number of NT_PRSTATUS notes.
            notes: Replaces the notes altogether.
            segments: Replaces ``segments()``, to reorder or damage them.
            **options: As ``build_elf``.
        """
        order = order or self.byte_order
        if notes is None:
            notes = self.notes(order, with_vmcoreinfo=with_vmcoreinfo, cpus=cpus)
        options.setdefault("align", self.page_size)
        return build_elf(
            self.segments() if segments is None else segments, notes, order=order, **options
        )

    def kdump_pages(self, block_size: int | None = None) -> dict[int, PageContent]:
        """Return pages by PFN in units of *block_size* bytes, with the marks of the memory.

        Where a block is larger than a page, missing pages of it read as zeros, a lost page makes
        the block lost, and only a block without any stored page is excluded.
        """
        size = block_size or self.page_size
        marked: dict[int, PageContent] = dict(self.pages)
        marked |= dict.fromkeys(self.memory.excluded)
        marked |= dict.fromkeys(self.memory.lost, LOST)
        if size == self.page_size:
            return marked
        result: dict[int, PageContent] = {}
        if size < self.page_size:
            ratio = self.page_size // size
            for pfn, page in marked.items():
                for part in range(ratio):
                    if isinstance(page, bytes | bytearray):
                        result[pfn * ratio + part] = page[part * size : (part + 1) * size]
                    else:
                        result[pfn * ratio + part] = page
            return result
        ratio = size // self.page_size
        for block in {pfn // ratio for pfn in marked}:
            parts = [marked.get(block * ratio + part) for part in range(ratio)]
            if LOST in parts:
                result[block] = LOST
            elif all(part is None for part in parts):
                result[block] = None
            else:
                zero = bytes(self.page_size)
                result[block] = b"".join(
                    part if isinstance(part, bytes | bytearray) else zero for part in parts
                )
        return result

    def kdump(
        self,
        *,
        order: Order | None = None,
        block_size: int | None = None,
        with_vmcoreinfo: bool = True,
        cpus: int = 1,
        notes: Notes | None = None,
        pages: Mapping[int, PageContent] | None = None,
        **options: Any,
    ) -> bytes:
        """Return a kdump-compressed dump.

        Args:
            order: Container byte order; default is the memory's.
            block_size: Bytes a block; default is the page size.
            with_vmcoreinfo: Whether the notes have VMCOREINFO.
            cpus: Number of NT_PRSTATUS notes.
            notes: Replaces the notes altogether.
            pages: Replaces ``kdump_pages(block_size)``.
            **options: As ``plan_kdump``.
        """
        order = order or self.byte_order
        if notes is None:
            notes = self.notes(order, with_vmcoreinfo=with_vmcoreinfo, cpus=cpus)
        if pages is None:
            pages = self.kdump_pages(block_size)
        options.setdefault("utsname", {name: self.utsname[name] for name in UTSNAME_FIELDS})
        return build_kdump(
            pages, block_size=block_size or self.page_size, order=order, notes=notes, **options
        )
