"""Radix trees over page tables that the builder wrote: every leaf size, every kind of hole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from builders.machine import Machine, build_machine
from builders.page_tables import LEAF, LEAF_RIGHTS, POINTER_MASK, PRESENT
from vmcore.machine_source import MachineSource, vmcore_of
from vmemmap.errors import NotInDump, NotPresent, PageExcluded, PageLost, ReadError
from vmemmap.translate import address_space
from vmemmap.translate.page_tables.radix import RADIX_FORMATS
from vmemmap.translate.page_tables.walk import PageTable
from work import lines_of

LINEAR = 0xC000000000000000
VMALLOC = 0xC008000000000000
SHAPES: list[dict[str, Any]] = [
    {"page_size": 65536, "block_shift": 16},
    {"page_size": 65536, "block_shift": 21},
    {"page_size": 65536, "block_shift": 21, "release": "6.12.0"},
    {"page_size": 65536, "block_shift": 16, "layout": "c00a"},
    {"page_size": 4096, "block_shift": 12},
    {"page_size": 4096, "block_shift": 21},
    {"page_size": 4096, "block_shift": 12, "release": "6.12.0"},
    {"page_size": 4096, "block_shift": 21, "layout": "c00a"},
]
BOTH = pytest.mark.parametrize("byte_order", ["little", "big"])
EVERY = pytest.mark.parametrize("shape", SHAPES)
SIZES = pytest.mark.parametrize("page_size", [4096, 65536])


def radix_machine(byte_order: str = "little", **shape: Any) -> Machine:
    shape.setdefault("blocks", 12)
    shape.setdefault("block_shift", shape.get("page_size", 65536).bit_length() - 1)
    return build_machine(byte_order=byte_order, mmu="radix", store="none", **shape)  # type: ignore[arg-type]


def tree_of(machine: Machine) -> PageTable:
    root = machine.symbols["swapper_pg_dir"] - LINEAR
    form = RADIX_FORMATS[machine.page_size][-1]
    return PageTable(MachineSource(machine), root, form, "big")


def entries_to(machine: Machine, virt: int) -> list[tuple[int, int]]:
    """Give physical place and value of each entry on the way to *virt*, from the root on."""
    tables = machine.tables
    assert tables is not None
    found, table = [], tables.root
    for level in (3, 2, 1, 0):
        at = table + 8 * (virt >> tables.shift(level) & (1 << tables.bits[level]) - 1)
        entry = int.from_bytes(machine.memory.read(at, 8), "big")
        found.append((at, entry))
        if not entry & PRESENT or entry & LEAF:
            break
        table = entry & POINTER_MASK
    return found


def change(machine: Machine, at: int, entry: int) -> None:
    machine.memory.write(at, entry.to_bytes(8, "big"))


@BOTH
@EVERY
def test_every_block_and_the_linear_map(byte_order: str, shape: dict[str, Any]) -> None:
    machine = radix_machine(byte_order, **shape)
    tree = tree_of(machine)
    size = machine.block_size
    assert len(machine.blocks) == 12
    for block in machine.blocks:
        for into in (0, 1, machine.page_size - 1, size // 2 + 8, size - 1):
            assert tree.translate(block.virt + into) == block.phys + into
    for phys in (0, 1, 0xFFFF, 0x10000, 0x1FFFFF, 0x200000, 0x123456, machine.ram_end - 1):
        assert tree.translate(LINEAR + phys) == phys


@BOTH
@SIZES
def test_vmalloc_pages_in_no_order(byte_order: str, page_size: int) -> None:
    machine = radix_machine(byte_order, page_size=page_size)
    pages = {VMALLOC + n * page_size: (7 * n + 3) * page_size for n in (0, 1, 2, 31, 32, 511, 5000)}
    pages |= {VMALLOC + (1 << 30): 0x30000, VMALLOC + (1 << 40) - page_size: 0x40000}
    for virt, phys in pages.items():
        machine.map_page(virt, phys)
    tree = tree_of(machine)
    for virt, phys in pages.items():
        assert tree.translate(virt) == phys
        assert tree.translate(virt + page_size - 1) == phys + page_size - 1
    for gap in (3, 30, 33, 510, 512):
        with pytest.raises(NotPresent):
            tree.translate(VMALLOC + gap * page_size)


@SIZES
@pytest.mark.parametrize("shift", [30, 21])
def test_large_leaves_to_their_last_byte(page_size: int, shift: int) -> None:
    machine = radix_machine(page_size=page_size)
    assert machine.tables is not None
    size = 1 << shift
    for n, phys in enumerate((0, 5 * size, (1 << 52) + 3 * size, (1 << 53) - size)):
        machine.tables.map(VMALLOC + n * size, phys, shift)
    tree = tree_of(machine)
    for n, phys in enumerate((0, 5 * size, (1 << 52) + 3 * size, (1 << 53) - size)):
        for into in (0, 1, page_size, size // 2 + 17, size - 1):
            assert tree.translate(VMALLOC + n * size + into) == phys + into


@SIZES
def test_bits_of_a_leaf_that_are_no_address_are_left_out(page_size: int) -> None:
    machine = radix_machine(page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    at, entry = entries_to(machine, VMALLOC)[-1]
    for bit in (*range(8), *range(53, 62)):
        change(machine, at, entry | 1 << bit)
        assert tree_of(machine).translate(VMALLOC + 5) == 0x50005


@BOTH
@SIZES
@pytest.mark.parametrize("level", ["pgd", "pud", "pmd", "pte"])
@pytest.mark.parametrize("entry", [0, 0x18E, LEAF | 0x50000, (1 << 63) - 1])
def test_a_hole_names_its_level_and_entry(
    byte_order: str, page_size: int, level: str, entry: int
) -> None:
    machine = radix_machine(byte_order, page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    way = entries_to(machine, VMALLOC)
    assert len(way) == 4
    change(machine, way[["pgd", "pud", "pmd", "pte"].index(level)][0], entry)
    with pytest.raises(NotPresent) as caught:
        tree_of(machine).translate(VMALLOC + 5)
    assert (caught.value.virt, caught.value.level) == (VMALLOC + 5, level)
    assert caught.value.entry == entry
    assert caught.value.code == "not_present"
    assert f"{level} entry is {entry:#x}" in str(caught.value)


@SIZES
def test_a_table_pointer_at_the_last_level_maps_nothing(page_size: int) -> None:
    machine = radix_machine(page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    at, entry = entries_to(machine, VMALLOC)[-1]
    change(machine, at, entry & ~LEAF)
    with pytest.raises(NotPresent) as caught:
        tree_of(machine).translate(VMALLOC)
    assert (caught.value.level, caught.value.entry) == ("pte", PRESENT | LEAF_RIGHTS | 0x50000)


@SIZES
def test_a_leaf_in_the_root_is_no_translation(page_size: int) -> None:
    # No leaf covers 512 GiB: a root entry that says so is damaged.
    machine = radix_machine(page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    at, entry = entries_to(machine, VMALLOC)[0]
    change(machine, at, entry | LEAF)
    with pytest.raises(NotPresent) as caught:
        tree_of(machine).translate(VMALLOC)
    assert caught.value.level == "pgd"


@BOTH
@SIZES
@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("how", "kind"), [("drop", NotInDump), ("exclude", PageExcluded), ("lose", PageLost)]
)
def test_a_table_missing_from_the_dump_is_a_read_error(
    byte_order: str, page_size: int, level: int, how: str, kind: type[ReadError]
) -> None:
    machine = radix_machine(byte_order, page_size=page_size)
    virt = VMALLOC + 0x3FFF0000  # in the last entries of its tables
    machine.map_page(virt, 0x50000)
    way = [at for at, _ in entries_to(machine, virt)]
    getattr(machine, how)(way[level])
    with pytest.raises(kind) as caught:
        tree_of(machine).translate(virt)
    assert type(caught.value) is kind
    # Tables are smaller than a page of 64 KiB: an earlier one may lie in the same page.
    assert caught.value.phys == next(at for at in way if at // page_size == way[level] // page_size)


@SIZES
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_garbled_pointer_leads_out_of_memory(page_size: int, level: int) -> None:
    machine = radix_machine(page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    at, entry = entries_to(machine, VMALLOC)[level]
    for pointer in (0x7FFFFFFFFF00, POINTER_MASK):
        change(machine, at, entry & ~POINTER_MASK | pointer)
        with pytest.raises(ReadError):
            tree_of(machine).translate(VMALLOC)


@SIZES
def test_a_tree_that_points_back_into_itself_ends(page_size: int) -> None:
    machine = radix_machine(page_size=page_size)
    root = machine.symbols["swapper_pg_dir"] - LINEAR
    for index in range(64 * 1024 // 8):
        change(machine, root + 8 * index, PRESENT | root | 13)
    with pytest.raises(NotPresent) as caught:
        tree_of(machine).translate(VMALLOC)
    assert caught.value.level == "pte"


@BOTH
@SIZES
def test_the_empty_root_of_a_hash_machine_maps_nothing(byte_order: str, page_size: int) -> None:
    machine = build_machine(
        byte_order=byte_order,  # type: ignore[arg-type]
        page_size=page_size,
        block_shift=16,
        blocks=2,
        store="none",
    )
    for virt in (LINEAR, VMALLOC, machine.vmemmap_base):
        with pytest.raises(NotPresent) as caught:
            tree_of(machine).translate(virt)
        assert (caught.value.level, caught.value.entry) == ("pgd", 0)


@SIZES
def test_up_to_4_10_an_address_may_have_57_bits(page_size: int) -> None:
    machine = radix_machine(page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    at, entry = entries_to(machine, VMALLOC)[-1]
    root = machine.symbols["swapper_pg_dir"] - LINEAR
    change(machine, at, entry | 1 << 53 | 1 << 56 | 1 << 57)
    older, newer = RADIX_FORMATS[page_size]
    for form, extra in ((older, 1 << 53 | 1 << 56), (newer, 0)):
        table = PageTable(MachineSource(machine), root, form, machine.byte_order)
        assert table.translate(VMALLOC + 5) == 0x50005 | extra
        asked = np.array([VMALLOC + 5], dtype=np.uint64)
        assert table.translate_pages(asked).tolist() == [0x50005 | extra]


@BOTH
@SIZES
@pytest.mark.parametrize(
    ("release", "since"),
    [("4.7.4", "4.7"), ("4.10.17", "4.7"), ("4.11.0", "4.11"), ("4.18.0", "4.11"), ("own", "4.11")],
)
def test_the_release_settles_what_no_address_shows(
    byte_order: str, page_size: int, release: str, since: str
) -> None:
    machine = radix_machine(byte_order, page_size=page_size, layout="c00a", block_shift=16)
    core = vmcore_of(machine, changes={"OSRELEASE": release})
    assert core.mmu.value == "radix"
    assert core.page_table.value == f"radix-{page_size >> 10}k-{since}"


@BOTH
@EVERY
def test_in_bulk_as_one_by_one(byte_order: str, shape: dict[str, Any]) -> None:
    """Leaves of every size, tables that are missing in part, and holes."""
    machine = radix_machine(byte_order, **shape)
    assert machine.tables is not None
    machine.tables.map(VMALLOC + (1 << 30), 3 << 30, 30)
    machine.tables.map(VMALLOC + (5 << 21), 7 << 21, 21)
    for number in (0, 1, 5, 40, 600):
        machine.map_page(VMALLOC + number * machine.page_size, (number + 3) * machine.page_size)
    machine.map_page(VMALLOC + (9 << 30), 0x30000)
    machine.exclude(entries_to(machine, VMALLOC + (9 << 30))[-1][0])
    tree = tree_of(machine)
    rng = np.random.default_rng(3)
    starts = [VMALLOC, VMALLOC + (1 << 30), VMALLOC + (5 << 21), VMALLOC + (9 << 30), LINEAR]
    starts += [block.virt for block in machine.blocks]
    asked = np.repeat(np.array(starts, dtype=np.uint64), 60)
    asked += rng.integers(0, 700 * machine.page_size, len(asked), dtype=np.uint64)
    for virt, got in zip(asked.tolist(), tree.translate_pages(asked).tolist(), strict=True):
        try:
            assert tree.translate(virt) == got
        except (NotPresent, ReadError):
            assert got == (1 << 64) - 1


@SIZES
def test_tables_that_lead_to_themselves_end(
    page_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From each of its entries, and at each level: 8 million ways and more."""
    machine = radix_machine(page_size=page_size)
    machine.map_page(VMALLOC, 0x50000)
    (_, top), (at, below), *_ = entries_to(machine, VMALLOC)
    table = top & POINTER_MASK
    for entry in range(512):
        change(machine, table + 8 * entry, below & ~POINTER_MASK | table)
    tree = tree_of(machine)
    span = VMALLOC, VMALLOC + (1 << 49)
    assert at // 4096 == table // 4096
    assert lines_of(lambda: tree.mapped(*span, tables=100)) < 100_000
    monkeypatch.setattr(address_space, "_TABLES_MAX", 100)
    with vmcore_of(machine) as core:
        assert core.ptov(0x50000)[0].method == "linear"
