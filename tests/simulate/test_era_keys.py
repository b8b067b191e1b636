"""What a kernel tells of itself and how it is built, release by release, against the history."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simulate.kernel_history import (
    CACHED_ZONELISTS,
    DEVICE_ZONE,
    KEYS,
    MOVABLE_LIST,
    RADIX_BLOCKS,
    REMOVED_SECTION,
    RESIZE_LOCK,
    STRUCT_PAGE_BYTES,
    ZONES,
    ascending,
)
from simulate.machines import SECTION, M, add, remove, small_machine, small_spec
from simulate.page_bytes import PageBytes
from vmemmap.errors import SpecError
from vmemmap.simulate import Machine, MachineSpec, MemoryRange
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.memory.physical import phys_of
from vmemmap.simulate.steps import Task

FIRST = 128 * M
KEY_EDGES = [(key, release) for key in KEYS for release in KEYS[key].edges]


def keys_of(machine: Machine) -> dict[str, str]:
    return PageBytes.painted(machine.snapshot()).keys


# -- VMCOREINFO


@pytest.mark.parametrize(("key", "release"), KEY_EDGES)
def test_which_keys_a_release_has(key: str, release: str) -> None:
    assert (key in keys_of(small_machine(release).boot())) is KEYS[key][release]


def test_a_build_has_its_own_id() -> None:
    ids = [
        keys_of(small_machine("6.1", page_size=size, byte_order=order).boot())["BUILD-ID"]
        for size in (4096, 65536)
        for order in ("little", "big")
    ]
    assert len(set(ids)) == 4
    assert all(len(bytes.fromhex(text)) == 20 for text in ids)


def test_the_index_of_dmesg_clear_lies_between_the_other_two() -> None:
    """As a real 4.9 has them: log_first_idx, clear_idx, log_next_idx."""
    keys = list(keys_of(small_machine("4.9").boot()))
    at = keys.index("SYMBOL(clear_idx)")
    assert keys[at - 1] == "SYMBOL(log_first_idx)"
    assert keys[at + 1] == "SYMBOL(log_next_idx)"


# -- struct pages


@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("release", STRUCT_PAGE_BYTES.edges)
def test_the_size_of_a_struct_page_when_nothing_is_said(release: str, page_size: int) -> None:
    """Sections and blocks follow: as many blocks as hold the struct pages of what is there."""
    size = STRUCT_PAGE_BYTES[release]
    memory = (MemoryRange(0, 0, 512 * M),)
    spec = MachineSpec(memory=memory, release=release, page_size=page_size)
    machine = Machine(spec).boot()
    assert int(keys_of(machine)["SIZE(page)"]) == size
    described = 512 * M // page_size * size
    assert len(machine.walk()) == -(-described // machine.block_size)


@pytest.mark.parametrize("release", RADIX_BLOCKS.edges)
@pytest.mark.parametrize("page_size", [4096, 65536])
def test_what_the_vmemmap_of_radix_is_built_of(release: str, page_size: int) -> None:
    expected = 2 * M if RADIX_BLOCKS[release] == "2 MiB" else page_size
    memory = (MemoryRange(0, 0, 256 * M if page_size == 4096 else 1024 * M),)
    machine = Machine(MachineSpec(memory=memory, release=release, page_size=page_size, mmu="radix"))
    assert machine.block_size == expected
    if machine.kernel.keeps_list:
        machine.boot()
        virts = sorted(virt for _node, _phys, virt in machine.walk())
        assert {high - low for low, high in pairwise(virts)} <= {expected}


# -- sections, nodes, zones


@pytest.mark.parametrize("release", REMOVED_SECTION.edges)
def test_what_a_removed_section_leaves(release: str) -> None:
    machine = small_machine(release).boot()
    machine.run_event(add(FIRST))
    machine.run_event(remove(FIRST))
    at = machine.sparsemem.entry_phys(FIRST // SECTION)
    assert at is not None
    left = machine.memory.load_u64(at)
    expected = 0 if REMOVED_SECTION[release] == "0" else (1 << 64) - (FIRST >> 16) * 64
    assert left == expected


@pytest.mark.parametrize(
    "release", [r for r in ascending((*ZONES.edges, *DEVICE_ZONE.edges)) if r in ZONES]
)
def test_zones_and_where_their_numbers_lie_in_flags(release: str) -> None:
    """The offset of nr_zones tells how many there are: the zones and the zonelists precede it."""
    zones = len(ZONES[release]) + DEVICE_ZONE[release]
    machine = small_machine(release).boot()
    keys = keys_of(machine)
    lists = 2 * (256 * zones + 1) * 16
    cached = lists + 2 * (8 + 256 * zones * 2 + 256 * zones // 8 + 8)  # numbers, bits
    expected = {True: {cached}, False: {lists}, None: {lists, cached}}
    told = int(keys["OFFSET(pglist_data.nr_zones)"]) - zones * int(keys["SIZE(zone)"])
    assert told in expected[CACHED_ZONELISTS.get(release)]


@pytest.mark.parametrize(
    ("release", "zone", "bits"), [("4.18", 4, 3), ("5.0", 2, 2), ("6.12", 2, 2), ("7.3", 2, 2)]
)
def test_device_memory_is_in_the_last_zone_and_the_rest_in_the_first(
    release: str, zone: int, bits: int
) -> None:
    """Up to four zones take two bits, below the eight of the node; five take three."""
    spec = small_spec(release, events=(add(FIRST, device=True),))
    pages = PageBytes.painted(Machine(spec).boot().run_events().snapshot())
    assert pages.word(FIRST >> 16, 0) >> 56 - bits & (1 << bits) - 1 == zone
    assert pages.word(0, 0) >> 56 - bits & (1 << bits) - 1 == 0


@pytest.mark.parametrize("release", MOVABLE_LIST.edges)
@pytest.mark.parametrize("order", ["little", "big"])
def test_which_list_has_the_free_blocks(release: str, order: str) -> None:
    machine = small_machine(release, byte_order=order).boot()
    snapshot = machine.snapshot()
    keys = PageBytes.painted(snapshot).keys
    area = phys_of(machine.memory.load_u64(PHYS["node_data"]))
    area += int(keys["OFFSET(zone.free_area)"])
    found = set()
    for number in range(int(keys["LENGTH(zone.free_area)"])):
        for kind in range(int(keys["LENGTH(free_area.free_list)"])):
            at = area + number * int(keys["SIZE(free_area)"]) + kind * 16
            if phys_of(machine.memory.load_u64(at)) != at:
                found.add(kind)
    assert found == {MOVABLE_LIST[release]}


@pytest.mark.parametrize("release", RESIZE_LOCK.edges)
def test_adding_a_section_takes_the_lock_that_the_patch_names_or_not(release: str) -> None:
    machine = small_machine(release).boot()
    task, lock = Task("hotplug"), machine.locks.pgdat_resize_lock(0)
    held = False
    for _access in machine.event_steps(task, add(FIRST)):
        held |= task.holds(lock)
    assert held is RESIZE_LOCK[release]


# -- what no kernel is


@pytest.mark.parametrize(
    ("release", "page_size", "mmu", "end"),
    [
        ("4.4", 65536, "hash", 1 << 46),
        ("5.4", 4096, "hash", 16 << 40),
        ("5.10", 4096, "hash", 61 << 40),
        ("5.10", 4096, "radix", 1 << 51),
        ("6.1", 65536, "hash", 1 << 51),
    ],
)
def test_memory_may_reach_as_far_as_the_regions_and_not_a_section_further(
    release: str, page_size: int, mmu: str, end: int
) -> None:
    kernel = Kernel(release, page_size, "little", mmu, 64)  # type: ignore[arg-type]
    assert min(kernel.reach, 1 << kernel.max_physmem_bits) == end


@pytest.mark.parametrize(
    ("release", "page_size", "mmu", "block_size"),
    [
        ("5.3", 4096, "hash", 65536),
        ("5.2", 65536, "radix", 2 * M),
        ("4.19.71", 65536, "radix", 2 * M),
        ("4.9.100", 4096, "radix", 2 * M),
        ("6.1", 65536, "hash", 2 * M),
    ],
)
def test_a_block_size_that_the_release_cannot_have_is_refused(
    release: str, page_size: int, mmu: str, block_size: int
) -> None:
    memory = (MemoryRange(0, 0, 2048 * M),)
    spec = small_spec(release, memory, page_size=page_size, mmu=mmu, block_size=block_size)
    with pytest.raises(SpecError) as caught:
        spec.check()
    assert caught.value.field == "kernel.block_size"


@pytest.mark.parametrize(
    ("release", "page_size", "mmu", "block_size"),
    [
        ("5.2", 4096, "hash", 65536),
        ("5.3", 65536, "radix", 2 * M),
        ("4.19.191", 65536, "radix", 2 * M),
        ("4.7.4", 4096, "radix", 2 * M),
    ],
)
def test_and_on_the_other_side_of_the_change_it_is_not(
    release: str, page_size: int, mmu: str, block_size: int
) -> None:
    memory = (MemoryRange(0, 0, 2048 * M),)
    small_spec(release, memory, page_size=page_size, mmu=mmu, block_size=block_size).check()


@pytest.mark.parametrize(
    ("release", "start", "refused"),
    [
        ("5.1", (16 << 40), False),
        ("5.2", (16 << 40) - SECTION, False),
        ("5.2", 16 << 40, True),
        ("5.10", 16 << 40, False),
        ("5.10", 61 << 40, True),
    ],
)
def test_memory_without_a_place_in_the_linear_map_is_refused(
    release: str, start: int, refused: bool
) -> None:
    """With 4 KiB pages on hash: 16 TiB from 5.2 on, 61 TiB since 5.10."""
    memory = (MemoryRange(0, 0, 64 * M), MemoryRange(0, start, SECTION))
    spec = small_spec(release, memory, page_size=4096)
    if not refused:
        spec.check()
        return
    with pytest.raises(SpecError, match="where the linear map or the vmemmap"):
        spec.check()
