"""The patch's three designs: what each costs, counted by hand."""

from __future__ import annotations

from itertools import product

import pytest

from vmemmap.simulate.designs import (
    DESIGNS,
    HEAD,
    DoublyLinkedDesign,
    HlistDesign,
    compare_designs,
)
from vmemmap.simulate.memory.physical import phys_of, virt_of
from vmemmap.simulate.steps import Runner


@pytest.mark.parametrize(
    ("page_size", "per_page"), [(65536, [2048, 2048, 2730]), (4096, [128, 128, 170])]
)
def test_nodes_of_a_page(page_size, per_page) -> None:
    costs = compare_designs(1, page_size, "little")
    assert [cost.node_bytes for cost in costs] == [32, 32, 24]
    assert [cost.nodes_per_page for cost in costs] == per_page
    assert [cost.pages for cost in costs] == [1, 1, 1]
    assert [cost.waste_bytes for cost in costs] == [page_size - n for n in (32, 32, 24)]


def test_a_page_more_when_the_last_is_full() -> None:
    for blocks, pages in (
        (2048, [1, 1, 1]),
        (2049, [2, 2, 1]),
        (2730, [2, 2, 1]),
        (2731, [2, 2, 2]),
    ):
        assert [cost.pages for cost in compare_designs(blocks, 65536, "big")] == pages


def test_waste_is_less_than_a_page_and_what_does_not_divide_it() -> None:
    for blocks in (1, 100, 2730, 2731, 5000, 8190):
        cost = compare_designs(blocks, 65536, "little")[-1]
        assert cost.waste_bytes < 65536 + 16 * cost.pages


def test_stores_of_an_insertion() -> None:
    doubly, hlist, singly = compare_designs(3, 65536, "little")
    # phys, virt and the links; the spinlock is taken and given back.
    assert (singly.stores, hlist.stores, doubly.stores) == (2 + 2, 2 + 4, 2 + 4 + 2)


def test_the_backward_links_of_v1_and_v2_are_those_that_removal_needs() -> None:
    """v1's prev is the node before, around a ring; v2's pprev the address of what points here."""
    for order in ("little", "big"):
        for design, count in product((DoublyLinkedDesign, HlistDesign), (1, 2, 5)):
            made = design(4096, order)
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


def test_nothing_costs_nothing() -> None:
    for cost in compare_designs(0, 4096, "little"):
        assert (cost.pages, cost.bytes, cost.waste_bytes, cost.nanoseconds) == (0, 0, 0, 0.0)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_design_is_readable_at_every_store(design, order) -> None:
    """What the reader follows is the forward pointer, and all three set it last or before."""
    for stop in range(10):
        made = design(4096, order)
        for phys in (1 << 20, 2 << 20):
            Runner().run(made.insert(phys, 0xF << 60 | phys))
        before = list(made.walk())
        runner, steps = Runner(), made.insert(3 << 20, 0xF << 60)
        for _ in range(stop):
            if next(steps, None) is None:
                break
        assert list(made.walk()) in (before, [(3 << 20, 0xF << 60), *before]), runner
