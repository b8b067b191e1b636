"""The list beside the memory blocks that the guest had: each is covered, and no more than they."""

from __future__ import annotations

import numpy as np

from lab.checks.guest_memory import join
from lab.checks.machine_facts import keeps_list
from lab.checks.opened import Opened
from lab.results import Result
from vmemmap import TranslateError

SECTION_BYTES = 16 << 20


def test_list_is_there_where_the_kernel_keeps_one(machine: Result, opened: Opened) -> None:
    assert bool(len(opened.core.backing)) == keeps_list(machine)


def test_every_block_is_covered(machine: Result, opened: Opened) -> None:
    """By an entry; where the kernel keeps no list, by its page tables."""
    core = opened.core
    covered = join(
        [(entry.virt, entry.virt + core.backing.block_size) for entry in core.backing]
        if len(core.backing)
        else []
    )
    for start, end in opened.struct_pages:
        if keeps_list(machine):
            assert any(low <= start and end <= high for low, high in covered), hex(start)
        step = min(core.backing.block_size or 4096, 4096)
        phys, known = core.vtop_many(np.arange(start, end, step, dtype=np.uint64))
        assert known.all(), hex(start)
        assert len(np.unique(phys)) == len(phys), "two places of the vmemmap in one of the memory"


def test_no_entry_backs_memory_that_is_not_there(opened: Opened) -> None:
    """An entry can reach beyond a block of memory, but not be without any."""
    wanted = join(opened.struct_pages)
    for entry in opened.core.backing:
        end = entry.virt + opened.core.backing.block_size
        assert any(low < end and entry.virt < high for low, high in wanted), entry


def test_entries_lie_in_memory_that_is_there(opened: Opened) -> None:
    present = join([(block.start, block.end) for block in opened.blocks])
    size = opened.core.backing.block_size or 0
    for entry in opened.core.backing:
        for phys, length in ((entry.phys, size), (entry.node - (0xC << 60), 24)):
            assert any(low <= phys and phys + length <= high for low, high in present), entry


def test_beyond_the_blocks_nothing_translates(opened: Opened) -> None:
    """What no entry covers has no translation: the next byte after each run of entries."""
    core = opened.core
    size = core.backing.block_size
    virts = {entry.virt for entry in core.backing}
    for end in sorted({virt + size for virt in virts} - virts) if size else ():
        try:
            found = core.vtop(end)
        except TranslateError:
            continue
        raise AssertionError(f"{end:#x} translates to {found.phys:#x}")


def test_struct_pages_name_their_node_and_zone(opened: Opened) -> None:
    """At both ends of each memory block, as far as they are in the dump and known."""
    page = opened.page_size
    names = {
        (zone.node, zone.zone): zone.name for zone in opened.usage.zones if zone.node is not None
    }
    seen = 0
    for block in opened.blocks:
        for pfn in (block.start // page, block.end // page - 1):
            info = opened.core.pages[pfn]
            if not block.online:
                assert info.node is info.zone is None, hex(pfn)
                continue
            assert info.node in block.nodes or not block.nodes, hex(pfn)
            assert info.zone is not None
            if len(block.zones) == 1 and block.zones != ("none",):
                assert names[info.node or 0, info.zone] == block.zones[0], hex(pfn)
            seen += 1
    assert seen


def test_sections_are_those_of_the_blocks(opened: Opened) -> None:
    wanted = sum(block.end - block.start for block in opened.blocks) // SECTION_BYTES
    coverage = opened.core.check().coverage
    assert coverage is not None
    assert opened.usage.sections == coverage.counts.sections == coverage.counts.covered == wanted
    offline = sum(not block.online for block in opened.blocks)
    if opened.usage.sections_offline is not None:
        per_block = (opened.blocks[0].end - opened.blocks[0].start) // SECTION_BYTES
        assert opened.usage.sections_offline == offline * per_block
