"""What each era does when something fails, and what it leaves behind."""

from __future__ import annotations

import pytest

from simulate.kernel_history import FAILED_MAPPING, NODE_ALLOCATOR, POPULATED, WITHOUT_A_NODE
from simulate.machines import (
    CHUNK_RELEASES,
    FREE_LIST_RELEASES,
    NODE,
    RELEASES,
    SECTION,
    ListModel,
    M,
    NodePages,
    add,
    faults,
    mapped_blocks,
    remove,
    sides,
    small_machine,
    small_spec,
    version_of,
    virts,
)
from vmemmap.simulate import Machine, MemoryRange
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.memory.physical import phys_of

FIRST, SECOND, FAR = 128 * M, 256 * M, 4096 * M
NODE_FAILURE = sides(WITHOUT_A_NODE)
OLD_ENOMEM = [r for r in NODE_FAILURE if WITHOUT_A_NODE[r] == "mapped all the same"]
NEW_ENOMEM = [r for r in NODE_FAILURE if WITHOUT_A_NODE[r] == "-ENOMEM"]
PARTS = [r for r in sides(POPULATED) if version_of(r) >= (5, 3)]


def free_pages(machine: Machine) -> int:
    return sum(machine.pages.free_ranges(node).total for node in machine.pages.nodes)


# -- no block


@pytest.mark.parametrize("release", RELEASES)
def test_without_a_block_the_addition_fails_with_enomem(release: str) -> None:
    booted = small_machine(release).boot()
    blocks = len(virts(booted))
    machine = small_machine(release, faults=faults(block=(blocks + 1,))).boot()
    before = machine.walk(), free_pages(machine)
    outcome = machine.run_event(add(FIRST))
    assert outcome.word == "-ENOMEM"
    assert (machine.walk(), free_pages(machine)) == before
    assert machine.pages.node_of(FIRST >> 16) is None, "not put to use"
    assert machine.run_event(remove(FIRST)).word == "-EINVAL"
    assert machine.run_event(add(FIRST)).word == "done", "the next attempt has memory"


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_failure_half_way_leaves(release: str) -> None:
    """Until 5.2 the section's earlier blocks stay on the list and mapped; since 5.3 they go back.

    4 KiB pages, 64 KiB blocks or base pages: a section takes 4 blocks or 64; the third fails.
    """
    size = 65536 if version_of(release) < (5, 3) else 4096
    booted = len(virts(small_machine(release, page_size=4096, block_size=size).boot()))
    machine = small_machine(
        release, page_size=4096, block_size=size, faults=faults(block=(booted + 3,))
    ).boot()
    free = free_pages(machine)
    before = virts(machine)
    assert machine.run_event(add(FIRST)).word == "-ENOMEM"
    if release in PARTS:
        assert virts(machine) == before
        assert free_pages(machine) == free
        assert set(mapped_blocks(machine)) == set(before)
    else:
        assert virts(machine)[2:] == before
        assert set(mapped_blocks(machine)) == set(virts(machine))
        assert free_pages(machine) == free - 2 * 16
    assert machine.run_event(add(FIRST)).word == "done"
    twice = len(virts(machine)) - len(set(virts(machine)))
    assert twice == (0 if release in PARTS else 2), "listed again by the next attempt"


# -- no page for nodes


@pytest.mark.parametrize("release", OLD_ENOMEM)
def test_before_5_10_a_block_without_a_node_is_mapped_and_carried_on_with(release: str) -> None:
    """The hole in the list that the patch allows: the crash side cannot find that block."""
    machine = small_machine(release, faults=faults(node_page=(1, 2))).boot()
    blocks = ListModel.of(machine).virts()
    assert machine.outcomes[0].word == "done"
    lacking = set(mapped_blocks(machine)) - set(virts(machine))
    assert lacking == machine.vmemmap.losses.no_node == set(blocks[-2:])
    assert virts(machine) == blocks[:-2]
    assert machine.lost_sections == 0


@pytest.mark.parametrize("release", NEW_ENOMEM)
def test_since_5_10_the_block_goes_back_and_the_addition_fails(release: str) -> None:
    # A page of 4 KiB has 170 nodes; 32 MiB at boot take 128 blocks, so the second page is needed.
    memory = (MemoryRange(0, 0, 32 * M),)
    machine = small_machine(release, memory, page_size=4096, faults=faults(node_page=(2,))).boot()
    before = machine.walk(), free_pages(machine), mapped_blocks(machine)
    assert machine.run_event(add(FIRST)).word == "-ENOMEM"
    assert (machine.walk(), free_pages(machine), mapped_blocks(machine)) == before
    assert not machine.vmemmap.losses.no_node
    assert machine.run_event(add(FIRST)).word == "done"


@pytest.mark.parametrize("release", [r for r in OLD_ENOMEM if NODE_ALLOCATOR[r] == "free list"])
def test_a_block_without_a_node_is_not_given_back_and_is_replaced(release: str) -> None:
    """vmemmap_list_free() does not know it: it stays mapped until the memory comes again."""
    machine = small_machine(release, (MemoryRange(0, 0, 64 * M),)).boot()
    machine.supply.faults._plan = faults(node_page=(2,))
    machine.memory.store_u32(PHYS["num_left"], 0)  # as if the first page were used up
    assert machine.run_event(add(FIRST)).word == "done"
    (lacking,) = machine.vmemmap.losses.no_node
    phys = mapped_blocks(machine)[lacking]
    assert machine.run_event(remove(FIRST)).word == "done"
    assert mapped_blocks(machine)[lacking] == phys
    assert not machine.pages.is_free(phys >> 16, (phys >> 16) + 1)
    assert machine.run_event(add(FIRST)).word == "done"
    assert mapped_blocks(machine)[lacking] != phys
    assert not machine.vmemmap.losses.no_node
    assert virts(machine).count(lacking) == 1


@pytest.mark.parametrize("release", RELEASES)
def test_a_page_for_nodes_that_cannot_be_had_leaves_next_null(release: str) -> None:
    """The pointer does not keep what it said of the page before: that page is used up."""
    machine = small_machine(release).boot()
    assert machine.memory.load_u64(PHYS["next"])
    machine.supply.faults._plan = faults(node_page=(2,))
    machine.memory.store_u32(PHYS["num_left"], 0)  # as if the first page were used up
    machine.run_event(add(FIRST))
    assert machine.memory.load_u64(PHYS["next"]) == 0
    pages = NodePages(machine)
    assert machine.run_event(add(SECOND)).word == "done"
    assert machine.list_head == pages.pages[0]
    assert machine.memory.load_u64(PHYS["next"]) == pages.pages[0] + NODE


# -- no mapping


@pytest.mark.parametrize("release", sides(FAILED_MAPPING))
def test_a_mapping_that_fails_stops_the_kernel_or_leaves_a_node_without_mapping(
    release: str,
) -> None:
    blocks = len(virts(small_machine(release).boot()))
    machine = small_machine(release, faults=faults(mapping=(blocks + 1,))).boot()
    outcome = machine.run_event(add(FIRST))
    assert len(virts(machine)) == blocks + 1 or version_of(release) >= (5, 3)
    if FAILED_MAPPING[release] == "BUG":
        assert machine.crashed
        assert "BUG" in machine.crashed
        assert outcome.word == "crashed"
    else:
        # vmemmap_populate() says -EFAULT; its callers pass on that there is no memmap.
        assert outcome.word == "-ENOMEM"
        listed = set(virts(machine)) - set(mapped_blocks(machine))
        assert listed == machine.vmemmap.losses.no_mapping
        assert bool(listed) is (version_of(release) < (5, 3)), "section_deactivate() undoes it"


# -- boot


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_lost_section_at_boot_costs(release: str) -> None:
    """Until 4.18 only itself; since 4.19 all that follows, as far as the run of its node goes.

    4 KiB pages, 4 blocks of 64 KiB (or 64 base pages) a section; the fourth section of node 1
    fails, then comes node 0, then node 1 again.
    """
    size = 65536 if version_of(release) < (5, 3) else 4096
    per = SECTION // 4096 * 64 // size
    memory = (
        *(MemoryRange(0, 0, 32 * M), MemoryRange(1, 32 * M, 96 * M)),
        *(MemoryRange(0, 128 * M, 32 * M), MemoryRange(1, 160 * M, 32 * M)),
    )
    plan = faults(block=(per * 5 + 1,))
    machine = small_machine(release, memory, page_size=4096, block_size=size, faults=plan).boot()
    whole = {number for number in range(12) if machine.sparsemem.flags(number) & 2}
    lost = {5, 6, 7} if version_of(release) >= (4, 19) else {5}
    assert set(range(12)) - whole == lost
    assert machine.lost_sections == len(lost)
    listed = {(virt - machine.kernel.vmemmap_base) // size // per for virt in virts(machine)}
    assert listed == whole
    for number in range(12):
        first = number * SECTION >> 12
        assert (machine.pages.is_free(first + 4000, first + 4001)) <= (number in whole)


@pytest.mark.parametrize("release", RELEASES)
def test_whether_pages_for_nodes_are_clean(release: str) -> None:
    """Cleared until 4.14, so unused nodes are zeros; later they hold what was there before."""
    machine = small_machine(release).boot()
    dirty = b"\xa5" * 65536
    for start, end in [*machine.pages.free_ranges(0), *machine.pages.free_ranges(1)]:
        for pfn in range(start, end):
            machine.memory.write(pfn << 16, dirty[: 64 if pfn % 97 else 65536])
    pages = NodePages(machine)
    machine.memory.store_u32(PHYS["num_left"], 0)
    assert machine.run_event(add(FIRST)).word == "done"
    (page,) = pages.pages
    after = machine.memory.read(phys_of(page) + NODE, 40)
    assert (after == bytes(40)) is (version_of(release) < (4, 15))


# -- nodes: from the memory's own NUMA node; never given back, or used again


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("step_by_step", [True, False])
def test_the_page_for_nodes_is_of_the_numa_node_of_the_first_block(
    release: str, step_by_step: bool
) -> None:
    memory = (
        MemoryRange(2, 0, 32 * M),
        MemoryRange(0, 64 * M, 32 * M),
        MemoryRange(1, FAR, 32 * M),
    )
    machine = Machine(small_spec(release, memory), step_by_step=step_by_step)
    pages = NodePages(machine)
    machine.boot()
    for node in (1, 0, 2):
        machine.memory.store_u32(PHYS["num_left"], 0)
        assert machine.run_event(add(FIRST + node * 128 * M, node=node)).word == "done"
    nodes = [machine.pages.node_of(phys_of(page) >> 16) for page in pages.pages]
    assert nodes == [2, 1, 0, 2]


@pytest.mark.parametrize("release", CHUNK_RELEASES)
def test_before_3_17_memory_that_comes_again_is_listed_twice_newest_first(release: str) -> None:
    """The old node is never taken off; whoever follows the list from its head finds the new one."""
    machine = small_machine(release).boot()
    assert machine.run_event(add(FIRST)).word == "done"
    ((_node, old_phys, virt), *_rest) = machine.walk()
    assert machine.run_event(remove(FIRST)).word == "done"
    assert virts(machine)[0] == virt, "still there without its memory"
    assert machine.run_event(add(FIRST)).word == "done"
    found = [(node, phys) for node, phys, at in machine.walk() if at == virt]
    assert len(found) == 2
    assert found[0][1] == mapped_blocks(machine)[virt]
    assert found[1][1] == old_phys
    assert found[0][0] - found[1][0] == NODE, "a new node, the next one of the page"


@pytest.mark.parametrize("release", FREE_LIST_RELEASES)
def test_since_3_17_the_node_freed_last_is_used_first(release: str) -> None:
    machine = small_machine(release).boot()
    starts = [FIRST + index * 64 * M for index in range(4)]
    for start in starts:
        assert machine.run_event(add(start)).word == "done"
    base = machine.kernel.vmemmap_base
    size = machine.block_size

    def node_of(start: int) -> int:
        virt = base + (start >> 16) * 64 // size * size
        return next(node for node, _phys, at in machine.walk() if at == virt)

    nodes = {start: node_of(start) for start in starts}
    for start in (starts[1], starts[3], starts[0]):
        assert machine.run_event(remove(start)).word == "done"
        assert machine.memory.load_u64(PHYS["next"]) == nodes[start], "on top of the stack"
    fresh = nodes[starts[3]] + NODE
    for start, expected in (
        (starts[0], nodes[starts[0]]),
        (starts[1], nodes[starts[3]]),
        (starts[3], nodes[starts[1]]),
        (512 * M, fresh),
    ):
        assert machine.run_event(add(start)).word == "done"
        assert node_of(start) == expected
        assert machine.list_head == expected, "newest first, wherever the node lies"


@pytest.mark.parametrize("release", FREE_LIST_RELEASES)
def test_a_freed_node_keeps_what_it_said(release: str) -> None:
    """Only its link is rewritten: a reader must not take a node on the free list for a live one."""
    machine = small_machine(release).boot()
    machine.run_event(add(FIRST))
    node, phys, virt = machine.walk()[0]
    machine.run_event(remove(FIRST))
    here = phys_of(node)
    assert machine.memory.load_u64(here + 8) == phys
    assert machine.memory.load_u64(here + 16) == virt
    assert node not in {entry[0] for entry in machine.walk()}


@pytest.mark.parametrize("release", FREE_LIST_RELEASES)
def test_adding_and_removing_gives_all_memory_back(release: str) -> None:
    machine = small_machine(release).boot()
    free, before = free_pages(machine), machine.walk()
    for _ in range(3):
        assert machine.run_event(add(FIRST, 4 * SECTION, 1)).word == "done"
        assert machine.run_event(remove(FIRST, 4 * SECTION)).word == "done"
        assert free_pages(machine) == free
        assert machine.walk() == before


@pytest.mark.parametrize("release", FREE_LIST_RELEASES)
def test_blocks_of_boot_that_are_given_back_are_reserved_no_longer(release: str) -> None:
    memory = (MemoryRange(0, 0, 64 * M), MemoryRange(0, 128 * M, 64 * M))
    machine = small_machine(release, memory).boot()
    _node, phys, _virt = machine.walk()[0]
    assert machine.memblock.reserved.covers(phys, phys + 65536)
    machine.supply.free_block(phys, 65536)
    assert not machine.memblock.reserved.touches(phys, phys + 65536)
    assert machine.pages.is_free(phys >> 16, (phys >> 16) + 1)


# -- sections


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_removed_section_leaves_in_mem_section(release: str) -> None:
    """5.3 to 5.5 store the encoding of a NULL array: no zero, and no flag that says valid."""
    machine = small_machine(release).boot()
    machine.run_event(add(FIRST))
    at = machine.sparsemem.entry_phys(FIRST // SECTION)
    assert at is not None
    assert machine.memory.load_u64(at) & ~0x3F == machine.kernel.vmemmap_base
    machine.run_event(remove(FIRST))
    left = machine.memory.load_u64(at)
    if (5, 3) <= version_of(release) < (5, 6):
        assert left == (1 << 64) - (FIRST >> 16) * 64
        assert left & 0x3F == 0
    else:
        assert left == 0
    machine.run_event(add(FIRST))
    assert machine.memory.load_u64(at) & ~0x3F == machine.kernel.vmemmap_base
    assert machine.memory.load_u64(at) & 3 == 3


@pytest.mark.parametrize("release", RELEASES)
def test_blocks_that_valid_memory_already_has_are_passed_over(release: str) -> None:
    """64 KiB hold the struct pages of 64 MiB: four sections, one block, made by the first."""
    size = 65536
    machine = small_machine(release, block_size=size).boot()
    count = len(machine.walk())
    sections = [FIRST + index * SECTION for index in range(4)]
    for start in (sections[2], sections[0], sections[3], sections[1]):
        assert machine.run_event(add(start)).word == "done"
        assert len(machine.walk()) == count + 1
    for index, start in enumerate((sections[0], sections[2], sections[1], sections[3])):
        assert machine.run_event(remove(start)).word == "done"
        gone = index == 3 and release in FREE_LIST_RELEASES
        assert len(machine.walk()) == count + 1 - gone


@pytest.mark.parametrize("release", PARTS)
def test_adding_what_is_there_is_refused_since_5_3(release: str) -> None:
    machine = small_machine(release).boot()
    assert machine.run_event(add(FIRST)).word == "done"
    before = machine.walk()
    assert machine.run_event(add(FIRST)).word == "-EEXIST"
    assert machine.walk() == before


@pytest.mark.parametrize("release", sides(POPULATED))
def test_a_block_that_a_section_of_56_byte_pages_only_touches_at_its_end(release: str) -> None:
    """Until 3.16 the scan begins at the block, not at a section, and steps over the last one.

    A section of 64 KiB pages of 56 bytes takes 14 KiB, so a block begins and ends inside
    sections. Asked at 0, 14, 28, 42 and 56 KiB, a block that six sections share misses the last;
    an earlier section that comes later gets the block a second time.
    """
    machine = small_machine(release, struct_page_size=56).boot()
    per, size = 256 * 56, 65536
    block = next(
        block
        for block in range(8, 100)
        if (block + 1) * size - 1 >= (block * size // per + 5) * per
    )
    first = block * size // per
    last = first + 5
    assert machine.run_event(add(last * SECTION)).word == "done"
    virt = machine.kernel.vmemmap_base + block * size
    assert virts(machine).count(virt) == 1
    assert machine.run_event(add((first + 1) * SECTION)).word == "done"
    assert virts(machine).count(virt) == (2 if "start" in POPULATED[release] else 1)


@pytest.mark.parametrize("release", ["5.3", "5.5", "6.1"])
def test_the_second_part_of_a_section_takes_itself_for_populated(release: str) -> None:
    """A consequence of the code's order, not seen in a dump: parts are marked valid first.

    section_activate() fills the subsection map, then populates; vmemmap_populated() asks that map
    as soon as the section has struct pages at all. With blocks smaller than a section's struct
    pages (hash, 4 KiB pages) those of a part that comes later are not backed. Since 5.7 device
    memory is aligned to 16 MiB there (memremap_compat_align), so that no such part comes.
    """
    machine = small_machine(release, page_size=4096, block_size=4096).boot()
    assert machine.run_event(add(FIRST, 2 * M, device=True)).word == "done"
    count = len(machine.walk())
    assert machine.run_event(add(FIRST + 2 * M, 2 * M, device=True)).word == "done"
    assert len(machine.walk()) == count
    page = machine.vmemmap.pfn_to_page((FIRST + 2 * M) >> 12)
    assert machine.vmemmap.map.find(page) is None


@pytest.mark.parametrize("release", [r for r in sides(POPULATED) if r in PARTS])
def test_a_section_of_which_only_a_later_part_is_valid(release: str) -> None:
    """Asked by sections it looks empty, and its block is made again; since 5.5 parts are asked."""
    machine = small_machine(release).boot()
    assert machine.run_event(add(FIRST + 2 * M, 2 * M, device=True)).word == "done"
    assert machine.run_event(add(FIRST + SECTION)).word == "done"
    block = machine.vmemmap.pfn_to_page(FIRST >> 16)
    assert virts(machine).count(block) == (2 if POPULATED[release] == "by sections" else 1)
