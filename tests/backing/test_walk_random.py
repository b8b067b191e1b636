"""walk_list on any link graph at all, against the plain model: first repeat stops."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backing.walk_model import LINEAR, NODE_BYTES, Outcome, expected_walk, outcome_of, same
from breadth import examples
from builders.byte_order import Order, u64
from builders.physical import SparseMemory
from vmcore.machine_source import usual_node
from vmemmap.backing.walk import walk_list
from vmemmap.errors import NotInDump, PageExcluded, PageLost

BLOCK = 0x10000
BASE = 0xC00C000000000000


class PlainMemory:
    """A Memory over SparseMemory, which counts its reads."""

    def __init__(self, pages: SparseMemory) -> None:
        self.pages = pages
        self.reads = 0

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        for pfn in self.pages.pfns(address, size):
            phys = max(address, pfn * self.pages.page_size)
            if pfn in self.pages.excluded:
                raise PageExcluded("excluded", phys=phys)
            if pfn in self.pages.lost:
                raise PageLost("lost", phys=phys)
            if pfn not in self.pages.pages:
                raise NotInDump("absent", phys=phys)
        return self.pages.read(address, size)


class Graph:
    """Nodes at chosen slots of chosen pages, each with members of its own."""

    def __init__(self, page_size: int, pages: Sequence[int], order: Order) -> None:
        self.memory = SparseMemory(page_size)
        self.order = order
        self.per_page = page_size // NODE_BYTES
        self.slots = [
            LINEAR + pfn * page_size + slot * NODE_BYTES
            for pfn in pages
            for slot in range(self.per_page)
        ]
        for pfn in pages:
            self.memory.reserve(pfn * page_size, page_size)

    def put(self, number: int, at: int, link: int) -> None:
        members = (link, (number + 1) * BLOCK, BASE + number * BLOCK)
        data = b"".join(u64(value, self.order) for value in members)
        self.memory.write(at - LINEAR, data)

    def walk(self, head: int, limit: int = 1 << 24) -> Outcome:
        return outcome_of(
            walk_list(
                PlainMemory(self.memory),
                head,
                usual_node(self.order),
                self.memory.page_size,
                BLOCK,
                limit,
            )
        )

    def expected(self, head: int) -> Outcome:
        return expected_walk(self.memory, self.order, BLOCK, head)


@pytest.mark.parametrize("order", ["little", "big"])
def test_every_link_graph_of_five_neighbours_across_a_page_border(order: Order) -> None:
    graph = Graph(4096, [16, 17], order)
    nodes = graph.slots[graph.per_page - 2 : graph.per_page + 3]
    before: Sequence[int] = [-1] * 5
    # Every map from five nodes to six targets, with every node as the head in turn.
    for turn, links in enumerate(itertools.product([*nodes, 0], repeat=5)):
        for number, (at, link) in enumerate(zip(nodes, links, strict=True)):
            if link != before[number]:
                graph.put(number, at, link)
        before = links
        same(graph.walk(nodes[turn % 5]), graph.expected(nodes[turn % 5]))


def fill(graph: Graph, count: int, seed: int, turns: float, harm: float) -> int:
    """Link *count* nodes: mostly to a neighbour slot, sometimes anywhere. Gives a head."""
    rng = random.Random(seed)
    start = rng.randrange(len(graph.slots))
    used = [graph.slots[(start + n) % len(graph.slots)] for n in range(count)]
    if rng.random() < 0.3:
        used = rng.sample(graph.slots, count)
    step = rng.choice([-1, -1, 1])
    size = graph.memory.page_size
    for number, at in enumerate(used):
        link = at + step * NODE_BYTES
        if link % size > size - NODE_BYTES or link not in used or rng.random() < turns:
            link = rng.choice(used)
        if rng.random() < harm:
            link = rng.choice(
                [
                    *(0, 1, link + 8, link + 16, link + 4, link & ~(size - 1) | size - 16),
                    *(LINEAR + (1 << 40), BASE, link | 1 << 50, rng.choice(graph.slots)),
                ]
            )
        graph.put(number, at, link)
    return rng.choice(used)


@settings(max_examples=examples(250))
@given(
    order=st.sampled_from(["little", "big"]),
    page_size=st.sampled_from([4096, 4096, 65536]),
    count=st.integers(1, 480),
    seed=st.integers(0, 1 << 32),
    turns=st.sampled_from([0.0, 0.003, 0.02, 0.1, 0.5, 1.0]),
    harm=st.sampled_from([0.0, 0.0, 0.004, 0.05]),
)
def test_any_graph_of_a_few_hundred_nodes(
    order: Order, page_size: int, count: int, seed: int, turns: float, harm: float
) -> None:
    graph = Graph(page_size, [16, 17, 40], order)
    head = fill(graph, count, seed, turns, harm)
    expected = graph.expected(head)
    same(graph.walk(head), expected)
    if expected.code in ("", "list_cycle"):
        kept = len(expected.entries)
        same(graph.walk(head, limit=kept), expected)
        if kept > 1:
            found = graph.walk(head, limit=kept - 1)
            cut = Outcome(expected.entries[: kept - 1], "list_too_long", found.node)
            same(found, cut)


@settings(max_examples=examples(80))
@given(
    seed=st.integers(0, 1 << 32),
    gone=st.sampled_from(["excluded", "lost", "absent"]),
    page=st.sampled_from([16, 17, 40]),
)
def test_any_graph_with_a_page_gone(seed: int, gone: str, page: int) -> None:
    graph = Graph(4096, [16, 17, 40], "big")
    head = fill(graph, 400, seed, 0.03, 0.0)
    if gone == "absent":
        graph.memory.drop(page * 4096)
    else:
        getattr(graph.memory, gone).add(page)
    same(graph.walk(head), graph.expected(head))


@settings(max_examples=examples(60))
@given(tail=st.integers(0, 400), cycle=st.integers(1, 400), seed=st.integers(0, 1 << 32))
def test_any_tail_into_any_cycle_of_scattered_nodes(tail: int, cycle: int, seed: int) -> None:
    graph = Graph(4096, [16, 17, 18, 40, 90], "little")
    way = random.Random(seed).sample(graph.slots, tail + cycle)
    for number, at in enumerate(way):
        graph.put(number, at, way[number + 1] if number + 1 < len(way) else way[tail])
    found = graph.walk(way[0])
    assert [entry.node for entry in found.entries] == way
    assert (found.code, found.node) == ("list_cycle", way[-1])


def test_a_cycle_costs_no_more_than_a_few_rounds() -> None:
    graph = Graph(4096, list(range(16, 56)), "little")
    way = random.Random(5).sample(graph.slots, 6000)
    for number, at in enumerate(way):
        graph.put(number, at, way[(number + 1) % len(way)])
    memory = PlainMemory(graph.memory)
    walk = walk_list(memory, way[0], usual_node("little"), 4096, BLOCK)
    assert walk.node.tolist() == way
    assert memory.reads <= 40
