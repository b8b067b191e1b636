"""The tree of a PID namespace since 4.15: an XArray since 4.20, a radix tree before.

::

    root -> node (shift 6) -> slots[pid >> 6] -> node (shift 0) -> slots[pid & 63] -> struct pid

A pointer to a node has a mark in its low bits, a pointer to an entry has none. The tags by which
the kernel finds a free number are not there.

Source: Linux lib/radix-tree.c, lib/xarray.c, lib/idr.c.
"""

from __future__ import annotations

from collections.abc import Callable

from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.sched.structs import power_of_two
from vmemmap.simulate.sched.task_layout import SLOTS_SHIFT, XARRAY, TaskLayout

_SLOTS = 1 << SLOTS_SHIFT
_INTERNAL = {False: 1, True: 2}
"""The mark of a node, in a radix tree and in an XArray."""


class PidTree:
    """Writes one such tree."""

    def __init__(
        self,
        kernel: Kernel,
        memory: PhysicalMemory,
        layout: TaskLayout,
        alloc: Callable[[int], int],
    ) -> None:
        xarray = kernel.at(XARRAY)
        self._memory, self._alloc = memory, alloc
        self._mark = _INTERNAL[xarray]
        self._root = layout["xarray" if xarray else "radix_tree_root"]
        self._node = layout["xa_node" if xarray else "radix_tree_node"]
        self._top = self._root.at("xa_head" if xarray else "rnode")
        self._owner = "array" if xarray else "root"

    def write(self, root: int, entries: dict[int, int]) -> None:
        """Write the tree of *entries*, an address for each number, below the root at *root*."""
        shift = 0
        while max(entries) >> shift + SLOTS_SHIFT:
            shift += SLOTS_SHIFT
        top = self._write_node(root, entries, shift, None, 0)
        self._memory.store_u64(root + self._top, virt_of(top) | self._mark)

    def _write_node(
        self, root: int, entries: dict[int, int], shift: int, parent: int | None, offset: int
    ) -> int:
        node = self._alloc(power_of_two(self._node.size))
        slots = dict[int, int]()
        for slot in sorted({number >> shift & _SLOTS - 1 for number in entries}):
            inside = {
                number: entry
                for number, entry in entries.items()
                if number >> shift & _SLOTS - 1 == slot
            }
            if shift:
                below = self._write_node(root, inside, shift - SLOTS_SHIFT, node, slot)
                slots[slot] = virt_of(below) | self._mark
            else:
                (slots[slot],) = inside.values()
        for slot, value in slots.items():
            self._memory.store_u64(node + self._node.at("slots") + 8 * slot, value)
        self._memory.write(node, bytes([shift, offset, len(slots)]))
        self._memory.store_u64(
            node + self._node.at("parent"), 0 if parent is None else virt_of(parent)
        )
        self._memory.store_u64(node + self._node.at(self._owner), virt_of(root))
        return node
