"""The patch's own history as variants to measure: what the list costs in v1, v2 and v3.

v3, which the kernel took, links its nodes by one pointer. v2 used an hlist, whose nodes carry a
second pointer for removal that nobody needed yet. v1 was an ordinary doubly linked list under a
spinlock of its own. All three cut nodes from whole pages; here each runs on real bytes, and is
walked afterwards by its own pointers, so that what is measured is known to work.

Source: the patch "powerpc: Track backing pages allocated by vmemmap_populate()", v1 to v3; Linux
include/linux/list.h.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.simulate.memory.physical import KernelMemory, PhysicalMemory, virt_of
from vmemmap.simulate.steps import Access, Steps

HEAD, LOCK = 0x1000, 0x1080
"""Where the head and the spinlock lie; nodes begin at `FIRST_PAGE`."""
FIRST_PAGE = 1 << 20
BLOCKS_FROM = 1 << 40
VIRT_FROM = 0xC00C << 48
MEASURED = 1 << 16


@dataclass(frozen=True, slots=True)
class DesignCost:
    """What a design costs for a number of blocks.

    Attributes:
        name: The design.
        node_bytes: Bytes of a node.
        nodes_per_page: How many are cut from a page.
        pages: Pages taken.
        bytes: The same in bytes.
        waste_bytes: Of those, not used by any node.
        loads: Loads for one insertion into a list that is not empty.
        stores: Stores for one insertion into a list that is not empty, its lock's included.
        lock: What it needs against a second CPU.
        nanoseconds: What one insertion took in the model on this machine, measured over at most
            `MEASURED` of them.
    """

    name: str
    node_bytes: int
    nodes_per_page: int
    pages: int
    bytes: int
    waste_bytes: int
    loads: int
    stores: int
    lock: str
    nanoseconds: float


class Design:
    """v3: a node is {list, phys, virt_addr}, pushed at the head by one store."""

    name = "v3: singly linked"
    node_bytes = 24
    lock = "the caller's"

    def __init__(self, page_size: int, order: ByteOrder) -> None:
        self.page_size = page_size
        self.memory = KernelMemory(PhysicalMemory(order))
        self.pages = 0
        self._next = self._left = 0

    @property
    def nodes_per_page(self) -> int:
        """How many nodes are cut from a page."""
        return self.page_size // self.node_bytes

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
        """Cut a node from the current page, or from a fresh one."""
        if not self._left:
            self._next = virt_of(FIRST_PAGE + self.pages * self.page_size)
            self._left = self.nodes_per_page
            self.pages += 1
        self._left -= 1
        node = self._next
        self._next += self.node_bytes
        return node


class HlistDesign(Design):
    """v2: hlist_add_head(); the second pointer says who points here."""

    name = "v2: hlist"
    node_bytes = 32

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

    def __init__(self, page_size: int, order: ByteOrder) -> None:
        super().__init__(page_size, order)
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


def compare_designs(blocks: int, page_size: int, order: ByteOrder) -> list[DesignCost]:
    """Record *blocks* blocks in each design, and say what that costs.

    Args:
        blocks: How many; 0 costs nothing in any of them.
        page_size: From which nodes are cut, in bytes.
        order: Byte order of the kernel.

    Raises:
        AssertionError: A design does not give back what was put in; it would be a bug here.
    """
    return [_measure(design, blocks, page_size, order) for design in DESIGNS]


def _measure(design: type[Design], blocks: int, page_size: int, order: ByteOrder) -> DesignCost:
    made = design(page_size, order)
    count = min(blocks, MEASURED)
    put = [(BLOCKS_FROM + i * page_size, VIRT_FROM + i * page_size) for i in range(count)]
    began = time.perf_counter_ns()
    for phys, virt in put:
        for _access in made.insert(phys, virt):
            pass
    elapsed = time.perf_counter_ns() - began
    assert list(made.walk()) == put[::-1], f"{made.name} lost a block"
    probe = design(page_size, order)
    for _access in probe.insert(0, 0):
        pass
    accesses = list(probe.insert(0, 0))
    pages = -(-blocks // made.nodes_per_page)
    size = pages * page_size
    return DesignCost(
        name=made.name,
        node_bytes=made.node_bytes,
        nodes_per_page=made.nodes_per_page,
        pages=pages,
        bytes=size,
        waste_bytes=size - blocks * made.node_bytes,
        loads=accesses.count(Access.LOAD),
        stores=accesses.count(Access.STORE),
        lock=made.lock,
        nanoseconds=elapsed / count if count else 0.0,
    )
