"""vmalloc areas: pages from all over memory, made contiguous by the kernel's page tables.

Also the records by which crash tools find where vmalloc space begins: vmap_area_list since 3.10,
vmlist before.

Source: Linux mm/vmalloc.c.
"""

from __future__ import annotations

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.mm.page_tables import PageTables
from vmemmap.simulate.mm.usage import PageUsage, Use

AREA_PAGES = 4
VMAP_AREA_BYTES = 64
VMAP_AREA_LIST: eras.Table[int] = (
    (eras.OLDEST, 48),
    ((5, 4), 40, eras.Bracket("4.9.154", "6.1.176", "flags stood before it, and went")),
)
"""Offset of the list member; va_start and va_end are the first two words."""
AREAS_AT = 1024
"""Where in the page of kernel objects the records begin."""


def map_vmalloc(
    kernel: Kernel, memory: PhysicalMemory, tables: PageTables, usage: PageUsage, objects: int
) -> None:
    """Map the machine's vmalloc pages in areas of four, a guard page after each, and record them.

    Args:
        kernel: Says where vmalloc space begins.
        memory: Takes the records and a mark at the start of each page.
        tables: The kernel's page tables.
        usage: Has the pages.
        objects: Physical address of a page for the records.
    """
    frames = [run.start for run in usage.of(Use.VMALLOC)]
    page, room = kernel.page_size, (kernel.page_size - AREAS_AT) // VMAP_AREA_BYTES - 1
    areas = []
    virt = kernel.regions.vmalloc.start
    for first in range(0, len(frames), AREA_PAGES):
        start = virt
        for pfn in frames[first : first + AREA_PAGES]:
            tables.map(virt, pfn << kernel.page_shift, page)
            memory.store_u64(pfn << kernel.page_shift, virt)
            virt += page
        areas.append((start, virt))
        virt += page
    if kernel.version < (3, 10):
        _record_vm_structs(memory, areas[:room], objects + AREAS_AT)
    else:
        _record_vmap_areas(memory, areas[:room], objects + AREAS_AT, kernel.at(VMAP_AREA_LIST))


def _record_vmap_areas(
    memory: PhysicalMemory, areas: list[tuple[int, int]], at: int, link: int
) -> None:
    """Link struct vmap_area records into vmap_area_list, a ring, by their member at *link*."""
    head = image_of(memory).virt["vmap_area_list"]
    ring = [head, *(virt_of(at + i * VMAP_AREA_BYTES) + link for i in range(len(areas)))]
    for i, (start, end) in enumerate(areas):
        memory.store_u64(at + i * VMAP_AREA_BYTES, start)
        memory.store_u64(at + i * VMAP_AREA_BYTES + 8, end)
    for i, member in enumerate(ring):
        phys = member & ((1 << 60) - 1)
        memory.store_u64(phys, ring[(i + 1) % len(ring)])
        memory.store_u64(phys + 8, ring[i - 1])


def _record_vm_structs(memory: PhysicalMemory, areas: list[tuple[int, int]], at: int) -> None:
    """Chain struct vm_struct {next, addr, size} records from vmlist, lowest first."""
    following = 0
    for i, (start, end) in reversed(list(enumerate(areas))):
        record = at + i * VMAP_AREA_BYTES
        memory.store_u64(record, following)
        memory.store_u64(record + 8, start)
        memory.store_u64(record + 16, end - start)
        following = virt_of(record)
    memory.store_u64(image_of(memory).phys["vmlist"], following)
