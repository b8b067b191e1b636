"""One page of list nodes, taken as arrays, and the runs in it.

Nodes are cut from whole pages in rising order and pushed at the head, so a walk from the head
mostly runs through a page downwards, slot by slot. Nodes that were freed are used again last first,
which makes runs upwards. Both kinds are found here once for the whole page.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.facts.backing import BackingLayout


class NodePage:
    """One page of nodes, decoded for one alignment of the nodes in it.

    Args:
        data: The bytes of whole slots; what follows the last whole one is left alone.
        virt: Virtual address of the first slot.
        layout: Where a node's members lie.

    Attributes:
        virt: As given.
        list: The list member of each slot, a view that gives plain ints; likewise phys, virt_addr.
        run_end: For each slot, the slot at the end of the run through it: from each slot of a run
            the list goes to its neighbour on the same side. The slot itself where there is no run.
    """

    list: memoryview[int]
    phys: memoryview[int]
    virt_addr: memoryview[int]
    run_end: memoryview[int]

    __slots__ = ("_columns", "list", "phys", "run_end", "virt", "virt_addr")

    def __init__(self, data: bytes, virt: int, layout: BackingLayout) -> None:
        word = numpy_prefix(layout.order) + "u8"
        slots = len(data) // layout.size
        record = np.dtype(
            {
                "names": ["list", "phys", "virt"],
                "formats": [word] * 3,
                "offsets": [layout.list_offset, layout.phys_offset, layout.virt_offset],
                "itemsize": layout.size,
            }
        )
        nodes = np.frombuffer(data, dtype=record, count=slots)
        following, phys, virt_addr = (
            nodes[name].astype(np.uint64) for name in ("list", "phys", "virt")
        )
        own = np.uint64(virt) + np.arange(slots, dtype=np.uint64) * np.uint64(layout.size)
        self.virt = virt
        self._columns = (own, phys, virt_addr)
        self.list = following.data
        self.phys = phys.data
        self.virt_addr = virt_addr.data
        self.run_end = _run_ends(own, following, layout.size).data

    def columns(self, first: int, last: int) -> tuple[NDArray[np.uint64], ...]:
        """Give node, phys and virt_addr of the slots from *first* to *last*, in that order.

        Both are included; *last* may be the lower one.
        """
        if first > last:
            return tuple(column[last : first + 1][::-1] for column in self._columns)
        return tuple(column[first : last + 1] for column in self._columns)


def _run_ends(
    own: NDArray[np.uint64], following: NDArray[np.uint64], node_size: int
) -> NDArray[np.int64]:
    slots = len(own)
    size = np.uint64(node_size)
    down = following == own - size
    down[0] = False  # the neighbour below is in another page
    if down[1:].all():  # a whole page as the boot makes it, by far the most common
        return np.zeros(slots, dtype=np.int64)
    index = np.arange(slots)
    up = following == own + size
    up[-1] = False
    lowest = np.maximum.accumulate(np.where(down, 0, index))
    highest = np.minimum.accumulate(np.where(up, slots, index)[::-1])[::-1]
    return np.where(down, lowest, highest)
