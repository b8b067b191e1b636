"""What ``simulate --truth`` says of each page, beside the dump's bytes and the allocators' books.

What a page is used for, and so what goes at a level, comes from ``oracles``, which the witnesses
are compared with, too; whether it is zeros from the file, and its block from the free lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breadth import trying
from oracles.simulated import (
    MIB,
    crash,
    event,
    excluded,
    frames,
    free_parts,
    kinds,
    numbers,
    spec_of,
    zero_pages,
)
from simulate.machines import faults, small_machine
from vmemmap.simulate import CmaArea, Machine, MemoryRange

SMALL = ((0, 0, 112), (1, 128, 64))
MACHINES: dict[str, dict[str, Any]] = {
    "6.1 hash, hotplug, CMA": {
        "release": "6.1",
        "events": (event("add", 512, 64, 1), event("remove", 544, 16)),
        "cma": (CmaArea(32 << 20, 16 << 20),),
    },
    "2.6.35 hash, 4K, big-endian": {"release": "2.6.35", "page": 4096, "byte_order": "big"},
    "4.4 does not tell huge pages": {"release": "4.4", "page": 4096},
    "7.2 radix, as kdump cuts it": {
        "release": "7.2",
        "mmu": "radix",
        "form": "kdump",
        "crashkernel": 32 << 20,
    },
}


@pytest.mark.parametrize("name", MACHINES)
def test_every_page_at_every_level(tmp_path: Path, name: str) -> None:
    dump = crash(spec_of(**{"memory": SMALL, **MACHINES[name]}), tmp_path / "vmcore")
    release, pfns, zeros = numbers(MACHINES[name]["release"]), frames(dump), zero_pages(dump)
    order = np.argsort(pfns)
    used, zeros, pfns = kinds(dump)[order], zeros[order], pfns[order]
    known = dump.machine.known_pages()
    sizes = [run.pfn_end - run.pfn_start for run in known]
    assert np.concatenate([np.arange(*run[:2]) for run in known]).tolist() == pfns.tolist()
    assert (np.repeat([run.zero for run in known], sizes) == zeros).all()
    levels = np.repeat([run.levels for run in known], sizes).astype(np.int64)
    for level in range(32):
        gone = np.logical_or.reduce(list(excluded(used, level, release).values()))
        expected = gone | (zeros & bool(level & 1))
        with trying(f"level {level}"):
            assert pfns[(levels >> level & 1) != expected].tolist() == []
    # The blocks that are free, by the allocator's own lists.
    for node in dump.machine.pages.nodes:
        free = [run for run in known if run.use == "free" and run.node == node]
        blocks = {
            (pfn, run.order)
            for run in free
            for pfn in range(run.pfn_start >> run.order << run.order, run.pfn_end, 1 << run.order)
        }
        listed = [dump.machine.pages.free_blocks(node), dump.machine.pages.cma_blocks(node)]
        expected_blocks = [
            (pfn, order) for orders in listed for order, heads in orders for pfn in heads.tolist()
        ]
        assert blocks == set(expected_blocks)
        assert sum(1 << order for _, order in blocks) == sum(
            end - start for start, end in free_parts(dump.machine, node)
        )
    plan = dump.machine.spec.pages
    for use in ("cache", "cache_private", "anonymous", "slab", "huge", "hwpoison", "vmalloc"):
        mine = [run for run in known if run.use == use]
        assert sum(run.pfn_end - run.pfn_start for run in mine) == getattr(plan, use), use
        assert any(run.order for run in mine) == (use in ("slab", "huge"))


def test_pages_that_nobody_initialised_are_not_known() -> None:
    """6.1 leaves struct pages of memory that is not online as they were; 4.12 does not."""
    for release, levels in (("6.1", {None}), ("4.12", {0xAAAAAAAA})):
        spec = spec_of(release, memory=SMALL, events=(event("add", 4096, 32, 1, online=False),))
        unused = [run for run in Machine(spec).known_pages() if run.use == "not_online"]
        assert [(run.pfn_start, run.pfn_end, run.node) for run in unused] == [(65536, 66048, 1)]
        assert {run.levels for run in unused} == levels


def test_sections_without_struct_pages_have_no_node() -> None:
    """The block for the last of eight fails at boot, and the headers are from before."""
    memory = (MemoryRange(0, 0, 64 * MIB), MemoryRange(1, 64 * MIB, 64 * MIB))
    plan = faults(block=(4 * 7 + 1,))
    sizes = {"page_size": 4096, "block_size": 65536}
    machine = small_machine("4.18", memory, **sizes, faults=plan, headers_from="boot").boot()
    assert machine.lost_sections == 1
    lost = [run for run in machine.known_pages() if run.use == "no_node"]
    assert [(lost[0].pfn_start, lost[-1].pfn_end)] == [(7 << 12, 8 << 12)]
    assert {(run.node, run.makedumpfile) for run in lost} == {(None, None)}
