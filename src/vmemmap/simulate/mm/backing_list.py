"""vmemmap_list and the allocator of its nodes, as the kernel has them, era by era.

A node is ``struct vmemmap_backing {list, phys, virt_addr}``, three words. Nodes are cut from whole
pages in ascending order and pushed at the head of the list, so the newest block comes first. There
is no lock here: whoever calls must keep others out, and `BackingList` asserts that somebody does.

`ChunkList` is the patch of 2010. `FreeListList`, since 3.17, unlinks the nodes of removed blocks
and hands them out again, last in first out.

Source: Linux arch/powerpc/mm/init_64.c, vmemmap_list_alloc(), vmemmap_list_populate(),
vmemmap_list_free(); the list came with commit 91eea67c6d87 (in v2.6.35).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import KernelMemory, PhysicalMemory, phys_of
from vmemmap.simulate.steps import Steps, Task, kernel_function

NODE_BYTES = 24
LIST_AT, PHYS_AT, VIRT_ADDR_AT = 0, 8, 16
"""Offsets of the node's three words."""

AllocNodePage = Callable[[int], int | None]
"""Gives a fresh page for nodes on a NUMA node, by its linear-map address; None on failure."""
AssertHeld = Callable[[Task], None]
Warn = Callable[[Task, str], None]
"""Is told of each WARN_ON(1): by which task, and in which function."""


class VmemmapBacking(NamedTuple):
    """One entry of the list: the address of its struct vmemmap_backing, and two of its members."""

    node: int
    phys: int
    virt_addr: int

    def __repr__(self) -> str:
        node, phys, virt = map(hex, self)
        return f"VmemmapBacking(node={node}, phys={phys}, virt_addr={virt})"


def walk_list(memory: PhysicalMemory) -> Iterator[VmemmapBacking]:
    """Follow the list from its head, newest entry first.

    It trusts the list, and only ends where a node comes that was there before;
    `vmemmap.open` on the dump is the careful way.
    """
    node = memory.load_u64(image_of(memory).phys["vmemmap_list"])
    seen = set()
    while node and node not in seen:
        seen.add(node)
        here = phys_of(node)
        following = memory.load_u64(here + LIST_AT)
        yield VmemmapBacking(
            node, memory.load_u64(here + PHYS_AT), memory.load_u64(here + VIRT_ADDR_AT)
        )
        node = following


class ChunkList:
    """The patch itself (2.6.35 to 3.16): nodes from pages, never given back."""

    def __init__(
        self,
        memory: KernelMemory,
        kernel: Kernel,
        alloc_page: AllocNodePage,
        assert_held: AssertHeld,
        warn: Warn,
    ) -> None:
        self.memory = memory
        self._virt = image_of(kernel).virt
        self.nodes_per_page = kernel.page_size // NODE_BYTES
        self.warning = kernel.at(eras.LIST_WARNS)
        self.alloc_page = alloc_page
        self.assert_held = assert_held
        self.warn = warn

    def vmemmap_list_alloc(self, task: Task, node: int) -> Steps[int]:
        """Hand out a node; 0 when no page can be had for one.

        ``next`` moves on before the node is used, and ``num_left`` before it, so that a crash in
        between loses a slot and never hands one out twice.
        """
        memory = self.memory
        taken = yield from memory.load(self._virt["next"])
        left = yield from memory.load_int(self._virt["num_left"])
        if not taken or not left:
            taken = yield from self._fresh_page(task, node)
            if not taken:
                return 0
            left = self.nodes_per_page
        yield from memory.store_int(self._virt["num_left"], left - 1)
        yield from memory.store(self._virt["next"], taken + NODE_BYTES)
        return taken

    @kernel_function
    def vmemmap_list_populate(self, task: Task, phys: int, start: int, node: int) -> Steps[bool]:
        """Record that the block at *phys* backs the vmemmap from *start* on.

        Returns:
            False when there was no node for it; the list is as it was.
        """
        self.assert_held(task)
        memory = self.memory
        task.calls.append("vmemmap_list_populate")
        entry = yield from self.vmemmap_list_alloc(task, node)
        if not entry:
            self._warn_on(task, "vmemmap_list_populate")
            return False
        yield from memory.store(entry + PHYS_AT, phys)
        yield from memory.store(entry + VIRT_ADDR_AT, start)
        head = yield from memory.load(self._virt["vmemmap_list"])
        yield from memory.store(entry + LIST_AT, head)
        yield from memory.store(self._virt["vmemmap_list"], entry)
        return True

    def vmemmap_list_free(self, task: Task, start: int) -> Steps[int]:
        """Does nothing: this era never takes a node off the list.

        Returns:
            0, as if no block were known.
        """
        self.assert_held(task)
        return 0
        yield  # pragma: no cover (makes this a generator, like its successor)

    def _fresh_page(self, task: Task, node: int) -> Steps[int]:
        """Take a page for nodes; ``next`` is NULL when there is none."""
        page = self.alloc_page(node) or 0
        yield from self.memory.store(self._virt["next"], page)
        if page:
            yield from self.memory.store_int(self._virt["num_left"], self.nodes_per_page)
        else:
            self._warn_on(task, "vmemmap_list_alloc")
        return page

    def _warn_on(self, task: Task, function: str) -> None:
        """Go through the WARN_ON(1) of a function, where this kernel has one."""
        if function in self.warning:
            self.warn(task, function)


class FreeListList(ChunkList):
    """Since 3.17: the nodes of removed blocks are kept on a stack and used first.

    The bottom of the stack is the place in the page where fresh nodes go on, so that ``next``
    serves both.
    """

    def vmemmap_list_alloc(self, task: Task, node: int) -> Steps[int]:
        """Hand out the node freed last, else a fresh one; 0 when no page can be had."""
        memory = self.memory
        freed = yield from memory.load_int(self._virt["num_freed"])
        if freed:
            yield from memory.store_int(self._virt["num_freed"], freed - 1)
            taken = yield from memory.load(self._virt["next"])
            below = yield from memory.load(taken + LIST_AT)
            yield from memory.store(self._virt["next"], below)
            return taken
        left = yield from memory.load_int(self._virt["num_left"])
        if left:
            taken = yield from memory.load(self._virt["next"])
        else:
            taken = yield from self._fresh_page(task, node)
            if not taken:
                return 0
            left = self.nodes_per_page
        yield from memory.store_int(self._virt["num_left"], left - 1)
        yield from memory.store(self._virt["next"], taken + NODE_BYTES)
        return taken

    def vmemmap_list_free(self, task: Task, start: int) -> Steps[int]:
        """Take the node of the block at *start* off the list.

        Returns:
            The physical address of the block, or 0 when the list does not have it.
        """
        self.assert_held(task)
        memory = self.memory
        head = yield from memory.load(self._virt["vmemmap_list"])
        before = entry = head
        while entry:
            if (yield from memory.load(entry + VIRT_ADDR_AT)) == start:
                break
            before, entry = entry, (yield from memory.load(entry + LIST_AT))
        else:
            self._warn_on(task, "vmemmap_list_free")
            return 0
        after = yield from memory.load(entry + LIST_AT)
        if entry == head:
            yield from memory.store(self._virt["vmemmap_list"], after)
        else:
            yield from memory.store(before + LIST_AT, after)
        stack = yield from memory.load(self._virt["next"])
        yield from memory.store(entry + LIST_AT, stack)
        yield from memory.store(self._virt["next"], entry)
        freed = yield from memory.load_int(self._virt["num_freed"])
        yield from memory.store_int(self._virt["num_freed"], freed + 1)
        return (yield from memory.load(entry + PHYS_AT))
