"""The boot allocator: top-down and node-local, as memblock is.

Its unit is the byte. It hands out for ever; what it has handed out by the end of boot is what the
page allocator then finds reserved.

Source: Linux mm/memblock.c, memblock_alloc_range_nid().
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from vmemmap.simulate.memory.extents import Extents
from vmemmap.simulate.spec.parts import MemoryRange


class Memblock:
    """Free memory by node, and what was taken from it.

    Attributes:
        reserved: All that was handed out or reserved, as byte ranges.
    """

    def __init__(self, memory: Iterable[MemoryRange]) -> None:
        self._free: dict[int, Extents] = {}
        self.reserved = Extents()
        for part in memory:
            self._free.setdefault(part.node, Extents()).add(part.start, part.end)

    def reserve(self, start: int, end: int) -> None:
        """Keep a range from being handed out."""
        for free in self._free.values():
            free.remove(start, end)
        self.reserved.add(start, end)

    def alloc(self, size: int, align: int, node: int) -> int | None:
        """Take *size* bytes, aligned to *align*, as high as they fit: on *node*, else elsewhere.

        Returns:
            The physical address, or None when no node has room.
        """
        for free in self._by_distance(node):
            for start, end in free.from_top():
                at = (end - size) // align * align
                if at >= start:
                    free.remove(at, at + size)
                    self.reserved.add(at, at + size)
                    return at
        return None

    def alloc_exact(self, size: int, align: int, node: int) -> int | None:
        """Take memory as `alloc` does, but on *node* or not at all."""
        free = self._free.get(node)
        for start, end in free.from_top() if free else ():
            at = (end - size) // align * align
            if at >= start:
                free.remove(at, at + size)  # type: ignore[union-attr]
                self.reserved.add(at, at + size)
                return at
        return None

    def free(self, start: int, end: int, node: int) -> None:
        """Give back some of what was handed out on *node*."""
        if start < end:
            self.reserved.remove(start, end)
            self._free[node].add(start, end)

    def alloc_many(self, count: int, size: int, node: int) -> npt.NDArray[np.uint64]:
        """Take up to *count* pieces of *size* bytes, aligned to *size*, as `alloc` would in turn.

        Only the highest range of *node* in which one fits is looked at, so fewer may come back;
        the caller asks again, and asks `alloc` when none does.

        Returns:
            Their physical addresses, in the order of handing out: descending.
        """
        free = self._free.get(node)
        for start, end in free.from_top() if free else ():
            top = end // size * size
            fits = min(count, (top - start) // size if top > start else 0)
            if fits > 0:
                low = top - fits * size
                free.remove(low, top)  # type: ignore[union-attr]
                self.reserved.add(low, top)
                steps = np.arange(1, fits + 1, dtype=np.uint64)
                return np.uint64(top) - steps * np.uint64(size)
        return np.empty(0, np.uint64)

    def free_ranges(self, node: int) -> Extents:
        """Give what is still free on a node, as byte ranges."""
        return self._free[node]

    def _by_distance(self, node: int) -> list[Extents]:
        """Give the nodes' free memory, the wanted one first, then by number."""
        others = sorted(number for number in self._free if number != node)
        wanted = [self._free[node]] if node in self._free else []
        return wanted + [self._free[number] for number in others]
