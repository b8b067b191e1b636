"""mem_section: which 16 MiB sections of memory there are, and which have struct pages.

Two levels, as SPARSEMEM_EXTREME has them: an array of roots, each root a page of sections. All of
it is real bytes in simulated memory, and `pfn_valid` looks at those bytes. Which 2 MiB subsections
of a hot-added section are valid is kept beside, because the kernel does not export it either.

Source: Linux mm/sparse.c, include/linux/mmzone.h.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vmemmap.address import numpy_prefix
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import SECTION_BYTES, SECTION_SHIFT, SUBSECTION_BYTES, Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import KernelMemory, phys_of, virt_of
from vmemmap.simulate.steps import Steps

MEM_SECTION_BYTES = {56: 16, 64: 32}
"""sizeof(struct mem_section) by the size of a struct page: {section_mem_map, usage}, and two words
more (page_cgroup, later page_ext) in the kernels whose struct page has its optional part, too."""
MARKED_PRESENT = 1 << 0
HAS_MEM_MAP = 1 << 1
IS_ONLINE = 1 << 2
IS_EARLY = 1 << 3
SECTION_FLAGS = 0x3F
SUBSECTIONS_PER_SECTION = SECTION_BYTES // SUBSECTION_BYTES
ALL_SUBSECTIONS = (1 << SUBSECTIONS_PER_SECTION) - 1

AllocKernel = Callable[[int], int]
"""Gives the physical address of zeroed bytes, as many as asked for."""


class SparseMem:
    """The sections of one machine.

    Attributes:
        roots_phys: Physical address of the array of root pointers.
        length: LENGTH(mem_section), the number of root pointers.
        entry_bytes: SIZE(mem_section).
    """

    def __init__(self, kernel: Kernel, memory: KernelMemory, alloc: AllocKernel) -> None:
        self.kernel = kernel
        self.memory = memory
        self._image = image_of(kernel)
        self._alloc = alloc
        self.entry_bytes = MEM_SECTION_BYTES[kernel.struct_page_size]
        self.per_root = kernel.page_size // self.entry_bytes
        sections = 1 << (kernel.max_physmem_bits - SECTION_SHIFT)
        self.length = -(-sections // self.per_root)
        self._partial: dict[int, int] = {}
        if kernel.at(eras.SECTION_ROOTS_ALLOCATED):
            self.roots_phys = alloc(self.length * 8)
            memory.physical.store_u64(self._image.phys["mem_section"], virt_of(self.roots_phys))
        else:
            self.roots_phys = self._image.static_roots

    def entry_phys(self, section: int) -> int | None:
        """Give the physical address of a section's struct mem_section; None without a root."""
        root = self.memory.physical.load_u64(self.roots_phys + section // self.per_root * 8)
        return phys_of(root) + section % self.per_root * self.entry_bytes if root else None

    def flags(self, section: int) -> int:
        """Give a section's flag bits; 0 for one that is not there."""
        if not 0 <= section < self.length * self.per_root:
            return 0
        at = self.entry_phys(section)
        return self.memory.physical.load_u64(at) & SECTION_FLAGS if at is not None else 0

    def memory_present(self, start: int, end: int) -> None:
        """Mark the sections of ``[start, end)`` (bytes) as present; no struct pages yet."""
        for _root, at, sections in self._by_root(start, end):
            table = np.zeros((len(sections), self.entry_bytes // 8), self._word)
            table[:, 0] = MARKED_PRESENT
            self.memory.physical.write(at, table.tobytes())
            self._note_present(sections[-1])

    def sparse_init_sections(self, sections: npt.NDArray[np.int64], flags: int) -> None:
        """Mark many sections as having struct pages, as `sparse_init_one_section` does for one."""
        if not len(sections):
            return
        breaks = np.flatnonzero(np.diff(sections) != 1) + 1
        for run in np.split(sections, breaks):
            start, end = int(run[0]) << SECTION_SHIFT, (int(run[-1]) + 1) << SECTION_SHIFT
            for _root, at, part in self._by_root(start, end):
                table = np.zeros((len(part), self.entry_bytes // 8), self._word)
                table[:, 0] = self.kernel.vmemmap_base | flags
                self.memory.physical.write(at, table.tobytes())

    def sparse_init_one_section(self, section: int, flags: int) -> Steps[None]:
        """Store where the section's struct pages are: from here on its pages are valid."""
        at = self.entry_phys(section)
        assert at is not None, f"section {section} has no root"
        self._note_present(section)
        yield from self.memory.store(virt_of(at), self.kernel.vmemmap_base | flags)

    def forget_mem_map(self, section: int) -> Steps[None]:
        """Store that the section's pages are valid no longer; its blocks are still there."""
        at = self.entry_phys(section)
        assert at is not None, f"section {section} has no root"
        if self.kernel.at(eras.STALE_MAP_AFTER_REMOVE):
            first = section * self.kernel.pages_per_section * self.kernel.struct_page_size
            yield from self.memory.store(virt_of(at), -first & (1 << 64) - 1)
        else:
            value = yield from self.memory.load(virt_of(at))
            yield from self.memory.store(virt_of(at), value & ~HAS_MEM_MAP)

    def clear_section(self, section: int) -> Steps[None]:
        """Store that the section is gone."""
        at = self.entry_phys(section)
        assert at is not None, f"section {section} has no root"
        if not self.kernel.at(eras.STALE_MAP_AFTER_REMOVE):
            yield from self.memory.store(virt_of(at), 0)
        self._partial.pop(section, None)

    def begin_section(self, section: int) -> None:
        """Let none of a new section's 2 MiB parts be valid yet."""
        self._partial[section] = 0

    def early_flags(self) -> int:
        """Flags of a section that was there at boot."""
        flags = MARKED_PRESENT | HAS_MEM_MAP
        if self.kernel.at(eras.SECTION_ONLINE):
            flags |= IS_ONLINE
        if self.kernel.at(eras.SECTION_EARLY):
            flags |= IS_EARLY
        return flags

    def hotplug_flags(self, *, online: bool) -> int:
        """Flags of a section that was added while the machine ran."""
        flags = MARKED_PRESENT | HAS_MEM_MAP
        return flags | IS_ONLINE if online and self.early_flags() & IS_ONLINE else flags

    def ensure_root(self, section: int) -> None:
        """Make the page of sections that this section's entry lies in: sparse_index_init()."""
        at = self.roots_phys + section // self.per_root * 8
        if not self.memory.physical.load_u64(at):
            self.memory.physical.store_u64(at, virt_of(self._alloc(self.kernel.page_size)))

    def fill_subsections(self, start: int, end: int) -> bool:
        """Note the 2 MiB parts in ``[start, end)`` (bytes, in one section) as valid.

        Returns:
            False, with nothing noted, when one of them is valid already.
        """
        section = start >> SECTION_SHIFT
        bits, more = self._partial.get(section, ALL_SUBSECTIONS), _bits(start, end)
        if bits & more:
            return False
        self._partial[section] = bits | more
        return True

    def clear_subsections(self, start: int, end: int) -> bool:
        """Note the 2 MiB parts in ``[start, end)`` as invalid; tell whether none is left."""
        section = start >> SECTION_SHIFT
        bits = self._partial.get(section, ALL_SUBSECTIONS) & ~_bits(start, end)
        self._partial[section] = bits
        return not bits

    def subsections(self, section: int) -> int:
        """Give the bits of the valid 2 MiB parts of a section that has struct pages."""
        return self._partial.get(section, ALL_SUBSECTIONS)

    def pfn_valid(self, pfn: int) -> Steps[bool]:
        """Tell whether a page frame has a struct page, from the bytes in memory."""
        phys = pfn << self.kernel.page_shift
        section = phys >> SECTION_SHIFT
        if phys >> self.kernel.max_physmem_bits:
            return False
        root = yield from self.memory.load(virt_of(self.roots_phys + section // self.per_root * 8))
        if not root:
            return False
        at = root + section % self.per_root * self.entry_bytes
        value = yield from self.memory.load(at)
        if not value & HAS_MEM_MAP:
            return False
        if not self.kernel.at(eras.SUBSECTION_HOTPLUG) or value & IS_EARLY:
            return True
        part = (phys & (SECTION_BYTES - 1)) // SUBSECTION_BYTES
        return bool(self.subsections(section) >> part & 1)

    def _note_present(self, section: int) -> None:
        """Keep the highest section that there has been; a search for sections ends with it."""
        at = self._image.phys["__highest_present_section_nr"]
        if section > self.memory.physical.load_u64(at):
            self.memory.physical.store_u64(at, section)

    @property
    def _word(self) -> np.dtype[np.uint64]:
        return np.dtype(numpy_prefix(self.kernel.byte_order) + "u8")

    def _by_root(self, start: int, end: int) -> list[tuple[int, int, range]]:
        """Cut ``[start, end)`` at roots: (root, phys of the first entry, sections) of each."""
        first, last = start >> SECTION_SHIFT, end >> SECTION_SHIFT
        parts = []
        while first < last:
            root = first // self.per_root
            stop = min(last, (root + 1) * self.per_root)
            self.ensure_root(first)
            at = self.entry_phys(first)
            assert at is not None
            parts.append((root, at, range(first, stop)))
            first = stop
        return parts


def _bits(start: int, end: int) -> int:
    """Give a bit for each 2 MiB part of ``[start, end)`` within its section."""
    first = (start & (SECTION_BYTES - 1)) // SUBSECTION_BYTES
    count = (end - start) // SUBSECTION_BYTES
    return ((1 << count) - 1) << first
