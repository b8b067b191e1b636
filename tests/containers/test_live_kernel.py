"""/proc/kcore: read by pieces, indexed by physical address, and said to be moving.

A file shaped like it stands in: RAM segments with their physical address, others with p_paddr of
-1, offsets far beyond what a real file has room for.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vmemmap
from builders.elf_core import Segment, build_elf
from builders.machine import build_machine
from vmemmap.source import opening
from vmemmap.source.elf import ElfSource
from vmemmap.source.file_view import LiveView
from vmemmap.vmcore import Vmcore

NO_PHYS = (1 << 64) - 1


def kcore_like(tmp_path: Path) -> tuple[Path, list[tuple[int, int, int]]]:
    """Write a kcore-like file; give it and the known list."""
    machine = build_machine(page_size=65536, block_shift=16, blocks=8)
    vmalloc = Segment(NO_PHYS, b"\xee" * 4096, vaddr=0xC008_0000_0000_0000)
    path = tmp_path / "kcore"
    path.write_bytes(build_elf([vmalloc, *machine.segments()], machine.notes()))
    return path, [(entry.node, entry.phys, entry.virt) for entry in machine.entries]


def open_live(path: Path) -> LiveView:
    return LiveView(os.open(path, os.O_RDONLY), str(path))


def test_the_list_is_read_and_memory_is_said_to_move(tmp_path: Path) -> None:
    path, entries = kcore_like(tmp_path)
    with Vmcore(ElfSource(open_live(path))) as core:
        assert [(e.node, e.phys, e.virt) for e in core.backing] == entries
        assert any("moves" in warning for warning in core.source.warnings)


def test_a_segment_without_physical_address_is_no_memory(tmp_path: Path) -> None:
    path, _ = kcore_like(tmp_path)
    source = ElfSource(open_live(path))
    assert b"\xee" * 64 not in source.read(0, 4096)
    with pytest.raises(vmemmap.NotInDump):
        source.read((1 << 56) - 4096, 16)
    source.close()


def test_what_the_kernel_does_not_give_is_an_error_not_zeros(tmp_path: Path) -> None:
    path, _ = kcore_like(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    source = ElfSource(open_live(path))
    start, end = (int(x) for x in source.ranges()[-1])
    with pytest.raises(vmemmap.VmemmapError):
        source.read(end - 4096, 4096)
    assert start < end
    source.close()


def test_only_the_path_itself_is_taken_for_the_live_kernel(tmp_path, monkeypatch) -> None:
    path, _ = kcore_like(tmp_path)
    assert not isinstance(opening.open_bytes(path), LiveView)
    monkeypatch.setattr(opening, "LIVE_KERNEL", str(path))
    view = opening.open_bytes(path)
    assert isinstance(view, LiveView)
    view.close()
