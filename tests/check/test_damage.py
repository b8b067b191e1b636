"""Every kind of damage is found, nothing else is said of the sound machine, and rescue is right."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

import vmemmap
from breadth import pairs, singles
from builders.byte_order import Order
from check.damaged import MIB, ORDERS, PAGE_SIZES, SHAPES, Shape, crash
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.crash.damage import DAMAGE_KINDS
from vmemmap.simulate.crash.vmcore import write_vmcore

NOT_THE_LIST = {"memory_not_in_dump", "psize_index", "mmu_conflict"}
"""Findings that concern no node."""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_sound_machine_has_no_findings(shape: Shape, tmp_path: Path) -> None:
    crashed = crash(shape.spec, tmp_path / "dump")
    with vmemmap.open(crashed.path) as core:
        report = core.check()
    assert report.findings == ()
    assert report.coverage is not None
    counts = report.coverage.counts
    assert counts.covered == counts.readable == counts.sections > 0
    assert counts.covered_pages == counts.readable_pages == counts.pages
    assert set(report.coverage.nodes) == {0, 1}
    assert sum(each.pages for each in report.coverage.nodes.values()) <= counts.pages
    assert (report.entries, report.rescued) == (len(crashed.truth), 0)


@pytest.mark.parametrize(
    ("kind", "page_size", "byte_order"), singles(product(DAMAGE_KINDS, PAGE_SIZES, ORDERS))
)
def test_damage_is_found_and_what_it_lost_is_found_again(
    kind: str, page_size: int, byte_order: Order, tmp_path: Path
) -> None:
    crashed = crash(Shape(page_size, byte_order).spec, tmp_path / "dump", kind)
    assert crashed.harm is not None
    with vmemmap.open(crashed.path) as core:
        plain = core.check()
        assert not any(core.backing.rescued) if plain.entries else True
    with vmemmap.open(crashed.path, rescue=True) as core:
        rescued = core.check()
        backing = core.backing if rescued.entries + rescued.rescued else None
        used = [] if backing is None else [backing[i] for i in backing.usable.nonzero()[0].tolist()]
    expected = set(crashed.harm.findings)
    found = [finding for finding in plain.findings if finding.code in expected]
    assert found, f"{sorted({f.code for f in plain.findings})} has none of {sorted(expected)}"
    assert expected & {finding.code for finding in rescued.findings}
    if crashed.harm.node is not None and found[0].node is not None:
        assert found[0].severity is not vmemmap.Severity.INFO
    # Whatever is rescued is right, by the model's own list from before the damage.
    wrong = [e for e in used if e.rescued and crashed.truth.get(e.virt) != e.phys]
    assert not wrong
    assert rescued.coverage is not None
    assert plain.coverage is not None
    counts = rescued.coverage.counts
    assert counts.covered_pages >= plain.coverage.counts.covered_pages
    assert counts.covered_pages == counts.pages
    assert [e for e in used if crashed.truth.get(e.virt, e.phys) != e.phys] == []


@pytest.mark.parametrize(
    ("kind", "page_size", "byte_order"),
    pairs(product(("cycle_self", "virt_below", "phys_outside", "stale_nodes"), PAGE_SIZES, ORDERS)),
)
def test_a_finding_names_what_was_broken(
    kind: str, page_size: int, byte_order: Order, tmp_path: Path
) -> None:
    crashed = crash(Shape(page_size, byte_order).spec, tmp_path / "dump", kind)
    with vmemmap.open(crashed.path) as core:
        findings = core.check().findings
    assert crashed.harm is not None
    (finding,) = [finding for finding in findings if finding.code in crashed.harm.findings]
    assert finding.node == crashed.harm.node
    if kind != "stale_nodes":
        assert crashed.harm.virt is None or finding.virt == crashed.harm.virt
        assert crashed.harm.phys is None or finding.phys == crashed.harm.phys


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_the_field_case_by_hotplug_alone(byte_order: str, tmp_path: Path) -> None:
    """Nothing is damaged here: a fresh page of nodes is allocated in hot-added memory.

    The headers are those of the boot, so the dump lacks that memory, and the list is newest first.
    """
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, 64 * MIB),),
        page_size=4096,
        byte_order=byte_order,  # type: ignore[arg-type]
        headers_from="boot",
        pages=PagePlan(anonymous=6000),
        events=tuple(HotplugEvent("add", (1024 + 64 * n) * MIB, 64 * MIB) for n in range(24)),
    )
    machine = Machine(replace(spec, block_size=4096)).boot().run_events()
    head = machine.list_head & ((1 << 60) - 1)
    assert head >= 1024 * MIB, "the newest node has to be in hot-added memory"
    write_vmcore(machine.snapshot(), tmp_path / "dump", lambda *_: None)
    truth = {virt: phys for _, phys, virt in machine.walk()}
    with vmemmap.open(tmp_path / "dump") as core:
        plain = core.check()
        assert (plain.entries, plain.findings[0].code) == (0, "node_outside_memory")
    with vmemmap.open(tmp_path / "dump", rescue=True) as core:
        report = core.check()
        used = [core.backing[i] for i in core.backing.usable.nonzero()[0].tolist()]
    assert all(truth[entry.virt] == entry.phys for entry in used)
    boot = [virt for virt, phys in truth.items() if phys < 64 * MIB]
    assert set(boot) <= {entry.virt for entry in used}
    assert report.rescued == len(used) > 0


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_of_two_lost_entries_for_a_place_the_newer_is_used(page_size: int, tmp_path: Path) -> None:
    """Up to 3.16 the entries of removed memory stay; added again, it gets other blocks."""
    size, again = 128 * MIB, 1 << 32
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, size),),
        release="3.14.0",
        byte_order="big",
        page_size=page_size,
        events=(
            HotplugEvent("add", again, size),
            HotplugEvent("remove", again, size),
            HotplugEvent("add", 1 << 33, size),
            HotplugEvent("add", again, size),
        ),
    )
    spec = replace(spec, block_size=min(spec.check().block_sizes(spec.boot_bytes)))
    walked = Machine(spec).boot().run_events().walk()
    older = {virt: phys for _node, phys, virt in walked}  # of several the last
    crashed = crash(spec, tmp_path / "dump", "head_zero")
    assert sum(crashed.truth[virt] != phys for virt, phys in older.items()) > 20
    with vmemmap.open(crashed.path, rescue=True) as core:
        used = [core.backing[i] for i in core.backing.usable.nonzero()[0].tolist()]
    assert {entry.virt: entry.phys for entry in used} == crashed.truth
