"""A file that ends too early: what it lacks is lost, not excluded, and is named once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from builders.machine import Machine, build_machine
from containers.chain import chain, cut
from vmcore.shapes import written
from vmemmap import Absence
from vmemmap.errors import ReadError, VmemmapError

LINEAR = 0xC000000000000000
CORPUS = ("hash-64k-6.1", "hash-64k-6.1-elf", "radix-64k-6.1", "hash-4k-6.12")
REAL = ("hash-64k-6.1/vmcore.d31.lzo", "hash-64k-6.1/vmcore.d31.elf.zst")


def cuts(whole: bytes, parts: int) -> Iterator[int]:
    """Where to cut a file: at even distances, and close to its end."""
    size = len(whole)
    yield from range(size // parts, size, size // parts)
    yield from (size - 100_000, size - 10_000, size - 100, size - 1)


def agree(whole: vmemmap.Vmcore, cut: vmemmap.Vmcore, step: int) -> int:
    """Compare what is said of every *step*-th page with reading it; give how many are lost."""
    ends = whole.source.ranges()
    pages = np.concatenate([np.arange(a, b, step, dtype=np.uint64) for a, b in ends.tolist()])
    stored = cut.source.stored_many(pages).tolist()
    lost = 0
    for phys, claimed in zip(pages.tolist(), stored, strict=True):
        reason = cut.vtop(LINEAR + phys).absence
        try:
            cut.read_phys(phys, 1)
        except ReadError:
            before = whole.vtop(LINEAR + phys).absence
            assert reason is (before or Absence.LOST), hex(phys)
            lost += reason is Absence.LOST
            assert not claimed
        else:
            assert reason is None
            assert claimed
        assert cut.source.is_stored(phys) == claimed
    return lost


def check_cuts(path: Path, copy: Path, parts: int, step: int) -> None:
    data = path.read_bytes()
    opened, most = 0, 0
    with vmemmap.open(path) as whole:
        for size in cuts(data, parts):
            copy.write_bytes(data[:size])
            try:
                core = vmemmap.open(copy)
            except VmemmapError:
                continue  # not even the headers are there
            with core:
                assert core.source.is_incomplete()
                most = max(most, agree(whole, core, step))
                opened += 1
    assert opened >= 4
    assert most > 0


@pytest.mark.parametrize("name", CORPUS)
def test_what_a_cut_off_file_lacks_is_lost(
    name: str, corpus_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    check_cuts(corpus_dump(name), tmp_path / "cut", 7, 1 << 20)


@pytest.mark.parametrize("name", REAL)
def test_what_a_cut_off_real_dump_lacks_is_lost(
    name: str, real_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    check_cuts(real_dump(name), tmp_path / "cut", 4, 1 << 20)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=6)


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_a_cut_off_flattened_file_has_holes(machine: Machine, tmp_path: Path, kind: str) -> None:
    inner = written(machine, tmp_path, kind).read_bytes()
    records = cut(inner, 4096)
    # The headers first, then from the back on: what is lost lies in the middle of the file.
    flat = chain(records[:60] + records[:59:-1])
    path, copy = tmp_path / "flat", tmp_path / "cut"
    path.write_bytes(flat)
    with vmemmap.open(path) as whole:
        for size in (len(flat) * 2 // 3, len(flat) * 9 // 10):
            copy.write_bytes(flat[:size])
            with vmemmap.open(copy) as core:
                assert agree(whole, core, machine.page_size) > 0


def test_pages_of_a_missing_member_are_lost(machine: Machine, tmp_path: Path) -> None:
    limit = max(machine.pages) + 1
    path, whole = tmp_path / "member", tmp_path / "whole"
    path.write_bytes(machine.kdump(split=(0, 17)))
    whole.write_bytes(machine.kdump())
    with vmemmap.open(path) as core, vmemmap.open(whole) as sound:
        lost = agree(sound, core, machine.page_size)
        assert lost == sum(17 <= pfn < limit for pfn in machine.pages)


@pytest.mark.parametrize("name", ["hash-64k-6.1", "hash-64k-6.1-elf"])
def test_one_finding_for_one_cut(
    name: str, corpus_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whichever part of the list is gone, nothing that follows from it is a finding of its own."""
    data = corpus_dump(name).read_bytes()
    seen = set()
    for size in cuts(data, 7):
        path = tmp_path / "cut"
        path.write_bytes(data[:size])
        try:
            with vmemmap.open(path) as core:
                report = core.check()
        except VmemmapError:
            continue
        first = report.findings[0]
        assert first.code == "dump_incomplete"
        assert f"cut off at {size:#x}: " in first.message
        if not report.entries:
            assert len(report.findings) == 2
            assert "the dump is cut off" in report.findings[1].message
        seen |= {finding.code for finding in report.findings}
    assert "base_unknown" not in seen
    assert seen & {"list_head_unreadable", "node_unreadable"}


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_struct_pages_behind_the_cut_are_not_readable(tmp_path: Path, kind: str) -> None:
    """With the blocks above the list's nodes, the list survives a cut that takes the blocks."""
    machine = build_machine(blocks=6, page_size=65536, block_shift=16)
    data = written(machine, tmp_path, kind).read_bytes()
    path = tmp_path / "cut"
    counts = set()
    for size in itertools.islice(cuts(data, 40), 40):
        path.write_bytes(data[:size])
        try:
            with vmemmap.open(path) as core:
                report = core.check()
                if report.coverage is None:
                    continue
                part = report.coverage.counts
                table = core.backing
                absent = sum(not readable(core, phys) for phys in table.phys.tolist())
        except VmemmapError:
            continue
        assert part.readable_pages == part.covered_pages - absent * (65536 // 64)
        counts.add(absent)
    assert len(counts) > 1


def readable(core: vmemmap.Vmcore, phys: int) -> bool:
    try:
        core.read_phys(phys, 65536)
    except ReadError:
        return False
    return True
