"""Writes Linux page tables: radix trees, and the tables that the hash MMU's kernel keeps.

Geometry and entry format are rows of ``eras.py``. Tables are cut from whole pages, several to a
page where they are small, as the kernel's page table fragments are.

Source: Linux arch/powerpc/include/asm/book3s/64/{hash,radix,pgtable}.h, arch/powerpc/mm/pgtable*.c.
"""

from __future__ import annotations

from collections.abc import Callable

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.steps import Deed, Watcher

PTE, PMD, PUD, PGD = range(4)
LEVELS = ("pte", "pmd", "pud", "pgd")
_RIGHTS = 0x18E
"""Accessed, dirty, privileged, readable, writable; below every page frame number."""
_OLD_RIGHTS = 0x180
"""The same in the entries before 4.6, clear of the low bits that tell a pointer from a leaf."""
BIT_63 = 1 << 63


class PageTables:
    """The tree under swapper_pg_dir."""

    def __init__(
        self, kernel: Kernel, memory: PhysicalMemory, alloc_page: Callable[[int], int]
    ) -> None:
        self.kernel = kernel
        self.memory = memory
        self._alloc_page = alloc_page
        self._root = image_of(kernel).swapper_pg_dir
        self.watch: Watcher | None = None
        self._format = kernel.at(eras.ENTRY_FORMATS)
        self._bits = kernel.table_bits
        self._tables: dict[tuple[int, int], int] = {}
        self._spare: dict[int, list[int]] = {}

    def shift(self, level: int) -> int:
        """Give how many address bits lie below a level's index: PTE, PMD, PUD or PGD."""
        return self.kernel.page_shift + sum(self._bits[:level])

    def map(self, virt: int, phys: int, size: int) -> None:
        """Map *size* bytes with the largest leaves that fit; all three aligned to base pages."""
        end = virt + size
        while virt < end:
            level = self._leaf_level(virt, phys, end - virt)
            self._put(self._slot(virt, level), self._leaf(phys), level)
            step = 1 << self.shift(level)
            virt += step
            phys += step

    def unmap(self, virt: int, phys: int, size: int) -> None:
        """Clear *size* bytes from *virt* on, mapped to *phys* on; a larger leaf is split."""
        end, to_phys = virt + size, phys - virt
        while virt < end:
            at, level = self._descend(virt, PTE)
            leaf = 1 << self.shift(level)
            leaf_start = virt // leaf * leaf
            leaf_end = leaf_start + leaf
            self._put(at, 0, level)
            for low, high in ((leaf_start, virt), (end, leaf_end)):
                if low < high:
                    self.map(low, low + to_phys, high - low)
            virt = leaf_end

    def _descend(self, virt: int, lowest: int) -> tuple[int, int]:
        """Follow the tables that there are for *virt*: the last entry's address and level."""
        table, level = self._root, PGD
        while True:
            at = table + 8 * self._index(virt, level)
            below = self._tables.get((level, at))
            if below is None or level == lowest:
                return at, level
            table, level = below, self._below(level)

    def _leaf_level(self, virt: int, phys: int, size: int) -> int:
        """Give the level of the largest leaf that may begin here: a table is never replaced."""
        for level in (PUD, PMD) if self.kernel.mmu == "radix" else ():
            leaf = 1 << self.shift(level)
            if leaf <= size and not (virt | phys) & (leaf - 1):
                at, reached = self._descend(virt, level)
                if (reached, at) not in self._tables:
                    return level
        return PTE

    def _index(self, virt: int, level: int) -> int:
        return (virt >> self.shift(level)) & ((1 << self._bits[level]) - 1)

    def _below(self, level: int) -> int:
        """Give the next level that has tables of its own; folded ones have not."""
        level -= 1
        while not self._bits[level]:
            level -= 1
        return level

    def _slot(self, virt: int, level: int) -> int:
        """Give the physical address of the entry for *virt* at a level, making tables above it."""
        table, at = self._root, PGD
        while at != level:
            table = self._table_below(table + 8 * self._index(virt, at), at)
            at = self._below(at)
        return table + 8 * self._index(virt, level)

    def _table_below(self, entry_at: int, level: int) -> int:
        known = self._tables.get((level, entry_at))
        if known is not None:
            return known
        below = self._below(level)
        table = self._alloc_table(8 << self._bits[below])
        self._tables[level, entry_at] = table
        value = virt_of(table) if self._format.virtual_pointers else table
        if self.kernel.mmu == "radix":
            value |= BIT_63 | self._bits[below]
        elif self._format.pointer_present:
            value |= BIT_63
        self._put(entry_at, value, level)
        return table

    def _alloc_table(self, size: int) -> int:
        """Take zeroed memory for a table, aligned to its size: a whole page or a piece of one."""
        if size >= self.kernel.page_size:
            return self._alloc_page(size)
        spare = self._spare.setdefault(size, [])
        if not spare:
            page = self._alloc_page(self.kernel.page_size)
            spare.extend(range(page + self.kernel.page_size - size, page - 1, -size))
        return spare.pop()

    def _leaf(self, phys: int) -> int:
        form = self._format
        pfn_shift = form.pfn_shifts[0 if self.kernel.page_size == 4096 else 1]
        if pfn_shift:
            return (
                form.present | form.leaf | _OLD_RIGHTS | phys >> self.kernel.page_shift << pfn_shift
            )
        return form.present | form.leaf | _RIGHTS | phys

    def _load(self, at: int) -> int:
        if self._format.big_endian:
            return int.from_bytes(self.memory.read(at, 8), "big")
        return self.memory.load_u64(at)

    def _put(self, at: int, value: int, level: int) -> None:
        if self.watch is not None:
            deed = Deed("entry", f"{LEVELS[level]} entry", 8, at, words=(self._load(at), value))
            self.watch(deed)
        if self._format.big_endian:
            self.memory.write(at, value.to_bytes(8, "big"))
        else:
            self.memory.store_u64(at, value)
