"""The runtime page allocator: power-of-two blocks of pages, node-local with fallback.

Free memory is kept as ranges of page frames. Because buddies always merge, the free blocks that
the kernel's lists would hold are just the largest aligned ones that fit into those ranges, so they
are worked out when somebody looks (`free_blocks`), and a terabyte of free memory costs nothing.
Which of several fitting blocks is taken is this model's own choice (the lowest); in the kernel it
depends on all that was freed before.

Source: Linux mm/page_alloc.c, rmqueue() and __free_one_page().
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vmemmap.simulate.memory.extents import Extents


class PageAllocator:
    """Free page frames by NUMA node.

    Attributes:
        orders: How many block sizes there are; the largest block has ``2 ** (orders - 1)`` pages.
    """

    def __init__(self, orders: int) -> None:
        self.orders = orders
        self._free: dict[int, Extents] = {}
        self._homes: dict[int, Extents] = {}
        self._cma: dict[int, Extents] = {}
        self._hints: dict[tuple[int, int], int] = {}

    @property
    def nodes(self) -> list[int]:
        """The nodes that have or had pages."""
        return sorted(self._homes)

    def adopt(self, node: int, start: int, end: int) -> None:
        """Let the page frames ``[start, end)`` belong to *node*; they are in use until freed."""
        self._homes.setdefault(node, Extents()).add(start, end)
        self._free.setdefault(node, Extents())

    def disown(self, start: int, end: int) -> None:
        """Forget page frames that have left the machine."""
        for node, home in self._homes.items():
            home.remove(start, end)
            self._free[node].remove(start, end)

    def node_of(self, pfn: int) -> int | None:
        """Tell to which node a page frame belongs; None if it is not there."""
        return next((n for n, home in self._homes.items() if home.touches(pfn, pfn + 1)), None)

    def home(self, node: int) -> Extents:
        """Give the page frames of a node, free or not."""
        return self._homes[node]

    def free_ranges(self, node: int) -> Extents:
        """Give the free page frames of a node."""
        return self._free[node]

    def free_cma(self, start: int, end: int) -> None:
        """Give the page frames of a CMA area back: free, but only for pages that can be moved away.

        The model has none that go there, so that they stay free.
        """
        for node, home in self._homes.items():
            for part in home.within(start, end):
                self._cma.setdefault(node, Extents()).add(*part)

    def cma_ranges(self, node: int) -> Extents:
        """Give the free page frames of a node's CMA areas, which `free_ranges` has not."""
        return self._cma.get(node, Extents())

    def is_free(self, start: int, end: int) -> bool:
        """Tell whether all of ``[start, end)`` is free."""
        parts = [part for free in self._free.values() for part in free.within(start, end)]
        return sum(high - low for low, high in parts) == end - start

    def alloc_pages(self, order: int, node: int) -> int | None:
        """Take ``2 ** order`` pages, aligned to their number: on *node*, else elsewhere.

        Returns:
            The first page frame number, or None when no node has such a block.
        """
        for wanted in [node, *(other for other in self.nodes if other != node)]:
            if wanted not in self._free:
                continue
            pfn = self._take(wanted, order)
            if pfn is not None:
                return pfn
        return None

    def free_pages(self, pfn: int, order: int) -> None:
        """Give ``2 ** order`` pages back; they join their free neighbours."""
        self.free_range(pfn, pfn + (1 << order))

    def free_range(self, start: int, end: int) -> None:
        """Give page frames back to the nodes that they belong to."""
        for node, home in self._homes.items():
            for part in home.within(start, end):
                self._free[node].add(*part)
                for key in [k for k, hint in self._hints.items() if k[0] == node and hint > start]:
                    del self._hints[key]

    def take_range(self, start: int, end: int) -> None:
        """Take page frames that are known to be free, whatever the order."""
        for free in self._free.values():
            free.remove(start, end)

    def suspend(self, start: int, end: int) -> list[tuple[int, int]]:
        """Keep the free page frames of ``[start, end)`` from being handed out.

        Returns:
            What was free there, for `resume`.
        """
        parts = [part for free in self._free.values() for part in free.within(start, end)]
        for low, high in parts:
            self.take_range(low, high)
        return parts

    def resume(self, parts: list[tuple[int, int]]) -> None:
        """Make page frames free again."""
        for low, high in parts:
            self.free_range(low, high)

    def free_blocks(self, node: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Yield the blocks on a node's free lists: each order with its first page frames.

        Orders ascend; frames ascend. A block is aligned to its size and as large as its
        surroundings allow.
        """
        return self._blocks_of(self._free[node])

    def cma_blocks(self, node: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Yield those on the lists of CMA areas, as `free_blocks` does the others."""
        return self._blocks_of(self.cma_ranges(node))

    def _blocks_of(self, free: Extents) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        largest = 1 << (self.orders - 1)
        small: dict[int, list[int]] = {order: [] for order in range(self.orders)}
        whole = []
        for start, end in free:
            first = min(end, -(-start // largest) * largest)
            last = max(first, end // largest * largest)
            for low, high in ((start, first), (last, end)):
                while low < high:
                    order = min(
                        (low & -low).bit_length() - 1 if low else self.orders - 1,
                        (high - low).bit_length() - 1,
                    )
                    small[order].append(low)
                    low += 1 << order
            if first < last:
                whole.append(np.arange(first, last, largest, dtype=np.int64))
        for order in range(self.orders):
            parts = [np.array(small[order], np.int64)]
            if order == self.orders - 1:
                parts += whole
            frames = np.concatenate(parts)
            frames.sort()
            if len(frames):
                yield order, frames

    def _take(self, node: int, order: int) -> int | None:
        size = 1 << order
        free = self._free[node]
        hint = self._hints.get((node, order), 0)
        for start, end in free.within(hint, 1 << 62):
            first = -(-start // size) * size
            if first + size <= end:
                free.remove(first, first + size)
                self._hints[node, order] = first
                return first
        self._hints[node, order] = 1 << 61
        return None
