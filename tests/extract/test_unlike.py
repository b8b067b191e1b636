"""An extract of a damaged dump: what is found of it is found of the extract, or it is told."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import vmemmap
from check.damaged import Shape, crash
from oracles.simulated import crash as crash_sound
from oracles.simulated import spec_of
from vmemmap import VmemmapError
from vmemmap.simulate.crash.damage import DAMAGE_KINDS

SOME = {"truncated", "node_outside", "psize_index"}
"""Damage that the default run tries."""
WILD = bytes.fromhex("362e310000000000")
"""A word of text where a page table's entry is expected."""


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in SOME else pytest.mark.full) for kind in DAMAGE_KINDS],
)
def test_every_finding_is_in_it_or_told(kind: str, tmp_path: Path) -> None:
    crashed = crash(Shape(65536, "big").spec, tmp_path / "dump", kind)
    with vmemmap.open(crashed.path) as core:
        codes = {finding.code for finding in core.check().findings}
        try:
            told = core.extract(tmp_path / "out").missing
        except VmemmapError:
            assert not (tmp_path / "out").exists()
            return
    with vmemmap.open(tmp_path / "out") as core:
        kept = {finding.code for finding in core.check().findings} - {"extract"}
    words = " ".join(told)
    assert {code for code in codes ^ kept if code not in words} == set()


def test_a_sound_machine_lacks_nothing(tmp_path: Path) -> None:
    dump = crash_sound(spec_of("6.1"), tmp_path / "dump")
    with vmemmap.open(dump.path) as core:
        told = core.extract(tmp_path / "out").missing
    assert [line for line in told if "CRASHTIME" not in line] == []


@pytest.mark.parametrize("form", ["elf", "kdump"])
def test_a_table_that_leads_out_of_memory_is_not_in_it(form: str, tmp_path: Path) -> None:
    """One wild entry of a page table: the extract is written, opens, and says that it lacks one."""
    dump = Path(crash_sound(spec_of("6.1"), tmp_path / "dump").path)
    with vmemmap.open(dump) as core:
        root = core._dump.kernel.root_table_phys
    data = bytearray(dump.read_bytes())
    for at in range(64, 64 + 56 * struct.unpack_from("<H", data, 56)[0], 56):
        kind, _, offset, _, phys, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        if kind == 1 and phys <= root < phys + size:
            table = offset + root - phys
    empty = next(at for at in range(table, table + 2048, 8) if data[at : at + 8] == bytes(8))
    data[empty : empty + 8] = WILD
    dump.write_bytes(data)
    with vmemmap.open(dump) as core:
        told = core.extract(tmp_path / "out", form=form).missing
    assert any("page tables" in line for line in told)
    with vmemmap.open(tmp_path / "out") as core:
        assert int(core._dump.source.ranges()[-1, 1]) < 1 << 40
