"""The kernel's lists of vmalloc areas: read as far as they go, however they are damaged."""

from __future__ import annotations

import pytest

from builders.machine import Machine, build_machine
from vmcore.machine_source import MachineSource, facts_of
from vmemmap.linear_map import LinearMemory
from vmemmap.translate.vmalloc_areas import KnownAreas, find_known_areas

START = 0xD000000000000000
BOTH = pytest.mark.parametrize("byte_order", ["little", "big"])
RELEASES = pytest.mark.parametrize(
    ("release", "name"), [("2.6.35", "vmlist"), ("3.9.6", "vmlist"), ("3.10.0", "vmap_area_list")]
)


def build(byte_order: str, release: str, count: int) -> tuple[Machine, list[int]]:
    machine = build_machine(
        byte_order=byte_order,  # type: ignore[arg-type]
        page_size=4096,
        block_shift=24,
        layout="f000",
        release=release,
        blocks=1,
        store="none",
    )
    starts = [START + 4096 * number for number in range(count)]
    machine.list_areas(starts)
    return machine, starts


def areas_of(machine: Machine, **changes: str) -> KnownAreas:
    info = facts_of(machine, changes=changes).vmcoreinfo
    return find_known_areas(info, LinearMemory(MachineSource(machine), machine.byte_order))


@BOTH
@RELEASES
@pytest.mark.parametrize("count", [1, 2, 40])
def test_every_area_of_a_short_list(byte_order: str, release: str, name: str, count: int) -> None:
    machine, starts = build(byte_order, release, count)
    found = areas_of(machine)
    assert sorted(found.starts) == starts
    assert found.source == name


@BOTH
def test_both_ends_of_a_long_list(byte_order: str) -> None:
    machine, starts = build(byte_order, "3.10.0", 180)
    found = areas_of(machine).starts
    assert {starts[0], starts[-1]} <= set(found)
    assert len(found) < len(starts)
    assert len(set(found)) == len(found)


@RELEASES
def test_an_empty_list_and_kernels_without_one(release: str, name: str) -> None:
    assert areas_of(build("big", release, 0)[0]) == KnownAreas((), "")
    assert name
    assert areas_of(build_machine(release="6.1.0", blocks=1)) == KnownAreas((), "")


def test_newer_kernels_say_where_the_region_begins() -> None:
    machine = build_machine(release="6.12.0", blocks=1)
    assert areas_of(machine) == KnownAreas((0xC008000000000000,), "NUMBER(VMALLOC_START)")
    for damaged in ("", "c008", "0x", "-", "99999999999999999999999999"):
        changed = areas_of(machine, **{"NUMBER(VMALLOC_START)": damaged})
        assert changed == KnownAreas((), "")


@BOTH
@RELEASES
def test_a_list_that_bites_its_tail_ends(byte_order: str, release: str, name: str) -> None:
    machine, starts = build(byte_order, release, 4)
    third = machine.symbols["area_nodes"] + 2 * 64 + (0 if name == "vmlist" else 40)
    machine.poke_u64(third, third)
    found = areas_of(machine)
    assert set(starts[:3]) <= set(found.starts) <= set(starts)


@BOTH
@RELEASES
@pytest.mark.parametrize("link", [0, 1, 0x7777777777777777, 0xC0000FFFFFFFFFF8, (1 << 64) - 1])
def test_a_link_to_nowhere(byte_order: str, release: str, name: str, link: int) -> None:
    machine, starts = build(byte_order, release, 4)
    second = machine.symbols["area_nodes"] + 64 + (0 if name == "vmlist" else 40)
    machine.poke_u64(second, link)
    assert set(areas_of(machine).starts) <= set(starts)


@pytest.mark.parametrize(
    "change",
    [
        {"SYMBOL(vmap_area_list)": "0"},
        {"SYMBOL(vmap_area_list)": "ffffffffffffffff"},
        {"SYMBOL(vmap_area_list)": "none"},
        {"OFFSET(vmap_area.va_start)": "99999"},
        {"OFFSET(vmap_area.list)": "x"},
        {"OFFSET(list_head.next)": "9999999999"},
    ],
)
def test_damaged_keys_give_no_areas(change: dict[str, str]) -> None:
    machine, _ = build("little", "3.10.0", 4)
    assert areas_of(machine, **change) == KnownAreas((), "")
