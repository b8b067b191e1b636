"""Where the vmemmap is mapped: what the hash page table's bolted entries, or radix tables, hold.

One entry for each unit of virtual space, found by its number in a sparse two-level array, so that
a million blocks take eight bytes each. It is what the hardware would answer, not a list: a block
can be in one and not in the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vmemmap.distinct import distinct
from vmemmap.simulate.steps import Deed, Watcher

LEAF_SHIFT = 12
_NONE = np.uint64((1 << 64) - 1)


class VmemmapMap:
    """Virtual to physical, in units of one size.

    Attributes:
        base: Virtual address of unit 0.
        unit: Bytes of a unit.
        watch: Is told of each block that is mapped or unmapped; None for nobody.
    """

    def __init__(self, base: int, unit: int) -> None:
        self.base = base
        self.unit = unit
        self.watch: Watcher | None = None
        self._leaves: dict[int, npt.NDArray[np.uint64]] = {}

    def map(self, virt: int, phys: int, size: int) -> None:
        """Map *size* bytes, whole units, at *virt* to physically contiguous memory at *phys*."""
        if self.watch is not None:
            self.watch(Deed("map", "block", size, phys, virt))
        first = (virt - self.base) // self.unit
        for offset in range(size // self.unit):
            self._leaf(first + offset)[(first + offset) & ((1 << LEAF_SHIFT) - 1)] = (
                phys + offset * self.unit
            )

    def tell(self, deed: Deed) -> None:
        """Tell who watches of something that goes with a mapping."""
        if self.watch is not None:
            self.watch(deed)

    def map_many(self, virt: npt.NDArray[np.uint64], phys: npt.NDArray[np.uint64]) -> None:
        """Map many single units; *virt* and *phys* have equal lengths, *virt* ascends."""
        units = ((virt - np.uint64(self.base)) // np.uint64(self.unit)).astype(np.int64)
        leaves = units >> LEAF_SHIFT
        for number in distinct(leaves).tolist():
            low, high = np.searchsorted(leaves, [number, number + 1])
            inside = units[low:high] & ((1 << LEAF_SHIFT) - 1)
            self._leaf(number << LEAF_SHIFT)[inside] = phys[low:high]

    def unmap(self, virt: int, size: int) -> None:
        """Forget *size* bytes from *virt* on."""
        if self.watch is not None:
            self.watch(Deed("unmap", "block", size, self.find(virt), virt))
        first = (virt - self.base) // self.unit
        for unit in range(first, first + size // self.unit):
            leaf = self._leaves.get(unit >> LEAF_SHIFT)
            if leaf is not None:
                leaf[unit & ((1 << LEAF_SHIFT) - 1)] = _NONE

    def find(self, virt: int) -> int | None:
        """Give the physical address of a virtual one, or None."""
        unit, offset = divmod(virt - self.base, self.unit)
        leaf = self._leaves.get(unit >> LEAF_SHIFT)
        phys = _NONE if leaf is None else leaf[unit & ((1 << LEAF_SHIFT) - 1)]
        return None if phys == _NONE else int(phys) + offset

    def units(self) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]]:
        """Yield what is mapped as (virt, phys) columns, ascending by virt, a leaf at a time."""
        for number in sorted(self._leaves):
            leaf = self._leaves[number]
            inside = np.flatnonzero(leaf != _NONE)
            units = (inside + (number << LEAF_SHIFT)).astype(np.uint64)
            yield np.uint64(self.base) + units * np.uint64(self.unit), leaf[inside]

    def columns(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Give all that is mapped as two columns, virt ascending."""
        parts = list(self.units())
        if not parts:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        return np.concatenate([v for v, _ in parts]), np.concatenate([p for _, p in parts])

    def _leaf(self, unit: int) -> npt.NDArray[np.uint64]:
        number = unit >> LEAF_SHIFT
        leaf = self._leaves.get(number)
        if leaf is None:
            leaf = self._leaves[number] = np.full(1 << LEAF_SHIFT, _NONE)
        return leaf
