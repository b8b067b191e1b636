"""CMA areas: free pages on lists of their own, which nothing that stays may have.

With CMA a free area has six lists (ppc64-kernel.md 10): three with counterparts for each processor,
one more, CMA's, and the one of isolated pages. makedumpfile's count is in ``oracles``.
"""

from __future__ import annotations

from typing import Any

import pytest

import vmemmap
from simulate.machines import M, small_spec
from vmemmap.errors import SpecError
from vmemmap.simulate import CmaArea, FirmwareRange, Machine, MemoryRange, PagePlan

MEMORY = (MemoryRange(0, 0, 256 * M), MemoryRange(1, 512 * M, 128 * M))
AREAS = (CmaArea(96 * M, 32 * M), CmaArea(560 * M, 16 * M))
CMA_LIST = 4


def first_frames(core: vmemmap.Vmcore, node: int, kind: int) -> set[int]:
    """Follow one kind of free list of a node in memory, by VMCOREINFO alone; give the frames."""
    info = core.kernel.vmcoreinfo
    order, size, lru = core.kernel.order, info.size("page"), info.offset("page.lru")
    base = int(core.facts["vmemmap_base"].value)

    def word(at: int) -> int:
        return int.from_bytes(core.read(at, 8), order)

    zone = word(info.symbol("node_data") + 8 * node) + info.offset("pglist_data.node_zones")
    found = set()
    for number in range(info.length("zone.free_area")):
        area = zone + info.offset("zone.free_area") + number * info.size("free_area")
        head = area + info.offset("free_area.free_list") + kind * info.size("list_head")
        at = word(head)
        while at != head:
            found.add((at - lru - base) // size)
            at = word(at)
    return found


@pytest.mark.parametrize(
    ("release", "more"),
    [("3.9", {"byte_order": "big"}), ("4.18", {}), ("6.12", {"mmu": "radix"})],
)
def test_its_pages_are_free_on_lists_of_their_own(release: str, more: dict[str, Any]) -> None:
    plan = PagePlan(cache=400, anonymous=300, slab=100)
    machine = Machine(small_spec(release, MEMORY, pages=plan, cma=AREAS, **more))
    machine.add_memory(1024 * M, 64 * M, 1)
    frames = {pfn for area in AREAS for pfn in range(area.start >> 16, area.end >> 16)}
    with vmemmap.open(machine) as core:
        assert {str(core.pages[pfn].kind) for pfn in (*frames,)[::50]} == {"free"}
        assert {finding.code for finding in core.usage().findings} <= {"hugetlb_unknown"}
        kinds = core.usage().kinds
        for node in (0, 1):
            on_cma = first_frames(core, node, CMA_LIST)
            assert on_cma == {area.start >> 16 for area in AREAS[node : node + 1]} | (
                {(96 * M >> 16) + 256} if node == 0 else set()
            )
            assert not frames & first_frames(core, node, 1 if release != "3.9" else 2)
    assert kinds["free"] == sum(
        machine.pages.free_ranges(node).total + machine.pages.cma_ranges(node).total
        for node in (0, 1)
    )


@pytest.mark.parametrize(
    ("release", "more", "message"),
    [
        ("3.2", {"cma": AREAS}, "CMA came with 3.5"),
        ("6.1", {"cma": (CmaArea(100 * M, 32 * M),)}, "no multiples of 16 MiB"),
        ("6.1", {"cma": (CmaArea(0, 32 * M),)}, "the kernel itself is there"),
        ("6.1", {"cma": (CmaArea(240 * M, 32 * M),)}, "no range of memory has all of"),
        ("6.1", {"cma": (AREAS[0], AREAS[0])}, r"cma\[1\]: overlaps cma\[0\]"),
        (
            "6.1",
            {"cma": AREAS, "firmware": (FirmwareRange(112 * M, 65536),)},
            r"cma\[0\]: overlaps firmware\[0\]",
        ),
        (
            "6.1",
            {"cma": AREAS, "crashkernel": M, "crashkernel_at": 112 * M},
            r"cma\[0\]: overlaps dump.crashkernel",
        ),
    ],
)
def test_what_cannot_be(release: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        small_spec(release, MEMORY, **more).check()


def test_it_does_not_leave_with_its_memory() -> None:
    machine = Machine(small_spec("6.1", MEMORY, cma=AREAS)).boot()
    assert machine.remove_memory(560 * M, 16 * M).word == "-EBUSY"
