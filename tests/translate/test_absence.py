"""Why a byte is not in the dump: excluded, hot-added, set aside, no memory, or nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders.machine import Machine, build_machine
from vmcore.machine_source import vmcore_of
from vmcore.shapes import opened
from vmemmap import Absence
from vmemmap.errors import HotAdded, NotInDump, PageExcluded, PageLost, ReadError
from vmemmap.vmcore import Vmcore

LINEAR = 0xC000000000000000
SECTION = 1 << 24
# Bits of section_mem_map (ppc64-kernel.md 5.4): present, has a memory map, online, early.
BOOT, HOT, OLD = 0xF, 0x7, 0x3
SHAPES: list[dict[str, Any]] = [
    {"page_size": 65536, "block_shift": 16, "layout": "c00c", "release": "6.12.0"},
    {"page_size": 4096, "block_shift": 16, "layout": "c0003f", "release": "6.1.0"},
    {"page_size": 65536, "block_shift": 24, "layout": "f000", "release": "4.18.0"},
    {"page_size": 4096, "block_shift": 24, "layout": "f000", "release": "3.13.0"},
    {"page_size": 65536, "block_shift": 21, "mmu": "radix", "release": "6.12.0"},
]
NEW, EARLIER = SHAPES[:2] + SHAPES[4:], SHAPES[2:4]
BOTH = pytest.mark.parametrize("byte_order", ["little", "big"])


def build(byte_order: str, **shape: Any) -> Machine:
    return build_machine(byte_order=byte_order, blocks=1, store="none", **shape)  # type: ignore[arg-type]


def add_section(machine: Machine, number: int, flags: int) -> int:
    """Give the kernel one more section; its physical address."""
    per_root = machine.page_size // 32
    assert number < per_root, "the first root table, which every machine has"
    roots = int.from_bytes(machine.read(machine.symbols["mem_section"], 8), machine.byte_order)
    machine.poke_u64(roots + 32 * number, machine.vmemmap_base | flags)
    return number * SECTION


def beyond(machine: Machine) -> int:
    """A section above all memory that the dump covers and all that the kernel has."""
    covered = (max(machine.pages) * machine.page_size) // SECTION
    return max(covered, *machine.sections, 0) + 3


def why(core: Vmcore, phys: int) -> Absence | None:
    found = core.vtop(LINEAR + phys)
    assert found.in_dump is (found.absence is None)
    return found.absence


@BOTH
@pytest.mark.parametrize("shape", NEW)
def test_hot_added_memory_is_told_from_what_was_set_aside(
    byte_order: str, shape: dict[str, Any]
) -> None:
    machine = build(byte_order, **shape)
    number = beyond(machine)
    hot = add_section(machine, number, HOT)
    kept = add_section(machine, number + 1, BOOT)
    hole = (number + 2) * SECTION
    core = vmcore_of(machine)
    for phys, reason, kind in (
        (hot, Absence.HOT_ADDED, HotAdded),
        (hot + SECTION - 1, Absence.HOT_ADDED, HotAdded),
        (kept, Absence.RESERVED, NotInDump),
        (hole, Absence.NO_MEMORY, NotInDump),
        ((1 << 43) + 5, Absence.NO_MEMORY, NotInDump),
    ):
        assert why(core, phys) is reason
        for read in (lambda p=phys: core.read_phys(p, 8), lambda p=phys: core.read(LINEAR + p, 8)):
            with pytest.raises(NotInDump) as caught:
                read()
            assert type(caught.value) is kind
            assert caught.value.phys == phys
    with pytest.raises(HotAdded, match="came after kexec was loaded"):
        core.read_phys(hot, 1)
    assert why(core, 0) is None


@BOTH
@pytest.mark.parametrize("shape", EARLIER)
def test_kernels_that_do_not_tell_are_judged_by_place(
    byte_order: str, shape: dict[str, Any]
) -> None:
    """Above everything that the dump covers: hot-added. In between: the crash kernel's place."""
    machine = build(byte_order, **shape)
    number = beyond(machine)
    above = add_section(machine, number, OLD)
    machine.memory.write((number - 1) * SECTION, b"the last memory covered")
    between = add_section(machine, number - 2, OLD)
    core = vmcore_of(machine)
    assert why(core, above) is Absence.HOT_ADDED
    assert why(core, between) is Absence.RESERVED
    assert why(core, (number + 1) * SECTION) is Absence.NO_MEMORY


@BOTH
def test_a_section_table_behind_a_pointer(byte_order: str) -> None:
    """Some kernels between 4.14 and 4.15 export where the pointer is (ppc64-kernel.md 5.4)."""
    machine = build(byte_order, **SHAPES[0])
    phys = add_section(machine, beyond(machine), HOT)
    at = machine.symbols["log_buf"]
    machine.poke_u64(at, machine.symbols["mem_section"])
    core = vmcore_of(machine, changes={"SYMBOL(mem_section)": f"{at:x}"})
    assert why(core, phys) is Absence.HOT_ADDED


@pytest.mark.parametrize(
    "change",
    [
        {"SYMBOL(mem_section)": "0"},
        {"SYMBOL(mem_section)": "c000000000000008"},
        {"SYMBOL(mem_section)": "c000700000000000"},
        {"SYMBOL(mem_section)": "garbage"},
        {"LENGTH(mem_section)": "0"},
        {"LENGTH(mem_section)": ""},
        {"SIZE(mem_section)": "0"},
        {"OFFSET(mem_section.section_mem_map)": "9999999999"},
        {"NUMBER(SECTION_SIZE_BITS)": "-5"},
    ],
)
def test_without_a_section_table_nothing_is_claimed(change: dict[str, str]) -> None:
    machine = build("little", **SHAPES[0])
    phys = add_section(machine, beyond(machine), HOT)
    core = vmcore_of(machine, changes=change)
    assert why(core, phys) is Absence.NOT_IN_DUMP
    with pytest.raises(NotInDump) as caught:
        core.read_phys(phys, 8)
    assert type(caught.value) is NotInDump


@BOTH
@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_what_the_dump_tool_left_out(byte_order: str, kind: str, tmp_path: Path) -> None:
    machine = build(byte_order, **SHAPES[1])
    excluded = machine.blocks[0].virt
    lost = excluded + 4096
    machine.store(excluded, 8192)
    machine.exclude(excluded)
    if kind == "kdump":
        machine.lose(lost)
    with opened(machine, tmp_path, kind) as core:
        assert core.vtop(excluded).absence is Absence.EXCLUDED
        with pytest.raises(PageExcluded):
            core.read(excluded, 8)
        if kind == "kdump":
            assert core.vtop(lost).absence is Absence.LOST
            with pytest.raises(PageLost):
                core.read(lost, 8)


@BOTH
@pytest.mark.parametrize("shape", NEW)
def test_vmalloc_pages_and_tables_in_hot_added_memory(
    byte_order: str, shape: dict[str, Any]
) -> None:
    machine = build(byte_order, **shape)
    phys = add_section(machine, beyond(machine), HOT)
    start = {"c00c": 0xC008 << 48, "c0003f": 0xC0003D << 40}[machine.layout]
    machine.map_page(start, phys)
    core = vmcore_of(machine)
    found = core.vtop(start + 9)
    assert (found.phys, found.absence) == (phys + 9, Absence.HOT_ADDED)
    with pytest.raises(HotAdded) as caught:
        core.read(start + 9, 1)
    assert caught.value.phys == phys + 9
    # And now a table that lies there.
    tables = machine.tables
    level, at = tables.way_to(start)[-2]
    entry = int.from_bytes(machine.memory.read(at, 8), "big")
    table = tables.way_to(start)[-1][1]
    machine.memory.write(at, (entry - table // 8 * 8 + phys).to_bytes(8, "big"))
    with pytest.raises(HotAdded) as caught:
        vmcore_of(machine).vtop(start)
    assert f"cannot translate {start:#x}: its pte entry at {phys:#x}" in str(caught.value)
    assert level == 1


def test_a_missing_table_in_the_commands_output(run_vmemmap, tmp_path: Path) -> None:
    machine = build("little", **SHAPES[0])
    machine.map_page(0xC008 << 48, 0x10000)
    machine.exclude(machine.tables.way_to(0xC008 << 48)[-1][1])
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    ran = run_vmemmap("vtop", path, "c008000000000000", "-f", "json")
    assert ran.code == 1
    (row,) = ran.json
    assert (row["error"], row["absence"]) == ("unreadable", "excluded")
    assert "pud entry at" in row["reason"] or "pte entry at" in row["reason"]


def test_in_the_commands_output(run_vmemmap, tmp_path: Path) -> None:
    machine = build("little", **SHAPES[0])
    phys = add_section(machine, beyond(machine), HOT)
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    ran = run_vmemmap("vtop", path, f"{LINEAR + phys:x}", f"{LINEAR:x}", "-f", "json")
    absent, here = ran.json
    assert (absent["in_dump"], absent["absence"]) == (False, "hot_added")
    assert "hot-added memory" in absent["reason"]
    assert here["in_dump"]
    assert "absence" not in here
    assert "hot-added memory" in run_vmemmap("vtop", path, f"{LINEAR + phys:x}").out
    assert ",hot_added" in run_vmemmap("vtop", path, f"{LINEAR + phys:x}", "-f", "csv").out


def test_every_reason_has_words() -> None:
    assert len({reason.explanation for reason in Absence}) == len(Absence)
    assert issubclass(HotAdded, ReadError)
