"""sparse_init(): the struct pages of all the memory that is there at boot.

Two ways to the same bytes. `sparse_init` goes section by section through vmemmap_populate(), one
store at a time, as the kernel does. `sparse_init_in_bulk` does what comes of it, with arrays: at
boot one thread fills an empty list in ascending order, so it is known beforehand which node goes
where. A machine with a million blocks boots in seconds that way.

Source: Linux mm/sparse.c, sparse_init().
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from vmemmap.address import numpy_prefix
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import SECTION_BYTES, SECTION_SHIFT
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import phys_of
from vmemmap.simulate.mm.backing_list import NODE_BYTES
from vmemmap.simulate.mm.outcome import Printed
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.spec.parts import MemoryRange
from vmemmap.simulate.steps import Steps, Task

BOOT_CALLS = ("start_kernel", "setup_arch", "sparse_init")
SECTION_FAILED = (
    "sparse_early_mem_map_alloc: sparsemem memory map backing failed "
    "some memory will not be available"
)
RUN_FAILED = (
    "sparse_init_nid: node[{node}] memory map backing failed. Some memory will not be available."
)
"""For each section until 4.18; for the run of sections that was given up, since."""


def sparse_init(vmemmap: Vmemmap, task: Task, memory: Sequence[MemoryRange]) -> Steps[int]:
    """Populate every present section in ascending order, each by itself.

    Returns:
        How many sections got no struct pages. Since 4.19 one such section also costs the sections
        after it, up to where another node's memory begins: sparse_init_nid() does a node's
        sections in such runs, and gives up the rest of the run.
    """
    stops = vmemmap.kernel.at(eras.BOOT_STOPS_AT_FAILURE)
    lost = 0
    sparsemem = vmemmap.sparsemem
    flags = sparsemem.early_flags()
    for node, parts in _runs(memory):
        vmemmap.supply.sparse_buffer_init(_sections(parts), node)
        given_up = False
        for start in (at for part in parts for at in range(part.start, part.end, SECTION_BYTES)):
            section = start >> SECTION_SHIFT
            error = -1
            if not given_up:
                first, last = _memmap(vmemmap, start, start + SECTION_BYTES)
                error = yield from vmemmap.vmemmap_populate(task, first, last, node)
            if error:
                lost += 1
                yield from sparsemem.clear_section(section)
                if not stops:
                    vmemmap.say(Printed(3, SECTION_FAILED))
                elif not given_up:
                    vmemmap.say(Printed(3, RUN_FAILED.format(node=node)))
                    vmemmap.supply.sparse_buffer_fini()
                    given_up = True
            else:
                yield from sparsemem.sparse_init_one_section(section, flags)
        vmemmap.supply.sparse_buffer_fini()
    return lost


def can_init_in_bulk(vmemmap: Vmemmap, memory: Sequence[MemoryRange]) -> bool:
    """Tell whether nothing can fail on the way: no planned fault, and room enough on every node."""
    supply = vmemmap.supply
    if supply.faults.any_planned:
        return False
    kernel, size = vmemmap.kernel, vmemmap.block_size
    for node in {part.node for part in memory}:
        blocks = sum(
            part.size // SECTION_BYTES * kernel.section_memmap_bytes // size + 2
            for part in memory
            if part.node == node
        )
        pages = blocks * NODE_BYTES // (kernel.page_size - NODE_BYTES) + 2
        free = supply.memblock.free_ranges(node)
        waste = (len(free) + 1) * size
        if kernel.at(eras.SPARSE_BUFFER):
            sections = _sections([part for part in memory if part.node == node])
            buffer = sections * kernel.section_buffer_bytes
            waste += buffer if buffer < free.total else 0
        if blocks * size + pages * kernel.page_size + waste > free.total:
            return False
    return True


def sparse_init_in_bulk(vmemmap: Vmemmap, memory: Sequence[MemoryRange]) -> None:
    """Do what `sparse_init` does, where `can_init_in_bulk` says that nothing fails."""
    done_to = 0
    for node, parts in _runs(memory):
        vmemmap.supply.sparse_buffer_init(_sections(parts), node)
        for part in parts:
            done_to = _populate_part(vmemmap, part, done_to)
            sections = np.arange(part.start >> SECTION_SHIFT, part.end >> SECTION_SHIFT)
            vmemmap.sparsemem.sparse_init_sections(sections, vmemmap.sparsemem.early_flags())
        vmemmap.supply.sparse_buffer_fini()


def _runs(memory: Sequence[MemoryRange]) -> list[tuple[int, list[MemoryRange]]]:
    """Give the memory as sparse_init_nid() does it: all of a node up to where another's begins."""
    ascending = sorted(memory, key=lambda part: part.start)
    return [(node, list(parts)) for node, parts in groupby(ascending, lambda part: part.node)]


def _sections(parts: Sequence[MemoryRange]) -> int:
    return sum(part.size for part in parts) >> SECTION_SHIFT


def _populate_part(vmemmap: Vmemmap, part: MemoryRange, done_to: int) -> int:
    """Back the struct pages of a range; those before *done_to* have their memory.

    Returns:
        The vmemmap address up to which all have it.
    """
    size = vmemmap.block_size
    first, last = _memmap(vmemmap, part.start, part.end)
    if not vmemmap.kernel.keeps_list:
        task = Task("boot", alone=True)
        for _access in vmemmap.vmemmap_populate(task, first, last, part.node):
            pass
        return 0
    start, end = max(done_to, first // size * size), -(-last // size) * size
    if start < end:
        _populate_blocks(vmemmap, start, (end - start) // size, part.node)
    return end


def _populate_blocks(vmemmap: Vmemmap, start: int, count: int, node: int) -> None:
    """Back *count* blocks from *start* on, and list them, a page of nodes at a time."""
    memory = vmemmap.sparsemem.memory.physical
    image = image_of(memory)
    memblock, size = vmemmap.supply.memblock, vmemmap.block_size
    word = numpy_prefix(vmemmap.kernel.byte_order) + "u8"
    virt = start
    while count:
        left = memory.load_u32(image.phys["num_left"])
        # On radix a block's mapping may take a page for a table before the next block is taken.
        most = 1 if vmemmap.kernel.mmu == "radix" else left or 1
        wanted = min(count, most)
        at, found = vmemmap.supply.sparse_buffer_alloc(size, wanted)
        if found:
            phys = np.uint64(at) + np.arange(found, dtype=np.uint64) * np.uint64(size)
        else:
            phys = memblock.alloc_many(wanted, size, node)
        if not len(phys):
            single = memblock.alloc(size, size, node)
            assert single is not None, "there was room for every block"
            phys = np.array([single], np.uint64)
        if not left:
            page = vmemmap.supply.alloc_node_page(node)
            assert page is not None, "there was room for every page of nodes"
            memory.store_u64(image.phys["next"], page)
            left = vmemmap.kernel.page_size // NODE_BYTES
        entry = memory.load_u64(image.phys["next"])
        fresh = len(phys)
        nodes = np.empty((fresh, 3), word)
        nodes[0, 0] = memory.load_u64(image.phys["vmemmap_list"])
        slots = np.uint64(entry) + np.arange(fresh, dtype=np.uint64) * np.uint64(NODE_BYTES)
        nodes[1:, 0] = slots[:-1]
        nodes[:, 1] = phys
        blocks = np.uint64(virt) + np.arange(fresh, dtype=np.uint64) * np.uint64(size)
        nodes[:, 2] = blocks
        memory.write(phys_of(entry), nodes.tobytes())
        memory.store_u64(image.phys["vmemmap_list"], int(slots[-1]))
        memory.store_u64(image.phys["next"], entry + fresh * NODE_BYTES)
        memory.store_u32(image.phys["num_left"], left - fresh)
        _map_blocks(vmemmap, blocks, phys)
        virt += fresh * size
        count -= fresh


def _map_blocks(
    vmemmap: Vmemmap, virt: npt.NDArray[np.uint64], phys: npt.NDArray[np.uint64]
) -> None:
    unit, size = vmemmap.map.unit, vmemmap.block_size
    offsets = np.arange(0, size, unit, dtype=np.uint64)
    units = (virt[:, None] + offsets).ravel()
    vmemmap.map.map_many(units, (phys[:, None] + offsets).ravel())
    if vmemmap.kernel.mmu == "radix":
        for block, at in zip(virt.tolist(), phys.tolist(), strict=True):
            vmemmap.tables.map(block, at, size)


def _memmap(vmemmap: Vmemmap, start: int, end: int) -> tuple[int, int]:
    """Give where the struct pages of ``[start, end)`` (bytes of memory) lie in the vmemmap."""
    shift = vmemmap.kernel.page_shift
    return vmemmap.pfn_to_page(start >> shift), vmemmap.pfn_to_page(end >> shift)


def linear_map_edges(memory: Sequence[MemoryRange], cuts: Sequence[int]) -> list[tuple[int, int]]:
    """Cut the memory of boot where hotplug will later begin or end, so that no leaf is split."""
    pieces = []
    for part in memory:
        edges = [part.start, *sorted(c for c in set(cuts) if part.start < c < part.end), part.end]
        pieces += list(pairwise(edges))
    return pieces
