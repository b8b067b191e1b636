"""What a Linux page table format is: how many bits each level takes, and what an entry's bits mean.

The formats themselves are in ``hash_linux`` and ``radix``, the walk is in ``walk``, and which one
a kernel has is decided in ``choice``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder
from vmemmap.linear_map import linear_phys, linear_phys_many

POINTER_END = 1 << 62
"""No table lies at or above this physical address."""
_TOP_BIT = 1 << 63
_LOW_SIX = 0x3F


class Hugepd(StrEnum):
    """How an upper entry shows that it leads to a hugepd, the page directory of hugetlb."""

    NONE = "none"
    TOP_BIT_CLEAR = "top bit clear"
    LOW_BITS = "low bits set"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the tables.

    Attributes:
        name: pgd, pud, pmd or pte.
        shift: log2 of the bytes that one entry covers.
        bits: log2 of the entries in a table.
        clear: Bits of an entry to clear to get the next table's address.
        may_be_leaf: Whether an entry may map memory by itself.
    """

    name: str
    shift: int
    bits: int
    clear: int
    may_be_leaf: bool


@dataclass(frozen=True, slots=True)
class Format:
    """Geometry of the tables and meaning of their 8-byte entries.

    Attributes:
        name: MMU, page size and the first kernel that had it, such as ``hash-64k-4.17``.
        page_shift: log2 of the page size.
        bits: Index bits of PTE, PMD, PUD and PGD tables; 0 for a level that is folded away.
        big_endian: Entries are big-endian on every kernel; otherwise in the memory's order.
        virtual_pointers: Upper entries hold linear-map addresses; otherwise physical ones.
        upper_present: Bits that an upper entry must have; 0 where any but 0 is a pointer.
        present: The bit that an entry must have to map memory.
        leaf: Bits of which an entry that maps memory has one at least; 0 where only a PTE does.
        rpn_shift: The page frame number is the entry without this many low bits ...
        phys_bits: ... as far as the physical address fits into so many bits.
        clear: Bits to clear in PMD, PUD and PGD entries to get a table's address.
        hugepd: How a hugepd is known.
        layouts: Names of the address layouts whose kernels have it (``regions``).
        io_starts: For the layouts that do not part vmalloc from I/O: where I/O may begin, counted
            from the region's start (bytes).
    """

    name: str
    page_shift: int
    bits: tuple[int, int, int, int]
    big_endian: bool
    virtual_pointers: bool
    upper_present: int
    present: int
    leaf: int
    rpn_shift: int
    phys_bits: int
    clear: tuple[int, int, int]
    hugepd: Hugepd
    layouts: frozenset[str]
    io_starts: tuple[int, ...] = ()

    @property
    def va_bits(self) -> int:
        """How many low bits of an address the tables look at."""
        return self.page_shift + sum(self.bits)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels from the root down, without those folded away."""
        names = ("pte", "pmd", "pud", "pgd")
        found: list[Level] = []
        shift, folded_clear = self.page_shift, None
        for name, bits, clear in zip(names, self.bits, (0, *self.clear), strict=True):
            if not bits:
                folded_clear = clear  # the entry above is looked at as if it were of this level
                continue
            leaf = name != "pgd" or folded_clear is not None
            mask = clear if folded_clear is None else folded_clear
            found.append(Level(name, shift, bits, mask, leaf))
            shift, folded_clear = shift + bits, None
        return tuple(reversed(found))

    def order(self, memory: ByteOrder) -> ByteOrder:
        """Give the byte order of entries on a kernel whose memory has the given one."""
        return "big" if self.big_endian else memory

    def __str__(self) -> str:
        bits = "-".join(str(level.bits) for level in self.levels)
        order = "big-endian" if self.big_endian else "in the CPU's order"
        pointers = "virtual" if self.virtual_pointers else "physical"
        return f"{bits} bits, {order}, {pointers} pointers"

    def maps(self, entry: int, level: Level) -> bool:
        """Tell whether an entry maps memory by itself."""
        marked = not self.leaf or bool(entry & self.leaf)
        return level.may_be_leaf and marked and bool(entry & self.present)

    def phys_of(self, entry: int) -> int:
        """Give the physical address in an entry that maps memory."""
        return entry >> self.rpn_shift << self.page_shift & ((1 << self.phys_bits) - 1)

    def leads_to_hugepd(self, entry: int) -> bool:
        """Tell whether an upper entry that maps nothing leads to a hugepd."""
        if self.hugepd is Hugepd.TOP_BIT_CLEAR:
            return not entry & _TOP_BIT
        return self.hugepd is Hugepd.LOW_BITS and bool(entry & _LOW_SIX)

    def pointer(self, entry: int, level: Level) -> int | None:
        """Give the physical address of the table that an upper entry leads to, or None."""
        address = entry & ~level.clear
        phys = linear_phys(address) if self.virtual_pointers else address
        return phys if phys is not None and phys < POINTER_END and not phys % 8 else None

    def interpret(self, entry: NDArray[np.uint64], level: Level) -> Interpreted:
        """Do all of the above for many entries of one level (uint64 in native byte order)."""
        u64 = np.uint64
        marked = entry & u64(self.leaf) != 0
        ends = np.ones(len(entry), dtype=np.bool_) if level.name == "pte" else marked
        maps = ends & (entry & u64(self.present) != 0) & level.may_be_leaf
        if self.leaf:
            maps &= marked
        phys = entry >> u64(self.rpn_shift) << u64(self.page_shift)
        phys &= u64((1 << self.phys_bits) - 1)
        upper = u64(self.upper_present)
        leads = ~ends & (entry != 0) & (entry & upper == upper)
        if self.hugepd is Hugepd.TOP_BIT_CLEAR:
            leads &= entry & u64(_TOP_BIT) != 0
        elif self.hugepd is Hugepd.LOW_BITS:
            leads &= entry & u64(_LOW_SIX) == 0
        table = entry & u64(~level.clear & ((1 << 64) - 1))
        if self.virtual_pointers:
            table, linear = linear_phys_many(table)
            leads &= linear
        leads &= (table < u64(POINTER_END)) & (table & u64(7) == 0)
        return Interpreted(maps, phys, leads, table)


class Interpreted(NamedTuple):
    """Many entries of one level, understood; arrays of the same length.

    Attributes:
        maps: Whether an entry maps memory by itself.
        phys: Then, the physical address of that memory.
        leads: Whether it leads to a table.
        table: Then, the table's physical address.
    """

    maps: NDArray[np.bool_]
    phys: NDArray[np.uint64]
    leads: NDArray[np.bool_]
    table: NDArray[np.uint64]
