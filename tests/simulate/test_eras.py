"""What the model's kernels look like in memory, release by release, against the tests' history.

The bytes are decoded here by that history alone, on both sides of every change that it knows.
"""

from __future__ import annotations

import pytest

from simulate.kernel_history import (
    COMPOUND_MARKS,
    COMPOUND_OFFSETS,
    FLAG_BITS,
    HASH_REGIONS,
    MAX_PHYSMEM_BITS,
    MMU_PAGE_16M,
    MMU_PSIZE_DEF_BYTES,
    NODE_ALLOCATOR,
    RADIX_REGIONS,
    STRUCT_PAGE,
    TYPE_VALUES,
    ascending,
    numbers_of,
)
from simulate.machines import M, small_machine
from simulate.page_bytes import PageBytes
from vmemmap.simulate import MemoryRange, PagePlan
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.mm.usage import PageRun, Use
from vmemmap.simulate.steps import Task

# -- addresses


@pytest.mark.parametrize("page_size", HASH_REGIONS)
def test_regions_on_hash(page_size: int) -> None:
    expected = HASH_REGIONS[page_size]
    for release in expected.edges:
        kernel = Kernel(release, page_size, "little", "hash", 64)
        assert starts(kernel) == expected[release], release


@pytest.mark.parametrize("page_size", HASH_REGIONS)
def test_regions_on_radix(page_size: int) -> None:
    for release in RADIX_REGIONS.edges:
        kernel = Kernel(release, page_size, "little", "radix", 64)
        assert starts(kernel) == RADIX_REGIONS[release], release


@pytest.mark.parametrize("page_size", MAX_PHYSMEM_BITS)
def test_how_far_physical_memory_reaches(page_size: int) -> None:
    """The kernel says so itself since 5.9; before, by the length of mem_section alone."""
    expected = MAX_PHYSMEM_BITS[page_size]
    for release in expected.edges:
        snapshot = small_machine(release, page_size=page_size).boot().snapshot()
        keys = PageBytes.painted(snapshot).keys
        per_root = page_size // int(keys["SIZE(mem_section)"])
        sections = 1 << expected[release] - 24
        assert int(keys["LENGTH(mem_section)"]) == sections // per_root, release
        told = "NUMBER(MAX_PHYSMEM_BITS)"
        assert int(keys.get(told, expected[release])) == expected[release]


def starts(kernel: Kernel) -> tuple[int, int, int]:
    regions = kernel.regions
    return regions.vmalloc.start, regions.io.start, regions.vmemmap.start


# -- the list


@pytest.mark.parametrize("release", NODE_ALLOCATOR.edges)
def test_whether_the_list_can_give_a_node_back(release: str) -> None:
    machine = small_machine(release).boot()
    boot, before = Task("boot", alone=True), machine.walk()
    oldest = before[-1]
    phys = machine.runner.run(machine.tracker.vmemmap_list_free(boot, oldest.virt_addr))
    if NODE_ALLOCATOR[release] == "free list":
        assert phys == oldest.phys
        assert machine.walk() == before[:-1]
    else:
        assert not phys
        assert machine.walk() == before


@pytest.mark.parametrize("release", ascending((*MMU_PAGE_16M.edges, *MMU_PSIZE_DEF_BYTES.edges)))
def test_where_the_block_size_is_told(release: str) -> None:
    """The kernel's variable is an index, and there in its table stands the shift."""
    gib = (MemoryRange(0, 0, 1024 * M),)
    machine = small_machine(release, gib, block_size=16 * M).boot()
    index = machine.memory.load_u32(PHYS["mmu_vmemmap_psize"])
    assert index == MMU_PAGE_16M[release]
    at = PHYS["mmu_psize_defs"] + index * MMU_PSIZE_DEF_BYTES[release]
    assert machine.memory.load_u32(at) == 24


# -- struct page


class Painted:
    """A machine with pages of every kind that its release has, and their struct pages."""

    def __init__(self, release: str, order: str = "little") -> None:
        numbers = numbers_of(release)
        plan = PagePlan(
            cache=8,
            cache_private=8,
            anonymous=8,
            slab=8,
            huge=16 * M >> 16,
            hwpoison=1,
            offline=int(numbers >= (5, 1)),
        )
        memory = (MemoryRange(0, 0, 96 * M),)
        machine = small_machine(release, memory, pages=plan, byte_order=order).boot()
        snapshot = machine.snapshot()
        self.usage = machine.usage
        self.owners = snapshot.owners
        self.bytes = PageBytes.painted(snapshot)

    def first(self, use: Use) -> PageRun:
        return self.usage.of(use)[0]


@pytest.mark.parametrize("release", FLAG_BITS.edges)
def test_page_flags(release: str) -> None:
    """Of the flags that the history knows, each kind of page has just its own."""
    painted, bits = Painted(release), FLAG_BITS[release]
    known = sum(1 << bit for bit in set(bits) if bit is not None)

    def check(pfn: int, *expected: int | None) -> None:
        flags = sum(1 << bit for bit in expected if bit is not None)
        assert painted.bytes.word(pfn, 0) & known == flags

    check(painted.first(Use.CACHE).start, bits.lru)
    check(painted.first(Use.CACHE_PRIVATE).start, bits.lru, bits.private)
    check(painted.first(Use.ANONYMOUS).start, bits.lru, bits.swapbacked)
    check(painted.first(Use.HWPOISON).start, bits.hwpoison)
    slab = painted.first(Use.SLAB)
    check(slab.start, bits.slab, bits.head if slab.order else None)
    huge = painted.first(Use.HUGE).start
    check(huge, bits.head)
    check(huge + 5, bits.tail)
    check(int(painted.owners.free[0, 0]), bits.buddy)


@pytest.mark.parametrize("release", FLAG_BITS.edges)
def test_vmcoreinfo_numbers_the_flags_as_the_pages_have_them(release: str) -> None:
    keys, bits = Painted(release).bytes.keys, FLAG_BITS[release]
    for name in ("lru", "private", "swapcache"):
        assert int(keys[f"NUMBER(PG_{name})"]) == getattr(bits, name)
    for name in ("slab", "swapbacked", "hwpoison"):
        assert int(keys.get(f"NUMBER(PG_{name})", -1)) in (-1, getattr(bits, name))
    assert int(keys.get("NUMBER(PG_head_mask)", 1 << bits.head)) == 1 << bits.head


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("release", STRUCT_PAGE.edges)
def test_members_of_struct_page(release: str, order: str) -> None:
    painted, at = Painted(release, order), STRUCT_PAGE[release]
    pages = painted.bytes
    cache = painted.first(Use.CACHE_PRIVATE).start
    assert pages.word(cache, at.pgoff) == cache
    assert pages.word(cache, at.mapping) >> 60 == 0xC
    assert pages.word(cache, at.private) >> 60 == 0xC
    assert pages.word(cache, at.mapcount, 4, signed=True) == -1
    assert pages.word(cache, at.refcount, 4) == 2
    anonymous = painted.first(Use.ANONYMOUS).start
    assert pages.word(anonymous, at.mapcount, 4) == 0
    assert pages.word(anonymous, at.refcount, 4) == 1
    assert pages.word(anonymous, at.mapping) & 1
    block = int(painted.owners.blocks[0][1][0])
    assert pages.word(block, at.private) == 1, "the block's order"
    own = pages.at(block + 1) + at.lru
    assert pages.word(block + 1, at.lru) == own, "an empty list, inside the block"
    assert pages.word(block + 1, at.lru + 8) == own


@pytest.mark.parametrize("release", TYPE_VALUES.edges)
def test_page_types(release: str) -> None:
    """_mapcount of each kind of page; and that VMCOREINFO, where it tells a value, tells that."""
    painted, values = Painted(release), TYPE_VALUES[release]
    pages = painted.bytes
    of_type = {
        "buddy": int(painted.owners.free[0, 0]),
        "hugetlb": painted.first(Use.HUGE).start,
        "slab": painted.first(Use.SLAB).start,
    }
    if values.offline is not None:
        of_type["offline"] = painted.first(Use.OFFLINE).start
    for name, pfn in of_type.items():
        value = getattr(values, name)
        if release in STRUCT_PAGE:
            mapcount = pages.word(pfn, STRUCT_PAGE[release].mapcount, 4, signed=True)
            assert mapcount == (-1 if value is None else value), name
        key = f"NUMBER(PAGE_{name.upper()}_MAPCOUNT_VALUE)"
        assert key not in pages.keys or int(pages.keys[key]) == value
    told = "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)" in pages.keys
    assert told is (values.offline is not None)


COMPOUND = ascending((*COMPOUND_MARKS.edges, *COMPOUND_OFFSETS.edges, *STRUCT_PAGE.edges))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("release", [r for r in COMPOUND if r in COMPOUND_MARKS])
def test_compound_pages(release: str, order: str) -> None:
    painted = Painted(release, order)
    painted.bytes.check_offsets()
    huge = painted.first(Use.HUGE)
    assert painted.bytes.order_of(huge.start) == 8
    assert painted.bytes.is_hugetlb(huge.start) is not False
    assert painted.bytes.head_of(huge.start + 1) == painted.bytes.at(huge.start)
    by_type = COMPOUND_MARKS[release].hugetlb == "type"
    assert ("NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)" in painted.bytes.keys) is by_type
