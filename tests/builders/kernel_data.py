"""Writes the kernel's static data and the mem_section tables into physical memory.

Only what a dump reader follows from VMCOREINFO is filled in; kallsyms and the printk ring are
empty (no symbols, NULL pointer). Reference: ppc64-kernel.md 1.1, 2.2, 2.3, 4.6 and 5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .byte_order import Order, u32, u64, u64_dtype
from .kernel_era import (
    HARDWARE_SHIFTS,
    Mmu,
    Version,
    mmu_page_shifts,
    psize_def_bytes,
    section_flags,
    uts_name_offset,
)
from .physical import SparseMemory

PAGE_OFFSET = 0xC000000000000000
SECTION_SHIFT = 24
MEM_SECTION_BYTES = 32
DATA_BYTES = 0x10000
_UTS_FIELD_BYTES = 65
_RADIX_FEATURE = 0x40

# Byte offsets in the data area. init_uts_ns and mmu_psize_defs straddle a 4 KiB page on purpose.
DATA_OFFSETS: dict[str, int] = {
    "init_uts_ns": 0x0F80,
    "mmu_psize_defs": 0x1F00,
    "vmemmap_list": 0x2600,
    "next": 0x2620,
    "num_left": 0x2628,
    "num_freed": 0x262C,
    "mmu_vmemmap_psize": 0x2800,
    "node_online_map": 0x2A00,
    "node_data": 0x3000,
    "vmap_area_list": 0x3A00,
    "prb": 0x3B00,
    "printk_rb_static": 0x3B80,
    "clear_seq": 0x3C00,
    "log_buf": 0x3C40,
    "log_buf_len": 0x3C48,
    "kallsyms_num_syms": 0x4000,
    "kallsyms_relative_base": 0x4008,
    "kallsyms_names": 0x4100,
    "kallsyms_token_table": 0x4200,
    "kallsyms_token_index": 0x4400,
    "kallsyms_offsets": 0x4800,
    "cur_cpu_spec": 0x4A00,
    "cpu_spec": 0x4A40,
    "contig_node": 0x8000,
    "vmlist": 0xD000,
    "area_nodes": 0xD100,
}


@dataclass(frozen=True, slots=True)
class KernelData:
    """Values of the kernel's variables.

    Attributes:
        order: Memory byte order.
        version: Kernel version (major, minor).
        mmu: ``"hash"`` or ``"radix"``.
        utsname: sysname, nodename, release, version, machine, domainname.
        block_shift: log2 of the vmemmap block size.
        psize_index: mmu_vmemmap_psize; ``None`` looks *block_shift* up.
        list_head: vmemmap_list (virtual address of the newest node, or 0).
        next_free: The node allocator's static ``next``.
        num_left: Its ``num_left``.
        num_freed: Its ``num_freed``.
        ram_pages: Pages spanned by node 0, in base pages.
    """

    order: Order
    version: Version
    mmu: Mmu
    utsname: tuple[str, ...]
    block_shift: int
    psize_index: int | None
    list_head: int
    next_free: int
    num_left: int
    num_freed: int
    ram_pages: int


def psize_index(version: Version, block_shift: int) -> int:
    """MMU_PAGE_* index of a block size; ``ValueError`` where that kernel has no such size."""
    shifts = mmu_page_shifts(version)
    if block_shift not in shifts:
        raise ValueError(f"kernel {version} has no MMU page size 2^{block_shift}")
    return shifts.index(block_shift)


def write_kernel_data(memory: SparseMemory, base: int, data: KernelData) -> None:
    """Write the data area at physical address *base*, ``DATA_BYTES`` long."""
    memory.reserve(base, DATA_BYTES)

    def put(name: str, content: bytes, offset: int = 0) -> None:
        memory.write(base + DATA_OFFSETS[name] + offset, content)

    def address(name: str) -> bytes:
        return u64(PAGE_OFFSET + base + DATA_OFFSETS[name], data.order)

    uts = b"".join(text.encode().ljust(_UTS_FIELD_BYTES, b"\0") for text in data.utsname)
    put("init_uts_ns", uts, uts_name_offset(data.version))
    _put_page_sizes(memory, base + DATA_OFFSETS["mmu_psize_defs"], data)
    index = data.psize_index
    if index is None:
        index = psize_index(data.version, data.block_shift)
    put("mmu_vmemmap_psize", u32(index, data.order))
    put("vmemmap_list", u64(data.list_head, data.order))
    put("next", u64(data.next_free, data.order))
    put("num_left", u32(data.num_left, data.order))
    put("num_freed", u32(data.num_freed, data.order))
    put("node_online_map", u64(1, data.order))
    put("node_data", address("contig_node"))
    # An empty list head points to itself.
    put("vmap_area_list", address("vmap_area_list") * 2)
    put("kallsyms_relative_base", u64(PAGE_OFFSET, data.order))
    put("cur_cpu_spec", address("cpu_spec"))
    put("cpu_spec", u64(_RADIX_FEATURE if data.mmu == "radix" else 0, data.order), 32)
    # Node 0 with one zone; offsets as in the default VMCOREINFO.
    put("contig_node", u64(data.ram_pages, data.order), 120)
    put("contig_node", u32(1, data.order), 19744)
    put("contig_node", u64(data.ram_pages, data.order), 19768)


def _put_page_sizes(memory: SparseMemory, at: int, data: KernelData) -> None:
    size = psize_def_bytes(data.version)
    supported = {*HARDWARE_SHIFTS[data.mmu], data.block_shift}
    for index, shift in enumerate(mmu_page_shifts(data.version)):
        element = u32(shift if shift in supported else 0, data.order)
        if size >= 80:
            # penc[]: -1 for combinations that do not exist; keeps neighbours of shift non-zero.
            element += b"\xff" * 56
        memory.write(at + index * size, element.ljust(size, b"\0"))


def write_mem_sections(
    memory: SparseMemory,
    roots_at: int,
    *,
    order: Order,
    version: Version,
    length: int,
    sections: Iterable[int],
    vmemmap_base: int,
    take_page: Callable[[], int],
) -> None:
    """Write the root array at *roots_at* and one page of entries for each root in use.

    Args:
        memory: Physical memory.
        roots_at: Physical address of the root array.
        order: Memory byte order.
        version: Decides the flag bits.
        length: Number of root pointers.
        sections: Numbers of the sections present; the others have all-zero entries.
        vmemmap_base: With SPARSEMEM_VMEMMAP this is every section's encoded memory map.
        take_page: Returns the physical address of a zeroed page.
    """
    per_root = memory.page_size // MEM_SECTION_BYTES
    memory.reserve(roots_at, 8 * length)
    by_root: dict[int, list[int]] = {}
    for section in sections:
        root, slot = divmod(section, per_root)
        by_root.setdefault(root, []).append(slot)
    value = vmemmap_base | section_flags(version)
    for root, slots in by_root.items():
        page = take_page()
        table = np.zeros((per_root, MEM_SECTION_BYTES // 8), u64_dtype(order))
        table[slots, 0] = value
        memory.write(page, table.tobytes())
        memory.write(roots_at + 8 * root, u64(PAGE_OFFSET + page, order))
