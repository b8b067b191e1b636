"""fadump vmcores: e_flags with the ABI version, one note for each processor, no backup segment."""

from __future__ import annotations

from pathlib import Path

import pytest

import vmemmap
from builders.machine import build_machine


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("e_flags", [0, 1, 2])
@pytest.mark.parametrize("cpus", [1, 64])
def test_flags_and_notes_of_fadump_change_nothing(
    tmp_path: Path, byte_order: str, e_flags: int, cpus: int
) -> None:
    machine = build_machine(byte_order=byte_order, blocks=9)  # type: ignore[arg-type]
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf(e_flags=e_flags, cpus=cpus))
    with vmemmap.open(path) as core:
        assert [(e.node, e.phys, e.virt) for e in core.backing] == list(machine.entries)
        # Bit 0 is makedumpfile's mark of an incomplete ELF file too; here it is ABI version 1.
        assert not core.source.is_incomplete()
        assert len([note for note in core.source.notes if note.name == "CORE"]) == cpus
        assert not core.findings
