"""vmemmap_populate() and vmemmap_free(): struct pages for a range, block by block.

The hash MMU's version, which Book3S radix shared until 6.5. The range is walked in steps of the
block size from a start aligned down to it. A block of which some (sub)section is valid already has
its memory and is passed over. What happens when something fails differs by era; see ``eras.py``.

Source: Linux arch/powerpc/mm/init_64.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.supply import Altmap, Supply
from vmemmap.simulate.mm.backing_list import ChunkList
from vmemmap.simulate.mm.outcome import Errno, Printed
from vmemmap.simulate.mm.page_tables import PageTables
from vmemmap.simulate.mm.sparsemem import SUBSECTIONS_PER_SECTION, SparseMem
from vmemmap.simulate.mm.vmemmap_map import VmemmapMap
from vmemmap.simulate.steps import Deed, KernelBug, Steps, Task, kernel_function

MAPPING_FAILED = "vmemmap_populate: Unable to create vmemmap mapping: -2"
"""As machines without room in the hash table have printed it."""


@dataclass(slots=True)
class Losses:
    """What went wrong while struct pages were made, and has not been made good since.

    Blocks by virtual address.

    Attributes:
        no_node: Mapped, but not in the list: the crash side will not find it.
        no_mapping: In the list, but not mapped.
    """

    no_node: set[int] = field(default_factory=set)
    no_mapping: set[int] = field(default_factory=set)

    def note_no_mapping(self, block: int) -> None:
        """Note a block that could not be mapped; without a node as well it is nowhere at all."""
        if block in self.no_node:
            self.no_node.remove(block)
        else:
            self.no_mapping.add(block)


@dataclass(slots=True, eq=False)
class Vmemmap:
    """The struct pages of one machine and how they are backed.

    Attributes:
        kernel: The kernel that makes them.
        block_size: Bytes of a block.
        sparsemem: Says which sections have struct pages.
        supply: Gives memory for blocks.
        backing: The list.
        tables: The kernel's page tables, in which the radix MMU maps the blocks.
        call: Is told the name of each kernel function that a task goes through.
        say: Is told what the kernel prints.
        map: Where each block is mapped.
        losses: What went wrong.
    """

    kernel: Kernel
    block_size: int
    sparsemem: SparseMem
    supply: Supply
    backing: ChunkList
    tables: PageTables
    call: Callable[[Task, str], None]
    say: Callable[[Printed], None]
    map: VmemmapMap = field(init=False)
    losses: Losses = field(init=False, default_factory=Losses)

    def __post_init__(self) -> None:
        unit = min(self.block_size, self.kernel.page_size)
        self.map = VmemmapMap(self.kernel.vmemmap_base, unit)

    def pfn_to_page(self, pfn: int) -> int:
        """Give the virtual address of a page frame's struct page."""
        return self.kernel.vmemmap_base + pfn * self.kernel.struct_page_size

    def page_to_pfn(self, page: int) -> int:
        """Give the page frame whose struct page holds the byte at *page*."""
        return (page - self.kernel.vmemmap_base) // self.kernel.struct_page_size

    def vmemmap_populated(self, start: int, size: int) -> Steps[bool]:
        """Tell whether a valid (sub)section has struct pages in ``[start, start + size)``."""
        pages = self.kernel.pages_per_section
        scan = self.kernel.at(eras.SCAN_START)
        if scan == "subsection":
            pages //= SUBSECTIONS_PER_SECTION
        at, end = start, start + size
        if scan != "raw":
            at = self.pfn_to_page(self.page_to_pfn(start) // pages * pages)
        while at < end:
            # The raw scan looks at the beginning of the section that each address falls into.
            if (yield from self.sparsemem.pfn_valid(self.page_to_pfn(at) // pages * pages)):
                return True
            at += pages * self.kernel.struct_page_size
        return False

    @kernel_function
    def vmemmap_populate(
        self, task: Task, start: int, end: int, node: int, altmap: Altmap | None = None
    ) -> Steps[int]:
        """Back the struct pages in ``[start, end)`` of the vmemmap with memory.

        Returns:
            0, or a negative errno: -ENOMEM without a block (or, since 5.10, without a node),
            -EFAULT without a mapping.

        Raises:
            KernelBug: The mapping failed, and the kernel is older than 4.7.
        """
        self.call(task, "vmemmap_populate")
        size = self.block_size
        for block in range(start // size * size, end, size):
            if (yield from self.vmemmap_populated(block, size)):
                continue
            phys, from_altmap = self._alloc(block, node, altmap)
            if phys is None:
                return -Errno.ENOMEM
            if not (yield from self.backing.vmemmap_list_populate(task, phys, block, node)):
                if self.kernel.at(eras.NODE_FAILURE_IS_ENOMEM):
                    if from_altmap and altmap is not None:
                        altmap.free(size)
                    else:
                        self.supply.free_block(phys, size)
                    return -Errno.ENOMEM
                self.losses.no_node.add(block)
            else:
                self.losses.no_node.discard(block)
            if not self.vmemmap_create_mapping(block, phys):
                self.losses.note_no_mapping(block)
                if not self.kernel.at(eras.MAPPING_FAILURE_IS_EFAULT):
                    raise KernelBug("BUG in vmemmap_create_mapping")
                self.say(Printed(4, MAPPING_FAILED))
                return -Errno.EFAULT
            self.losses.no_mapping.discard(block)
        return 0

    @kernel_function
    def vmemmap_free(
        self, task: Task, start: int, end: int, altmap: Altmap | None = None
    ) -> Steps[None]:
        """Take back the blocks in ``[start, end)`` that no valid (sub)section needs any more."""
        self.call(task, "vmemmap_free")
        if self.kernel.at(eras.VMEMMAP_FREE) != "real":
            return
        size = self.block_size
        for block in range(start // size * size, end, size):
            if (yield from self.vmemmap_populated(block, size)):
                continue
            phys = yield from self.backing.vmemmap_list_free(task, block)
            if not phys:
                continue
            owner = self._altmap_of(block, altmap)
            if owner is None or not self._is_altmaps(phys, owner):
                self.supply.free_block(phys, size)
            self.vmemmap_remove_mapping(block, phys)

    def vmemmap_can_optimize(self, altmap: Altmap | None, compound: int) -> bool:
        """Tell whether struct pages of a compound page's tails may share their memory.

        Args:
            altmap: What the range keeps for its struct pages.
            compound: Base pages of each of its compound pages; 0 for none.
        """
        return False

    def vmemmap_populate_compound_pages(
        self, task: Task, start: int, end: int, node: int, compound: int
    ) -> Steps[int]:
        """Back struct pages of which tails share; only where `vmemmap_can_optimize` says so."""
        raise NotImplementedError

    def vmemmap_create_mapping(self, start: int, phys: int) -> bool:
        """Map a block: bolted hash entries, or the radix page table; False when it fails."""
        if self.supply.faults.strikes("mapping"):
            return False
        self.map.map(start, phys, self.block_size)
        if self.kernel.mmu == "radix":
            self.tables.map(start, phys, self.block_size)
        else:
            self.map.tell(Deed("bolt", "in the hash page table", self.block_size, phys, start))
        return True

    def vmemmap_remove_mapping(self, start: int, phys: int) -> None:
        """Take a block's mapping away."""
        self.map.unmap(start, self.block_size)
        self.losses.no_mapping.discard(start)
        if self.kernel.mmu == "radix":
            self.tables.unmap(start, phys, self.block_size)

    def _alloc(self, block: int, node: int, altmap: Altmap | None) -> tuple[int | None, bool]:
        """Take memory for a block: its physical address, and whether it is the altmap's."""
        rule = self.kernel.at(eras.ALTMAPS)
        altmap = self._altmap_of(block, altmap)
        if altmap is None or (rule == "boundary" and self._crosses(block, self.block_size, altmap)):
            return self.supply.alloc_block(self.block_size, node), False
        phys = self.supply.alloc_from(altmap, self.block_size)
        if phys is not None:
            return phys, True
        if rule in ("looked_up", "only"):
            return None, False
        return self.supply.alloc_block(self.block_size, node), False

    def _altmap_of(self, block: int, altmap: Altmap | None) -> Altmap | None:
        """Give the altmap that counts for a block.

        While it was looked up and not passed in, the section in which the block begins decided.
        """
        if altmap is None or self.kernel.at(eras.ALTMAPS) != "looked_up":
            return altmap
        pages = self.kernel.pages_per_section
        section = self.page_to_pfn(block) // pages * pages
        return altmap if altmap.owns(section << self.kernel.page_shift) else None

    def _is_altmaps(self, phys: int, altmap: Altmap) -> bool:
        """Tell whether a block is taken for the altmap's when it is freed.

        Until RAM could step in, every block was that was freed with one.
        """
        rule = self.kernel.at(eras.ALTMAPS)
        return rule in ("looked_up", "only") or altmap.holds(phys)

    def _crosses(self, block: int, size: int, altmap: Altmap) -> bool:
        """Tell whether a block describes memory outside the altmap's range."""
        first = self.page_to_pfn(block)
        count = size // self.kernel.struct_page_size
        if not self.kernel.at(eras.ALTMAP_END_IS_EXACT):
            count += 1
        shift = self.kernel.page_shift
        return altmap.crossed_by(first << shift, (first + count) << shift)
