"""Bugs of the field that concern the list, by their number in the project's list of them.

Of each the checker has to say what is wrong, and to end. Numbers 2 (a key missing) is in
``test_witness.py``; 9, 12, 14, 15, 19, 25 and 26 are kinds of simulated damage, here by name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vmemmap
from builders.byte_order import Order
from builders.machine import build_machine
from check.damaged import Shape, crash
from vmemmap.simulate.crash.damage import DAMAGE_KINDS

ORDERS: list[Order] = ["little", "big"]
BY_KIND = {
    3: {"head_zero"},
    4: {"radix_mmu"},
    9: {"head_missing"},
    12: {"sections_lost"},
    14: {"cycle_self", "cycle_head", "cycle_middle", "cycle_long"},
    15: {"phys_impossible"},
    19: {"node_page_missing"},
    25: {"entry_lost"},
    26: {"phys_outside"},
}


def test_the_numbers_are_those_of_the_kinds() -> None:
    named = {name for name, kind in DAMAGE_KINDS.items() if "field bug" in kind.what}
    assert named == set().union(*BY_KIND.values())
    for number, names in BY_KIND.items():
        for name in names:
            assert f"(field bug {number})" in DAMAGE_KINDS[name].what


@pytest.mark.parametrize("byte_order", ORDERS)
def test_1_a_kernel_of_rhel_6_with_struct_pages_of_56_bytes(
    byte_order: Order, tmp_path: Path
) -> None:
    """2.6.32 says nothing of the list; here VMCOREINFO has been completed by hand."""
    machine = build_machine(
        byte_order=byte_order,
        layout="f000",
        release="2.6.32-642.el6.ppc64",
        struct_page_size=56,
        store="all",
    )
    info = machine.vmcoreinfo
    for name in ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs"):
        info[f"SYMBOL({name})"] = format(machine.symbols[name], "x")
    info |= {"SIZE(vmemmap_backing)": "24", "SIZE(mmu_psize_def)": "32"}
    info["OFFSET(mmu_psize_def.shift)"] = "0"
    for number, member in enumerate(("list", "phys", "virt_addr")):
        info[f"OFFSET(vmemmap_backing.{member})"] = str(8 * number)
    machine.sync_vmcoreinfo()
    (tmp_path / "dump").write_bytes(machine.elf())
    with vmemmap.open(tmp_path / "dump") as core:
        report = core.check()
    assert {f.code for f in report.findings} <= {"struct_page_straddles", "memory_not_in_dump"}
    assert report.coverage is not None
    assert report.coverage.counts.covered == report.coverage.counts.sections > 0


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize(
    ("radix_mmu", "severity"), [("0", "error"), (None, "warning or error"), ("1", None)]
)
def test_3_an_empty_list(
    byte_order: Order, radix_mmu: str | None, severity: str | None, tmp_path: Path
) -> None:
    """A head of NULL is right on radix since 6.6, and damage on hash."""
    machine = build_machine(
        byte_order=byte_order, mmu="radix" if radix_mmu == "1" else "hash", release="6.6.9"
    )
    machine.poke_u64(machine.symbols["vmemmap_list"], 0)
    machine.vmcoreinfo.pop("NUMBER(RADIX_MMU)", None)
    if radix_mmu is not None:
        machine.vmcoreinfo["NUMBER(RADIX_MMU)"] = radix_mmu
    machine.sync_vmcoreinfo()
    (tmp_path / "dump").write_bytes(machine.elf())
    with vmemmap.open(tmp_path / "dump") as core:
        findings = core.check().findings
    empty = [f.severity for f in findings if f.code == "list_empty"]
    if severity is None:
        assert findings == ()
    else:
        assert len(empty) == 1
        assert empty[0] in severity.split(" or ")


@pytest.mark.parametrize("byte_order", ORDERS)
def test_13_a_compressed_page_of_nodes_that_cannot_be_decoded(
    byte_order: Order, tmp_path: Path
) -> None:
    machine = build_machine(page_size=4096, block_shift=12, byte_order=byte_order, store="all")
    machine.sync_vmcoreinfo()
    path = tmp_path / "dump"
    path.write_bytes(machine.kdump(codec="zlib"))
    middle = machine.entries[len(machine.entries) // 2].node
    with vmemmap.open(path) as core:
        assert {f.code for f in core.check().findings} <= {"memory_not_in_dump"}
        offset = core.source.file_offset(middle - 0xC000000000000000)
    assert offset is not None
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 16)
    with vmemmap.open(path) as core:
        report = core.check()
    assert "node_unreadable" in {f.code for f in report.findings}
    with vmemmap.open(path, rescue=True) as core:
        rescued = core.check()
        used = [core.backing[i] for i in core.backing.usable.nonzero()[0].tolist()]
    truth = {entry.virt: entry.phys for entry in machine.entries}
    assert all(truth[entry.virt] == entry.phys for entry in used)
    assert rescued.coverage is not None
    assert report.coverage is not None
    assert rescued.coverage.counts.covered_pages >= report.coverage.counts.covered_pages


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    """Replace all that a file has of *old*; its holes, which are most of it, stay holes."""
    assert len(old) == len(new)
    with path.open("r+b") as file:
        fd, end = file.fileno(), 0
        while (start := next_data(fd, end)) is not None:
            end = os.lseek(fd, start, os.SEEK_HOLE)
            os.pwrite(fd, os.pread(fd, end - start, start).replace(old, new), start)


def next_data(fd: int, at: int) -> int | None:
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        return None


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_16_nothing_hangs_on_the_release(page_size: int, tmp_path: Path) -> None:
    """A distribution's kernel with another number: the same dump, the same findings."""
    crashed = crash(Shape(page_size, "little").spec, tmp_path / "dump")
    with vmemmap.open(crashed.path) as core:
        expected = core.check()
    replace_in(crashed.path, b"OSRELEASE=6.1.0\n", b"OSRELEASE=3.9.0\n")
    with vmemmap.open(crashed.path) as core:
        assert core.kernel.release.value == "3.9.0"
        report = core.check()
    assert report.findings == expected.findings
    assert report.coverage is not None
    assert expected.coverage is not None
    assert report.coverage.counts == expected.coverage.counts
