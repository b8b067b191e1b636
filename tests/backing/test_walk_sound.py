"""walk_list on lists as kernels make them: the builder's entries, in the builder's order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backing.walk_model import Outcome, expected_of, outcome_of, same, walk_machine
from builders.machine import Machine, build_machine
from vmcore.machine_source import MachineSource, usual_node
from vmemmap.backing.walk import walk_list
from vmemmap.facts.backing import BackingLayout

ORDERS = ["little", "big"]
SHAPES: list[dict[str, Any]] = [
    {"page_size": 65536, "block_shift": 16},
    {"page_size": 65536, "block_shift": 21, "mmu": "radix"},
    {"page_size": 65536, "block_shift": 24},
    {"page_size": 4096, "block_shift": 12},
    {"page_size": 4096, "block_shift": 16},
    {"page_size": 4096, "block_shift": 21, "mmu": "radix"},
    {"page_size": 4096, "block_shift": 24, "layout": "f000"},
]


def machine_of(byte_order: str = "little", **shape: Any) -> Machine:
    return build_machine(byte_order=byte_order, store="none", **shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("node_order", ["boot", "shuffled"])
@pytest.mark.parametrize("blocks", [1, 2, 170, 171, 500])
def test_the_walk_is_the_known_answer(
    byte_order: str, shape: dict[str, Any], node_order: str, blocks: int
) -> None:
    if shape["block_shift"] > 16:  # mem_section and the page tables take the builder's time
        blocks = min(blocks, 171 if shape["page_size"] == 4096 else 40)
    machine = machine_of(byte_order, blocks=blocks, node_order=node_order, **shape)
    assert len(machine.entries) == blocks
    walk = walk_machine(machine)
    same(outcome_of(walk), Outcome(list(machine.entries)))
    assert walk.complete
    for column in (walk.node, walk.phys, walk.virt):
        assert column.dtype == np.dtype(np.uint64)
        assert column.dtype.isnative


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("slots", ["zero", "garbage"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nodes_of_removed_blocks_are_passed_by(
    byte_order: str, page_size: int, slots: str, seed: int
) -> None:
    machine = machine_of(
        byte_order,
        page_size=page_size,
        block_shift=16,
        blocks=400,
        node_order="shuffled",
        hot_removed=57,
        unused_slots=slots,
        seed=seed,
    )
    assert len(machine.entries) == 343
    same(outcome_of(walk_machine(machine)), Outcome(list(machine.entries)))
    same(expected_of(machine), Outcome(list(machine.entries)))


@pytest.mark.parametrize("byte_order", ORDERS)
def test_several_full_pages_of_64k(byte_order: str) -> None:
    machine = machine_of(byte_order, blocks=3 * 2730 + 5)
    assert len(machine.node_pages) == 4
    same(outcome_of(walk_machine(machine)), Outcome(list(machine.entries)))


@pytest.mark.parametrize("byte_order", ORDERS)
def test_an_empty_list(byte_order: str) -> None:
    machine = machine_of(byte_order, mmu="radix", release="6.12.0", block_shift=21, blocks=4)
    source = MachineSource(machine)
    walk = walk_list(source, 0, usual_node(machine.byte_order), 65536, 4096)
    same(outcome_of(walk), Outcome([]))
    assert source.reads == 0


@pytest.mark.parametrize(
    ("size", "offsets"), [(24, (16, 0, 8)), (24, (8, 16, 0)), (32, (24, 8, 0)), (48, (0, 40, 16))]
)
def test_another_node_layout(size: int, offsets: tuple[int, int, int]) -> None:
    machine = machine_of("big", page_size=4096, block_shift=12, blocks=1)
    layout = BackingLayout(size, *offsets, "big")
    per_page = 4096 // size
    base = 0x100 * 4096
    places = [base + (n // per_page) * 4096 + n % per_page * size for n in range(300)]
    link, expected = 0, []
    for number, at in enumerate(places):
        values = (link, (number + 1) << 12, 0xF000000000000000 + (number << 12))
        for offset, value in zip(offsets, values, strict=True):
            machine.memory.write(at + offset, value.to_bytes(8, "big"))
        link = 0xC000000000000000 + at
        expected.append((link, *values[1:]))
    walk = walk_list(MachineSource(machine), link, layout, 4096, 4096)
    assert walk.complete
    found = zip(walk.node.tolist(), walk.phys.tolist(), walk.virt.tolist(), strict=True)
    assert list(found) == expected[::-1]


def test_a_page_is_read_once_however_the_list_jumps() -> None:
    machine = machine_of(page_size=4096, block_shift=12, blocks=500, node_order="shuffled")
    source = MachineSource(machine)
    head = machine.entries[0].node
    walk = walk_list(source, head, usual_node("little"), 4096, 4096)
    same(outcome_of(walk), Outcome(list(machine.entries)))
    assert source.reads == len(machine.node_pages) == 3


def test_nodes_in_a_page_of_which_the_dump_has_only_a_part() -> None:
    # The dump's own pages may be smaller than the kernel's; what it has of a node page is used.
    machine = machine_of(blocks=2000)
    small = machine_of(page_size=4096, block_shift=16, blocks=1)
    page = machine.node_pages[0] - 0xC000000000000000
    for at in range(page, page + 65536, 4096):
        small.memory.write(at, machine.memory.read(at, 4096))
    small.memory.exclude(page + 12288, 4096)
    walk = walk_list(
        MachineSource(small), machine.entries[0].node, usual_node("little"), 65536, 65536
    )
    found = outcome_of(walk)
    kept = len(found.entries)
    same(found, Outcome(list(machine.entries[:kept]), "node_unreadable", found.node))
    # The next node is the highest that has a byte in the excluded part.
    assert found.node == machine.entries[kept].node
    assert found.node - machine.node_pages[0] < 16384
    assert machine.entries[kept - 1].node - machine.node_pages[0] >= 16384
