"""Which memory the kernel had: its section table, asked for one physical address at a time.

A section is a piece of 16 MiB that the kernel had struct pages for. What is in a section and not in
the dump's memory ranges was added or set aside by the kernel, which a hole in memory was not.

Source: Linux include/linux/mmzone.h (struct mem_section and its flags), mm/sparse.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import established
from vmemmap.facts.linear_map import linear_phys
from vmemmap.facts.vmcoreinfo import Vmcoreinfo
from vmemmap.memory import Memory, read_u64

_SECTION_SHIFT = 24
"""On ppc64, of every kernel; NUMBER(SECTION_SIZE_BITS) where it is exported."""
_HAS_MEM_MAP = 1 << 1
# Since Linux 5.3 a section that was there at boot says so, and one that was hot-added does not.
_IS_EARLY = 1 << 3
_FLAGS = 0x3F


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
        if not flags & _HAS_MEM_MAP:
            return None
        return Section(not flags & _IS_EARLY if tells_early else None)

    @established
    def _table(self) -> tuple[int, bool]:
        """Physical address of the root array, and whether the flags tell boot from hot-added.

        From 4.15 on SYMBOL(mem_section) is the array itself. Some kernels around it, and symbol
        tables, give the place of the pointer to it instead.
        """
        base = self._linear(self._info.symbol("mem_section"))
        flags = self._flags(base, self._known)
        if not flags & _HAS_MEM_MAP:
            base = self._linear(read_u64(self._memory, base, self._order))
            flags = self._flags(base, self._known)
        if not flags & _HAS_MEM_MAP:
            raise FactInvalid(
                "SYMBOL(mem_section) leads to no table with the kernel's own memory in it",
                name="SYMBOL(mem_section)",
            )
        return base, bool(flags & _IS_EARLY)

    def _flags(self, base: int, phys: int) -> int:
        """Read the flags of a section; 0 where there is none."""
        shift, size, member, length = self._geometry
        root, slot = divmod(phys >> shift, self._page_size // size)
        if root >= length:
            return 0
        table = read_u64(self._memory, base + 8 * root, self._order)
        if not table:
            return 0
        at = self._linear(table) + slot * size + member
        return read_u64(self._memory, at, self._order) & _FLAGS

    @established
    def _geometry(self) -> tuple[int, int, int, int]:
        """Section shift, size of an element, offset of the flags in it, number of roots."""
        info = self._info
        shift = _SECTION_SHIFT
        if "NUMBER(SECTION_SIZE_BITS)" in info:
            shift = info.number("SECTION_SIZE_BITS")
        size, member = info.size("mem_section"), info.offset("mem_section.section_mem_map")
        length = info.length("mem_section")
        if not (16 <= shift <= 40 and 8 <= size <= self._page_size and member + 8 <= size):
            raise FactInvalid(
                f"VMCOREINFO has SECTION_SIZE_BITS={shift}, SIZE(mem_section)={size} and "
                f"OFFSET(mem_section.section_mem_map)={member}; expected 24, 16 or 32, and an "
                "offset inside",
                name="SIZE(mem_section)",
            )
        return shift, size, member, length

    @staticmethod
    def _linear(virt: int) -> int:
        phys = linear_phys(virt)
        if phys is None:
            raise FactInvalid(
                f"mem_section leads to {virt:#x}; expected an address in the linear map",
                name="SYMBOL(mem_section)",
            )
        return phys
