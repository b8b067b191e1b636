"""A list of a million nodes is the builder's to the last entry, in every order."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breadth import pairs, singles
from builders.big_list import NODES_PER_PAGE, BigList, write_big_list
from vmemmap.vmcore import open_vmcore
from work import lines_of

MILLION = 1_048_576
LINES_PER_NODE = {"boot": 0.1, "shuffled": 25}
"""Lines of Python that the walk runs at most: whole runs of nodes at once, or each by itself."""


def check(path: Path, big: BigList) -> None:
    """Compare the whole list and a sample of translations with the known answer."""
    nodes = len(big.node)
    with open_vmcore(path) as core:
        table = core.backing
        assert core.findings == ()
        assert len(table) == nodes
        assert np.array_equal(table.node, big.node)
        assert np.array_equal(table.phys, big.phys)
        assert np.array_equal(table.virt, big.virt)
        assert table.usable.all()
        assert table.block_size == big.block_size
        assert core.list_facts.list_head.value == big.head
        assert core.facts["memory_byte_order"].value == big.byte_order
        assert core.facts["vmemmap_base"].value == big.vmemmap_base
        assert table.node_pages == -(-nodes // NODES_PER_PAGE)
        assert table.unused_slots == table.node_pages * NODES_PER_PAGE - nodes
        first = (big.virt - np.uint64(big.vmemmap_base)) // np.uint64(64)
        assert table.pfn_start is not None
        assert np.array_equal(table.pfn_start, first)

        rows = np.random.default_rng(3).integers(0, nodes, 200_000)
        into = np.random.default_rng(4).integers(0, big.block_size, 200_000).astype(np.uint64)
        phys, mask = core.vtop_many(big.virt[rows] + into)
        assert mask.all()
        assert np.array_equal(phys, big.phys[rows] + into)
        end = np.uint64(big.vmemmap_base + nodes * big.block_size)
        beyond = np.array([end, end + np.uint64(1), end - np.uint64(1)], dtype=np.uint64)
        assert core.vtop_many(beyond).mask.tolist() == [False, False, True]
        for row in rows[:200].tolist():
            found = core.vtop(int(big.virt[row]) + 5)
            assert (found.phys, found.entry) == (int(big.phys[row]) + 5, row)
            assert found.in_dump is False


ORDERS = ("little", "big")


@pytest.mark.parametrize(
    ("byte_order", "node_order"), singles(product(ORDERS, ("boot", "shuffled")))
)
def test_a_million_nodes(byte_order: Any, node_order: Any, tmp_path: Path) -> None:
    path = tmp_path / "vmcore"
    big = write_big_list(path, nodes=MILLION, byte_order=byte_order, node_order=node_order)
    check(path, big)


@pytest.mark.parametrize(
    ("byte_order", "node_order", "nodes", "struct_pages"),
    pairs(
        product(
            ORDERS,
            ("boot", "shuffled"),
            (NODES_PER_PAGE - 1, NODES_PER_PAGE, NODES_PER_PAGE + 1, 65_537),
            ("memsz", "absent"),
        )
    ),
)
def test_many_nodes(
    byte_order: Any, node_order: Any, nodes: int, struct_pages: Any, tmp_path: Path
) -> None:
    path = tmp_path / "vmcore"
    big = write_big_list(
        path,
        nodes=nodes,
        byte_order=byte_order,
        node_order=node_order,
        struct_pages=struct_pages,
        seed=nodes,
    )
    check(path, big)


@pytest.mark.parametrize("node_order", LINES_PER_NODE)
def test_the_walk_does_the_same_for_each_node_however_many(node_order: Any, tmp_path: Path) -> None:
    for nodes in (2 * NODES_PER_PAGE, 65_537):
        write_big_list(tmp_path / "vmcore", nodes=nodes, node_order=node_order)
        with open_vmcore(tmp_path / "vmcore") as core:
            assert lines_of(lambda: core.backing) < 4000 + LINES_PER_NODE[node_order] * nodes


def cut_short(path: Path, row: int) -> BigList:
    """Write a list of a million nodes, and let node *row* point to where no node can lie."""
    big = write_big_list(path, nodes=MILLION)
    data = path.read_bytes()
    node, following = int(big.node[row]), int(big.node[row + 1])
    sound = struct.pack("<2Q", following, int(big.phys[row]))
    assert data.count(sound) == 1
    path.write_bytes(data.replace(sound, struct.pack("<Q", node + 8) + sound[8:]))
    return big


@pytest.mark.parametrize(("rescued", "mib"), [(False, 60), (True, 150)])
def test_a_damaged_list_is_checked_and_rescued_in_bounds(
    rescued: bool, mib: int, tmp_path: Path
) -> None:
    """A third of a million nodes is left; most work is a node's page at a time, none a node."""
    big = cut_short(tmp_path / "vmcore", MILLION // 3)
    with open_vmcore(tmp_path / "vmcore", rescue=rescued) as core:
        tracemalloc.start()
        try:
            assert lines_of(core.check) < MILLION // 4
            assert tracemalloc.get_traced_memory()[1] < mib << 20
        finally:
            tracemalloc.stop()
        assert core.check().findings[0].code == "node_misaligned"
        table = core.backing
        assert len(table) == (MILLION if rescued else MILLION // 3 + 1)
        order, known = np.argsort(table.virt), np.argsort(big.virt)[-len(table) :]
        assert np.array_equal(table.virt[order], np.sort(big.virt)[-len(table) :])
        assert np.array_equal(table.phys[order], big.phys[known])
