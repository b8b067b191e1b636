"""Sections with struct pages in parts: the map says which, and where it is the whole ones say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.byte_order import Order
from builders.struct_pages import StructPages
from pages.machines import Built, machine_of
from vmemmap import Kind

ORDERS: tuple[Order, ...] = ("little", "big")
PER = 256  # pages of 64 KiB in a section
PART = 32  # in 2 MiB
ONLINE, HOT = 0xF, 0x3  # section_mem_map: there since boot; came later and is not online


def build(path: Path, order: Order, place: int | None, maps: dict[int, int]) -> Built:
    """A machine of whose sections some, by their place in the list, have this subsection map."""
    machine = machine_of("6.1.0", order)
    built = Built(machine, StructPages(machine, zone_bits=1), path)
    spare = max(machine.pages) + 1  # a page of the kernel's own
    root = int.from_bytes(machine.read(machine.symbols["mem_section"], 8), order)
    for at, number in enumerate(machine.sections):
        usage = 0xC000_0000_0000_0000 + spare * machine.page_size + 64 * at
        entry = root + 32 * number
        machine.poke_u64(entry, machine.vmemmap_base | (HOT if at in maps else ONLINE))
        machine.poke_u64(entry + 8, usage)
        machine.memory.write(usage & (1 << 60) - 1, bytes(64))
        if place is not None:
            bits = maps.get(at, 0xFF)
            machine.memory.write((usage & (1 << 60) - 1) + place, bits.to_bytes(8, order))
    return built.saved()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("place", [0, 16])
def test_only_parts_that_are_there_are_counted(tmp_path: Path, order: Order, place: int) -> None:
    maps = {2: 0b0000_0110, 4: 0b1010_0001, 5: 0xFF}
    built = build(tmp_path / "vmcore", order, place, maps)
    expected = {
        number * PER + part * PART + page
        for at, number in enumerate(built.machine.sections)
        for part in range(8)
        for page in range(PART)
        if maps.get(at, 0xFF) >> part & 1
    }
    with built.open() as core:
        rows = np.concatenate(list(core.pages.scan(("pfn", "kind"))))
        usage, report = core.usage(), core.check()
        first = built.machine.sections[2] * PER
        assert [core.pages[first + at].kind for at in (0, PART)] == [Kind.ABSENT, Kind.OFFLINE]
        assert "no section, or part of one" in core.pages[first].reason
    assert set(rows["pfn"].tolist()) == expected
    assert len(rows) == len(expected) == usage.pages == sum(usage.kinds.values())
    assert usage.kinds["offline"] == PART * (2 + 3 + 8)
    assert (usage.sections, usage.sections_offline) == (len(built.machine.sections), 3)
    assert report.coverage is not None
    assert report.coverage.counts.pages == len(expected)
    assert report.coverage.counts.sections == len(built.machine.sections)
    assert not usage.findings


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_map_sections_are_whole_and_that_is_said(tmp_path: Path, order: Order) -> None:
    """No place of the map fits the sections that are online; or one map is not in the dump."""
    built = build(tmp_path / "vmcore", order, None, {2: 6, 4: 1})
    with built.open() as core:
        usage = core.usage()
    assert usage.pages == len(built.machine.sections) * PER
    assert usage.kinds["offline"] == 2 * PER
    (finding,) = usage.findings
    assert (finding.code, str(finding.severity)) == ("subsections_unknown", "info")
    assert "2 sections" in finding.message


@pytest.mark.parametrize("bits", [0, 0x100, 1 << 63])
def test_a_map_that_cannot_be_is_not_believed(tmp_path: Path, bits: int) -> None:
    built = build(tmp_path / "vmcore", "little", 16, {2: bits, 3: 1})
    with built.open() as core:
        usage = core.usage()
    assert usage.kinds["offline"] == PER + PART
    assert [finding.code for finding in usage.findings] == ["subsections_unknown"]
