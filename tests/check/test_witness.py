"""The checker on dumps that the builders make, which share nothing with the simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.machine import Machine, build_machine
from builders.vmcoreinfo import vmcoreinfo_text

SHAPES: list[dict[str, Any]] = [
    {"page_size": page_size, "block_shift": shift, "byte_order": byte_order}
    for page_size, shift in ((4096, 12), (65536, 16))
    for byte_order in ("little", "big")
]


@pytest.fixture(params=SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def machine(request: pytest.FixtureRequest) -> Machine:
    return build_machine(node_order="shuffled", store="all", **request.param)


def check(machine: Machine, path: Path, **how: Any) -> Any:
    machine.sync_vmcoreinfo()
    path.write_bytes(machine.elf())
    with vmemmap.open(path, **how) as core:
        return core.check(), [core.backing[i] for i in core.backing.usable.nonzero()[0].tolist()]


def codes(report: Any) -> set[str]:
    return {f.code for f in report.findings if f.severity is not vmemmap.Severity.INFO}


def test_a_sound_machine(machine: Machine, tmp_path: Path) -> None:
    report, _ = check(machine, tmp_path / "dump")
    assert codes(report) == set()
    assert report.coverage.counts.sections == len(machine.sections)
    assert report.coverage.counts.covered == len(machine.sections)


@pytest.mark.parametrize(
    ("how", "code"), [("exclude", "block_excluded"), ("drop", "block_not_in_dump")]
)
def test_a_block_that_the_dump_lacks(machine: Machine, tmp_path: Path, how: str, code: str) -> None:
    block = machine.entries[3]
    getattr(machine, how)(0xC000000000000000 + block.phys)
    report, _ = check(machine, tmp_path / "dump")
    found = [f for f in report.findings if f.code.startswith("block_")]
    assert [f.phys for f in found] == [block.phys]
    assert {f.code for f in found} == {code}
    assert report.coverage.counts.readable_pages < report.coverage.counts.covered_pages


def test_an_unreadable_node_page_and_what_is_rescued(machine: Machine, tmp_path: Path) -> None:
    """The newest node's page is left out; the nodes in other pages are found again."""
    page = machine.page_size
    lost = machine.entries[0].node // page
    machine.exclude(machine.entries[0].node)
    report, _ = check(machine, tmp_path / "dump")
    assert "node_unreadable" in codes(report)
    assert report.entries == 0
    report, used = check(machine, tmp_path / "dump", rescue=True)
    truth = {entry.virt: entry.phys for entry in machine.entries}
    assert all(truth[entry.virt] == entry.phys for entry in used)
    elsewhere = {entry.virt for entry in machine.entries if entry.node // page != lost}
    covered = {entry.virt for entry in used}
    per = machine.block_size // machine.struct_page_size * machine.page_size
    sections = {number << 24 for number in machine.sections}
    wanted = {
        virt
        for virt in elsewhere
        if any(
            start < ((virt - machine.vmemmap_base) // machine.block_size + 1) * per
            and (virt - machine.vmemmap_base) // machine.block_size * per < start + (1 << 24)
            for start in sections
        )
    }
    assert wanted <= covered


def test_freed_nodes_are_not_taken_for_live_ones(tmp_path: Path) -> None:
    """The head is lost; nodes of removed blocks keep their addresses and must not come back."""
    machine = build_machine(
        page_size=4096, block_shift=12, node_order="shuffled", hot_removed=5, store="all"
    )
    truth = {entry.virt: entry.phys for entry in machine.entries}
    machine.poke_u64(machine.symbols["vmemmap_list"], 0xC000000000000000 + (1 << 44))
    report, used = check(machine, tmp_path / "dump", rescue=True)
    assert "node_outside_memory" in codes(report)
    assert used
    assert all(truth.get(entry.virt) == entry.phys for entry in used)
    assert all(entry.rescued == "node_page" for entry in used)


def test_mem_section_that_is_not_there(machine: Machine, tmp_path: Path) -> None:
    machine.drop(machine.symbols["mem_section"], 8)
    report, _ = check(machine, tmp_path / "dump")
    assert codes(report) <= {"mem_section_unreadable", "section_mem_map"}
    assert "mem_section_unreadable" in codes(report)
    assert report.coverage.origin == "vmemmap_list"


@pytest.mark.parametrize("key", ["SYMBOL(vmemmap_list)", "SIZE(vmemmap_backing)", "PAGESIZE"])
def test_a_key_that_is_missing_is_an_error_of_one_line(
    machine: Machine, tmp_path: Path, key: str
) -> None:
    """Field bug 2: each key missing in turn."""
    machine.sync_vmcoreinfo()
    machine.vmcoreinfo.pop(key)
    (tmp_path / "dump").write_bytes(machine.elf())
    text = tmp_path / "vmcoreinfo"
    text.write_bytes(vmcoreinfo_text(machine.vmcoreinfo))
    with (
        vmemmap.open(tmp_path / "dump", vmcoreinfo=text) as core,
        pytest.raises(vmemmap.FactError) as caught,
    ):
        core.check()
    assert "\n" not in str(caught.value)
