"""The model's page tables, read by a walk that shares nothing with the writer but the facts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from breadth import pairs
from simulate.machines import M, add, remove, small_machine
from vmemmap.simulate import Machine, MemoryRange, PagePlan
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import SWAPPER_PG_DIR
from vmemmap.simulate.memory.physical import PhysicalMemory
from vmemmap.simulate.mm.page_tables import PageTables

LINEAR = 0xC << 60
GIB = 1 << 30

HASH_LEVELS: dict[int, tuple[tuple[tuple[int, int], tuple[int, ...]], ...]] = {
    # page size: since, index bits from the page upwards
    4096: (((2, 6), (9, 7, 7, 9)), ((3, 7), (9, 7, 9, 9))),
    65536: (
        *(((2, 6), (12, 12, 4)), ((3, 7), (12, 12, 6)), ((3, 10), (8, 10, 12))),
        *(((4, 6), (8, 5, 5, 12)), ((4, 12), (8, 10, 7, 8)), ((4, 17), (8, 10, 10, 8))),
    ),
}
RADIX_LEVELS = {4096: (9, 9, 9, 13), 65536: (5, 9, 9, 13)}


def walk(memory: PhysicalMemory, kernel: Kernel, virt: int) -> int | None:
    """Translate through the bytes in memory, from swapper_pg_dir down."""
    version = kernel.version
    bits: tuple[int, ...]
    if kernel.mmu == "radix":
        bits = RADIX_LEVELS[kernel.page_size]
    else:
        bits = next(b for since, b in reversed(HASH_LEVELS[kernel.page_size]) if version >= since)
    big = version >= (4, 7) or kernel.byte_order == "big"
    table, shift = SWAPPER_PG_DIR, kernel.page_size.bit_length() - 1 + sum(bits)
    for level, width in enumerate(reversed(bits)):
        shift -= width
        at = table + 8 * ((virt >> shift) & ((1 << width) - 1))
        entry = int.from_bytes(memory.read(at, 8), "big" if big else "little")
        if not entry:
            return None
        last = level == len(bits) - 1
        if version < (4, 6):
            if not last:
                assert entry >> 60 == 0xC, "upper entries hold linear-map addresses"
                table = entry & ((1 << 60) - 1)
                continue
            assert entry & (1 if version < (4, 5) else 3), "present"
            low = (17 if version < (4, 5) else 18) if kernel.page_size == 4096 else 30
            return (entry >> low) * kernel.page_size | virt & (kernel.page_size - 1)
        leaf = bool(entry >> 62 & 1)
        address = entry & 0x01FFFFFFFFFFF000
        if leaf:
            assert entry >> 63, "valid"
            assert kernel.mmu == "radix" or last
            return (address >> shift << shift) | virt & ((1 << shift) - 1)
        assert not last
        if kernel.mmu == "radix":
            assert entry >> 63
            width_below = bits[len(bits) - 2 - level]
            assert entry & 0x1F == width_below, "the size of the next table"
            assert address % (8 << width_below) == 0 or 8 << width_below < 4096
            address = entry & 0x0FFFFFFFFFFFFF00
        else:
            assert bool(entry >> 63) is (version >= (4, 20))
            address = entry & ((1 << 62) - 1)
        table = address
    raise AssertionError("no leaf at the last level")


HASH = [
    (release, page)
    for release in ("2.6.35", "3.6", "3.9", "3.10", "4.5", "4.6", "4.7", "4.12", "4.18", "6.1")
    for page in (4096, 65536)
]
RADIX = [(release, page) for release in ("4.7", "5.4", "6.6", "7.3") for page in (4096, 65536)]


@pytest.mark.parametrize(("release", "page_size"), HASH)
@pytest.mark.parametrize("order", ["little", "big"])
def test_vmalloc_on_hash(release: str, page_size: int, order: str) -> None:
    """Nine pages: areas of four with a guard page after each, all in the kernel's page tables."""
    machine = small_machine(
        release, page_size=page_size, byte_order=order, pages=PagePlan(vmalloc=9)
    ).boot()
    kernel = machine.kernel
    start = kernel.regions.vmalloc.start
    found = [walk(machine.memory, kernel, start + n * page_size + 24) for n in range(13)]
    assert [n for n, phys in enumerate(found) if phys is None] == [4, 9, 11, 12]
    frames = [phys for phys in found if phys is not None]
    assert len(set(frames)) == 9
    for n, phys in enumerate(found):
        if phys is not None:
            assert phys % page_size == 24
            assert machine.memory.load_u64(phys - 24) == start + n * page_size, "its own mark"


@pytest.mark.parametrize(
    ("release", "page_size", "order"),
    pairs((*machine, order) for machine in RADIX for order in ("little", "big")),
)
def test_the_linear_map_on_radix(release: str, page_size: int, order: str) -> None:
    """All memory, and nothing else; also after some of it came and went."""
    memory = (MemoryRange(0, 0, GIB), MemoryRange(1, 3 * GIB, 64 * M))
    machine = small_machine(
        release, memory, page_size=page_size, byte_order=order, mmu="radix"
    ).boot()

    def check(*more: tuple[int, int]) -> None:
        ranges = [(0, GIB), (3 * GIB, 3 * GIB + 64 * M), *more]
        for phys in range(0, 5 * GIB, 16 * M):
            for at in (phys, phys + 16 * M - page_size):
                there = any(start <= at < end for start, end in ranges)
                assert walk(machine.memory, machine.kernel, LINEAR | at) == (at if there else None)

    check()
    assert machine.run_event(add(4 * GIB, 512 * M)).result == 0
    check((4 * GIB, 4 * GIB + 512 * M))
    assert machine.run_event(remove(4 * GIB + 64 * M, 192 * M)).result == 0
    check((4 * GIB, 4 * GIB + 64 * M), (4 * GIB + 256 * M, 4 * GIB + 512 * M))
    assert machine.run_event(add(4 * GIB + 64 * M, 192 * M)).result == 0
    check((4 * GIB, 4 * GIB + 512 * M))


@pytest.mark.parametrize(("release", "page_size"), RADIX)
def test_the_vmemmap_on_radix(release: str, page_size: int) -> None:
    """Tables and the model's own map agree wherever there are struct pages, and nowhere else."""
    memory = (MemoryRange(0, 0, 128 * M),)  # room for all blocks, so that none is in added memory
    machine = small_machine(release, memory, page_size=page_size, mmu="radix").boot()
    check_vmemmap(machine)
    for event in (add(1 * GIB, 64 * M), add(3 * GIB, 32 * M), remove(1 * GIB, 48 * M)):
        assert machine.run_event(event).result == 0
        check_vmemmap(machine)


def check_vmemmap(machine: Machine) -> None:
    base = machine.kernel.vmemmap_base
    for virt in range(base, base + (4 * GIB // machine.kernel.page_size * 64), 32768):
        expected = machine.vmemmap.map.find(virt)
        assert walk(machine.memory, machine.kernel, virt) == expected


class Tables(RuleBasedStateMachine):
    """Any mapping and unmapping of a linear range, on radix, with leaves of every size."""

    @initialize(page_size=st.sampled_from([4096, 65536]))
    def start(self, page_size: int) -> None:
        self.kernel = Kernel("6.1", page_size, "little", "radix", 64)
        self.memory = PhysicalMemory("little")
        self.at = 64 * M
        self.tables = PageTables(self.kernel, self.memory, self.take)
        self.mapped: set[int] = set()

    def take(self, size: int) -> int:
        self.at += size
        return self.at - size

    units = st.integers(0, 1030)
    """Of 2 MiB each: two whole GiB and a little more."""

    @rule(low=units, size=st.sampled_from([1, 3, 64, 512, 1024]), mapping=st.booleans())
    def change(self, low: int, size: int, mapping: bool) -> None:
        span = set(range(low, low + size))
        virt = LINEAR + low * 2 * M
        if mapping and not span & self.mapped:
            self.tables.map(virt, low * 2 * M, size * 2 * M)
            self.mapped |= span
        elif not mapping and span <= self.mapped:
            self.tables.unmap(virt, low * 2 * M, size * 2 * M)
            self.mapped -= span

    @rule(data=st.data())
    def unmap_some_of_it(self, data: st.DataObject) -> None:
        if self.mapped:
            low = data.draw(st.sampled_from(sorted(self.mapped)))
            self.tables.unmap(LINEAR + low * 2 * M, low * 2 * M, 2 * M)
            self.mapped.remove(low)

    @invariant()
    def the_walk_finds_just_that(self) -> None:
        for unit in range(0, 2060, 7):
            phys = unit * 2 * M + 0x12340
            expected = phys if unit in self.mapped else None
            assert walk(self.memory, self.kernel, LINEAR + phys) == expected


Tables.TestCase.settings = settings(stateful_step_count=20)
TestTables = Tables.TestCase


@given(st.integers(0, 63), st.integers(1, 8))
def test_base_pages_are_split_off_a_leaf_and_join_it_again(first: int, count: int) -> None:
    kernel = Kernel("6.1", 4096, "big", "radix", 64)
    memory = PhysicalMemory("big")
    free = iter(range(64 * M, 128 * M, 65536))
    tables = PageTables(kernel, memory, lambda _size: next(free))
    tables.map(LINEAR, 0, 2 * M)
    tables.unmap(LINEAR + first * 4096, first * 4096, count * 4096)
    for page in range(512):
        expected = None if first <= page < first + count else page * 4096
        assert walk(memory, kernel, LINEAR + page * 4096) == expected
    tables.map(LINEAR + first * 4096, first * 4096, count * 4096)
    assert all(walk(memory, kernel, LINEAR + page * 4096) == page * 4096 for page in range(512))
