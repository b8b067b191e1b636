"""Blocks that say their place: struct pages whose empty ``lru`` points to itself; what is none.

The memory is written here word by word, by what __init_single_page() leaves.
"""

from __future__ import annotations

import struct
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from builders.byte_order import Order, prefix
from vmemmap.address import Run
from vmemmap.backing.rescue_blocks import find_blocks
from vmemmap.backing.rescue_search import Search
from vmemmap.facts.backing import BackingLayout
from vmemmap.source.base import PhysicalSource

BASE = 0xC00C000000000000
BLOCK = PAGE = 4096
LRU = 8
PAGES = 64


class Memory:
    """So many pages of memory from 0 on, all in the dump, and nothing of what lies above."""

    def __init__(self, order: Order) -> None:
        self.data = bytearray(PAGES * PAGE)
        self.end = len(self.data)
        self.asked = 0
        self._word = struct.Struct(prefix(order) + "2Q")

    def point(self, phys: int, virt: int) -> None:
        """Let the two words at *phys* point to *virt*."""
        self._word.pack_into(self.data, phys, virt, virt)

    def ranges(self) -> NDArray[np.uint64]:
        return np.array([[0, self.end]], dtype=np.uint64)

    def present_runs(self, start: int, end: int) -> NDArray[np.int64]:
        self.asked += 1
        end = min(end, len(self.data))
        return np.array([[start, end]] if start < end else [], dtype=np.int64).reshape(-1, 2)

    def view(self, phys: int, size: int) -> memoryview:
        return memoryview(self.data)[phys : phys + size]


@pytest.fixture(params=["little", "big"])
def order(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def memory(order: Order) -> Memory:
    return Memory(order)


def found(memory: Memory, order: Order, **changes: Any) -> dict[int, int]:
    """Search for all blocks of a vmemmap of 64 of them; give phys by number."""
    every = np.array([[0, PAGES * BLOCK]], dtype=np.int64)
    options: dict[str, Any] = {"wanted": every, "taken": np.empty(0, np.uint64), **changes}
    search = Search(
        source=cast(PhysicalSource, memory),
        layout=BackingLayout(24, 0, 8, 16, order),
        page_size=PAGE,
        block_size=BLOCK,
        region=Run(BASE, BASE + PAGES * BLOCK),
        base=BASE,
        initialised=every,
        memory=every,
        **options,
    )
    blocks = find_blocks(search)
    assert not blocks.node.any()
    return {
        (virt - BASE) // BLOCK: phys
        for virt, phys in zip(blocks.virt.tolist(), blocks.phys.tolist(), strict=True)
    }


def fill(memory: Memory, phys: int, number: int, pages: int = BLOCK // 64) -> None:
    """Make *pages* struct pages of block *number*, at *phys*, that are on no list."""
    for at in range(0, 64 * pages, 64):
        memory.point(phys + at + LRU, BASE + number * BLOCK + at + LRU)


def test_a_block_names_its_place(memory: Memory, order: Order) -> None:
    fill(memory, 0x5000, 0)
    fill(memory, 0x9000, 63)
    fill(memory, 0x3F000, 17, pages=4)
    assert found(memory, order) == {0: 0x5000, 63: 0x9000, 17: 0x3F000}


def test_three_pages_are_too_few(memory: Memory, order: Order) -> None:
    fill(memory, 0x5000, 8, pages=3)
    assert found(memory, order) == {}


def test_two_pages_that_are_the_only_ones_on_a_list_name_each_other(
    memory: Memory, order: Order
) -> None:
    """Their pointers are equal, too, but lead to another place in a block."""
    for at in range(0, BLOCK, 64):
        memory.point(0x5000 + at + LRU, BASE + 8 * BLOCK + (at ^ 64) + LRU)
    assert found(memory, order) == {}


def test_a_place_outside_the_vmemmap_is_none(memory: Memory, order: Order) -> None:
    fill(memory, 0x5000, -1)
    fill(memory, 0x6000, PAGES)
    assert found(memory, order) == {}


def test_two_blocks_that_claim_a_place_are_both_left(memory: Memory, order: Order) -> None:
    fill(memory, 0x5000, 8)
    fill(memory, 0x7000, 8)
    fill(memory, 0x8000, 9)
    assert found(memory, order) == {9: 0x8000}


@pytest.mark.parametrize(("others", "taken"), [(6, True), (8, False)])
def test_a_block_whose_words_disagree_is_left(
    memory: Memory, order: Order, others: int, taken: bool
) -> None:
    fill(memory, 0x5000, 8)
    fill(memory, 0x5000, 11, pages=others)
    assert found(memory, order) == ({8: 0x5000} if taken else {})


def test_what_is_in_use_or_not_wanted_is_left(memory: Memory, order: Order) -> None:
    fill(memory, 0x5000, 8)
    fill(memory, 0x6000, 9)
    taken = np.array([0x5000], dtype=np.uint64)
    assert found(memory, order, taken=taken) == {9: 0x6000}
    wanted = np.array([[8 * BLOCK, 9 * BLOCK]], dtype=np.int64)
    assert found(memory, order, wanted=wanted) == {8: 0x5000}


def test_memory_of_which_nothing_is_in_the_dump_is_passed_over(
    memory: Memory, order: Order
) -> None:
    """A terabyte takes a question for every 64 GiB."""
    fill(memory, 0x5000, 8)
    memory.end = 1 << 40
    assert found(memory, order) == {8: 0x5000}
    assert memory.asked <= 16
