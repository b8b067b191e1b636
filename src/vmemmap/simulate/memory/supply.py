"""Where blocks and node pages come from: memblock at boot, the page allocator after, an altmap.

Also the place where allocations fail when the fault plan says so.

Source: Linux mm/sparse-vmemmap.c, vmemmap_alloc_block(), vmem_altmap_alloc().
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.errors import SpecError
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.memblock import Memblock
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.spec.parts import FaultPlan
from vmemmap.simulate.steps import Deed, Watcher


class Faults:
    """Counts what is asked for, and says which of it fails."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._counts = {"block": 0, "node_page": 0, "mapping": 0}

    def strikes(self, what: str) -> bool:
        """Count one more of *what* (block, node_page, mapping); tell whether it fails."""
        self._counts[what] += 1
        failing: tuple[int, ...] = getattr(self._plan, what)
        return self._counts[what] in failing

    @property
    def any_planned(self) -> bool:
        """Whether anything fails at all."""
        return bool(self._plan.block or self._plan.node_page or self._plan.mapping)


@dataclass(slots=True)
class Altmap:
    """Memory that an added range keeps for its own struct pages: its first bytes.

    Attributes:
        start: Physical address of the range (bytes).
        end: The address after the range.
        room_end: The address after the part that struct pages may use.
        used_to: The address up to which that part is handed out, or was never to be.
        page_size: What it is counted in; pieces of pages are refused.
    """

    start: int
    end: int
    room_end: int
    used_to: int
    page_size: int

    def alloc(self, size: int) -> int | None:
        """Take *size* bytes, aligned to *size*; None when there is no room for them."""
        at = -(-self.used_to // size) * size
        if size % self.page_size or at + size > self.room_end:
            return None
        self.used_to = at + size
        return at

    def free(self, size: int) -> None:
        """Give *size* bytes back; only a count goes down, as in vmem_altmap_free()."""
        self.used_to -= size

    def holds(self, phys: int) -> bool:
        """Tell whether a block lies in the part for struct pages."""
        return self.start <= phys < self.room_end

    def owns(self, phys: int) -> bool:
        """Tell whether an address lies in the range whose memory this is."""
        return self.start <= phys < self.end

    def crossed_by(self, first_phys: int, end_phys: int) -> bool:
        """Tell whether a block describes memory outside the range."""
        return first_phys < self.start or end_phys > self.end


class Supply:
    """Memory for the tracking and for what it tracks.

    Attributes:
        booting: Whether memblock still hands out; set to False when the page allocator takes over.
        watch: Is told of each block and page of nodes that is taken or given back; None for nobody.
    """

    def __init__(
        self,
        kernel: Kernel,
        memory: PhysicalMemory,
        memblock: Memblock,
        pages: PageAllocator,
        faults: Faults,
    ) -> None:
        self.kernel = kernel
        self.memory = memory
        self.memblock = memblock
        self.pages = pages
        self.faults = faults
        self.booting = True
        self.watch: Watcher | None = None
        self._buffer, self._buffer_node = (0, 0), 0
        self._zeroes = kernel.at(eras.ZEROED_BLOCKS)

    def sparse_buffer_init(self, sections: int, node: int) -> None:
        """Take memory for the struct pages of so many sections in one piece, if there is one."""
        if self.kernel.at(eras.SPARSE_BUFFER):
            unit = self.kernel.section_buffer_bytes
            phys = self.memblock.alloc_exact(sections * unit, unit, node)
            if phys is not None:
                self._buffer, self._buffer_node = (phys, phys + sections * unit), node

    def sparse_buffer_alloc(self, size: int, count: int) -> tuple[int, int]:
        """Take up to *count* blocks out of that piece, one behind the other.

        Returns:
            The physical address of the first, and how many there are; what an alignment leaves out
            is given back.
        """
        start, end = self._buffer
        at = -(-start // size) * size
        fits = min(count, max(end - at, 0) // size)
        if fits:
            self.memblock.free(start, at, self._buffer_node)
            self._buffer = at + fits * size, end
        return at, fits

    def sparse_buffer_fini(self) -> None:
        """Give the rest of it back."""
        self.memblock.free(*self._buffer, self._buffer_node)
        self._buffer = 0, 0

    def alloc_block(self, size: int, node: int) -> int | None:
        """Take memory for a backing block: its physical address, or None."""
        phys = None
        if not self.faults.strikes("block"):
            at, found = self.sparse_buffer_alloc(size, 1)
            phys = at if found else self._vmemmap_alloc_block(size, node)
        self._note(Deed("alloc", "block", size, phys))
        return phys

    def alloc_node_page(self, node: int) -> int | None:
        """Take a page for list nodes: its linear-map address, or None."""
        failed, size = self.faults.strikes("node_page"), self.kernel.page_size
        phys = None if failed else self._vmemmap_alloc_block(size, node)
        self._note(Deed("alloc", "page of nodes", size, phys))
        return None if phys is None else virt_of(phys)

    def alloc_from(self, altmap: Altmap, size: int) -> int | None:
        """Take memory for a backing block from an altmap: its physical address, or None."""
        phys = altmap.alloc(size)
        self._note(Deed("alloc", "block of the altmap", size, phys))
        return phys

    def _note(self, deed: Deed) -> None:
        if self.watch is not None:
            self.watch(deed)

    def alloc_kernel(self, size: int, node: int = 0, *, align: int | None = None) -> int:
        """Take zeroed memory for the kernel's tables; whole pages once the machine runs.

        At boot it is aligned to *align*; if that is None to its size, but to a page at most.

        Raises:
            SpecError: The simulated machine has none left.
        """
        if self.booting:
            align = align or min(max(size, 128), self.kernel.page_size)
            phys = self.memblock.alloc(size, align, node)
        else:
            phys = self._from_pages(size, node)
        if phys is None:
            raise SpecError("memory", f"none is left where the kernel itself needs {size} bytes")
        self.memory.clear(phys, size)
        return phys

    def free_block(self, phys: int, size: int) -> None:
        """Give a backing block back, wherever it came from."""
        self._note(Deed("free", "block", size, phys))
        if size < self.kernel.page_size and self.memblock.reserved.covers(phys, phys + size):
            return  # part of a boot-time page: the kernel warns and leaves it
        first = phys >> self.kernel.page_shift
        count = max(1, size >> self.kernel.page_shift)
        self.memblock.reserved.remove(phys, phys + size)
        self.pages.free_range(first, first + count)

    def _vmemmap_alloc_block(self, size: int, node: int) -> int | None:
        if self.booting:
            phys = self.memblock.alloc(size, size, node)
        else:
            phys = self._from_pages(size, node)
        if phys is not None and self._zeroes:
            self.memory.clear(phys, size)
        return phys

    def _from_pages(self, size: int, node: int) -> int | None:
        order = max(0, (-(-size // self.kernel.page_size) - 1).bit_length())
        if order >= self.pages.orders:
            return None
        pfn = self.pages.alloc_pages(order, node)
        return None if pfn is None else pfn << self.kernel.page_shift
