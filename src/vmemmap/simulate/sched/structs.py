"""Structs of the scheduler's in memory: made, their members written by name, their lists linked.

Source: Linux include/linux/list.h.
"""

from __future__ import annotations

from collections.abc import Callable

from vmemmap.simulate.memory.physical import LINEAR_MASK, PhysicalMemory, virt_of
from vmemmap.simulate.sched.task_layout import TaskLayout


def power_of_two(size: int) -> int:
    """Give the smallest power of two that is not below a size, as slabs have them."""
    return 1 << (size - 1).bit_length()


class Structs:
    """Writes structs; all addresses are physical.

    Args:
        layout: How they lie.
        memory: The machine's memory.
        alloc: Gives so many bytes of zeros, a power of two, aligned to a page at most.
    """

    def __init__(
        self, layout: TaskLayout, memory: PhysicalMemory, alloc: Callable[[int], int]
    ) -> None:
        self._layout, self._memory, self._alloc = layout, memory, alloc

    def new(self, name: str) -> int:
        """Give memory for a struct, full of zeros."""
        return self._alloc(power_of_two(self._layout[name].size))

    def put(self, struct: str, phys: int, **words: int) -> None:
        """Write members of a struct by their names."""
        fields = self._layout[struct].fields
        for name, value in words.items():
            size, _ = self._layout.size_of(fields[name].kind)
            store = self._memory.store_u64 if size == 8 else self._memory.store_u32
            store(phys + fields[name].at, value)

    def empty(self, head: int) -> None:
        """Make a list_head an empty list: INIT_LIST_HEAD()."""
        self._memory.store_u64(head, virt_of(head))
        self._memory.store_u64(head + 8, virt_of(head))

    def add_tail(self, head: int, node: int) -> None:
        """Put a list_head before *head*: list_add_tail()."""
        last = self._memory.load_u64(head + 8)
        self._memory.store_u64(node, virt_of(head))
        self._memory.store_u64(node + 8, last)
        self._memory.store_u64(last & LINEAR_MASK, virt_of(node))
        self._memory.store_u64(head + 8, virt_of(node))

    def add_head(self, head: int, node: int) -> None:
        """Put an hlist_node behind an hlist_head: hlist_add_head()."""
        first = self._memory.load_u64(head)
        self._memory.store_u64(node, first)
        self._memory.store_u64(node + 8, virt_of(head))
        if first:
            self._memory.store_u64((first & LINEAR_MASK) + 8, virt_of(node))
        self._memory.store_u64(head, virt_of(node))
