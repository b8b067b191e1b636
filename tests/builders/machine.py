"""Lays out the physical memory of a synthetic machine: ``build_machine``.

Physical memory, ascending:

    0            kernel text stub (the first page; _stext)
    1 MiB        kernel data, swapper_pg_dir, VMCOREINFO pages, mem_section
                 node pages, with gaps between them and not in order
                 backing blocks, scattered over a few more slots than there are blocks
                 page tables
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .byte_order import Order
from .content import address_words
from .kdump import UTSNAME_FIELDS
from .kernel_data import (
    DATA_BYTES,
    DATA_OFFSETS,
    MEM_SECTION_BYTES,
    PAGE_OFFSET,
    SECTION_SHIFT,
    KernelData,
    psize_index,
    write_kernel_data,
    write_mem_sections,
)
from .kernel_era import (
    RELEASES,
    VMALLOC_BASES,
    VMEMMAP_BASES,
    Layout,
    Mmu,
    max_physmem_bits,
    psize_def_bytes,
    radix_keeps_list,
    table_bits,
    version_of,
)
from .machine_state import Machine
from .node_list import NODE_BYTES, Block, Entry, FreedNode, NodeList, NodeOrder, fill_list
from .page_tables import PageTables, entry_form
from .physical import SparseMemory
from .vmcoreinfo import VmcoreinfoInputs, default_facts

__all__ = ["Block", "Entry", "FreedNode", "Machine", "build_machine"]

_KERNEL_START = 0x100000
_TABLE_ROOM = 0x400000
_WHOLE_BLOCK_LIMIT = 0x10000


@dataclass(slots=True)
class _Cursor:
    """Hands out physical memory in ascending order."""

    memory: SparseMemory
    at: int

    def take(self, size: int, alignment: int) -> int:
        """Return *size* reserved bytes at a multiple of *alignment*."""
        start = -(-self.at // alignment) * alignment
        self.at = start + size
        self.memory.reserve(start, size)
        return start

    def skip_to(self, phys: int) -> None:
        self.at = max(self.at, phys)


def build_machine(
    *,
    byte_order: Order = "little",
    page_size: int = 65536,
    block_shift: int = 16,
    mmu: Mmu = "hash",
    layout: Layout | None = None,
    blocks: int | Sequence[int] | None = None,
    node_order: NodeOrder = "boot",
    struct_page_size: int = 64,
    release: str | None = None,
    hot_removed: int = 0,
    unused_slots: Literal["zero", "garbage"] = "garbage",
    store: Literal["auto", "all", "none"] = "auto",
    seed: int = 1,
) -> Machine:
    """Build a machine.

    Args:
        byte_order: Byte order of the kernel's memory.
        page_size: 4096 or 65536.
        block_shift: log2 of the vmemmap block size: 12, 16, 21 or 24.
        mmu: ``"hash"`` leaves swapper_pg_dir empty; ``"radix"`` maps the linear range and the
            blocks there. From 6.6 on a radix machine has no list.
        layout: Kernel address layout; default is that of a 6.1 kernel.
        blocks: How many blocks, from the base of the vmemmap on, or their numbers. The default is
            as many as cover all RAM in use, 8 at least. Fewer leave RAM without struct pages.
        node_order: ``"boot"``: nodes ascending, newest first on the list. ``"shuffled"``: as after
            hot remove and add of half of the blocks.
        struct_page_size: SIZE(page), 64 or 56.
        release: OSRELEASE; default is a kernel that had *layout*.
        hot_removed: Blocks removed for good at the end; their nodes stay on the free list.
        unused_slots: What never-used nodes hold.
        store: ``"auto"`` stores whole blocks up to 64 KiB and the first and last page of larger
            ones, ``"all"`` everything, ``"none"`` nothing (see ``Machine.store``).
        seed: Of all choices: where blocks and node pages lie, what is removed.
    """
    block_size = 1 << block_shift
    if block_size < page_size:
        raise ValueError(f"a {block_size}-byte block is smaller than a page")
    if layout is None:
        layout = "c0003f" if mmu == "hash" and page_size == 4096 else "c00c"
    if release is None:
        release = RELEASES[layout] + ("-powerpc64le" if byte_order == "little" else "-powerpc64")
    version = version_of(release)
    vmemmap_base = VMEMMAP_BASES[layout]
    rng = random.Random(seed)
    memory = SparseMemory(page_size)
    memory.write(0, address_words(PAGE_OFFSET, page_size, byte_order))
    cursor = _Cursor(memory, _KERNEL_START)

    data_at = cursor.take(DATA_BYTES, 0x10000)
    if mmu == "radix" and version < (4, 7):
        raise ValueError("there was no radix before 4.7")
    bits = table_bits(version, page_size, mmu)
    root_bytes = max(8 << bits[3], page_size)
    root = cursor.take(root_bytes, root_bytes)
    vmcoreinfo_data, vmcoreinfo_note = (cursor.take(page_size, page_size) for _ in range(2))
    physmem_bits = max_physmem_bits(version, page_size)
    per_root = page_size // MEM_SECTION_BYTES
    section_roots = -(-(1 << physmem_bits - SECTION_SHIFT) // per_root)
    roots_at = cursor.take(8 * section_roots, page_size)

    numbers = _block_numbers(blocks, cursor.at, page_size, block_size, struct_page_size)
    sections = _sections(numbers, page_size, block_size, struct_page_size)
    write_mem_sections(
        memory,
        roots_at,
        order=byte_order,
        version=version,
        length=section_roots,
        sections=sections,
        vmemmap_base=vmemmap_base,
        take_page=lambda: cursor.take(page_size, page_size),
    )

    use_list = mmu == "hash" or radix_keeps_list(version)
    nodes, node_pages = _node_allocator(cursor, len(numbers), page_size, unused_slots, rng)
    found = _place_blocks(cursor, numbers, vmemmap_base, block_size, rng)
    if use_list:
        fill_list(nodes, found, node_order=node_order, hot_removed=hot_removed, rng=rng)
        found = [block for block in found if block.virt in nodes.listed]
    ram_end = (max(sections) + 1) << SECTION_SHIFT

    radix = mmu == "radix"
    tables = PageTables(
        memory,
        root,
        page_size.bit_length() - 1,
        bits,
        cursor.take,
        pointer_present=radix or version >= (4, 20),
        pointer_size=radix,
        form=entry_form(version, page_size.bit_length() - 1, mmu, byte_order),
        slots=mmu == "hash" and page_size == 0x10000,
    )
    if radix:
        mapped = max(ram_end, -(-(cursor.at + _TABLE_ROOM) // 0x1000000) * 0x1000000)
        tables.map_range(PAGE_OFFSET, 0, mapped, 30)
        for block in found:
            tables.map_range(block.virt, block.phys, block_size, block_shift)

    uts = ("Linux", "ppc", release, "#1 SMP synthetic", "", "(none)")
    utsname = dict(zip(UTSNAME_FIELDS, uts, strict=True))
    utsname["machine"] = "ppc64le" if byte_order == "little" else "ppc64"
    entries = nodes.head_first()
    kernel = KernelData(
        order=byte_order,
        version=version,
        mmu=mmu,
        utsname=tuple(utsname.values()),
        block_shift=block_shift,
        psize_index=None if use_list else 0,
        list_head=entries[0].node if entries else 0,
        next_free=nodes.next_free,
        num_left=nodes.num_left,
        num_freed=len(nodes.freed),
        ram_pages=ram_end // page_size,
    )
    if use_list:
        psize_index(version, block_shift)
    write_kernel_data(memory, data_at, kernel)

    symbols = {name: PAGE_OFFSET + data_at + at for name, at in DATA_OFFSETS.items()}
    symbols |= {"_stext": PAGE_OFFSET, "swapper_pg_dir": PAGE_OFFSET + root}
    symbols |= {"mem_section": PAGE_OFFSET + roots_at, "vmemmap": vmemmap_base}
    facts = default_facts(
        VmcoreinfoInputs(
            release=release,
            page_size=page_size,
            mmu=mmu,
            symbols=symbols,
            struct_page_size=struct_page_size,
            mem_section_length=section_roots,
            mem_section_size=MEM_SECTION_BYTES,
            max_physmem_bits=physmem_bits,
            psize_def_bytes=psize_def_bytes(version),
            vmalloc_start=VMALLOC_BASES[layout],
        )
    )
    machine = Machine(
        byte_order=byte_order,
        page_size=page_size,
        block_shift=block_shift,
        mmu=mmu,
        layout=layout,
        release=release,
        utsname=utsname,
        struct_page_size=struct_page_size,
        vmemmap_base=vmemmap_base,
        ram_end=ram_end,
        sections=sections,
        memory=memory,
        vmcoreinfo=facts,
        symbols=symbols,
        entries=entries,
        freed=tuple(nodes.freed),
        blocks=tuple(sorted(found)),
        node_pages=tuple(node_pages),
        vmcoreinfo_data=vmcoreinfo_data,
        vmcoreinfo_note=vmcoreinfo_note,
        tables=tables,
    )
    _write_nodes(machine)
    _store_blocks(machine, store)
    machine.sync_vmcoreinfo()
    return machine


def _block_numbers(
    blocks: int | Sequence[int] | None,
    used: int,
    page_size: int,
    block_size: int,
    struct_page_size: int,
) -> list[int]:
    """Resolve the *blocks* argument; *used* is the end of the kernel's static memory in bytes."""
    if isinstance(blocks, int):
        return list(range(blocks))
    if blocks is not None:
        return list(blocks)
    count = 8
    while True:
        covered = count * block_size // struct_page_size * page_size
        # mem_section and node pages, the blocks with their gaps, the page tables.
        low = covered // (1 << SECTION_SHIFT) * MEM_SECTION_BYTES + count * NODE_BYTES * 3
        needed = used + low + 8 * page_size + (_slots(count) + 1) * block_size + _TABLE_ROOM
        if covered >= needed:
            return list(range(count))
        count *= 2


def _slots(count: int) -> int:
    return count + count // 4 + 1


def _sections(
    numbers: Sequence[int], page_size: int, block_size: int, struct_page_size: int
) -> tuple[int, ...]:
    """Sections whose struct pages all lie in the given blocks; section 0 if there is none."""
    have = set(numbers)
    memmap = (1 << SECTION_SHIFT) // page_size * struct_page_size
    touched = {
        section
        for number in have
        for section in range(
            number * block_size // memmap, ((number + 1) * block_size - 1) // memmap + 1
        )
    }
    covered = tuple(
        section
        for section in sorted(touched)
        if all(
            number in have
            for number in range(
                section * memmap // block_size, ((section + 1) * memmap - 1) // block_size + 1
            )
        )
    )
    return covered or (0,)


def _node_allocator(
    cursor: _Cursor,
    count: int,
    page_size: int,
    unused: Literal["zero", "garbage"],
    rng: random.Random,
) -> tuple[NodeList, list[int]]:
    """Return an empty list whose node pages lie apart, and the list of pages it has taken."""
    places = []
    for _ in range(-(-count // (page_size // NODE_BYTES))):
        cursor.skip_to(cursor.at + page_size)
        places.append(-(-cursor.at // page_size) * page_size)
        cursor.skip_to(places[-1] + page_size)
    rng.shuffle(places)
    taken: list[int] = []

    def take_page() -> int:
        phys = places.pop()
        cursor.memory.write(phys, (b"\xa5" if unused == "garbage" else b"\0") * page_size)
        taken.append(PAGE_OFFSET + phys)
        return taken[-1]

    return NodeList(page_size, take_page), taken


def _place_blocks(
    cursor: _Cursor,
    numbers: Sequence[int],
    vmemmap_base: int,
    block_size: int,
    rng: random.Random,
) -> list[Block]:
    start = -(-cursor.at // block_size) * block_size
    slots = rng.sample(range(_slots(len(numbers))), len(numbers))
    cursor.skip_to(start + _slots(len(numbers)) * block_size)
    return [
        Block(vmemmap_base + number * block_size, start + slot * block_size)
        for number, slot in zip(numbers, slots, strict=True)
    ]


def _write_nodes(machine: Machine) -> None:
    link = 0
    for entry in reversed(machine.entries):
        for offset, value in enumerate((link, entry.phys, entry.virt)):
            machine.poke_u64(entry.node + 8 * offset, value)
        link = entry.node
    for freed in machine.freed:
        for offset, value in enumerate((freed.link, freed.phys, freed.virt)):
            machine.poke_u64(freed.node + 8 * offset, value)


def _store_blocks(machine: Machine, store: Literal["auto", "all", "none"]) -> None:
    if store == "none":
        return
    size, page = machine.block_size, machine.page_size
    for block in machine.blocks:
        whole = store == "all" or size <= _WHOLE_BLOCK_LIMIT
        for start, length in ((0, size),) if whole else ((0, page), (size - page, page)):
            machine.memory.write(block.phys + start, machine.content(block.virt + start, length))
