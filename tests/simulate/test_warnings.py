"""What a simulated kernel's log says: warnings where the code has them, lines as real ones have."""

from __future__ import annotations

import re

import pytest

from simulate.kernel_history import (
    FAILED_MAPPING,
    HASH_REGIONS,
    MAP_PRINTED,
    NODE_ALLOCATOR,
    WARNING_FORM,
    WARNINGS,
    WITHOUT_A_NODE,
)
from simulate.machines import (
    RELEASES,
    M,
    add,
    faults,
    remove,
    sides,
    small_machine,
    version_of,
    virts,
)
from vmemmap.simulate import Machine, MemoryRange
from vmemmap.simulate.crash.dmesg import dmesg
from vmemmap.simulate.memory.image import PHYS

FIRST, SECOND = 128 * M, 256 * M


def log_of(machine: Machine) -> list[str]:
    return [message.text for message in dmesg(machine.snapshot().machine)]


def warned_in(lines: list[str]) -> list[str]:
    """The functions that warned, in order: whose address the first line of registers has."""
    places = [re.match(r"NIP \[[0-9a-f]{16}\] \.?(\w+)\+", line) for line in lines]
    return [place[1] for place in places if place]


def used_up(machine: Machine, *failing: int) -> Machine:
    """Let the page that nodes are cut from be used up, and asking for another fail."""
    machine.supply.faults._plan = faults(node_page=failing)
    machine.memory.store_u32(PHYS["num_left"], 0)
    return machine


# -- the node that cannot be had


@pytest.mark.parametrize("release", sides(WARNINGS))
def test_each_failure_warns_as_often_as_the_code_does(release: str) -> None:
    """A block of 64 KiB holds four sections' struct pages, so each addition asks for one node."""
    machine = used_up(small_machine(release, block_size=65536).boot(), 2, 3)
    assert not warned_in(log_of(machine))
    once = [f for f in ("vmemmap_list_alloc", "vmemmap_list_populate") if f in WARNINGS[release]]
    machine.run_event(add(FIRST))
    assert warned_in(log_of(machine)) == once
    machine.run_event(add(SECOND))
    lines = log_of(machine)
    assert warned_in(lines) == once * 2
    assert sum("cut here" in line for line in lines) == len(once) * 2


@pytest.mark.parametrize("release", sides(WARNINGS))
def test_a_warning_stands_between_what_came_before_and_after(release: str) -> None:
    machine = small_machine(release, block_size=65536).boot()
    machine.run_event(add(FIRST))
    used_up(machine, 2)
    machine.run_event(add(SECOND))
    lines = log_of(machine)
    first = next(at for at, line in enumerate(lines) if f"at {FIRST:#x}" in line)
    second = next(at for at, line in enumerate(lines) if f"at {SECOND:#x}" in line)
    assert lines[first + 1] == "------------[ cut here ]------------"
    assert warned_in(lines[first:second]) == warned_in(lines) != []


@pytest.mark.parametrize("release", [r for r in RELEASES if "mapped" in WITHOUT_A_NODE[r]])
def test_a_loss_that_is_made_good_has_been_warned_of_all_the_same(release: str) -> None:
    machine = used_up(small_machine(release, block_size=65536).boot(), 2)
    machine.run_event(add(FIRST))
    assert machine.vmemmap.losses.no_node
    warned = warned_in(log_of(machine))
    machine.run_event(remove(FIRST))
    machine.run_event(add(FIRST))
    if NODE_ALLOCATOR[release] == "free list":
        assert not machine.vmemmap.losses.no_node
    assert warned_in(log_of(machine))[: len(warned)] == warned != []


@pytest.mark.parametrize("release", sides(WARNINGS))
def test_freeing_a_block_without_a_node_warns_from_3_17_to_5_9(release: str) -> None:
    """Here its node was taken from the list by hand, so that every era has such a block."""
    machine = small_machine(release, block_size=65536).boot()
    machine.run_event(add(FIRST))
    newest = machine.list_head & ((1 << 60) - 1)
    machine.memory.store_u64(PHYS["vmemmap_list"], machine.memory.load_u64(newest))
    machine.run_event(remove(FIRST))
    expected = [f for f in ("vmemmap_list_free",) if f in WARNINGS[release]]
    assert warned_in(log_of(machine)) == expected


@pytest.mark.parametrize("release", ["5.3", "5.4", "5.9", "5.10", "6.1"])
def test_undoing_an_addition_warns_of_each_block_that_was_not_reached(release: str) -> None:
    """64 blocks of 4 KiB; the third cannot be had, and 62 are asked for that no list has."""
    booted = len(virts(small_machine(release, page_size=4096, block_size=4096).boot()))
    plan = faults(block=(booted + 3,))
    machine = small_machine(release, page_size=4096, block_size=4096, faults=plan).boot()
    machine.run_event(add(FIRST))
    lines = log_of(machine)
    expected = 62 if "vmemmap_list_free" in WARNINGS[release] else 0
    assert warned_in(lines) == ["vmemmap_list_free"] * expected
    for line in lines:
        assert " populate_section_memmap" not in line, "it had returned"


# -- the trace


@pytest.mark.parametrize(
    ("release", "chain"),
    [
        (
            "2.6.35",
            "vmemmap_populate sparse_mem_map_populate kmalloc_section_memmap "
            "sparse_add_one_section __add_pages arch_add_memory add_memory",
        ),
        (
            "5.9",
            "vmemmap_populate __populate_section_memmap populate_section_memmap section_activate "
            "sparse_add_section __add_pages arch_add_memory add_memory",
        ),
    ],
)
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_trace_is_the_chain_of_callers(release: str, chain: str, order: str) -> None:
    """The big-endian ABI calls the code of a function by a name with a dot."""
    machine = small_machine(release, block_size=65536, byte_order=order).boot()
    used_up(machine, 2).run_event(add(FIRST, 16 * M, 1))
    lines = log_of(machine)
    begin = lines.index("Call Trace:") + 1
    names = []
    for line in lines[begin:]:
        found = re.match(r"\[c[0-9a-f]{15}\] \[c[0-9a-f]{15}\] (\S+)\+0x", line)
        if not found:
            break
        names.append(found[1])
    dot = "." if order == "big" else ""
    assert names == [dot + name for name in ("vmemmap_list_populate", *chain.split())]


@pytest.mark.parametrize("release", WARNING_FORM.edges)
def test_the_first_line_has_the_form_of_its_time(release: str) -> None:
    machine = used_up(small_machine(release, block_size=65536).boot(), 2)
    machine.run_event(add(FIRST))
    lines = log_of(machine)
    first = lines[lines.index("------------[ cut here ]------------") + 1]
    form = re.escape(WARNING_FORM[release]).replace(r"\{file\}", "arch/powerpc/mm/init_64[.]c")
    form = form.replace(r"\{line\}", "[0-9]+").replace(r"\{pid\}", "[0-9]+")
    assert re.match(form.replace(r"\{function\}", "vmemmap_list_alloc"), first)


def test_only_a_kernel_that_has_warned_is_tainted() -> None:
    machine = used_up(small_machine("4.18", block_size=65536).boot(), 2, 3)
    machine.run_event(add(FIRST))
    machine.run_event(add(SECOND))
    tainted = ["Tainted: G        W" in line for line in log_of(machine) if "REGS:" in line]
    assert tainted == [False, True, True, True]


# -- what fails otherwise


@pytest.mark.parametrize("release", sides(FAILED_MAPPING))
def test_a_mapping_that_fails_is_printed_as_the_kernel_prints_it(release: str) -> None:
    blocks = len(virts(small_machine(release).boot()))
    machine = small_machine(release, faults=faults(mapping=(blocks + 1,))).boot()
    machine.run_event(add(FIRST))
    lines = log_of(machine)
    printed = "vmemmap_populate: Unable to create vmemmap mapping: -2" in lines
    assert printed is (FAILED_MAPPING[release] == "-EFAULT")


@pytest.mark.parametrize("release", ["4.18", "4.19"])
def test_sections_lost_at_boot_are_printed_each_or_by_their_run(release: str) -> None:
    memory = (MemoryRange(0, 0, 64 * M), MemoryRange(1, 64 * M, 64 * M))
    plan = faults(block=(4 * 2 + 1, 4 * 4 + 1, 4 * 4 + 2))
    machine = small_machine(release, memory, page_size=4096, block_size=65536, faults=plan).boot()
    lines = [line for line in log_of(machine) if "memory map backing failed" in line]
    if version_of(release) < (4, 19):
        assert len(lines) == machine.lost_sections == 3
    else:
        assert len(lines) == 2
        assert [re.findall(r"node\[(\d)\]", line) for line in lines] == [["0"], ["1"]]


# -- boot


@pytest.mark.parametrize("page_size", HASH_REGIONS)
@pytest.mark.parametrize("release", MAP_PRINTED.edges)
def test_the_map_is_printed_by_kernels_of_5_2_and_later(release: str, page_size: int) -> None:
    regions = HASH_REGIONS[page_size].get(release)
    lines = log_of(small_machine(release, page_size=page_size).boot())
    printed = [line for line in lines if " start " in line and "= 0x" in line]
    told = MAP_PRINTED[release]
    if told is None:
        assert not printed
        return
    form, gaps = told
    assert regions is not None
    starts = zip(("vmalloc", "IO", "vmemmap"), regions, strict=True)
    assert printed == [
        f"{form.format(name)}{' ' * gaps[name]}= {start:#x}" for name, start in starts
    ]
