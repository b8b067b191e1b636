"""mem_section: where the kernel's table of memory sections is, and what it says of one address.

A section is a piece of 16 MiB that the kernel had struct pages for. What is in a section and not in
the dump's memory ranges was added or set aside by the kernel, which a hole in memory was not. One
question reads a few words, so that it can be answered where only part of the table is in the dump;
all of the table at once is in ``read_sections``.

Source: Linux include/linux/mmzone.h (struct mem_section and its flags), mm/sparse.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmemmap.errors import FactError, FactInvalid, ReadError
from vmemmap.established import established
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.linear_map import LinearMemory
from vmemmap.mmzone.section_layout import (
    HAS_MEM_MAP,
    IS_EARLY,
    IS_ONLINE,
    TAINT_ZONE_DEVICE,
    SectionLayout,
    default_pages_per_section,
    flags_of,
    map_base_of,
    read_section_layout,
)

if TYPE_CHECKING:
    from vmemmap.mmzone.section_table import SectionTable


@dataclass(frozen=True, slots=True)
class RootArray:
    """mem_section, taken to have its root array at an address.

    Attributes:
        memory: The kernel's data.
        layout: How mem_section is cut.
        virt: Kernel virtual address of the root array.
    """

    memory: LinearMemory
    layout: SectionLayout
    virt: int

    def find_entry(self, number: int) -> int | None:
        """Give the address of a section's struct mem_section, or None where its root has none.

        Raises:
            ReadError: The root array is not in the dump.
        """
        root, slot = divmod(number, self.layout.per_root)
        if root >= self.layout.root_count:
            return None
        sections = self.memory.word(self.virt + 8 * root)
        return sections + slot * self.layout.size if sections else None

    def section_mem_map(self, number: int) -> int:
        """Read the section_mem_map of a section; 0 where there is none.

        Raises:
            ReadError: The root array or the root is not in the dump.
        """
        entry = self.find_entry(number)
        return 0 if entry is None else self.memory.word(entry + self.layout.map_offset)


@dataclass(frozen=True, slots=True)
class SectionState:
    """What became of a section of memory that the kernel had struct pages for.

    Attributes:
        hot_added: It was added after boot; None where the kernel does not tell.
        is_device: It is marked as a device's; False where the kernel has no such mark.
    """

    hot_added: bool | None
    is_device: bool = False


class MemSection:
    """The kernel's table of sections, with two levels as on every ppc64 (SPARSEMEM_EXTREME).

    Args:
        kernel: Facts about the kernel.

    Attributes:
        kernel: As given.
        tables: What was read of it, by the place that the vmemmap has to have; see
            `read_section_table`.
    """

    def __init__(self, kernel: KernelFacts) -> None:
        self.kernel = kernel
        self.tables: dict[int, SectionTable] = {}

    @established
    def layout(self) -> SectionLayout:
        """How it is cut.

        Raises:
            FactError: VMCOREINFO does not say it, or something impossible.
        """
        return read_section_layout(self.kernel.vmcoreinfo, self.kernel.page_size.value)

    @property
    def pages_per_section(self) -> int:
        """Pages in a section, also where the rest of the layout cannot be had."""
        try:
            return self.layout.pages_per_section
        except FactError:
            return default_pages_per_section(self.kernel.page_size.value)

    @property
    def symbol(self) -> Fact[int]:
        """What the kernel calls mem_section: the root array, or a pointer to it.

        Raises:
            FactError: Neither VMCOREINFO nor the user's vmlinux has it.
        """
        return self.kernel.symbol("mem_section")

    @established
    def roots(self) -> Fact[int]:
        """Address of the root array: where the section of the kernel's own memory has its map.

        Raises:
            FactError: There is no table with the kernel's own memory in it.
        """
        for place in self._places():
            try:
                own = RootArray(self.kernel.memory, self.layout, place.value).section_mem_map(
                    self._own_section
                )
            except ReadError:
                continue
            if own & HAS_MEM_MAP:
                return place
        raise FactInvalid(
            "SYMBOL(mem_section) leads to no table with the kernel's own memory in it",
            name="SYMBOL(mem_section)",
        )

    def root_arrays(self) -> Iterator[RootArray]:
        """Yield mem_section as it may have to be read, the most likely way first.

        That is one way, but for dumps that lack the section of the kernel's own memory.

        Raises:
            FactError: The kernel does not say where it is or how it is cut.
        """
        try:
            places = iter([self.roots])
        except FactError:
            places = self._places()
        for place in places:
            yield RootArray(self.kernel.memory, self.layout, place.value)

    def find(self, phys: int) -> SectionState | None:
        """Give the section of a physical address, or None where the kernel had no memory.

        Raises:
            FactError, ReadError: The table cannot be read, so that nothing is known.
        """
        table = self._table
        flags = flags_of(table.section_mem_map(table.layout.number_of(phys)))
        if not flags & HAS_MEM_MAP:
            return None
        is_device = bool(flags & TAINT_ZONE_DEVICE) and not flags & IS_ONLINE
        return SectionState(not flags & IS_EARLY if self._marks_early else None, is_device)

    def map_base(self) -> int:
        """Give where the struct page of pfn 0 would be, by the section of the kernel's own memory.

        With SPARSEMEM_VMEMMAP every section encodes the same value.

        Raises:
            FactError, ReadError: The table cannot be read.
        """
        return map_base_of(self._own_map)

    @established
    def _table(self) -> RootArray:
        return RootArray(self.kernel.memory, self.layout, self.roots.value)

    def _places(self) -> Iterator[Fact[int]]:
        """Yield where the root array may be, the most likely first."""
        symbol = self.symbol
        yield symbol
        # Since Linux commit 83e3c48729d9 ("mm/sparsemem: Allocate mem_section at runtime for
        # CONFIG_SPARSEMEM_EXTREME=y") (in v4.15) the symbol is a pointer, which VMCOREINFO follows
        # only since a0b1280368d1; a symbol table never does.
        try:
            virt = self.kernel.memory.word(symbol.value)
        except ReadError:
            return
        yield Fact("mem_section", virt, Origin.DERIVED, f"the pointer at {symbol.shown}", True)

    @property
    def _own_section(self) -> int:
        """Number of the section that has the page tables' root, which was there at boot."""
        return self.layout.number_of(self.kernel.root_table_phys)

    @established
    def _own_map(self) -> int:
        return self._table.section_mem_map(self._own_section)

    @established
    def _marks_early(self) -> bool:
        """The kernel marks what was there at boot, as those before 5.3 do not."""
        return bool(self._own_map & IS_EARLY)
