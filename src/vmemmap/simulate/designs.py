"""The patch's own history as variants to compare: what an insertion costs in v1, v2 and v3.

v3, which the kernel took, links its nodes by one pointer. v2 used an hlist, whose nodes carry a
second pointer for removal that nobody needed yet. v1 had a spinlock of its own. Here each runs on
real bytes and is walked afterwards by its own pointers, so that what is counted is known to work.

Only what is known is compared. v3 says that it added the allocator which cuts nodes from pages; the
posts of v1 and v2 were not found. That each of their nodes comes from an allocation of its size is
this model's assumption, and so is the ring of v1 (``list_head``, as kernel code of the day had it).
Of waste and of nodes in a page nothing is said for them.

Source: the patch "powerpc: Track backing pages allocated by vmemmap_populate()", v3; Linux
include/linux/list.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.simulate.memory.physical import KernelMemory, PhysicalMemory, virt_of
from vmemmap.simulate.steps import Access, Steps

HEAD, LOCK = 0x1000, 0x1080
"""Where the head and the spinlock lie; nodes begin at `FIRST_NODE`."""
FIRST_NODE = 1 << 20
BLOCKS_FROM = 1 << 40
VIRT_FROM = 0xC00C << 48
TRIED = 1 << 12
"""At most so many blocks are really recorded; each insertion after the first is like the last."""


@dataclass(frozen=True, slots=True)
class DesignCost:
    """What a design costs for a number of blocks.

    Attributes:
        name: The design.
        node_bytes: Bytes of a node.
        bytes: Bytes of the nodes of all blocks, without what their allocator needs.
        loads: Loads for one insertion into a list that is not empty.
        stores: Stores for one insertion into a list that is not empty, its lock's included.
        lock: What it needs against a second CPU.
        node_from: Where a node comes from, and whether that is known.
        reader: What whoever reads a dump has to know to walk the list.
    """

    name: str
    node_bytes: int
    bytes: int
    loads: int
    stores: int
    lock: str
    node_from: str
    reader: str


class Design:
    """v3: a node is {list, phys, virt_addr}, pushed at the head by one store."""

    name = "v3: singly linked"
    node_bytes = 24
    lock = "the caller's"
    node_from = "cut from pages, by vmemmap_list_alloc()"
    reader = "follows list (at 0 in a node) until NULL"

    def __init__(self, order: ByteOrder) -> None:
        self.memory = KernelMemory(PhysicalMemory(order))
        self._next = virt_of(FIRST_NODE)

    def insert(self, phys: int, virt: int) -> Steps[None]:
        """Record a block."""
        node = self._node()
        memory, head = self.memory, virt_of(HEAD)
        yield from memory.store(node + 8, phys)
        yield from memory.store(node + 16, virt)
        first = yield from memory.load(head)
        yield from memory.store(node, first)
        yield from memory.store(head, node)

    def walk(self) -> Iterator[tuple[int, int]]:
        """Yield (phys, virt) of each block, head first."""
        read = self.memory.physical.load_u64
        node = read(HEAD)
        while node:
            at = node - virt_of(0)
            yield read(at + self.node_bytes - 16), read(at + self.node_bytes - 8)
            node = read(at)

    def _node(self) -> int:
        """Take memory for a node: what that costs is the allocator's, and not compared."""
        node = self._next
        self._next += self.node_bytes
        return node


ASSUMED = "an allocation of its size each (assumed: it is not known)"


class HlistDesign(Design):
    """v2: hlist_add_head(); the second pointer says who points here."""

    name = "v2: hlist"
    node_bytes = 32
    node_from = ASSUMED
    reader = "follows next (at 0 in a node) until NULL"

    def insert(self, phys: int, virt: int) -> Steps[None]:
        """Record a block."""
        node = self._node()
        memory, head = self.memory, virt_of(HEAD)
        yield from memory.store(node + 16, phys)
        yield from memory.store(node + 24, virt)
        first = yield from memory.load(head)
        yield from memory.store(node, first)
        if first:
            yield from memory.store(first + 8, node)
        yield from memory.store(head, node)
        yield from memory.store(node + 8, head)


class DoublyLinkedDesign(Design):
    """v1: list_add() into a ring with a head, between spin_lock() and spin_unlock()."""

    name = "v1: doubly linked, spinlock"
    node_bytes = 32
    lock = "its own spinlock"
    node_from = ASSUMED
    reader = "follows next (at 0 in a node) until it is back at the head's address"

    def __init__(self, order: ByteOrder) -> None:
        super().__init__(order)
        self.memory.physical.store_u64(HEAD, virt_of(HEAD))
        self.memory.physical.store_u64(HEAD + 8, virt_of(HEAD))

    def insert(self, phys: int, virt: int) -> Steps[None]:
        """Record a block."""
        node = self._node()
        memory, head = self.memory, virt_of(HEAD)
        yield from memory.store(node + 16, phys)
        yield from memory.store(node + 24, virt)
        yield from memory.store_int(virt_of(LOCK), 1)
        first = yield from memory.load(head)
        yield from memory.store(first + 8, node)
        yield from memory.store(node, first)
        yield from memory.store(node + 8, head)
        yield from memory.store(head, node)
        yield from memory.store_int(virt_of(LOCK), 0)

    def walk(self) -> Iterator[tuple[int, int]]:
        """Yield (phys, virt) of each block, head first."""
        read = self.memory.physical.load_u64
        node = read(HEAD)
        while node != virt_of(HEAD):
            at = node - virt_of(0)
            yield read(at + 16), read(at + 24)
            node = read(at)


DESIGNS: tuple[type[Design], ...] = (DoublyLinkedDesign, HlistDesign, Design)


def compare_designs(blocks: int, order: ByteOrder) -> list[DesignCost]:
    """Record blocks in each design, and say what *blocks* of them cost.

    Args:
        blocks: How many.
        order: Byte order of the kernel.

    Raises:
        AssertionError: A design does not give back what was put in; it would be a bug here.
    """
    return [_cost(design, blocks, order) for design in DESIGNS]


def _cost(design: type[Design], blocks: int, order: ByteOrder) -> DesignCost:
    made = design(order)
    # Two at least: the second insertion is the one that finds a list.
    put = [
        (BLOCKS_FROM + (i << 16), VIRT_FROM + (i << 16)) for i in range(min(max(2, blocks), TRIED))
    ]
    for phys, virt in put:
        accesses = list(made.insert(phys, virt))
    assert list(made.walk()) == put[::-1], f"{made.name} lost a block"
    return DesignCost(
        name=made.name,
        node_bytes=made.node_bytes,
        bytes=blocks * made.node_bytes,
        loads=accesses.count(Access.LOAD),
        stores=accesses.count(Access.STORE),
        lock=made.lock,
        node_from=made.node_from,
        reader=made.reader,
    )
