"""Small simulated machines for the tests, and a model of their list that knows no kernel code.

`ListModel` works with plain sets: which 2 MiB parts of memory are valid, which virtual block
addresses are on the list, newest first. It never looks at simulated memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from simulate.kernel_history import (
    NODE_ALLOCATOR,
    POPULATED,
    History,
    Numbers,
    ascending,
    numbers_of,
)
from vmemmap.simulate import FaultPlan, HotplugEvent, Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.kernel import Kernel

M = 1 << 20
SECTION = 16 * M
PART = 2 * M
NODE = 24

RELEASES = (
    *("2.6.35", "2.6.38", "3.2", "3.10", "3.16", "3.17", "4.4", "4.7", "4.12", "4.14", "4.18"),
    *("4.19", "5.0", "5.2", "5.3", "5.5", "5.6", "5.10", "6.1", "6.6", "6.12", "7.3"),
)
"""Kernels of every stretch of the tracking's history; see `sides` for both sides of a change."""
CHUNK_RELEASES = tuple(r for r in RELEASES if NODE_ALLOCATOR[r] == "chunks")
FREE_LIST_RELEASES = tuple(r for r in RELEASES if NODE_ALLOCATOR[r] == "free list")
BOOT = (MemoryRange(0, 0, 32 * M), MemoryRange(1, 64 * M, 32 * M))
"""Two NUMA nodes with a hole between them."""


def version_of(release: str) -> Numbers:
    """Major and minor number."""
    return numbers_of(release)[:2]


def sides(history: History[Any]) -> list[str]:
    """`RELEASES`, and those on both sides of each change of *history*; what it knows of them."""
    return [release for release in ascending((*history.edges, *RELEASES)) if release in history]


def small_spec(release: str, memory: Iterable[MemoryRange] = BOOT, **more: Any) -> MachineSpec:
    """A machine with 64 KiB blocks, or base pages where 64 KiB cannot be, and nothing in use."""
    page_size = more.setdefault("page_size", 65536)
    if "block_size" not in more:
        sizes = Kernel(release, page_size, "little", more.get("mmu", "hash"), 64).block_sizes(0)
        more["block_size"] = sizes[0]
    more.setdefault("pages", PagePlan(vmalloc=0))
    more.setdefault("struct_page_size", 64)  # in every release, so that tests can count in it
    return MachineSpec(memory=tuple(memory), release=release, **more)


def small_machine(release: str, memory: Iterable[MemoryRange] = BOOT, **more: Any) -> Machine:
    """The same, made but not booted."""
    return Machine(small_spec(release, memory, **more))


def add(start: int, size: int = SECTION, node: int = 0, **more: Any) -> HotplugEvent:
    return HotplugEvent("add", start, size, node, **more)


def remove(start: int, size: int = SECTION, **more: Any) -> HotplugEvent:
    return HotplugEvent("remove", start, size, **more)


def faults(**plan: Any) -> FaultPlan:
    return FaultPlan(**plan)


def virts(machine: Machine) -> list[int]:
    """The blocks on the list, newest first."""
    return [virt for _node, _phys, virt in machine.walk()]


def mapped_blocks(machine: Machine) -> dict[int, int]:
    """What the hardware would translate: virtual block address to physical."""
    virt, phys = machine.vmemmap.map.columns()
    return {
        int(v): int(p)
        for v, p in zip(virt, phys, strict=True)
        if (int(v) - machine.kernel.vmemmap_base) % machine.block_size == 0
    }


class NodePages:
    """Notes the pages that a machine takes for its nodes, from before it boots."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.pages: list[int] = []
        self._take = machine.supply.alloc_node_page
        machine.supply.alloc_node_page = self._note  # type: ignore[method-assign]
        machine.tracker.alloc_page = self._note

    def _note(self, node: int) -> int | None:
        page = self._take(node)
        if page is not None:
            self.pages.append(page)
        return page

    @property
    def slots(self) -> int:
        """How many nodes a page holds."""
        return self.machine.kernel.page_size // NODE

    def all_slots(self) -> list[int]:
        """Every place for a node, in the order in which the patch hands them out."""
        return [page + NODE * slot for page in self.pages for slot in range(self.slots)]


class ListModel:
    """Which blocks should be on the list: sets and a Python list."""

    def __init__(self, kernel: Kernel, block_size: int) -> None:
        self.kernel = kernel
        self.block_size = block_size
        self.parts: set[int] = set()
        """Numbers of the valid 2 MiB parts of memory."""
        self.blocks: list[int] = []
        """Numbers of the listed blocks, newest first."""
        self.frees = NODE_ALLOCATOR[kernel.release] == "free list"
        self.whole_sections = "by sections" in POPULATED[kernel.release]
        self.raw = "block's start" in POPULATED[kernel.release]

    @classmethod
    def of(cls, machine: Machine) -> ListModel:
        model = cls(machine.kernel, machine.block_size)
        for part in sorted(machine.spec.memory, key=lambda part: part.start):
            for start in range(part.start, part.end, SECTION):
                model.add(start, SECTION)
        return model

    def add(self, start: int, size: int) -> None:
        for low in range(start, start + size, SECTION):
            high = min(low + SECTION, start + size)
            for block in self._blocks(low, high):
                if not self._backed(block):
                    self.blocks.insert(0, block)
            self.parts |= set(range(low // PART, high // PART))

    def remove(self, start: int, size: int) -> None:
        for low in range(start, start + size, SECTION):
            high = min(low + SECTION, start + size)
            self.parts -= set(range(low // PART, high // PART))
            for block in self._blocks(low, high) if self.frees else ():
                if not self._backed(block) and block in self.blocks:
                    self.blocks.remove(block)

    def virts(self) -> list[int]:
        return [self.kernel.vmemmap_base + block * self.block_size for block in self.blocks]

    def _memmap(self, phys: int) -> int:
        """Offset in the vmemmap of the struct page for an address."""
        return phys // self.kernel.page_size * self.kernel.struct_page_size

    def _blocks(self, low: int, high: int) -> range:
        """Numbers of the blocks that hold the struct pages of ``[low, high)``."""
        return range(
            self._memmap(low) // self.block_size, -(-self._memmap(high) // self.block_size)
        )

    def _backed(self, block: int) -> bool:
        """Whether memory that is valid has struct pages in a block, as this kernel finds out.

        A kernel that asks by sections counts a section as valid when its first part is.
        """
        unit = SECTION if self.whole_sections else PART
        stride = self._memmap(unit)
        first = block * self.block_size
        if self.raw:
            asked = {at // stride for at in range(first, first + self.block_size, stride)}
        else:
            asked = set(range(first // stride, (first + self.block_size - 1) // stride + 1))
        return any(number * unit // PART in self.parts for number in asked)


releases = st.sampled_from(RELEASES)
byte_orders = st.sampled_from(["little", "big"])


@st.composite
def specs(draw: st.DrawFn, releases: st.SearchStrategy[str] = releases) -> MachineSpec:
    """Any small machine: eras, MMUs, page, block and struct page sizes, nodes, holes."""
    release = draw(releases)
    page_size = draw(st.sampled_from([4096, 65536]))
    radix = version_of(release) >= (4, 7) and draw(st.booleans())
    mmu = "radix" if radix else "hash"
    struct_page_size = draw(st.sampled_from([56, 64]))
    memory = [MemoryRange(draw(st.integers(0, 2)), 0, 32 * M)]
    at = 32 * M
    for _ in range(draw(st.integers(0, 3))):
        at += SECTION * draw(st.integers(0, 5))
        size = SECTION * draw(st.integers(1, 3))
        memory.append(MemoryRange(draw(st.integers(0, 2)), at, size))
        at += size
    kernel = Kernel(release, page_size, "little", "radix" if radix else "hash", struct_page_size)
    block_size = draw(st.sampled_from(kernel.block_sizes(0)))
    order = draw(st.permutations(memory)) if draw(st.booleans()) else memory
    return MachineSpec(
        memory=tuple(order),
        release=release,
        page_size=page_size,
        byte_order=draw(byte_orders),  # type: ignore[arg-type]
        mmu=mmu,  # type: ignore[arg-type]
        struct_page_size=struct_page_size,
        block_size=block_size,
        pages=PagePlan(vmalloc=draw(st.sampled_from([0, 8]))),
    )
