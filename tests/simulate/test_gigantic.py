"""Pages of 16 GiB (hash) and 1 GiB (radix), which boot sets apart: far larger than any free block.

Expected is the plan: how many there are, and that memory of one is one compound page of hugetlb's
with the order that its size has. makedumpfile counts one in ``oracles``.
"""

from __future__ import annotations

from typing import Any

import pytest

import vmemmap
from simulate.machines import small_spec
from vmemmap.errors import SpecError
from vmemmap.simulate import Machine, MemoryRange, PagePlan

G = 1 << 30


@pytest.mark.parametrize(
    ("release", "gib", "more"),
    [
        ("3.16", 16, {"byte_order": "big"}),
        ("4.18", 16, {}),
        ("6.8", 16, {"byte_order": "big"}),
        ("7.2", 1, {"mmu": "radix"}),
    ],
)
def test_one_is_a_compound_page_of_its_size(release: str, gib: int, more: dict[str, Any]) -> None:
    pages = gib << 14  # of 64 KiB
    plan = PagePlan(cache=40, gigantic=pages)
    memory = (MemoryRange(0, 0, (2 * gib + 1) * G),)
    machine = Machine(small_spec(release, memory, pages=plan, **more)).boot()
    (run,) = [run for run in machine.usage.runs if run.end - run.start == pages]
    with vmemmap.open(machine) as core:
        usage, report = core.usage(), core.check()
        head, last = core.pages[run.start], core.pages[run.end - 1]
    assert (usage.kinds["hugetlb"], usage.kinds["cache"]) == (pages, 40)
    assert str(head.kind) == "hugetlb"
    assert head.order == gib.bit_length() - 1 + 14
    assert last.head == head.pfn
    assert "reserved" not in head.flags + last.flags
    assert not [finding for finding in report.findings if finding.severity != "info"]


def test_it_does_not_leave_with_its_memory() -> None:
    """Not even where there is room for another: no allocation is as large."""
    memory = (MemoryRange(0, 0, G), MemoryRange(0, 16 * G, 48 * G))
    machine = Machine(small_spec("6.1", memory, pages=PagePlan(gigantic=16 << 14))).boot()
    assert machine.pages.is_free(16 << 14, 32 << 14)
    assert machine.remove_memory(48 * G, 16 * G).word == "-EBUSY"


@pytest.mark.parametrize(
    ("plan", "memory", "message"),
    [
        (PagePlan(gigantic=1 << 14), 32 * G, "no multiple of 262144, the size of a gigantic page"),
        (PagePlan(gigantic=16 << 14), 8 * G, "are more than the 8192 MiB"),
        (PagePlan(gigantic=16 << 14), 17 * G, "no memory is left that is large enough"),
    ],
)
def test_what_cannot_be(plan: PagePlan, memory: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Machine(small_spec("6.1", (MemoryRange(0, 0, memory),), pages=plan))
