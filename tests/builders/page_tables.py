"""Writes Linux page tables of Book3S-64 kernels from 4.7 on into physical memory.

Four levels; entries are big-endian whatever the kernel's byte order, table pointers are physical,
and a leaf is marked by bit 62. Reference: ppc64-kernel.md 4.1 to 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .byte_order import u64
from .physical import SparseMemory

PRESENT = 1 << 63
LEAF = 1 << 62
# Accessed, dirty, privileged, readable, writable.
LEAF_RIGHTS = 0x18E
POINTER_MASK = ~0xC0000000000000FF & (2**64 - 1)


@dataclass(slots=True)
class PageTables:
    """A tree of tables under one root.

    Attributes:
        memory: Where the tables are written.
        root: Physical address of the root table, already reserved and zero.
        page_shift: log2 of the base page size.
        bits: Index bits of the PTE, PMD, PUD and PGD tables.
        allocate: (size, alignment) in bytes -> physical address of zeroed memory.
        pointer_present: Whether upper entries carry bit 63 (radix; hash from 4.20 on).
        pointer_size: Whether upper entries carry the index size of the next table (radix).
    """

    memory: SparseMemory
    root: int
    page_shift: int
    bits: tuple[int, int, int, int]
    allocate: Callable[[int, int], int]
    pointer_present: bool
    pointer_size: bool
    _tables: dict[tuple[int, int], int] = field(default_factory=dict)

    def shift(self, level: int) -> int:
        """Address shift of *level*: 0 is the PTE level, 3 the root."""
        return self.page_shift + sum(self.bits[:level])

    def leaf_shifts(self) -> tuple[int, ...]:
        """Possible leaf sizes as shifts, largest first (PUD, PMD, PTE)."""
        return tuple(self.shift(level) for level in (2, 1, 0))

    def map(self, virt: int, phys: int, leaf_shift: int) -> None:
        """Map one leaf of ``1 << leaf_shift`` bytes at *virt* to *phys*, both aligned to it."""
        if (virt | phys) & ((1 << leaf_shift) - 1):
            raise ValueError(f"leaf {virt:#x} -> {phys:#x} is not aligned to 2^{leaf_shift}")
        level, table = 3, self.root
        while self.shift(level) != leaf_shift:
            table = self._next_table(table, level, virt)
            level -= 1
        self.memory.write(
            self._entry_at(table, level, virt), u64(PRESENT | LEAF | LEAF_RIGHTS | phys, "big")
        )

    def map_range(self, virt: int, phys: int, size: int, largest: int) -> None:
        """Map *size* bytes with the largest leaves up to ``1 << largest`` that fit."""
        done = 0
        while done < size:
            for shift in self.leaf_shifts():
                fits = done + (1 << shift) <= size
                if shift <= largest and fits and not (virt + done | phys + done) % (1 << shift):
                    break
            else:
                raise ValueError(f"{size:#x} bytes at {virt:#x} are no whole number of pages")
            self.map(virt + done, phys + done, shift)
            done += 1 << shift

    def _entry_at(self, table: int, level: int, virt: int) -> int:
        index = (virt >> self.shift(level)) & ((1 << self.bits[level]) - 1)
        return table + 8 * index

    def _next_table(self, table: int, level: int, virt: int) -> int:
        at = self._entry_at(table, level, virt)
        known = self._tables.get((level, at))
        if known is not None:
            return known
        below = self.bits[level - 1]
        size = 8 << below
        phys = self.allocate(size, size)
        entry = phys | (PRESENT if self.pointer_present else 0)
        self.memory.write(at, u64(entry | (below if self.pointer_size else 0), "big"))
        self._tables[level, at] = phys
        return phys
