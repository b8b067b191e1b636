"""The patch's three designs: what each costs, counted by hand."""

from __future__ import annotations

from dataclasses import fields
from itertools import product

import pytest

from vmemmap.simulate.designs import (
    DESIGNS,
    HEAD,
    DesignCost,
    DoublyLinkedDesign,
    HlistDesign,
    compare_designs,
)
from vmemmap.simulate.memory.physical import phys_of, virt_of
from vmemmap.simulate.steps import Runner


def test_bytes_of_a_node() -> None:
    """Two words of its own, and one pointer in v3, two in v1 and v2."""
    for blocks in (1, 2730, 2731):
        costs = compare_designs(blocks, "little")
        assert [cost.node_bytes for cost in costs] == [32, 32, 24]
        assert [cost.bytes for cost in costs] == [32 * blocks, 32 * blocks, 24 * blocks]


def test_what_is_not_known_of_v1_and_v2_is_not_said() -> None:
    """Only v3 is known to cut nodes from pages: it says that it added that."""
    *older, singly = compare_designs(1, "little")
    assert all("assumed" in cost.node_from for cost in older)
    assert "vmemmap_list_alloc" in singly.node_from
    names = {field.name for field in fields(DesignCost)}
    assert not any("waste" in name or "page" in name for name in names)


def test_stores_of_an_insertion() -> None:
    doubly, hlist, singly = compare_designs(3, "little")
    # phys, virt and the links; the spinlock is taken and given back.
    assert (singly.stores, hlist.stores, doubly.stores) == (2 + 2, 2 + 4, 2 + 4 + 2)
    assert {cost.loads for cost in (doubly, hlist, singly)} == {1}, "of the first node's address"


def test_the_backward_links_of_v1_and_v2_are_those_that_removal_needs() -> None:
    """v1's prev is the node before, around a ring; v2's pprev the address of what points here."""
    for order in ("little", "big"):
        for design, count in product((DoublyLinkedDesign, HlistDesign), (1, 2, 5)):
            made = design(order)
            for number in range(count):
                Runner().run(made.insert(number << 20, 0xF << 60 | number << 20))
            read, head = made.memory.physical.load_u64, virt_of(HEAD)
            nodes = [read(HEAD)]
            while (following := read(phys_of(nodes[-1]))) not in (0, head):
                nodes.append(following)
            assert len(nodes) == count
            ring = [head, *nodes]
            back = [read(phys_of(node) + 8) for node in nodes]
            assert back == ring[:-1]
            if design is DoublyLinkedDesign:
                assert read(HEAD + 8) == ring[-1]


def test_no_block_needs_no_node() -> None:
    assert [cost.bytes for cost in compare_designs(0, "little")] == [0, 0, 0]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_design_is_readable_at_every_store(design, order) -> None:
    """What the reader follows is the forward pointer, and all three set it last or before."""
    for stop in range(10):
        made = design(order)
        for phys in (1 << 20, 2 << 20):
            Runner().run(made.insert(phys, 0xF << 60 | phys))
        before = list(made.walk())
        runner, steps = Runner(), made.insert(3 << 20, 0xF << 60)
        for _ in range(stop):
            if next(steps, None) is None:
                break
        assert list(made.walk()) in (before, [(3 << 20, 0xF << 60), *before]), runner
