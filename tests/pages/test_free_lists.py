"""Kernels whose VMCOREINFO says nothing of free pages: the lists are followed, but not for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.struct_pages import StructPages
from pages.machines import Built, machine_of, pfns_of

ORDERS, LISTS = 9, 6
FREE_AREA, AREA_BYTES = 256, 104
BLOCKS = {0: [300, 301, 999], 2: [512], 5: [64, 1024, 96], 8: [1280]}


def head_of(built: Built, order: int, which: int) -> int:
    zone = built.machine.symbols["contig_node"]
    return zone + FREE_AREA + order * AREA_BYTES + 16 * which


def link(built: Built, order: int, which: int, pfns: list[int]) -> None:
    """Put blocks on a list."""
    machine, lru = built.machine, built.pages.at["at_lru"]
    head = head_of(built, order, which)
    ring = [head, *(machine.page_virt(pfn) + lru for pfn in pfns)]
    for here, after in zip(ring, [*ring[1:], head], strict=True):
        for address, value in ((here, after), (after + 8, here)):
            if address - head in (0, 8):
                machine.poke_u64(address, value)
            else:
                pfn, into = divmod(address - machine.vmemmap_base, machine.struct_page_size)
                built.pages.poke_number(pfn, into, 8, value)


@pytest.fixture(params=["little", "big"])
def built(request, tmp_path: Path) -> Built:
    machine = machine_of("3.4.106", request.param)
    machine.memory.reserve(80 * machine.page_size, 36 * machine.page_size)
    pages = StructPages(machine, zone_bits=1)
    pages.clear(pfns_of(machine))
    built = Built(machine, pages, tmp_path / "vmcore")
    for order in range(ORDERS):
        for which in range(LISTS):
            link(built, order, which, [])
    for order, pfns in BLOCKS.items():
        for pfn in pfns:
            pages.free(pfn, order)
        link(built, order, order % LISTS, pfns)
    return built.saved()


def test_the_lists_are_followed(built: Built) -> None:
    expected = sum(len(pfns) << order for order, pfns in BLOCKS.items())
    with built.open() as core:
        usage = core.usage()
        blocks, whole = core.page_model.free_blocks
        origins = {fact.name: str(fact.origin) for fact in core.pages.layout.facts}
    assert whole
    assert sorted((block.order, block.pfn) for block in blocks) == sorted(
        (order, pfn) for order, pfns in BLOCKS.items() for pfn in pfns
    )
    # makedumpfile leaves out what is there: the ends of two blocks of 32 pages, of 64 and of 96 on.
    free = {pfn + i for order, pfns in BLOCKS.items() for pfn in pfns for i in range(1 << order)}
    in_dump = len(free & set(built.machine.pages))
    assert 36 <= in_dump < expected
    for level in range(32):
        counts = usage.makedumpfile[level]
        assert counts is not None
        assert counts["free"] == (in_dump if level & 16 else 0)
    # The struct pages say the same, by numbers that this kernel does not export.
    assert usage.free == usage.kinds["free"] == expected
    assert origins["PAGE_BUDDY_MAPCOUNT_VALUE"] == "assumed"
    assert origins["page._mapcount"] == "assumed"


def test_a_loop_ends_and_is_told(built: Built) -> None:
    pages, lru = built.pages, built.pages.at["at_lru"]
    second, first = BLOCKS[5][1], BLOCKS[5][0]
    pages.poke_number(second, lru, 8, built.machine.page_virt(first) + lru)
    with built.saved().open() as core:
        usage = core.usage()
    assert [finding.code for finding in usage.findings] == ["free_list", "hugetlb_unknown"]
    assert usage.makedumpfile[16] is None
    assert usage.makedumpfile[2] is not None


def test_a_stray_pointer_ends_a_list(built: Built) -> None:
    pages, lru = built.pages, built.pages.at["at_lru"]
    pages.poke_number(BLOCKS[0][0], lru, 8, 0xC000_0000_DEAD_0000)
    with built.saved().open() as core:
        assert [finding.code for finding in core.usage().findings] == [
            "free_list",
            "hugetlb_unknown",
        ]
