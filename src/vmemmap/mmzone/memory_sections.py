"""Which memory the kernel had: its section table, asked for one physical address at a time.

A section is a piece of 16 MiB that the kernel had struct pages for. What is in a section and not in
the dump's memory ranges was added or set aside by the kernel, which a hole in memory was not.

Source: Linux include/linux/mmzone.h (struct mem_section and its flags), mm/sparse.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.errors import FactInvalid
from vmemmap.established import established
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import linear_phys
from vmemmap.memory import Memory, read_u64
from vmemmap.mmzone.section_layout import (
    FLAG_BITS,
    HAS_MEM_MAP,
    IS_EARLY,
    SectionLayout,
    find_section_layout,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of memory that the kernel had struct pages for.

    Attributes:
        hot_added: It was added after boot; None where the kernel does not tell.
    """

    hot_added: bool | None


class MemorySections:
    """The kernel's table of sections, with two levels as on every ppc64 (SPARSEMEM_EXTREME).

    Args:
        info: VMCOREINFO.
        memory: Physical memory.
        order: The memory's byte order.
        page_size: The kernel's page size in bytes.
        known: A physical address in memory that was there at boot, such as of kernel data.
    """

    def __init__(
        self, info: Vmcoreinfo, memory: Memory, order: ByteOrder, page_size: int, known: int
    ) -> None:
        self._info = info
        self._memory = memory
        self._order = order
        self._page_size = page_size
        self._known = known

    def find(self, phys: int) -> Section | None:
        """Give the section of a physical address, or None where the kernel had no memory.

        Raises:
            FactError, ReadError: The table cannot be read, so that nothing is known.
        """
        base, tells_early = self._table
        flags = self._flags(base, phys)
        if not flags & HAS_MEM_MAP:
            return None
        return Section(not flags & IS_EARLY if tells_early else None)

    def map_base(self) -> int:
        """Give where the struct page of pfn 0 would be, by the section of the kernel's own memory.

        With SPARSEMEM_VMEMMAP every section encodes the same value.

        Raises:
            FactError, ReadError: The table cannot be read.
        """
        return self._coded(self._table[0], self._known) & ~FLAG_BITS

    @established
    def _table(self) -> tuple[int, bool]:
        """Physical address of the root array, and whether the flags tell boot from hot-added.

        From 4.15 on SYMBOL(mem_section) is the array itself. Some kernels around it, and symbol
        tables, give the place of the pointer to it instead.
        """
        base = self._linear(self._info.symbol("mem_section"))
        flags = self._flags(base, self._known)
        if not flags & HAS_MEM_MAP:
            base = self._linear(read_u64(self._memory, base, self._order))
            flags = self._flags(base, self._known)
        if not flags & HAS_MEM_MAP:
            raise FactInvalid(
                "SYMBOL(mem_section) leads to no table with the kernel's own memory in it",
                name="SYMBOL(mem_section)",
            )
        return base, bool(flags & IS_EARLY)

    def _flags(self, base: int, phys: int) -> int:
        """Read the flags of a section; 0 where there is none."""
        return self._coded(base, phys) & FLAG_BITS

    def _coded(self, base: int, phys: int) -> int:
        """Read the section_mem_map of a section; 0 where there is none."""
        layout = self._layout
        section = phys // (layout.pages_per_section * self._page_size)
        root, slot = divmod(section, layout.per_root)
        if root >= layout.root_count:
            return 0
        table = read_u64(self._memory, base + 8 * root, self._order)
        if not table:
            return 0
        at = self._linear(table) + slot * layout.size + layout.map_offset
        return read_u64(self._memory, at, self._order)

    @established
    def _layout(self) -> SectionLayout:
        roots = self._info.symbol("mem_section")
        return find_section_layout(self._info, roots, self._order, self._page_size)

    @staticmethod
    def _linear(virt: int) -> int:
        phys = linear_phys(virt)
        if phys is None:
            raise FactInvalid(
                f"mem_section leads to {virt:#x}; expected an address in the linear map",
                name="SYMBOL(mem_section)",
            )
        return phys
