"""Struct pages of device memory on the device itself: the steps in which kernels learned it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulate.kernel_history import ALTMAP
from simulate.machines import (
    SECTION,
    M,
    NodePages,
    add,
    faults,
    mapped_blocks,
    remove,
    small_machine,
    small_spec,
    virts,
)
from vmemmap.errors import SpecError
from vmemmap.simulate import HotplugEvent, Machine, MemoryRange
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.memory.supply import Altmap
from vmemmap.simulate.steps import Task

BOOT = (MemoryRange(0, 0, 64 * M),)
AT = 1 << 30
SIZE = 128 * M
"""Two blocks of 64 KiB."""
NOT_ACROSS = "else RAM, and not across its end"
BLOCK = 65536


def booted(release: str, **more: Any) -> Machine:
    return small_machine(release, BOOT, **more).boot()


def device(room: int, start: int = AT, size: int = SIZE) -> HotplugEvent:
    return add(start, size, altmap=room, device=True)


def where(machine: Machine, start: int = AT, size: int = SIZE) -> list[bool]:
    """For each block of a device, in order: whether it lies on the device."""
    first = machine.vmemmap.pfn_to_page(start >> machine.kernel.page_shift)
    last = machine.vmemmap.pfn_to_page(start + size >> machine.kernel.page_shift)
    found = mapped_blocks(machine)
    step = machine.block_size
    return [
        start <= found[virt] < start + size
        for virt in range(first // step * step, last, step)
        if virt in found
    ]


@pytest.mark.parametrize("release", ALTMAP.when("none"))
def test_before_4_13_there_is_no_altmap_and_ram_is_taken(release: str) -> None:
    machine = booted(release)
    assert machine.run_event(add(AT, SIZE, device=True)).word == "done"
    assert where(machine) == [False, False]
    spec = small_spec(release, BOOT, events=(device(BLOCK),))
    with pytest.raises(SpecError, match="has no altmap"):
        spec.check()


@pytest.mark.parametrize("release", ALTMAP.when("looked up", "only it"))
def test_at_first_a_full_altmap_was_the_end(release: str) -> None:
    """Looked up, then passed in: if there is one, only it is tried."""
    machine = booted(release)
    assert machine.run_event(device(2 * BLOCK)).word == "done"
    assert where(machine) == [True, True]
    full = booted(release)
    assert full.run_event(device(BLOCK)).word == "-ENOMEM"
    assert where(full) == [True], "the first block stays, and its node"


@pytest.mark.parametrize("release", ALTMAP.when("else RAM", NOT_ACROSS))
def test_since_4_19_15_ram_steps_in_for_a_full_altmap(release: str) -> None:
    machine = booted(release)
    assert machine.run_event(device(BLOCK)).word == "done"
    assert where(machine) == [True, False]


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        *((release, [True, True]) for release in ALTMAP.when("else RAM")),
        *((release, [True, False]) for release in (*ALTMAP.when(NOT_ACROSS)[:1], "6.5")),
        *((release, [True, True]) for release in ("6.6", *ALTMAP.when(NOT_ACROSS)[-1:])),
    ],
)
def test_since_5_4_a_block_that_reaches_beyond_the_device_is_ram(
    release: str, expected: list[bool]
) -> None:
    """And until 6.5 one that reaches its very end was counted among those."""
    machine = booted(release)
    assert machine.run_event(device(2 * BLOCK)).word == "done"
    assert where(machine) == expected


@pytest.mark.parametrize("release", ALTMAP.when("only it", "else RAM"))
def test_until_5_3_a_block_that_also_describes_the_neighbour_may_be_on_the_device(
    release: str,
) -> None:
    machine = booted(release)
    assert machine.run_event(device(2 * BLOCK, size=96 * M)).word == "done"
    assert where(machine, size=96 * M) == [True, True]


@pytest.mark.parametrize("release", ALTMAP.when(NOT_ACROSS))
def test_since_5_4_it_may_not(release: str) -> None:
    machine = booted(release)
    event = device(2 * BLOCK, start=AT + 32 * M, size=96 * M)
    assert machine.run_event(event).word == "done"
    block = machine.kernel.vmemmap_base + (AT >> 16) * 64
    assert mapped_blocks(machine)[block] < 64 * M, "it begins before the device"


def test_while_it_was_looked_up_the_section_at_the_blocks_beginning_decided() -> None:
    """It asks for the section that the block begins in, which here is nobody's: RAM."""
    event = device(2 * BLOCK, start=AT + 32 * M, size=96 * M)
    for release in ALTMAP.when("looked up", "only it"):
        machine = booted(release)
        assert machine.run_event(event).word == "done"
        block = machine.kernel.vmemmap_base + (AT >> 16) * 64
        assert (mapped_blocks(machine)[block] >= AT) is (ALTMAP[release] == "only it")


@pytest.mark.parametrize("release", ["4.14", "4.17", "4.19.71", "5.4", "6.6"])
def test_blocks_of_a_device_leave_with_it_and_ram_comes_back(release: str) -> None:
    machine = booted(release)
    pages = NodePages(machine)
    free = list(machine.pages.free_ranges(0))
    before = machine.walk()
    for _ in range(2):
        assert machine.run_event(device(2 * BLOCK)).word == "done"
        assert len(machine.walk()) == len(before) + 2
        assert machine.run_event(remove(AT, SIZE, device=True)).word == "done"
        assert machine.walk() == before
        assert list(machine.pages.free_ranges(0)) == free
    assert not pages.pages


def test_a_block_of_ram_freed_with_an_altmap_was_lost_until_ram_could_step_in() -> None:
    """The altmap was credited with it, wherever it came from; then its address was looked at.

    RAM makes the block that it shares with the device, and leaves first.
    """
    for release in ALTMAP.when("only it", "else RAM"):
        machine = booted(release)
        free = machine.pages.free_ranges(0).total
        assert machine.run_event(add(AT)).word == "done"
        assert machine.run_event(device(2 * BLOCK, start=AT + SECTION, size=SECTION)).word == "done"
        assert machine.run_event(remove(AT)).word == "done"
        assert machine.run_event(remove(AT + SECTION, SECTION, device=True)).word == "done"
        assert machine.pages.free_ranges(0).total == free - (ALTMAP[release] == "only it")


@pytest.mark.parametrize("release", ["5.10", "6.6"])
def test_a_block_without_a_node_goes_back_to_the_altmap(release: str) -> None:
    machine = booted(release, faults=faults(node_page=(2,)))
    machine.memory.store_u32(PHYS["num_left"], 0)
    altmap = Altmap(AT, AT + SIZE, AT + 2 * BLOCK, AT, 65536)
    populate = machine.vmemmap.vmemmap_populate
    first = machine.vmemmap.pfn_to_page(AT >> 16)
    result = machine.runner.run(populate(Task("boot", alone=True), first, first + BLOCK, 0, altmap))
    assert result == -12
    assert altmap.used_to == AT
    assert first not in virts(machine)


@given(st.lists(st.sampled_from([4096, 65536, 2 * M]), max_size=20), st.integers(0, 64))
def test_pieces_of_an_altmap_are_apart_aligned_and_inside(sizes: list[int], room: int) -> None:
    start = AT + 3 * 65536
    altmap = Altmap(start, start + SIZE, start + room * 65536, start, 65536)
    taken: list[tuple[int, int]] = []
    for size in sizes:
        at = altmap.alloc(size)
        if at is None:
            assert size < 65536 or -(-altmap.used_to // size) * size + size > altmap.room_end
            continue
        assert size >= 65536, "pieces of pages are refused"
        assert at % size == 0
        assert start <= at
        assert at + size <= start + room * 65536
        assert altmap.holds(at)
        assert all(at >= low + length for low, length in taken)
        taken.append((at, size))
    if taken:
        at, size = taken[-1]
        altmap.free(size)
        assert altmap.alloc(size) == at


# -- radix without a list


@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("release", ["6.6", "6.15", "7.3"])
def test_radix_since_6_6_keeps_no_list_and_backs_2_mib_at_once(
    release: str, page_size: int
) -> None:
    machine = small_machine(release, BOOT, page_size=page_size, mmu="radix").boot()
    assert machine.list_head == 0
    before = list(machine.pages.free_ranges(0))
    middle = 4 * AT + 4 * SECTION  # its struct pages begin inside 2 MiB
    assert machine.run_event(add(middle)).word == "done"
    first = machine.vmemmap.pfn_to_page(middle >> machine.kernel.page_shift)
    assert machine.vmemmap.map.find(first) is not None
    around = machine.vmemmap.map.find(first // (2 * M) * 2 * M)
    assert (around is not None) is (release != "6.15"), "6.15 takes base pages there"
    assert machine.list_head == 0
    assert machine.run_event(remove(middle)).word == "done"
    assert machine.vmemmap.map.find(first) is None
    after = list(machine.pages.free_ranges(0))
    lost = sum(e - s for s, e in before) - sum(e - s for s, e in after)
    assert lost <= 16, "only page tables stay"


@pytest.mark.parametrize("failing", ["block", "mapping"])
def test_radix_without_a_list_fails_with_enomem_and_leaks_nothing(failing: str) -> None:
    machine = small_machine("6.8", BOOT, mmu="radix").boot()
    free = machine.pages.free_ranges(0).total
    counts = machine.supply.faults._counts[failing]
    # Without 2 MiB it tries a base page; without a page for the table there is nothing to try.
    plan = (counts + 1, counts + 2) if failing == "block" else (counts + 1,)
    machine.supply.faults._plan = faults(**{failing: plan})
    assert machine.run_event(add(4 * AT)).word == "-ENOMEM"
    assert machine.pages.free_ranges(0).total >= free - 3
    assert machine.run_event(add(4 * AT)).word == "done"


def test_without_a_2_mib_page_base_pages_do() -> None:
    machine = small_machine("6.8", BOOT, mmu="radix").boot()
    counts = machine.supply.faults._counts["block"]
    machine.supply.faults._plan = faults(block=(counts + 1,))
    assert machine.run_event(add(4 * AT)).word == "done"
    first = machine.vmemmap.pfn_to_page(4 * AT >> 16)
    assert machine.vmemmap.map.find(first) is not None
    assert machine.vmemmap.map.find(first + 65536) is None, "16 KiB are needed, 64 were taken"


FAR = 4 * AT
"""Memory whose 2 MiB of struct pages boot has not made."""


@pytest.mark.parametrize("release", ["6.6", "7.3"])
def test_memmap_on_memory_lies_in_the_added_memory_itself(release: str) -> None:
    machine = small_machine(release, BOOT, mmu="radix").boot()
    assert machine.run_event(add(FAR, 256 * M, altmap=65536 * 4)).word == "done"
    first = machine.vmemmap.pfn_to_page(FAR >> 16)
    phys = machine.vmemmap.map.find(first)
    assert phys is not None
    assert FAR <= phys < FAR + 65536 * 4
    assert not machine.pages.is_free(FAR >> 16, (FAR >> 16) + 1)
    assert machine.pages.is_free((FAR >> 16) + 4, (FAR + 256 * M) >> 16)
    assert machine.run_event(remove(FAR, 256 * M)).word == "done"
    assert machine.vmemmap.map.find(first) is None
