"""Boot store by store and boot with arrays are one boot: the same bytes, map and allocators."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from breadth import singles
from simulate.machines import RELEASES, ListModel, M, small_spec, specs, virts
from vmemmap.simulate import Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.mm import boot


def state_of(machine: Machine) -> dict[str, Any]:
    """All that a boot leaves behind; frames of zeros are as good as none."""
    nodes = sorted({part.node for part in machine.spec.memory})
    return {
        "bytes": {
            phys: bytes(frame) for phys, frame in machine.memory.frames(0, 1 << 60) if any(frame)
        },
        "map": [column.tolist() for column in machine.vmemmap.map.columns()],
        "reserved": list(machine.memblock.reserved),
        "memblock": {node: list(machine.memblock.free_ranges(node)) for node in nodes},
        "free": {node: list(machine.pages.free_ranges(node)) for node in nodes},
        "runs": machine.usage.runs,
        "outcomes": [(outcome.what, outcome.result) for outcome in machine.outcomes],
    }


def both(spec: MachineSpec) -> Machine:
    """Boot both ways and compare; gives the machine that was booted with arrays."""
    slow, fast = Machine(spec, step_by_step=True).boot(), Machine(spec).boot()
    expected, got = state_of(slow), state_of(fast)
    for name, value in expected.items():
        assert got[name] == value, name
    return fast


@given(specs())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_both_ways_leave_the_same_machine(spec: MachineSpec) -> None:
    machine = both(spec)
    assume(machine.runner.stores == 0)  # else both went store by store: room was too tight
    if machine.kernel.keeps_list:
        assert virts(machine) == ListModel.of(machine).virts()
    else:
        assert machine.list_head == 0


@pytest.mark.parametrize(("release", "page_size"), singles(product(RELEASES, (4096, 65536))))
def test_each_release_with_16_mib_blocks_and_more_than_one_page_of_nodes(
    release: str, page_size: int
) -> None:
    """1 GiB is where 16 MiB blocks begin; with 4 KiB blocks it takes 4,096 nodes, 25 pages."""
    sizes = Kernel(release, page_size, "big", "hash", 64).block_sizes(1 << 30)
    for block_size in {sizes[0], sizes[-1]}:
        gib = small_spec(
            release,
            (MemoryRange(0, 0, 512 * M), MemoryRange(1, 512 * M, 512 * M)),
            page_size=page_size,
            block_size=block_size,
            byte_order="big",
            pages=PagePlan(cache=100, vmalloc=8),
        )
        machine = both(gib)
        assert machine.runner.stores == 0, "the array boot was not taken"
        blocks = -(-(1 << 30) // page_size * 64 // block_size)
        assert len(machine.walk()) == blocks


def test_blocks_that_do_not_fit_on_their_own_node_are_boots_affair_store_by_store() -> None:
    """A node too small for its own struct pages: the array boot declines, the other falls back."""
    memory = (MemoryRange(0, 0, 1024 * M), MemoryRange(1, 1024 * M, 16 * M))
    machine = Machine(small_spec("6.1", memory, block_size=16 * M, page_size=4096))
    assert not boot.can_init_in_bulk(machine.vmemmap, memory[1:])
    machine.boot()
    assert machine.runner.stores > 0
    assert virts(machine) == ListModel.of(machine).virts()


@given(st.integers(0, 12), st.integers(1, 4))
def test_each_byte_of_memmap_has_a_mapping_after_boot(hole: int, sections: int) -> None:
    spec = small_spec(
        "6.1",
        (MemoryRange(0, 0, 32 * M), MemoryRange(0, (32 + 16 * hole) * M, 16 * sections * M)),
        page_size=4096,
        struct_page_size=56,
    )
    machine = Machine(spec).boot()
    for part in spec.memory:
        pages = np.arange(part.start >> 12, part.end >> 12, 73)
        for pfn in pages.tolist():
            virt = machine.vmemmap.pfn_to_page(pfn)
            assert machine.vmemmap.map.find(virt) is not None
            assert machine.vmemmap.map.find(virt + 55) is not None
