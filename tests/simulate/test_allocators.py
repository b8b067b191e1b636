"""Both allocators against models that count pages one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vmemmap.simulate import MemoryRange
from vmemmap.simulate.memory.memblock import Memblock
from vmemmap.simulate.memory.page_allocator import PageAllocator

ORDERS = 5
PAGES = 96
NODES = (0, 1)


class BuddyModel:
    """The kernel's way: blocks that split in halves, and merge with their buddy when it is free."""

    def __init__(self) -> None:
        self.free: set[tuple[int, int]] = set()

    def free_one(self, pfn: int) -> None:
        order = 0
        while order < ORDERS - 1 and (pfn ^ 1 << order, order) in self.free:
            self.free.remove((pfn ^ 1 << order, order))
            pfn &= ~(1 << order)
            order += 1
        self.free.add((pfn, order))

    def take_one(self, pfn: int) -> None:
        at, order = next((p, o) for p, o in self.free if p <= pfn < p + (1 << o))
        self.free.remove((at, order))
        while order:
            order -= 1
            low, high = at, at + (1 << order)
            at, other = (low, high) if pfn < high else (high, low)
            self.free.add((other, order))


class PageAllocatorRules(RuleBasedStateMachine):
    """Two nodes, allocation with fallback, freeing in any order, memory that comes and goes."""

    @initialize(edge=st.integers(1, PAGES - 1))
    def start(self, edge: int) -> None:
        self.pages = PageAllocator(ORDERS)
        self.buddies = {node: BuddyModel() for node in NODES}
        self.home: dict[int, int] = {}
        self.taken: list[tuple[int, int]] = []
        for node, (low, high) in enumerate(((0, edge), (edge, PAGES))):
            self.pages.adopt(node, low, high)
            self.home |= dict.fromkeys(range(low, high), node)
        for pfn in range(PAGES):
            self.buddies[self.home[pfn]].free_one(pfn)
        self.pages.free_range(0, PAGES)
        self.free = set(range(PAGES))

    @rule(order=st.integers(0, ORDERS - 1), node=st.sampled_from(NODES))
    def alloc(self, order: int, node: int) -> None:
        pfn = self.pages.alloc_pages(order, node)
        fits = {n: any(o >= order for _p, o in self.buddies[n].free) for n in NODES}
        if pfn is None:
            assert not any(fits.values()), "a block was free"
            return
        block = set(range(pfn, pfn + (1 << order)))
        assert pfn % (1 << order) == 0
        assert block <= self.free
        homes = {self.home[page] for page in block}
        assert len(homes) == 1, "a block of two nodes"
        assert homes == {node} or not fits[node], "went elsewhere without need"
        for page in block:
            self.buddies[self.home[page]].take_one(page)
        self.free -= block
        self.taken.append((pfn, order))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        pfn, order = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))
        self.pages.free_pages(pfn, order)
        for page in range(pfn, pfn + (1 << order)):
            self.free.add(page)
            self.buddies[self.home[page]].free_one(page)

    @rule(low=st.integers(0, PAGES), high=st.integers(0, PAGES))
    def suspend_and_resume(self, low: int, high: int) -> None:
        parts = self.pages.suspend(low, high)
        assert {p for a, b in parts for p in range(a, b)} == set(range(low, high)) & self.free
        assert not any(self.pages.free_ranges(node).touches(low, high) for node in NODES)
        self.pages.resume(parts)

    @invariant()
    def free_pages_are_the_same(self) -> None:
        found = {p for node in NODES for a, b in self.pages.free_ranges(node) for p in range(a, b)}
        assert found == self.free

    @invariant()
    def free_lists_hold_the_buddies_that_merging_leaves(self) -> None:
        for node in NODES:
            listed = {
                (pfn, order)
                for order, frames in self.pages.free_blocks(node)
                for pfn in frames.tolist()
            }
            assert listed == self.buddies[node].free
            for _order, frames in self.pages.free_blocks(node):
                assert all(a < b for a, b in pairwise(frames.tolist()))


PageAllocatorRules.TestCase.settings = settings(stateful_step_count=30)
TestPageAllocator = PageAllocatorRules.TestCase


def test_memory_that_left_is_nobodys_and_is_not_handed_out() -> None:
    pages = PageAllocator(ORDERS)
    pages.adopt(0, 0, 32)
    pages.free_range(0, 32)
    pages.disown(0, 16)
    assert pages.node_of(3) is None
    assert pages.node_of(16) == 0
    pages.free_range(0, 32)
    assert list(pages.free_ranges(0)) == [(16, 32)]
    assert pages.alloc_pages(4, 0) == 16
    assert pages.alloc_pages(0, 0) is None
    assert not pages.is_free(0, 16)


def test_free_across_two_nodes_is_free() -> None:
    pages = PageAllocator(ORDERS)
    pages.adopt(0, 0, 8)
    pages.adopt(1, 8, 16)
    pages.free_range(0, 16)
    assert pages.is_free(4, 12)
    pages.take_range(9, 10)
    assert not pages.is_free(4, 12)
    assert pages.is_free(4, 9)


# -- memblock

parts = st.lists(st.tuples(st.sampled_from(NODES), st.integers(0, 12), st.integers(1, 12)))


def memory_of(layout: list[tuple[int, int, int]]) -> list[MemoryRange]:
    at, memory = 0, []
    for node, hole, size in layout:
        memory.append(MemoryRange(node, at + hole, size))
        at += hole + size
    return memory


def highest_fit(free: set[int], size: int, align: int) -> int | None:
    """Try every aligned place from the top down."""
    top = max(free, default=0) // align * align
    places = range(top, -1, -align)
    return next((at for at in places if set(range(at, at + size)) <= free), None)


@given(
    parts,
    st.lists(
        st.tuples(st.sampled_from(NODES), st.integers(1, 6), st.sampled_from([1, 2, 4, 8])),
        max_size=12,
    ),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_memblock_takes_the_highest_place_of_the_wanted_node_first(
    layout: list[tuple[int, int, int]],
    wanted: list[tuple[int, int, int]],
    kept: tuple[int, int],
) -> None:
    memory = memory_of(layout)
    memblock = Memblock(memory)
    free: dict[int, set[int]] = {node: set() for node in NODES}
    for part in memory:
        free[part.node] |= set(range(part.start, part.end))
    memblock.reserve(*kept)
    reserved = set(range(*kept))
    for node in NODES:
        free[node] -= reserved
    for node, size, align in wanted:
        expected = next(
            (at for n in (node, 1 - node) if (at := highest_fit(free[n], size, align)) is not None),
            None,
        )
        assert memblock.alloc(size, align, node) == expected
        if expected is not None:
            taken = set(range(expected, expected + size))
            reserved |= taken
            for n in NODES:
                free[n] -= taken
    assert {n for a, b in memblock.reserved for n in range(a, b)} == reserved
    for node in {part.node for part in memory}:
        found = {n for a, b in memblock.free_ranges(node) for n in range(a, b)}
        assert found == free[node]


@given(parts, st.integers(1, 20), st.sampled_from([1, 2, 4]), st.sampled_from(NODES))
def test_many_at_once_are_what_one_by_one_would_be(
    layout: list[tuple[int, int, int]], count: int, size: int, node: int
) -> None:
    many, single = Memblock(memory_of(layout)), Memblock(memory_of(layout))
    got = many.alloc_many(count, size, node).tolist()
    assert len(got) <= count
    assert got == [single.alloc(size, size, node) for _ in got]
    assert list(many.reserved) == list(single.reserved)
    if not got:
        free = single.free_ranges(node) if any(n == node for n, _h, _s in layout) else ()
        pages = {n for a, b in free for n in range(a, b)}
        assert highest_fit(pages, size, size) is None


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_many_stop_at_the_end_of_a_range(count: int) -> None:
    memblock = Memblock([MemoryRange(0, 0, 64), MemoryRange(0, 96, 33)])
    assert memblock.alloc_many(count, 16, 0).tolist() == [112, 96][:count]
