"""The VMCOREINFO text of the model's kernel: the keys its release exports, in its order.

Only what the model really keeps in memory is named.

Source: Linux kernel/vmcore_info.c, arch/powerpc/kexec/core.c, release by release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from vmemmap.simulate import eras
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.printk import log_keys
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of, uts_name_offset
from vmemmap.simulate.memory.physical import virt_of
from vmemmap.simulate.mm import pgdat
from vmemmap.simulate.mm.page_layout import (
    COMPOUND,
    FIELDS,
    HUGETLB_PAGE_DTOR,
    PAGE_FLAGS,
    PAGE_TYPES,
)
from vmemmap.simulate.mm.sparsemem import SparseMem
from vmemmap.simulate.mm.vmalloc import VMAP_AREA_LIST

LINE_LIMIT = 79
"""The kernel's buffer for one line; what is longer is cut."""

Line = tuple[str, int | str]


def vmcoreinfo_text(machine: CrashedMachine, kallsyms: Sequence[tuple[str, int]] = ()) -> bytes:
    """Give the text, one KEY=value a line.

    Args:
        machine: Whose it is.
        kallsyms: The symbols of its own symbol table, with their addresses; none before 6.0.
    """
    lines = [f"{key}={value}"[:LINE_LIMIT] + "\n" for key, value in _lines(machine, kallsyms)]
    return "".join(lines).encode()


def _symbol(name: str, value: int) -> Line:
    return f"SYMBOL({name})", f"{value:x}"


def _lines(machine: CrashedMachine, kallsyms: Sequence[tuple[str, int]]) -> Iterator[Line]:
    kernel = machine.kernel
    yield "OSRELEASE", kernel.release
    if kernel.version >= (5, 14):
        yield "BUILD-ID", build_id(kernel)
    yield "PAGESIZE", kernel.page_size
    yield _symbol("init_uts_ns", image_of(kernel).virt["init_uts_ns"])
    if kernel.version >= (5, 11):
        yield "OFFSET(uts_namespace.name)", uts_name_offset(kernel)
    yield _symbol("node_online_map", image_of(kernel).virt["node_online_map"])
    yield _symbol("swapper_pg_dir", virt_of(image_of(kernel).swapper_pg_dir))
    yield _symbol("_stext", virt_of(kernel.load_address))
    yield from _vmalloc(kernel)
    yield from _sections(kernel, machine.sparsemem)
    yield from _struct_page(kernel, machine.nodes)
    yield from _zones(kernel, machine.nodes)
    yield from _page_flags(kernel)
    for name, address in kallsyms:
        yield _symbol(name, address)
    yield from _powerpc(kernel)
    yield "CRASHTIME", machine.spec.crash_time


def _vmalloc(kernel: Kernel) -> Iterator[Line]:
    if kernel.version >= (6, 9):
        yield "NUMBER(VMALLOC_START)", f"0x{kernel.regions.vmalloc.start:x}"
        yield _symbol("vmemmap", kernel.vmemmap_base)
    elif kernel.version >= (3, 10):
        yield _symbol("vmap_area_list", image_of(kernel).virt["vmap_area_list"])
    else:
        yield _symbol("vmlist", image_of(kernel).virt["vmlist"])


def _sections(kernel: Kernel, sparsemem: SparseMem) -> Iterator[Line]:
    yield _symbol("mem_section", virt_of(sparsemem.roots_phys))
    yield "LENGTH(mem_section)", sparsemem.length
    yield "SIZE(mem_section)", sparsemem.entry_bytes
    yield "OFFSET(mem_section.section_mem_map)", 0
    if kernel.version >= (5, 13):
        yield "NUMBER(SECTION_SIZE_BITS)", 24
    if kernel.version >= (5, 9):
        yield "NUMBER(MAX_PHYSMEM_BITS)", kernel.max_physmem_bits


def _struct_page(kernel: Kernel, nodes: pgdat.Pgdat) -> Iterator[Line]:
    version = kernel.version
    fields = kernel.at(FIELDS)
    compound = kernel.at(COMPOUND)
    yield "SIZE(page)", kernel.struct_page_size
    yield "SIZE(pglist_data)", nodes.size
    yield "SIZE(zone)", nodes.zone_bytes
    yield "SIZE(free_area)", nodes.free_area_bytes
    yield "SIZE(list_head)", pgdat.LIST_HEAD_BYTES
    yield "SIZE(nodemask_t)", 32
    yield "OFFSET(page.flags)", 0
    yield f"OFFSET(page.{'_refcount' if version >= (4, 7) else '_count'})", fields.refcount
    yield "OFFSET(page.mapping)", fields.mapping
    yield "OFFSET(page.lru)", fields.lru
    if version >= (3, 9):
        yield "OFFSET(page._mapcount)", fields.mapcount
        yield "OFFSET(page.private)", fields.private
    if (4, 6) <= version < (6, 3):
        yield "OFFSET(page.compound_dtor)", compound.dtor_at or 0
        yield "OFFSET(page.compound_order)", compound.order_at
    elif (6, 3) <= version < (6, 6):
        # The second page of a compound page is the second part of a struct folio.
        yield "OFFSET(folio._folio_dtor)", kernel.struct_page_size + (compound.dtor_at or 0)
        yield "OFFSET(folio._folio_order)", kernel.struct_page_size + compound.order_at
    if (4, 6) <= version < (7, 1):
        yield "OFFSET(page.compound_head)", compound.head_at or 0
    elif version >= (7, 1):
        yield "OFFSET(page.compound_info)", compound.head_at or 0


def _zones(kernel: Kernel, nodes: pgdat.Pgdat) -> Iterator[Line]:
    """Give the keys of the node structures, and of the log, whose keys stand between theirs."""
    yield "OFFSET(pglist_data.node_zones)", 0
    yield "OFFSET(pglist_data.nr_zones)", nodes.nr_zones
    yield "OFFSET(pglist_data.node_start_pfn)", nodes.node_start_pfn
    yield "OFFSET(pglist_data.node_spanned_pages)", nodes.node_spanned_pages
    yield "OFFSET(pglist_data.node_id)", nodes.node_id
    yield "OFFSET(zone.free_area)", pgdat.ZONE_FREE_AREA
    yield "OFFSET(zone.vm_stat)", nodes.vm_stat
    yield "OFFSET(zone.spanned_pages)", nodes.spanned_pages
    yield "OFFSET(free_area.free_list)", 0
    yield "OFFSET(list_head.next)", 0
    yield "OFFSET(list_head.prev)", 8
    if kernel.version < (3, 10):
        yield "OFFSET(vm_struct.addr)", 8
    elif kernel.version < (6, 9):
        yield "OFFSET(vmap_area.va_start)", 0
        yield "OFFSET(vmap_area.list)", kernel.at(VMAP_AREA_LIST)
    yield "LENGTH(zone.free_area)", kernel.free_area_orders
    yield from log_keys(kernel)
    yield "LENGTH(free_area.free_list)", nodes.migrate_types
    yield "NUMBER(NR_FREE_PAGES)", pgdat.NR_FREE_PAGES


def _page_flags(kernel: Kernel) -> Iterator[Line]:
    version = kernel.version
    flags, types = kernel.at(PAGE_FLAGS), kernel.at(PAGE_TYPES)
    yield "NUMBER(PG_lru)", flags.lru
    yield "NUMBER(PG_private)", flags.private
    yield "NUMBER(PG_swapcache)", flags.swapcache
    if version >= (4, 18):
        yield "NUMBER(PG_swapbacked)", flags.swapbacked
    if flags.slab is not None and version >= (3, 9):
        yield "NUMBER(PG_slab)", flags.slab
    elif types.slab is not None:
        yield "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", types.slab
    if version >= (3, 9):
        yield "NUMBER(PG_hwpoison)", flags.hwpoison
    if version >= (3, 16):
        yield "NUMBER(PG_head_mask)", 1 << flags.head
    if types.buddy is not None and version >= (3, 9):
        yield "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", types.buddy
    yield from _hugetlb(kernel)
    if types.offline is not None:
        yield "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)", types.offline


def _hugetlb(kernel: Kernel) -> Iterator[Line]:
    """Give by what a huge page is known; nothing did before 3.16, nor in 4.4 and 4.5."""
    version = kernel.version
    types = kernel.at(PAGE_TYPES)
    if (3, 16) <= version < (4, 6):
        yield _symbol("free_huge_page", image_of(kernel).free_huge_page)
    elif (4, 6) <= version < (6, 6):
        yield "NUMBER(HUGETLB_PAGE_DTOR)", HUGETLB_PAGE_DTOR
    elif (bit := kernel.at(COMPOUND).hugetlb_bit) is not None:
        yield "NUMBER(PG_hugetlb)", bit
    elif types.hugetlb is not None:
        yield "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)", types.hugetlb


def _powerpc(kernel: Kernel) -> Iterator[Line]:
    version = kernel.version
    if kernel.numbers >= (2, 6, 37):
        yield _symbol("node_data", image_of(kernel).virt["node_data"])
        yield "LENGTH(node_data)", 256
    if version >= (3, 13):
        for name in ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs"):
            yield _symbol(name, image_of(kernel).virt[name])
        yield "SIZE(vmemmap_backing)", 24
        for offset, name in enumerate(("list", "phys", "virt_addr")):
            yield f"OFFSET(vmemmap_backing.{name})", offset * 8
        yield "SIZE(mmu_psize_def)", kernel.at(eras.PSIZE_DEF_BYTES)
        yield "OFFSET(mmu_psize_def.shift)", 0
    if kernel.numbers >= (6, 6, 9):
        # Known in 6.6.9 and not in 6.4.6: a 6.6.0 does not say which MMU it runs on.
        yield _symbol("cur_cpu_spec", image_of(kernel).virt["cur_cpu_spec"])
        if version >= (6, 8):
            yield "OFFSET(cpu_spec.cpu_features)", 16
        yield "OFFSET(cpu_spec.mmu_features)", 32
        yield "NUMBER(RADIX_MMU)", int(kernel.mmu == "radix")
    if version >= (5, 5):  # Linux commit 74277f00b232; not in stable 5.4
        yield "KERNELOFFSET", "0"


def build_id(kernel: Kernel) -> str:
    """Give what stands for the 20 bytes that a linker puts into a build: the same for the same."""
    build = repr(replace(kernel, load_address=0))
    return hashlib.sha1(build.encode(), usedforsecurity=False).hexdigest()
