"""The radix page tables of ppc64: four levels, big-endian entries on every kernel.

The tree has the same geometry since it exists (4.7): 13, 9 and 9 bits, then 9 for 4 KiB pages or 5
for 64 KiB ones. The page tables of kernels on the hash MMU are another format and not here.

Source: Linux arch/powerpc/include/asm/book3s/64/{radix,pgtable}.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import is_power_of_two
from vmemmap.errors import NotPresent, ReadError
from vmemmap.memory import Memory, read_u64

PRESENT = 1 << 63
LEAF = 1 << 62
POINTER_MASK = ~0xC000_0000_0000_00FF & ((1 << 64) - 1)
"""What of an upper entry is the next table's physical address; the low bits hold its size."""
PHYS_BITS = 53


@dataclass(frozen=True, slots=True)
class RadixTree:
    """The kernel's radix tree.

    Attributes:
        memory: Physical memory.
        root: Physical address of the root table (swapper_pg_dir), 64 KiB long.
        page_size: The kernel's page size in bytes: 4096 or 65536.
    """

    memory: Memory
    root: int
    page_size: int

    def translate(self, virt: int) -> int:
        """Walk the tree for a kernel virtual address.

        Returns:
            The physical address. Leaves may be at any level below the root (1 GiB, 2 MiB, or one
            page).

        Raises:
            NotPresent: An entry on the way maps nothing; the error has its level and value.
            ReadError: A table is not in the dump.
        """
        assert is_power_of_two(self.page_size)
        page_shift = self.page_size.bit_length() - 1
        table = self.root
        levels = (
            ("pgd", 39, 13),
            ("pud", 30, 9),
            ("pmd", 21, 9),
            ("pte", page_shift, 21 - page_shift),
        )
        entry = 0
        for level, shift, bits in levels:
            index = virt >> shift & ((1 << bits) - 1)
            entry = read_u64(self.memory, table + 8 * index, "big")
            # The root's entries span 512 GiB, which no leaf does.
            if not entry & PRESENT or (level == "pgd" and entry & LEAF):
                raise self._not_present(virt, level, entry)
            if entry & LEAF:
                inside = (1 << shift) - 1
                return (entry & ((1 << PHYS_BITS) - 1) & ~inside) | (virt & inside)
            table = entry & POINTER_MASK
        raise self._not_present(virt, "pte", entry)

    def mapped(self, start: int, end: int) -> NDArray[np.uint64]:
        """Find all that is mapped in a range, a table at a time.

        Args:
            start: First kernel virtual address, a multiple of the page size.
            end: The address after the last, likewise.

        Returns:
            Shape (n, 3), sorted: virtual address, physical address and size (bytes) of each leaf,
            cut to the range. What a table that is not in the dump maps is left out.
        """
        page_shift = self.page_size.bit_length() - 1
        levels = ((39, 13), (30, 9), (21, 9), (page_shift, 21 - page_shift))
        parts = list(self._leaves(self.root, levels, start, end))
        return np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.uint64)

    def _leaves(
        self, table: int, levels: tuple[tuple[int, int], ...], start: int, end: int
    ) -> Iterator[NDArray[np.uint64]]:
        """Yield the leaves below one table in the order of addresses."""
        (shift, bits), below = levels[0], levels[1:]
        span, mask = 1 << shift, (1 << bits) - 1
        first, count = start >> shift, ((end - 1) >> shift) - (start >> shift) + 1
        try:
            raw = self.memory.read(table + 8 * (first & mask), 8 * count)
        except ReadError:
            return
        entries = np.frombuffer(raw, dtype=">u8").astype(np.uint64)
        virt = (np.arange(count, dtype=np.uint64) + np.uint64(first)) << np.uint64(shift)
        present = (entries & np.uint64(PRESENT)) != 0
        leaf = present & ((entries & np.uint64(LEAF)) != 0)
        if len(levels) == 4:
            present, leaf = present & ~leaf, np.zeros_like(leaf)  # the root has no leaves
        frames = np.uint64(((1 << PHYS_BITS) - 1) & ~(span - 1))
        rows = np.flatnonzero(present)
        # Leaves in a row are taken together; a table between them is followed in its place.
        for group in np.split(rows, np.flatnonzero(np.diff(leaf[rows])) + 1):
            if not len(group):
                continue
            if leaf[group[0]]:
                low = np.maximum(virt[group], np.uint64(start))
                high = np.minimum(virt[group] + np.uint64(span), np.uint64(end))
                phys = (entries[group] & frames) + (low - virt[group])
                yield np.stack([low, phys, high - low], axis=1)
            elif below:
                for row in group.tolist():
                    at = int(virt[row])
                    low_end = min(at + span, end)
                    pointer = int(entries[row]) & POINTER_MASK
                    yield from self._leaves(pointer, below, max(at, start), low_end)

    @staticmethod
    def _not_present(virt: int, level: str, entry: int) -> NotPresent:
        return NotPresent(
            f"{virt:#x} is not mapped: its {level} entry is {entry:#x}",
            virt=virt,
            level=level,
            entry=entry,
        )
