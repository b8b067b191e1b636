"""Writes Linux page tables of Book3S-64 kernels, 2.6.35 and later, into physical memory.

How an entry is written depends on the kernel: ``entry_form``. From 4.6 on a leaf is marked by bit
62 and pointers are physical; from 4.7 on entries are big-endian whatever the kernel's byte order.
Reference: ppc64-kernel.md 4.1 to 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .byte_order import Order, u64
from .kernel_era import Mmu, Version
from .physical import SparseMemory

PAGE_OFFSET = 0xC000000000000000
PRESENT = 1 << 63
LEAF = 1 << 62
# Accessed, dirty, privileged, readable, writable.
LEAF_RIGHTS = 0x18E
POINTER_MASK = ~0xC0000000000000FF & (2**64 - 1)


@dataclass(frozen=True, slots=True)
class EntryForm:
    """How a kernel writes the entries of its tables.

    Attributes:
        order: Byte order of the entries.
        virtual_pointers: Upper entries hold linear-map addresses.
        rpn_shift: Where the page frame number begins; ``None``: the address stands in place.
        mark: What an entry that maps memory always has.
        noise: What some of them have besides, and what is no part of the address.
        can_be_huge: Whether upper entries can map memory.
    """

    order: Order
    virtual_pointers: bool
    rpn_shift: int | None
    mark: int
    noise: int
    can_be_huge: bool

    def leaf(self, phys: int, page_shift: int) -> int:
        """Entry that maps *phys*."""
        place = phys if self.rpn_shift is None else phys >> page_shift << self.rpn_shift
        return place | self.mark | (self.noise if phys >> page_shift & 1 else 0)


def entry_form(version: Version, page_shift: int, mmu: Mmu, memory: Order) -> EntryForm:
    """Return the form of a kernel (major, minor) whose memory has byte order *memory*."""
    big = page_shift == 16
    if version < (4, 5):
        # Present is bit 0; user (bit 1) is never set in the kernel's own tables.
        shift = 30 if big else 17
        return EntryForm(memory, True, shift, 0x1 | 0x190, 0x1C00, version >= (3, 10))
    if version < (4, 6):
        return EntryForm(memory, True, 30 if big else 18, 0x3 | 0x190, 0x1C00, True)
    mark = PRESENT | LEAF | LEAF_RIGHTS
    if mmu == "radix":
        return EntryForm("big", False, None, mark, 0, True)
    # Which slot of the hardware's hash table a page has is noted in bits 53 to 56 from 4.11 on,
    # and above the address before.
    noise = 0x0180 << 48 if version >= (4, 11) else 0x0C00 << 48
    return EntryForm("big" if version >= (4, 7) else memory, False, None, mark, noise, True)


@dataclass(slots=True)
class PageTables:
    """A tree of tables under one root.

    Attributes:
        memory: Where the tables are written.
        root: Physical address of the root table, already reserved and zero.
        page_shift: log2 of the base page size.
        bits: Index bits of the PTE, PMD, PUD and PGD tables; 0 for a level folded away.
        allocate: (size, alignment) in bytes -> physical address of zeroed memory.
        pointer_present: Whether upper entries carry bit 63 (radix; hash from 4.20 on).
        pointer_size: Whether upper entries carry the index size of the next table (radix).
        form: How entries are written.
        slots: Whether a second half behind each PTE table notes hash slots (hash, 64 KiB pages).
        pointer_flags: Other bits that upper entries carry, by level (1 PMD .. 3 PGD).
    """

    memory: SparseMemory
    root: int
    page_shift: int
    bits: tuple[int, int, int, int]
    allocate: Callable[[int, int], int]
    pointer_present: bool
    pointer_size: bool
    form: EntryForm = EntryForm("big", False, None, PRESENT | LEAF | LEAF_RIGHTS, 0, True)
    slots: bool = False
    pointer_flags: dict[int, int] = field(default_factory=dict)
    _tables: dict[tuple[int, int], int] = field(default_factory=dict)

    def shift(self, level: int) -> int:
        """Address shift of *level*: 0 is the PTE level, 3 the root."""
        return self.page_shift + sum(self.bits[:level])

    def leaf_shifts(self) -> tuple[int, ...]:
        """Possible leaf sizes as shifts, largest first (PUD, PMD, PTE)."""
        return tuple(self.shift(level) for level in (2, 1, 0))

    def levels(self) -> list[int]:
        """The levels that have tables, the root (3) first."""
        return [level for level in (3, 2, 1, 0) if self.bits[level]]

    def map(self, virt: int, phys: int, leaf_shift: int) -> None:
        """Map one leaf of ``1 << leaf_shift`` bytes at *virt* to *phys*, both aligned to it."""
        if (virt | phys) & ((1 << leaf_shift) - 1):
            raise ValueError(f"leaf {virt:#x} -> {phys:#x} is not aligned to 2^{leaf_shift}")
        if leaf_shift != self.page_shift and not self.form.can_be_huge:
            raise ValueError("this kernel has no large leaves")
        levels = self.levels()
        at, table = 0, self.root
        while self.shift(levels[at]) != leaf_shift:
            table = self._next_table(table, levels[at], levels[at + 1], virt)
            at += 1
        place = self.entry_at(table, levels[at], virt)
        self.memory.write(place, u64(self.form.leaf(phys, self.page_shift), self.form.order))
        if self.slots and levels[at] == 0:
            behind = place + (8 << self.bits[0])
            self.memory.write(behind, u64(0x11 * (1 + (phys >> 16) % 14), self.form.order))

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

    def entry_at(self, table: int, level: int, virt: int) -> int:
        """Physical address of the entry for *virt* in the table at *table*."""
        index = (virt >> self.shift(level)) & ((1 << self.bits[level]) - 1)
        return table + 8 * index

    def way_to(self, virt: int) -> list[tuple[int, int]]:
        """Level and physical address of each entry on the way to the page at *virt*."""
        levels = self.levels()
        found, table = [], self.root
        for level, below in zip(levels, [*levels[1:], -1], strict=True):
            at = self.entry_at(table, level, virt)
            found.append((level, at))
            if below >= 0:
                table = self._tables[level, at]
        return found

    def _next_table(self, table: int, level: int, lower: int, virt: int) -> int:
        at = self.entry_at(table, level, virt)
        known = self._tables.get((level, at))
        if known is not None:
            return known
        below = self.bits[lower]
        size = 8 << below
        phys = self.allocate(size * 2, size * 2) if self.slots and not lower else 0
        phys = phys or self.allocate(size, size)
        if self.form.virtual_pointers:
            entry = PAGE_OFFSET + phys
        else:
            entry = phys | (PRESENT if self.pointer_present else 0)
        entry |= self.pointer_flags.get(lower + 1, 0) | (below if self.pointer_size else 0)
        self.memory.write(at, u64(entry, self.form.order))
        self._tables[level, at] = phys
        return phys
