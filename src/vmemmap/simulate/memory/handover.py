"""From the boot allocator to the page allocator: what each gets of a machine's memory.

Source: Linux mm/memblock.c, memblock_free_all(); mm/hugetlb.c, alloc_bootmem_huge_page().
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from vmemmap.errors import SpecError
from vmemmap.simulate.kernel import SECTION_SHIFT, Kernel
from vmemmap.simulate.memory.memblock import Memblock
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.spec.machine_spec import MachineSpec


def boot_allocator(spec: MachineSpec) -> Memblock:
    """Give the boot allocator of a machine, with what nobody else may have kept away."""
    memblock = Memblock(spec.memory)
    for kept in (*spec.image, spec.reservation, *spec.firmware, *spec.cma):
        if kept is not None:
            memblock.reserve(kept.start, kept.end)
    return memblock


def set_gigantic_apart(kernel: Kernel, spec: MachineSpec, memblock: Memblock) -> list[int]:
    """Take memory for gigantic pages; give the first page frame of each.

    It is hugetlb's, and not reserved when the machine runs.
    """
    size, taken = kernel.gigantic_pages << kernel.page_shift, []
    for _ in range(spec.pages.gigantic // kernel.gigantic_pages):
        phys = memblock.alloc(size, size, 0)
        if phys is None:
            raise SpecError("pages.gigantic", "no memory is left that is large enough")
        memblock.reserved.remove(phys, phys + size)
        taken.append(phys >> kernel.page_shift)
    return taken


def free_what_is_left(
    pages: PageAllocator,
    memblock: Memblock,
    spec: MachineSpec,
    shift: int,
    has_struct_pages: Callable[[int], bool] | None,
) -> None:
    """Give the page allocator all memory, and free what the boot allocator has left of it.

    Args:
        pages: The page allocator.
        memblock: The boot allocator.
        spec: The machine.
        shift: Of a page.
        has_struct_pages: Tells of a section by its number; None where all have them.
    """
    for part in spec.memory:
        pages.adopt(part.node, part.start >> shift, part.end >> shift)
        for start, end in memblock.free_ranges(part.node).within(part.start, part.end):
            for low, high in _with_struct_pages(start, end, has_struct_pages):
                # A page that memblock gave out in part is not free.
                pages.free_range(-(-low >> shift), high >> shift)
    for area in spec.cma:  # cma_init_reserved_areas() gives them back
        memblock.reserved.remove(area.start, area.end)
        pages.free_cma(area.start >> shift, area.end >> shift)


def _with_struct_pages(
    start: int, end: int, has_struct_pages: Callable[[int], bool] | None
) -> list[tuple[int, int]]:
    """Leave out the sections that got no struct pages."""
    if has_struct_pages is None:
        return [(start, end)]
    first = (start >> SECTION_SHIFT) + 1 << SECTION_SHIFT
    edges = [start, *range(first, end, 1 << SECTION_SHIFT), end]
    return [(low, high) for low, high in pairwise(edges) if has_struct_pages(low >> SECTION_SHIFT)]
