"""Plays the kernel's allocation and freeing of vmemmap_backing nodes.

Yields where each node lies and in what order the list runs; writes no bytes.
Reference: ppc64-kernel.md 1.1 and 1.2.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

NODE_BYTES = 24
NodeOrder = Literal["boot", "shuffled"]


class Block(NamedTuple):
    """One backing block: virtual (vmemmap) and physical byte address."""

    virt: int
    phys: int


class Entry(NamedTuple):
    """One list node: its own virtual address, and the ``phys`` and ``virt_addr`` it holds."""

    node: int
    phys: int
    virt: int


class FreedNode(NamedTuple):
    """A node on the free list: *link* is what its ``list`` field holds, the rest is stale."""

    node: int
    link: int
    phys: int
    virt: int


@dataclass(slots=True)
class NodeList:
    """vmemmap_list and the allocator behind it.

    Attributes:
        page_size: Bytes of a node page; it is cut into ``page_size // 24`` nodes.
        take_page: Returns the virtual address of a fresh node page.
        listed: Entries on the list by block address, oldest first.
        freed: Nodes on the free list, most recently freed last.
        next_free: The kernel's static ``next``: a freed node or the next unused one.
        num_left: Unused nodes left in the current node page.
    """

    page_size: int
    take_page: Callable[[], int]
    listed: dict[int, Entry] = field(default_factory=dict)
    freed: list[FreedNode] = field(default_factory=list)
    next_free: int = 0
    num_left: int = 0

    def populate(self, block: Block) -> None:
        """Give *block* a node and push it at the head of the list."""
        self.listed[block.virt] = Entry(self._take(), block.phys, block.virt)

    def remove(self, virt: int) -> Block:
        """Unlink the node of the block at *virt*; the node goes to the free list (LIFO)."""
        entry = self.listed.pop(virt)
        self.freed.append(FreedNode(entry.node, self.next_free, entry.phys, entry.virt))
        self.next_free = entry.node
        return Block(entry.virt, entry.phys)

    def _take(self) -> int:
        node = self.next_free
        if self.freed:
            self.next_free = self.freed.pop().link
            return node
        if self.num_left == 0:
            node = self.take_page()
            self.num_left = self.page_size // NODE_BYTES
        self.num_left -= 1
        self.next_free = node + NODE_BYTES
        return node

    def head_first(self) -> tuple[Entry, ...]:
        """The list as a walker meets it: newest first."""
        return tuple(reversed(self.listed.values()))


def fill_list(
    nodes: NodeList,
    blocks: Sequence[Block],
    *,
    node_order: NodeOrder,
    hot_removed: int,
    rng: random.Random,
) -> None:
    """Populate *blocks* in order, then mix the list up the way memory hotplug does.

    Args:
        nodes: An empty list.
        blocks: In population order.
        node_order: ``"shuffled"`` removes half of the blocks (two at least) and adds them again
            in another order, so that freed nodes are used again.
        hot_removed: How many blocks, chosen by *rng*, to remove for good at the end. Their nodes
            stay behind on the free list with stale values.
        rng: Source of the choices.
    """
    for block in blocks:
        nodes.populate(block)
    if node_order == "shuffled" and len(blocks) > 1:
        chosen = rng.sample(list(blocks), max(2, len(blocks) // 2))
        for block in chosen:
            nodes.remove(block.virt)
        rng.shuffle(chosen)
        for block in chosen:
            nodes.populate(block)
    for block in rng.sample(list(blocks), hot_removed):
        nodes.remove(block.virt)
