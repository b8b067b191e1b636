"""BackingTable: columns and entries, the pfns of each block, and what is judged wrong."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from backing.walk_model import walk_machine
from builders.machine import build_machine
from vmemmap.address import Run
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import Walk
from vmemmap.findings import Finding, Severity

BASE = 0xC00C000000000000
END = 0xC00E000000000000
REGION = Run(BASE, END)
NODES = 0xC000000000100000
Block = tuple[int, int]


def u64(values: Sequence[int]) -> NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


def table_of(
    blocks: Sequence[Block],
    *,
    block_size: int = 0x10000,
    region: Run | None = REGION,
    struct_page_size: int | None = 64,
    page_size: int = 65536,
    findings: tuple[Finding, ...] = (),
) -> BackingTable:
    """Make a table of (virt, phys), the nodes side by side."""
    nodes = [NODES + 24 * number for number in range(len(blocks))]
    walk = Walk(u64(nodes), u64([b[1] for b in blocks]), u64([b[0] for b in blocks]), findings)
    return BackingTable(
        walk,
        block_size=block_size,
        region=region,
        struct_page_size=struct_page_size,
        node_size=24,
        page_size=page_size,
    )


def sound(count: int) -> list[Block]:
    return [(BASE + n * 0x10000, (n + 7) * 0x10000) for n in range(count)]


def codes(table: BackingTable) -> list[str]:
    return [finding.code for finding in table.findings]


def test_it_is_a_sequence_of_the_machines_entries() -> None:
    machine = build_machine(blocks=30, node_order="shuffled", store="none")
    table = BackingTable(
        walk_machine(machine),
        block_size=machine.block_size,
        region=Run(machine.vmemmap_base, END),
        struct_page_size=64,
        node_size=24,
        page_size=machine.page_size,
    )
    expected = list(machine.entries)
    assert [(e.node, e.phys, e.virt) for e in table] == expected
    assert len(table) == len(expected) == 30
    assert [(e.node, e.phys, e.virt) for e in reversed(table)] == expected[::-1]
    for index in (0, 1, 29, -1, -2, -30):
        entry = table[index]
        assert (entry.node, entry.phys, entry.virt) == expected[index]
        assert entry.size_bytes == machine.block_size
        first = (entry.virt - machine.vmemmap_base) // 64
        assert (entry.pfn_start, entry.pfn_end) == (first, first + 1024)
        assert all(type(value) is int for value in (entry.node, entry.phys, entry.virt))
    for cut in (slice(0, 5), slice(None, None, -1), slice(-3, None), slice(5, 2), slice(0, 99, 7)):
        assert [e.virt for e in table[cut]] == [e.virt for e in expected[cut]]
    for index in (30, -31, 1 << 40):
        with pytest.raises(IndexError):
            table[index]
    assert table[3] in table
    assert table.index(table[3]) == 3
    assert table.findings == ()
    assert table.usable.all()
    assert table.size_bytes == 30 * machine.block_size


def test_an_empty_table() -> None:
    table = table_of([])
    assert list(table) == list(table[:]) == []
    assert (len(table), table.size_bytes, table.node_pages, table.unused_slots) == (0, 0, 0, 0)
    assert table.findings == ()
    assert table.pfn_start is not None
    assert len(table.pfn_start) == len(table.usable) == 0
    with pytest.raises(IndexError):
        table[0]


COLUMNS = ["node", "phys", "virt", "pfn_start", "pfn_end", "usable"]


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_cannot_be_written(name: str) -> None:
    table = table_of(sound(3))
    column = getattr(table, name)
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 1


@pytest.mark.parametrize("name", COLUMNS[:5])
def test_columns_are_native_64_bit_words(name: str) -> None:
    column = getattr(table_of(sound(3)), name)
    assert column.dtype == np.dtype(np.uint64)
    assert column.dtype.isnative
    assert column.shape == (3,)


@pytest.mark.parametrize("struct_page_size", [32, 40, 56, 64, 72, 256])
@pytest.mark.parametrize("block_size", [1 << 12, 1 << 16, 1 << 21, 1 << 24])
def test_blocks_in_a_row_share_out_the_pfns_without_gap_or_overlap(
    struct_page_size: int, block_size: int
) -> None:
    numbers = list(range(40))
    random.Random(1).shuffle(numbers)
    blocks = [(BASE + n * block_size, (n + 1) * block_size) for n in numbers]
    table = table_of(blocks, block_size=block_size, struct_page_size=struct_page_size)
    spans = sorted((e.pfn_start or 0, e.pfn_end or 0) for e in table)
    assert spans[0][0] == 0
    assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
    # The last struct page that begins before the end.
    assert spans[-1][1] == -(-40 * block_size // struct_page_size)
    for entry in table:
        assert entry.pfn_start is not None
        assert entry.pfn_end is not None
        start, end = entry.virt - BASE, entry.virt - BASE + block_size
        assert start <= entry.pfn_start * struct_page_size < start + struct_page_size
        assert (entry.pfn_end - 1) * struct_page_size < end <= entry.pfn_end * struct_page_size


@pytest.mark.parametrize("struct_page_size", [56, 64])
def test_each_pfn_lies_in_the_block_where_its_struct_page_begins(struct_page_size: int) -> None:
    numbers = [0, 1, 2, 5, 9, 10, 300]
    blocks = [(BASE + n * 4096, (n + 1) * 4096) for n in numbers]
    table = table_of(blocks, block_size=4096, struct_page_size=struct_page_size, page_size=4096)
    home = {number: set[int]() for number in range(302)}
    for pfn in range(302 * 4096 // struct_page_size):
        home[pfn * struct_page_size // 4096].add(pfn)
    for number, entry in zip(numbers, table, strict=True):
        assert entry.pfn_start is not None
        assert entry.pfn_end is not None
        assert set(range(entry.pfn_start, entry.pfn_end)) == home[number]


@pytest.mark.parametrize(
    ("region", "size"), [(None, 64), (REGION, None), (None, None)], ids=["region", "size", "both"]
)
def test_pfns_are_unknown_without_base_or_size(region: Run | None, size: int | None) -> None:
    table = table_of(sound(3), region=region, struct_page_size=size)
    assert table.pfn_start is table.pfn_end is None
    assert [(e.pfn_start, e.pfn_end) for e in table] == [(None, None)] * 3
    assert table.findings == ()


def test_pfns_at_the_very_end_of_the_region() -> None:
    table = table_of([(END - (1 << 24), 0)], block_size=1 << 24, struct_page_size=56)
    span = END - BASE
    assert table.pfn_end is not None
    assert int(table.pfn_end[0]) == -(-span // 56)


@pytest.mark.parametrize(
    ("page_size", "blocks", "removed", "pages"),
    [
        (4096, 400, 0, 3),
        (4096, 170, 0, 1),
        (4096, 171, 0, 2),
        (65536, 400, 0, 1),
        (4096, 400, 30, 3),
    ],
)
def test_node_pages_and_unused_slots(page_size: int, blocks: int, removed: int, pages: int) -> None:
    machine = build_machine(
        page_size=page_size, block_shift=16, blocks=blocks, hot_removed=removed, store="none"
    )
    table = BackingTable(
        walk_machine(machine),
        block_size=65536,
        region=None,
        struct_page_size=64,
        node_size=24,
        page_size=page_size,
    )
    assert table.node_pages == len(machine.node_pages) == pages
    assert table.unused_slots == pages * (page_size // 24) - (blocks - removed)


FAULTS: list[tuple[str, Block]] = [
    ("virt_misaligned", (BASE + 0x50008, 0x90000)),
    ("virt_misaligned", (BASE + 0x5FFFF, 0x90000)),
    ("virt_outside_region", (BASE - 0x10000, 0x90000)),
    ("virt_outside_region", (END, 0x90000)),
    ("virt_outside_region", (0, 0x90000)),
    ("phys_misaligned", (BASE + 0x50000, 0x90001)),
    ("phys_misaligned", (BASE + 0x50000, 0x98000)),
    ("phys_impossible", (BASE + 0x50000, 1 << 53)),
    ("phys_impossible", (BASE + 0x50000, (1 << 64) - 0x10000)),
]


@pytest.mark.parametrize(("code", "bad"), FAULTS)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_impossible_entry_is_named_kept_and_not_used(code: str, bad: Block, place: int) -> None:
    blocks = sound(4)
    blocks.insert(place, bad)
    table = table_of(blocks)
    (finding,) = table.findings
    assert (finding.code, finding.severity) == (code, Severity.ERROR)
    assert (finding.node, finding.phys, finding.virt) == (NODES + 24 * place, bad[1], bad[0])
    assert f"node {NODES + 24 * place:#x}" in finding.message
    assert table.usable.tolist() == [number != place for number in range(5)]
    assert [(e.virt, e.phys) for e in table] == blocks


def test_the_largest_physical_address_and_the_ends_of_the_region_are_sound() -> None:
    table = table_of([(BASE, (1 << 53) - 0x10000), (END - 0x10000, 0), (BASE + 0x10000, 0x10000)])
    assert table.findings == ()
    assert table.usable.all()


def test_an_entry_with_several_faults_has_a_finding_for_each() -> None:
    table = table_of([*sound(2), (0x1234, (1 << 60) + 4)])
    expected = ["phys_impossible", "phys_misaligned", "virt_misaligned", "virt_outside_region"]
    assert sorted(codes(table)) == expected
    assert table.usable.tolist() == [True, True, False]


@pytest.mark.parametrize(("count", "named", "more"), [(20, 20, 0), (21, 20, 1), (500, 20, 480)])
def test_many_faults_of_a_kind_are_summed_up(count: int, named: int, more: int) -> None:
    blocks = [*sound(3), *((BASE + n * 0x10000 + 8, 0x10000) for n in range(count))]
    table = table_of(blocks)
    assert codes(table) == ["virt_misaligned"] * (named + bool(more))
    assert [f.node for f in table.findings][:named] == table.node[3 : 3 + named].tolist()
    if more:
        last = table.findings[-1]
        assert str(more) in last.message
        assert last.node is last.virt is last.phys is None
        assert last.severity is Severity.ERROR
    assert int(table.usable.sum()) == 3


def test_each_kind_of_fault_is_summed_up_by_itself() -> None:
    blocks = [(BASE + n * 0x10000 + 8, 0x10000) for n in range(25)]
    blocks += [(BASE + n * 0x10000, 0x10001) for n in range(30)]
    table = table_of(blocks)
    assert codes(table) == ["virt_misaligned"] * 21 + ["phys_misaligned"] * 21


def test_the_older_of_two_entries_for_a_block_is_named_and_not_used() -> None:
    blocks = [*sound(3), (BASE + 0x10000, 0x990000), *sound(1)]
    table = table_of(blocks)
    assert codes(table) == ["virt_duplicate"] * 2
    assert [f.severity for f in table.findings] == [Severity.INFO] * 2
    assert sorted((f.node or 0) - NODES for f in table.findings) == [24 * 3, 24 * 4]
    # "usable: for each entry, whether translation uses it": it uses the newest.
    assert table.usable.tolist() == [True, True, True, False, False]


def test_a_damaged_newer_entry_does_not_hide_the_sound_older_one() -> None:
    table = table_of([(BASE, 0x123), *sound(2)])
    assert codes(table) == ["phys_misaligned"]
    assert table.usable.tolist() == [False, True, True]


def test_one_physical_block_for_two_addresses_is_legal() -> None:
    table = table_of([(BASE, 0x90000), (BASE + 0x10000, 0x90000)])
    assert table.findings == ()


def test_what_the_walk_found_comes_first() -> None:
    ended = Finding("list_cycle", Severity.ERROR, "round and round")
    table = table_of([*sound(2), (BASE + 8, 0)], findings=(ended,))
    assert table.findings[0] is ended
    assert codes(table) == ["list_cycle", "virt_misaligned"]
    assert str(table.findings[0]) == "error: list_cycle: round and round"
