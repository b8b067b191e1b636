"""mem_section read back by a walk of its own, against a set of what is valid."""

from __future__ import annotations

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vmemmap
from breadth import pairs
from simulate.machines import (
    PART,
    RELEASES,
    SECTION,
    M,
    add,
    faults,
    remove,
    small_machine,
    small_spec,
    version_of,
)
from vmemmap.errors import SpecError
from vmemmap.simulate import HotplugEvent, Machine, MemoryRange
from vmemmap.simulate.steps import Runner

LINEAR = (1 << 60) - 1


def size_of_entry(machine: Machine) -> int:
    """SIZE(mem_section), as the dump tells it."""
    lines = machine.snapshot().vmcoreinfo.decode().splitlines()
    return next(int(line.split("=")[1]) for line in lines if line.startswith("SIZE(mem_section)"))


def entry(machine: Machine, number: int) -> int:
    """Follow the bytes: root pointer, then a page of entries, whose first word it is."""
    word = "<Q" if machine.kernel.byte_order == "little" else ">Q"
    size = size_of_entry(machine)
    per = machine.kernel.page_size // size
    roots = machine.sparsemem.roots_phys
    (root,) = struct.unpack(word, machine.memory.read(roots + number // per * 8, 8))
    if not root:
        return 0
    assert root >> 60 == 0xC
    at = (root & LINEAR) + number % per * size
    value: int = struct.unpack(word, machine.memory.read(at, 8))[0]
    return value


@pytest.mark.parametrize(
    ("release", "order", "page_size"), pairs(product(RELEASES, ("little", "big"), (4096, 65536)))
)
def test_every_section_of_boot_points_to_the_vmemmap(
    release: str, order: str, page_size: int
) -> None:
    far = 1 << 40
    memory = (MemoryRange(0, 0, 32 * M), MemoryRange(1, far, 48 * M))
    machine = small_machine(release, memory, page_size=page_size, byte_order=order).boot()
    present = {0, 1, *range(far // SECTION, far // SECTION + 3)}
    version = version_of(release)
    flags = 3 | (4 if version >= (4, 13) else 0) | (8 if version >= (5, 3) else 0)
    for number in (*present, 2, 3, far // SECTION - 1, far // SECTION + 3):
        value = entry(machine, number)
        assert value == (machine.kernel.vmemmap_base | flags if number in present else 0)
    sections = 1 << machine.kernel.max_physmem_bits - 24
    assert machine.sparsemem.length == sections * size_of_entry(machine) // page_size


@pytest.mark.parametrize("release", RELEASES)
def test_flags_of_a_section_that_came_later(release: str) -> None:
    machine = small_machine(release).boot()
    machine.run_event(add(128 * M))
    value = entry(machine, 8)
    assert value & 0x3F == (7 if version_of(release) >= (4, 13) else 3), "online, never early"


def valid(machine: Machine, phys: int) -> bool:
    return Runner().run(machine.sparsemem.pfn_valid(phys >> machine.kernel.page_shift))


@given(
    st.sampled_from(["5.3", "5.6", "6.1", "7.3"]),
    st.lists(st.tuples(st.integers(0, 23), st.integers(1, 10)), max_size=12),
)
def test_parts_of_sections_come_and_go(release: str, history: list[tuple[int, int]]) -> None:
    """Device memory in pieces of 2 MiB; a piece that is there is taken away again."""
    machine = small_machine(release).boot()
    base = 128 * M
    there: dict[int, int] = {}
    for at, count in history:
        overlapping = [low for low, size in there.items() if low < at + count and at < low + size]
        if overlapping:
            for low in overlapping:
                event = remove(base + low * PART, there.pop(low) * PART, device=True)
                assert machine.run_event(event).word == "done"
        else:
            event = add(base + at * PART, count * PART, device=True)
            assert machine.run_event(event).word == "done"
            there[at] = count
        expected = {p for low, size in there.items() for p in range(low, low + size)}
        for part in range(40):
            phys = base + part * PART
            assert valid(machine, phys) is (part in expected)
            assert valid(machine, phys + PART - 65536) is (part in expected)
    assert valid(machine, 0)
    assert valid(machine, 32 * M - 65536)
    assert not valid(machine, 32 * M)


@pytest.mark.parametrize("release", RELEASES)
def test_no_page_beyond_max_physmem_bits_is_valid(release: str) -> None:
    machine = small_machine(release).boot()
    for phys in (1 << machine.kernel.max_physmem_bits, 1 << 60, (1 << 63) + 65536):
        assert not valid(machine, phys)


def test_many_sections_are_stored_as_one_by_one() -> None:
    memory = (MemoryRange(0, 0, 32 * M),)
    many, single = (small_machine("6.1", memory, page_size=4096).boot() for _ in range(2))
    numbers = np.array([2, 3, 4, 127, 128, 255, 256, 257, 600], np.int64)
    many.sparsemem.sparse_init_sections(numbers, 7)
    for number in numbers.tolist():
        single.sparsemem.ensure_root(number)
        Runner().run(single.sparsemem.sparse_init_one_section(number, 7))
    for number in (*range(6), *range(120, 140), *range(250, 260), 599, 600, 601):
        assert entry(many, number) == entry(single, number)
    many.sparsemem.sparse_init_sections(np.empty(0, np.int64), 7)


def test_memory_comes_to_a_node_that_had_none_at_boot(tmp_path: Path) -> None:
    """Its struct pages lie elsewhere at first, and on itself as soon as it has memory."""
    events = (add(1 << 30, 64 * M, node=2), add(2 << 30, 64 * M, node=2))
    memory = (MemoryRange(0, 0, 64 * M),)
    machine = small_machine("6.1", memory, nodes=3, events=events).boot().run_events()
    assert [outcome.word for outcome in machine.outcomes] == ["done"] * 3
    newest, first = machine.walk()[:2]
    assert first.phys < 64 * M
    assert 1 << 30 <= newest.phys < (1 << 30) + 64 * M
    machine.crash(tmp_path / "vmcore")
    with vmemmap.open(tmp_path / "vmcore") as core:
        pages = {zone.node: zone.pages for zone in core.usage().zones}
        assert not core.check().findings
    assert pages == {0: 1024, 2: 2048}
    with pytest.raises(SpecError, match="node 3 does not exist"):
        small_spec("6.1", memory, nodes=3, events=(add(1 << 30, node=3),)).check()


@pytest.mark.parametrize("release", ["3.17", "6.1"])
@pytest.mark.parametrize("size", [16, 256])
def test_an_lmb_that_fails_costs_those_before_it(release: str, size: int) -> None:
    machine = small_machine(release, (MemoryRange(0, 0, 64 * M),)).boot()
    before, free = machine.walk(), list(machine.pages.free_ranges(0))
    taken = machine.supply.faults._counts["block"]
    event = add(4 << 30, 4 * size * M, lmb=size * M)
    # The first block of the last piece; of 16 MiB each all four are described by one block.
    failing = 3 * size // 64 + 1
    machine.supply.faults._plan = faults(block=(taken + failing,))
    assert machine.run_event(event).word == "-EINVAL"
    assert machine.walk() == before
    assert list(machine.pages.free_ranges(0)) == free
    assert machine.run_event(event).word == "done"
    assert machine.pages.home(0).total == (64 + 4 * size) * M >> 16


def test_a_part_of_memory_that_is_not_online_can_leave() -> None:
    machine = small_machine("6.1", (MemoryRange(0, 0, 64 * M),)).boot()
    assert machine.run_event(add(1 << 30, 64 * M, online=False)).word == "done"
    assert machine.run_event(remove((1 << 30) + SECTION, SECTION)).word == "done"
    left = [(part.start >> 24, part.size >> 24) for part in machine.idle]
    assert left == [(64, 1), (66, 2)]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (add(1 << 30, 64 * M, lmb=24 * M), "none of"),
        (add((1 << 30) + SECTION, 64 * M, lmb=32 * M), "multiples of 32 MiB"),
        (add(1 << 30, 64 * M, lmb=16 * M, device=True), "RAM alone"),
    ],
)
def test_lmbs_that_cannot_be(event: HotplugEvent, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        small_spec("6.1", (MemoryRange(0, 0, 64 * M),), events=(event,)).check()
