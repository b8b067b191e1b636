"""The page tables under the hash MMU: every geometry and form of entry, both byte orders."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from breadth import pairs
from builders.byte_order import u64
from builders.machine import Machine
from translate.eras import ERAS, IDS, Mapped, io_base, mapped
from vmcore.machine_source import MachineSource, vmcore_of
from vmemmap.errors import (
    FactError,
    NoSuchRegion,
    NotInDump,
    NotPresent,
    PageExcluded,
    PageLost,
    ReadError,
    UnsupportedMmu,
    VmemmapError,
)
from vmemmap.facts.fact import Origin
from vmemmap.translate.page_tables.hash_linux import HASH_FORMATS
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.vmcore import Vmcore

NOWHERE = (1 << 64) - 1
LINEAR = 0xC000000000000000
ORDERS = pytest.mark.parametrize("byte_order", ["little", "big"])
EVERY = pytest.mark.parametrize("era", ERAS, ids=IDS)
LEVELS = ("pte", "pmd", "pud", "pgd")


def table_of(machine: Machine, name: str) -> PageTable:
    form = next(row for row in HASH_FORMATS[machine.page_size] if row.name == name)
    root = machine.symbols["swapper_pg_dir"] - LINEAR
    return PageTable(MachineSource(machine), root, form, machine.byte_order)


def check_all(core: Vmcore, built: Mapped) -> None:
    """Every mapped page to its borders, and the pages around them that are not mapped.

    One by one where a run of pages begins or ends, and in bulk all.
    """
    size = built.machine.page_size
    for virt, phys in built.pages.items():
        if {virt - size, virt + size} <= built.pages.keys():
            continue
        for into in (0, 1, 8, size - 1):
            found = core.vtop(virt + into)
            assert (found.phys, found.method) == (phys + into, "page_table"), hex(virt)
            assert found.in_dump == (phys // size in built.machine.pages)
    around = {virt + step * size for virt in built.pages for step in (-1, 1)}
    holes = sorted(
        v for v in around - built.pages.keys() if any(v in r for r in core.layout.regions[1:])
    )
    assert holes
    for virt in holes:
        with pytest.raises(NotPresent) as caught:
            core.vtop(virt)
        assert caught.value.level in LEVELS
    answers = built.pages | dict.fromkeys(holes, NOWHERE)
    virts = np.array([*answers], dtype=np.uint64)
    expected = np.array([*answers.values()], dtype=np.uint64)
    for into in (0, 1, 8, 24, size - 1):
        order = np.random.default_rng(into).permutation(np.repeat(np.arange(len(virts)), 3))
        many, mask = core.vtop_many(virts[order] + np.uint64(into))
        known = expected[order] != np.uint64(NOWHERE)
        assert np.array_equal(mask, known)
        assert np.array_equal(many, np.where(known, expected[order] + np.uint64(into), NOWHERE))


@ORDERS
@EVERY
def test_every_era_is_recognised_and_translated(
    era: tuple[int, str, str, str], byte_order: str
) -> None:
    built = mapped(*era, byte_order=byte_order)
    built.machine.list_areas(built.areas)
    core = vmcore_of(built.machine)
    fact = core.page_table
    assert fact.value == built.name
    by_release = fact.detail.endswith(": decided by the release")
    assert fact.origin is (Origin.ASSUMED if by_release else Origin.DERIVED)
    check_all(core, built)


@pytest.mark.parametrize(
    ("era", "byte_order", "claim"),
    pairs(product(ERAS, ("little", "big"), ("made-up", "2.6.35", "6.12.0", "4.7.0"))),
)
def test_the_tables_are_believed_before_the_release(
    era: tuple[int, str, str, str], byte_order: str, claim: str
) -> None:
    built = mapped(*era, byte_order=byte_order)
    built.machine.list_areas(built.areas)
    check_all(vmcore_of(built.machine, changes={"OSRELEASE": claim}), built)


@pytest.mark.parametrize(
    ("era", "byte_order", "claim"),
    pairs(product(ERAS, ("little", "big"), (None, "made-up", "6.12.0"))),
)
def test_without_a_list_of_areas_the_tables_tell_alone(
    era: tuple[int, str, str, str], byte_order: str, claim: str | None
) -> None:
    built = mapped(*era, byte_order=byte_order)
    changes = {"OSRELEASE": claim} if claim else {}
    core = vmcore_of(built.machine, changes=changes)
    if "SYMBOL(vmemmap_list)" not in built.machine.vmcoreinfo:
        with pytest.raises(FactError, match="vmemmap_list"):  # nothing tells the layout
            core.vtop(built.areas[0])
        core = assuming(built.machine, {"layout": "0xf"}, changes=changes)
    check_all(core, built)


@ORDERS
@EVERY
def test_a_few_mapped_pages_are_enough_with_the_release(
    era: tuple[int, str, str, str], byte_order: str
) -> None:
    built = mapped(*era, byte_order=byte_order, small=True)
    built.machine.list_areas(built.areas)
    core = vmcore_of(built.machine)
    assert core.page_table.value == built.name
    check_all(core, built)


def assuming(machine: Machine, assume: dict[str, str], changes: Any = None) -> Vmcore:
    from vmemmap.facts.assumptions import Assumptions

    core = vmcore_of(machine, changes=changes)
    return Vmcore(core.source, assume=Assumptions(assume))


@EVERY
def test_with_nothing_mapped_the_release_is_an_assumption(era: tuple[int, str, str, str]) -> None:
    built = mapped(*era)
    machine = built.machine
    root = machine.symbols["swapper_pg_dir"] - LINEAR
    machine.memory.write(root, bytes(8 << machine.tables.bits[3]))
    core = assuming(machine, {"layout": "0xf"} if machine.layout == "f000" else {})
    assert core.page_table.value == built.name
    only = machine.layout != "f000"
    assert core.page_table.origin is (Origin.DERIVED if only else Origin.ASSUMED)
    assert "untried" in core.page_table.detail
    with pytest.raises(NotPresent) as caught:
        core.vtop(built.areas[0])
    assert (caught.value.level, caught.value.entry) == ("pgd", 0)


@ORDERS
@pytest.mark.parametrize("era", [e for e in ERAS if e[2] == "f000"], ids=str)
def test_devices_in_a_hole_between_memory(era: tuple[int, str, str, str], byte_order: str) -> None:
    """As on machines that keep 2 to 4 GiB for devices, with memory below and above."""
    built = mapped(*era, byte_order=byte_order, small=True)
    machine, size = built.machine, built.machine.page_size
    machine.memory.write(1 << 32, bytes(size))
    for number in range(200):
        machine.map_page(io_base(machine) + (number + 16) * size, 0x80000000 + number * size)
    core = assuming(machine, {"layout": "0xf"})
    assert core.page_table.value == built.name
    assert "makes sense in it" in core.page_table.detail


def large_leaf_cases() -> list[Any]:
    big = [era for era in ERAS if era[1] in ("3.13.0", "4.4.0-21", "4.5.0", "4.7.4", "6.12.0")]
    return [(era, level) for era in big for level in (1, 2)]


@ORDERS
@pytest.mark.parametrize(("era", "level"), large_leaf_cases())
def test_large_leaves(era: tuple[int, str, str, str], level: int, byte_order: str) -> None:
    built = mapped(*era, byte_order=byte_order)
    machine, tables = built.machine, built.machine.tables
    shift = tables.shift(level)
    if tables.shift(level) == tables.shift(level + 1) and level != 2:
        pytest.skip("folded away")
    virt = (io_base(machine) + (1 << shift)) >> shift << shift
    if level == 2 and not tables.bits[2]:
        virt = io_base(machine) + (1 << 40)  # in a root entry of its own
    phys = 5 << shift
    tables.map(virt, phys, shift)
    table = table_of(machine, built.name)
    for into in (0, 1, machine.page_size, (1 << shift) // 2 + 9, (1 << shift) - 1):
        assert table.translate(virt + into) == phys + into
    asked = np.array([virt, virt + machine.page_size, virt + (1 << shift) - 1], dtype=np.uint64)
    assert (table.translate_pages(asked) == asked - np.uint64(virt) + np.uint64(phys)).all()


# Bits that the facts say to clear from an upper entry, by level (1 PMD, 2 PUD, 3 PGD), and that
# are neither a leaf's mark nor a hugepd's.
CLEARED = {
    "hash-4k-4.7": {1: 0xC0, 2: 0xC0, 3: 0xC0},
    "hash-4k-4.11": {1: 0xC0, 2: 0xC0, 3: 0xC0},
    "hash-64k-2.6.35": {1: 0x1FC},
    "hash-64k-3.7": {1: 0x1FC},
    "hash-64k-3.10": {1: 0x1FC},
    "hash-64k-3.11": {1: 0xFFC},
    "hash-64k-4.5": {1: 0xFFE},
    "hash-64k-4.6": {1: 0xFF, 2: 0xFF, 3: 0xFF},
    "hash-64k-4.7": {1: 0xFF, 2: 0xFF, 3: 0xFF},
    "hash-64k-4.11": {1: 0xFF, 2: 0xFF, 3: 0xFF},
    "hash-64k-4.12": {1: 0xFF, 2: 0xFF, 3: 0xFF},
    "hash-64k-4.17": {1: 0xFF, 2: 0xFF, 3: 0xFF},
}


@ORDERS
@pytest.mark.parametrize(
    "era", [e for e in ERAS if e[3] in CLEARED], ids=lambda e: f"{e[0]}-{e[1]}"
)
def test_flags_in_upper_entries_are_no_address(
    era: tuple[int, str, str, str], byte_order: str
) -> None:
    built = mapped(*era, byte_order=byte_order, small=True)
    machine, tables = built.machine, built.machine.tables
    virt, phys = next(iter(built.pages.items()))
    for level, at in tables.way_to(virt)[:-1]:
        # A level folded away is looked at through the entry above it.
        seen_as = level - 1 if level == 3 and not tables.bits[2] else level
        flags = CLEARED[built.name].get(seen_as, 0)
        entry = int.from_bytes(machine.memory.read(at, 8), tables.form.order)
        assert not entry & flags, "the builder's tables are aligned"
        machine.memory.write(at, u64(entry | flags, tables.form.order))
    table = table_of(machine, built.name)
    assert table.translate(virt + 77) == phys + 77
    assert table.translate_pages(np.array([virt], dtype=np.uint64)).tolist() == [phys]


@ORDERS
@pytest.mark.parametrize("era", [e for e in ERAS if e[3] in ("hash-4k-2.6.35", "hash-4k-3.7")])
def test_an_upper_entry_that_is_no_multiple_of_eight_leads_nowhere(
    era: tuple[int, str, str, str], byte_order: str
) -> None:
    """Where no flags are cleared from it, it is no pointer to a table."""
    built = mapped(*era, byte_order=byte_order, small=True)
    machine, tables = built.machine, built.machine.tables
    virt = next(iter(built.pages))
    for level, at in tables.way_to(virt)[:-1]:
        kept = machine.memory.read(at, 8)
        entry = int.from_bytes(kept, tables.form.order) + 4
        machine.memory.write(at, u64(entry, tables.form.order))
        table = table_of(machine, built.name)
        with pytest.raises(NotPresent, match="no pointer to a table") as caught:
            table.translate(virt)
        assert (caught.value.level, caught.value.entry) == (LEVELS[level], entry)
        assert table.translate_pages(np.array([virt], dtype=np.uint64)).tolist() == [NOWHERE]
        machine.memory.write(at, kept)


@EVERY
def test_an_address_with_more_bits_than_the_tables_look_at_is_not_another(
    era: tuple[int, str, str, str],
) -> None:
    built = mapped(*era, small=True)
    table = table_of(built.machine, built.name)
    virt = next(iter(built.pages))
    beyond = virt + (1 << table.form.va_bits)
    with pytest.raises(NoSuchRegion, match=f"beyond the {table.form.va_bits} bits"):
        table.translate(beyond)
    found = table.translate_pages(np.array([virt, beyond], dtype=np.uint64))
    assert found.tolist() == [built.pages[virt], NOWHERE]


def hugepds() -> list[Any]:
    """Format and an entry that is a hugepd there (ppc64-kernel.md 4.4)."""
    return [
        ("hash-4k-2.6.35", 0x4000000002000018),
        ("hash-4k-3.7", 0x4000000002000018),
        ("hash-64k-2.6.35", 0x4000000002000018),
        ("hash-64k-3.7", 0x4000000002000018),
        ("hash-4k-3.10", 0xC000000002000018),
        ("hash-4k-4.5", 0xC000000002000018),
        ("hash-4k-4.6", 0x0000000002000018),
        ("hash-4k-4.7", 0x0000000002000018),
        ("hash-4k-4.11", 0x8000000002000018),
    ]


@ORDERS
@pytest.mark.parametrize(("name", "entry"), hugepds())
def test_a_hugepd_is_refused_by_name(name: str, entry: int, byte_order: str) -> None:
    built = mapped(*next(e for e in ERAS if e[3] == name), byte_order=byte_order, small=True)
    machine, tables = built.machine, built.machine.tables
    virt = next(iter(built.pages))
    for level, at in tables.way_to(virt)[:-1]:
        kept = machine.memory.read(at, 8)
        machine.memory.write(at, u64(entry, tables.form.order))
        table = table_of(machine, name)
        with pytest.raises(UnsupportedMmu, match="hugepd") as caught:
            table.translate(virt)
        assert f"{LEVELS[level]} entry is {entry:#x}" in str(caught.value)
        assert table.translate_pages(np.array([virt], dtype=np.uint64)).tolist() == [NOWHERE]
        machine.memory.write(at, kept)
    assert table_of(machine, name).translate(virt) == built.pages[virt]


@pytest.mark.parametrize(
    ("era", "byte_order", "how"),
    pairs(product(ERAS, ("little", "big"), ("drop", "exclude", "lose"))),
)
def test_a_missing_table_is_a_read_error_that_names_the_level(
    era: tuple[int, str, str, str], byte_order: str, how: str
) -> None:
    kinds = {"drop": NotInDump, "exclude": PageExcluded, "lose": PageLost}
    built = mapped(*era, byte_order=byte_order, small=True)
    machine = built.machine
    virt = next(iter(built.pages))
    level, at = machine.tables.way_to(virt)[-1]
    getattr(machine, how)(at)
    with pytest.raises(ReadError) as caught:
        table_of(machine, built.name).translate(virt)
    assert type(caught.value) is kinds[how]
    assert f"{virt:#x}" in str(caught.value)
    first = next(
        (number, place)
        for number, place in machine.tables.way_to(virt)
        if place // machine.page_size == at // machine.page_size
    )
    assert f"{LEVELS[first[0]]} entry at {first[1]:#x}" in str(caught.value)
    assert level == 0


@ORDERS
@EVERY
def test_an_entry_of_each_level_that_maps_nothing(
    era: tuple[int, str, str, str], byte_order: str
) -> None:
    built = mapped(*era, byte_order=byte_order, small=True)
    machine, tables = built.machine, built.machine.tables
    virt = next(iter(built.pages))
    for level, at in tables.way_to(virt):
        kept = machine.memory.read(at, 8)
        machine.memory.write(at, bytes(8))
        with pytest.raises(NotPresent) as caught:
            table_of(machine, built.name).translate(virt + 5)
        assert (caught.value.level, caught.value.entry) == (LEVELS[level], 0)
        assert caught.value.virt == virt + 5
        assert f"{at:#x}" in str(caught.value)
        machine.memory.write(at, kept)


def test_a_table_of_which_only_some_pages_are_in_the_dump() -> None:
    """An entry whose page is there is found, in bulk as one by one."""
    built = mapped(4096, "6.12.0", "c0003f", "hash-4k-4.11")
    machine = built.machine
    table = table_of(machine, built.name)
    virts = np.array(sorted(built.pages), dtype=np.uint64)
    lost = machine.tables.way_to(int(virts[0]))[-1][1]
    machine.exclude(lost)
    phys = table.translate_pages(virts)
    for virt, got in zip(virts.tolist(), phys.tolist(), strict=True):
        try:
            assert table.translate(virt) == got
        except VmemmapError:
            assert got == NOWHERE
    assert (phys == NOWHERE).any()
    assert (phys != NOWHERE).any()


class Patchy:
    """Memory that has only some words of a page."""

    def __init__(self, source: MachineSource, hole: int) -> None:
        self._source, self._hole = source, hole

    def read(self, address: int, size: int) -> bytes:
        if address <= self._hole < address + size:
            raise NotInDump("a hole of one byte", phys=self._hole)
        return self._source.read(address, size)


def test_a_hole_of_one_byte_in_a_table_costs_one_entry() -> None:
    built = mapped(65536, "6.12.0", "c00c", "hash-64k-4.17")
    machine = built.machine
    virts = sorted(built.pages)[:6]
    hole = machine.tables.way_to(virts[2])[-1][1] + 3
    whole = table_of(machine, built.name)
    patchy = PageTable(
        Patchy(MachineSource(machine), hole), whole.root, whole.form, machine.byte_order
    )
    phys = patchy.translate_pages(np.array(virts, dtype=np.uint64)).tolist()
    assert phys == [NOWHERE if n == 2 else built.pages[v] for n, v in enumerate(virts)]


def test_every_format_is_met_in_these_tests() -> None:
    known = {row.name for rows in HASH_FORMATS.values() for row in rows}
    assert {era[3] for era in ERAS} == known
    for rows in HASH_FORMATS.values():
        for one, other in pairwise(rows):
            assert one != other


def test_the_tables_of_memory_that_moves_are_read_anew() -> None:
    built = mapped(*ERAS[-1], byte_order="big")
    machine, virt = built.machine, min(built.pages)
    settled = table_of(machine, built.name)
    moving = PageTable(
        MachineSource(machine), settled.root, settled.form, machine.byte_order, moves=True
    )
    was = built.pages[virt]
    assert settled.translate(virt) == moving.translate(virt) == was
    machine.map_page(virt, was + machine.page_size)
    assert moving.translate(virt) == was + machine.page_size
    assert settled.translate(virt) == was
